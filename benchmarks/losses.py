"""Time and memory of the losses against peers that do the same work.

    python benchmarks/losses.py                     all rows, about 15 minutes on two cores
    python benchmarks/losses.py --only mmd coral    some
    python benchmarks/losses.py --memory            peak memory, each contender in a fresh process

Forward and backward, float32, two threads. The contenders of a row take turns; the table holds the medians, and the
ratio of the best peer to ours: above 1 ours is faster. One row is measured beside two busy processes, for a loss of
many small parallel operations waits there for its threads. Needs the `bench` extra: skada, POT, geomloss. tllib cannot
be installed beside a current numpy: its losses and DomainBed's are written out here from their definitions, but for
tllib's MMD, whose (2n, 2n, d) tensor takes 130 ms at n = 128 and disturbs the others' memory.
"""

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

sys.path[0] = str(Path(__file__).parents[1])  # this file is called losses.py, too
import losses

warnings.filterwarnings("ignore")
SCALES = torch.tensor([0.25, 0.5, 1.0, 2.0, 4.0])
Loss = Callable[..., Tensor]


@dataclass
class Row:
    """One comparison: the tensors, our loss, the peers' and the ratio to reach."""

    group: str
    size: str
    inputs: Callable[[], list[Tensor]]
    ours: Loss
    peers: dict[str, Loss]
    target: float | None = None
    note: str = ""
    less: tuple[str, ...] = ()  # peers that do less work: in the table, not in the ratio that the target is for
    busy: int = 0  # processes that keep a core busy meanwhile, as data-loading workers do


def clouds(n: int, d: int, shift: float = 0.2) -> list[Tensor]:
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(n, d, generator=g), torch.randn(n, d, generator=g) + shift
    return [x.requires_grad_(), y.requires_grad_()]


def logits(n: int, classes: int, number: int = 1) -> list[Tensor]:
    g = torch.Generator().manual_seed(0)
    return [(2 * torch.randn(n, classes, generator=g)).requires_grad_() for _ in range(number)]


# peers' definitions --------------------------------------------------------------------------------------------------


def domainbed_mmd(x: Tensor, y: Tensor) -> Tensor:
    def kernel(a, b):
        D = torch.addmm(b.square().sum(1), a, b.T, alpha=-2).add(a.square().sum(1, keepdim=True)).clamp_min(1e-30)
        K = torch.zeros_like(D)
        for gamma in (0.001, 0.01, 0.1, 1, 10):  # five, as everybody here
            K = K + torch.exp(D.mul(-gamma))
        return K

    return kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean()


def domainbed_coral(x: Tensor, y: Tensor) -> Tensor:
    a, b = x - x.mean(0, keepdim=True), y - y.mean(0, keepdim=True)
    covariances = (a.t() @ a) / (len(x) - 1) - (b.t() @ b) / (len(y) - 1)
    return (x.mean(0) - y.mean(0)).pow(2).mean() + covariances.pow(2).mean()


def tllib_map(f: Tensor, z: Tensor) -> Tensor:
    return torch.bmm(F.softmax(z, 1).detach().unsqueeze(2), f.unsqueeze(1)).view(len(f), -1).mean()


def tllib_mdd(ys: Tensor, ys_adv: Tensor, yt: Tensor, yt_adv: Tensor) -> Tensor:
    source = -F.cross_entropy(ys_adv, ys.max(1)[1], reduction="none")
    target = -F.nll_loss(torch.log(torch.clamp(1 - F.softmax(yt_adv, 1) + 1e-6, max=1)), yt.max(1)[1], reduction="none")
    return -(4 * source.mean() + target.mean())


def tllib_entropy(z: Tensor) -> Tensor:
    p = F.softmax(z, 1)
    return -(p * torch.log(p + 1e-5)).sum(1).mean()


def tllib_mcc(z: Tensor) -> Tensor:
    p = F.softmax(z / 2.5, 1)
    entropy = -(p * torch.log(p + 1e-5)).sum(1)
    w = 1 + torch.exp(-entropy).detach()
    w = w * len(z) / w.sum()
    C = (p * w[:, None]).t() @ p
    C = C / C.sum(1)
    return (C.sum() - C.trace()) / z.shape[1]


def written_bnm(z: Tensor) -> Tensor:
    return -torch.linalg.matrix_norm(F.softmax(z, 1), "nuc") / len(z)


# rows ----------------------------------------------------------------------------------------------------------------


def rows(only: list[str]) -> list[Row]:
    from pytorch_adapt import layers
    from skada.deep import losses as skada

    def pytorch_adapt_mmd(bandwidth=None):
        return layers.MMDLoss(kernel_scales=SCALES.clone(), mmd_type="quadratic", bandwidth=bandwidth)

    found = []
    for d, n, target, busy in [
        (256, 128, 2.5, 0),
        (256, 512, 4.0, 0),
        (256, 2048, 8.0, 0),
        (256, 2048, 4.0, 2),
        (256, 8192, 12.0, 0),
        (2048, 512, 1.5, 0),
        (2048, 2048, 2.3, 0),
    ]:
        peers = {
            "pytorch-adapt": pytorch_adapt_mmd(),
            "skada": lambda x, y: skada.dan_loss(x, y, sigmas=[1.0, 2.0, 4.0, 8.0, 16.0]),
            "DomainBed": domainbed_mmd,
        }
        ours, given, note = (
            losses.mmd,
            "",
            "skada's and DomainBed's are biased, with given bandwidths; skada's of distances",
        )
        if n > 4096:  # half a minute a call
            given, note = ", given bandwidth", "DomainBed's is biased"
            ours = partial(losses.mmd, bandwidth=2.0 * d)
            peers = {"pytorch-adapt": pytorch_adapt_mmd(2.0 * d), "DomainBed": domainbed_mmd}
        size, make = f"n={n}, d={d}{given}", partial(clouds, n, d)
        if busy:
            size += f", beside {busy} busy processes"
        found.append(Row("mmd", size, make, ours, peers, target, note, less=("skada", "DomainBed"), busy=busy))
    for d, n, target in [
        (2048, 128, 14.0),
        (2048, 512, 3.8),
        (2048, 8192, 1.7),
        (256, 128, 1.4),
        (256, 512, 1.4),
        (256, 2048, 1.4),
    ]:
        peers = {"pytorch-adapt": layers.CORALLoss(), "skada": skada.deepcoral_loss, "DomainBed": domainbed_coral}
        found.append(Row("coral", f"n={n}, d={d}", lambda n=n, d=d: clouds(n, d), losses.coral, peers, target))
    for n, target in [(128, 3.5), (512, 7.0), (2048, 13.0)]:
        theirs = pytorch_adapt_mmd()
        found.append(
            Row(
                "joint_mmd",
                f"n={n}, d=256 and 31",
                lambda n=n: [*clouds(n, 256), *clouds(n, 31)],
                lambda x, y, p, q: losses.joint_mmd([x, p], [y, q]),
                {"pytorch-adapt": lambda x, y, p, q, f=theirs: f([x, p], [y, q])},
                target,
            )
        )
    if not only or "sinkhorn_divergence".startswith(tuple(only)):  # finding equal accuracy takes minutes
        found += [sinkhorn(n, 2.0, *targets) for n, *targets in [(128, 1.5, 5), (512, 1.8, 9), (4096, 6, None)]]
        found += [sinkhorn(n, 1.0, None, against) for n, against in [(128, 5), (512, 9)]]
    found += [sliced(n) for n in (128, 512, 2048)]
    for (n, classes), mcc, bnm, own in [
        ((128, 31), 1.5, 1.4, 1.4),
        ((128, 345), 2.8, 2.8, 1.4),
        ((2048, 345), None, 5.0, 1.4),
    ]:
        size, make = f"n={n}, {classes} classes", lambda n=n, c=classes: logits(n, c)
        theirs = {"pytorch-adapt": layers.MCCLoss(T=2.5), "tllib": tllib_mcc}
        found.append(Row("minimum_class_confusion", size, make, losses.minimum_class_confusion, theirs, mcc))
        theirs = {"pytorch-adapt": layers.BNMLoss(), "singular values": written_bnm}
        found.append(Row("batch_nuclear_norm", size, make, losses.batch_nuclear_norm, theirs, bnm))
        theirs = {"pytorch-adapt": layers.EntropyLoss(after_softmax=False), "tllib": tllib_entropy}
        found.append(Row("entropy", size, make, losses.entropy, theirs, own))
        floor = "both read and write each number a few times: memory bandwidth is the floor"
        found.append(
            Row(
                "multilinear_map (CDAN)",
                f"n={n}, {classes} classes, d=256",
                lambda n=n, c=classes: [clouds(n, 256)[0], logits(n, c)[0].detach()],
                lambda f, z: losses.multilinear_map(f, z).mean(),
                {"tllib": tllib_map},
                1.0,
                floor,
            )
        )
        found.append(
            Row(
                "classifier_discrepancy (MCD)",
                size,
                lambda n=n, c=classes: logits(n, c, 2),
                losses.classifier_discrepancy,
                {"pytorch-adapt": lambda a, b: layers.MCDLoss()(a, b)},
                1.0,
                floor,
            )
        )
        found.append(
            Row(
                "margin_disparity (MDD)",
                size,
                lambda n=n, c=classes: [z if k % 2 else z.detach() for k, z in enumerate(logits(n, c, 4))],
                losses.margin_disparity,
                {"tllib": tllib_mdd},
                1.0,
                floor,
            )
        )
    return found


def sinkhorn(n: int, blur: float, against_geomloss: float | None, against_pot: float | None) -> Row:
    """The divergence at one blur; every contender at its cheapest setting with a relative gradient error below 1 %.

    The error is that against the contender's own limit in float64: POT leaves the entropy out of the value, so that its
    limit is another one. At blur 1, an epsilon of 2 % of the mean cost, POT's products underflow and only its log
    domain works, and geomloss stays above 1 % with any scaling up to 0.99.
    """
    import ot
    from geomloss import SamplesLoss

    d, tolerance, method = 64, 1e-2, "sinkhorn" if blur > 1 else "sinkhorn_log"

    def cheapest(name, limit, settings):
        doubles = [z.detach().double().requires_grad_() for z in clouds(n, d)]
        exact = torch.cat(gradients(limit, doubles))
        for setting, loss in settings:
            error = float((torch.cat(gradients(loss, clouds(n, d))).double() - exact).norm() / exact.norm())
            if error < tolerance:
                return f"{name} {setting}, gradient error {error:.0e}", loss
        raise RuntimeError(f"{name} does not reach a gradient error of {tolerance}")

    def ours(steps):
        return lambda x, y: losses.sinkhorn_divergence(x, y, blur=blur, steps=steps, annealing=0)

    def theirs(scaling):
        return SamplesLoss("sinkhorn", p=2, blur=blur, scaling=scaling, backend="tensorized")

    def pots(most):
        options = {"reg": 2 * blur**2, "method": method, "stopThr": 0, "warn": False, "numIterMax": most}
        return lambda x, y: ot.bregman.empirical_sinkhorn_divergence(x, y, **options)

    note, our = cheapest("ours, steps", ours(300), [(s, ours(s)) for s in (3, 5, 10, 15, 20, 30, 60, 100)])
    peers: dict[str, Loss] = {}
    if against_geomloss:
        scalings = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
        found, peers["geomloss"] = cheapest("geomloss, scaling", ours(300), [(s, theirs(s)) for s in scalings])
        note += f"; {found}"
    if against_pot:
        found, peers["POT"] = cheapest("POT, iterations", pots(500), [(k, pots(k)) for k in (5, 10, 20, 50, 100, 200)])
        note += f"; {found}; target against POT {against_pot}"
    return Row(
        "sinkhorn_divergence", f"n={n}, d={d}, blur {blur:g}", lambda: clouds(n, d), our, peers, against_geomloss, note
    )


def sliced(n: int) -> Row:
    import ot
    from pytorch_adapt.layers import SlicedWasserstein

    d, k = 256, 128
    theta = F.normalize(torch.randn(k, d, generator=torch.Generator().manual_seed(1)), dim=1)
    return Row(
        "sliced_wasserstein",
        f"n={n}, d={d}, 128 directions",
        lambda: clouds(n, d),
        lambda x, y: losses.sliced_wasserstein(x, y, directions=k, generator=torch.Generator().manual_seed(1)),
        {
            "pytorch-adapt": SlicedWasserstein(m=k),
            "POT": lambda x, y: ot.sliced_wasserstein_distance(x, y, projections=theta.T),
        },
        1.1,
        "target against POT 2.3; POT is given its directions",
    )


# measuring -----------------------------------------------------------------------------------------------------------


def gradients(loss: Loss, inputs: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss(*inputs), [x for x in inputs if x.requires_grad])


def milliseconds(loss: Loss, inputs: list[Tensor]) -> float:
    started = time.perf_counter()
    gradients(loss, inputs)
    return 1e3 * (time.perf_counter() - started)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """`count` processes that compute without end, until the block is left."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(row: Row, seconds: float) -> dict[str, list[float]]:
    """Turn by turn, after a warm round, for about `seconds`, at least 3 and at most 400 rounds."""
    with busy(row.busy):
        return turn_by_turn(row, seconds)


def turn_by_turn(row: Row, seconds: float) -> dict[str, list[float]]:
    contenders, inputs = {"ours": row.ours, **row.peers}, row.inputs()
    first = sum(milliseconds(f, inputs) for f in contenders.values())
    if first < 1e3 * seconds:  # the first call also paid for what libraries set up once
        first = sum(milliseconds(f, inputs) for f in contenders.values())
    rounds = max(3, min(400, int(1e3 * seconds / first)))
    times = {name: [] for name in contenders}
    for number in range(rounds):
        names = list(contenders)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            times[name].append(milliseconds(contenders[name], inputs))
    return times


def table(chosen: list[Row], seconds: float) -> None:
    print(
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}\n"
    )
    print(
        "| loss | size | ours, ms | peers, ms | best peer / ours | of the same work | target |\n"
        "|---|---|---|---|---|---|---|"
    )
    notes = []
    for row in chosen:
        medians = {name: statistics.median(t) for name, t in measure(row, seconds).items()}
        own = medians.pop("ours")
        others = ", ".join(f"{name} {t:.3g}" for name, t in medians.items())
        ratio, target = min(medians.values()) / own, "" if row.target is None else f"{row.target}"
        same = min(t for name, t in medians.items() if name not in row.less) / own
        print(
            f"| {row.group} | {row.size} | {own:.3g} | {others} | {ratio:.2f} | **{same:.2f}** | {target} |", flush=True
        )
        if row.note:
            own_size = f", {row.size}" if row.group.startswith("sinkhorn") else ""
            notes.append(f"- {row.group}{own_size}: {row.note}.")
    print("\n" + "\n".join(dict.fromkeys(notes)))


MEMORY = {
    ("mmd", 32768, 256): ["ours", "pytorch-adapt", "DomainBed"],
    ("coral", 8192, 2048): ["ours", "pytorch-adapt", "skada", "DomainBed"],
}


def memory_of(group: str, n: int, d: int, name: str) -> None:
    """Print the growth of this process's peak by one forward and backward, in MiB, less what the inputs take."""
    row = next(r for r in rows([group]) if r.group == group and "n=512" in r.size and f"d={d}" in r.size)
    inputs = clouds(n, d)
    loss = {"ours": row.ours, **row.peers}[name]
    gradients(loss, clouds(64, d))  # what libraries allocate once
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    gradients(loss, inputs)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def memory() -> None:
    print("| loss | size | contender | growth of the peak, MiB |\n|---|---|---|---|")
    for (group, n, d), names in MEMORY.items():
        for name in names:
            command = [sys.executable, __file__, "--memory-of", group, str(n), str(d), name]
            limit = f"ulimit -v {20 * 2**20}; exec " + " ".join(
                f"'{c}'" for c in command
            )  # 20 GiB, as an out-of-memory line
            done = subprocess.run(["bash", "-c", limit], capture_output=True, text=True)
            out = f"{float(done.stdout.split()[-1]):.0f}" if done.returncode == 0 else "out of 20 GiB"
            print(f"| {group} | n={n}, d={d} | {name} | {out} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], help="groups whose name starts so")
    parser.add_argument("--seconds", type=float, default=8.0, help="for each row")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--memory-of", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(2)
    if options.memory_of:
        group, n, d, name = options.memory_of
        memory_of(group, int(n), int(d), name)
    elif options.memory:
        memory()
    else:
        table(
            [r for r in rows(options.only) if not options.only or r.group.startswith(tuple(options.only))],
            options.seconds,
        )


if __name__ == "__main__":
    main()
