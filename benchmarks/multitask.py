"""What balancing costs: a step against the plain sum, on a shared network of a million parameters.

    python benchmarks/multitask.py --seconds 50          # a table like that of benchmarks/multitask.md

Processor time. Steps are interleaved, one of each method in turn, and the median of the ratios to the plain sum of the
same round is shown. torchjd, where it is installed, runs in a plain loop and is compared with the plain sum in that
loop. Peak memory is that of weights, optimizer and whatever one step allocates. One thread.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])  # not this folder: its losses.py would hide the package

import torch
from torch import nn
from torch.utils.data import TensorDataset

from adapt import Stream, Trainer, encoders, heads, multitask

BATCH, SIZES = 64, (784, 800, 400, 128)  # 999,728 parameters
METHODS = {
    "plain sum": lambda: None,
    "rlw": multitask.rlw,
    "uncertainty": multitask.uncertainty,
    "imtl_g": multitask.imtl_g,
    "nash_mtl": multitask.nash_mtl,
    "aligned_mtl": multitask.aligned_mtl,
    "mgda": multitask.mgda,
    "cagrad, features": lambda: multitask.cagrad(at="features"),
    "upgrad, features": lambda: multitask.upgrad(at="features"),
    "upgrad, parameters": multitask.upgrad,
    "nash_mtl, parameters": lambda: multitask.nash_mtl(at="parameters"),
}


def network() -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in zip(SIZES, SIZES[1:], strict=False):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers)


def ours(tasks: int, balance: Callable | None) -> Callable[[], None]:
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(1024, SIZES[0]), torch.randn(1024, tasks))
    terms = [multitask.task(f"t{i}", heads.Regressor(SIZES[-1]), "rows", label=i) for i in range(tasks)]
    made = Trainer(
        encoders.wrap(network(), SIZES[-1]),
        terms,
        {"rows": Stream(data, BATCH)},
        balance=balance,
        progress=False,
        device="cpu",
    )
    made.planned = 10**9
    made.network.train()
    batches = {"rows": made.streams["rows"].batches("rows", 0)}

    def step() -> None:
        made._step(batches, False)
        made.step += 1

    return step


def loop(tasks: int, aggregate: bool) -> Callable[[], None]:
    """A plain loop, or torchjd's UPGrad in it."""
    torch.manual_seed(0)
    net, tops = network(), nn.ModuleList(nn.Linear(SIZES[-1], 1) for _ in range(tasks))
    x, y = torch.randn(1024, SIZES[0]), torch.randn(1024, tasks)
    optimizer = torch.optim.AdamW([*net.parameters(), *tops.parameters()], fused=True)
    if aggregate:
        from torchjd.aggregation import UPGrad
        from torchjd.autojac import jac_to_grad, mtl_backward

        aggregator = UPGrad()

    def step() -> None:
        rows = torch.randint(1024, (BATCH,))
        optimizer.zero_grad()
        z = net(x[rows])
        losses = [(top(z).squeeze(1) - y[rows, i]).square().mean() for i, top in enumerate(tops)]
        if aggregate:
            mtl_backward(losses, features=z)
            jac_to_grad(net.parameters(), aggregator, optimize_gramian_computation=True)
        else:
            torch.stack(losses).sum().backward()
        optimizer.step()

    return step


def ratios(steps: dict[str, Callable[[], None]], baseline: str, seconds: float) -> dict[str, tuple[float, float]]:
    """(milliseconds, ratio to the baseline of the same round): medians."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[baseline]) < 5:
        for name, step in steps.items():
            start = time.process_time()  # on a machine that others use, too
            step()
            times[name].append(time.process_time() - start)
    pairs = {n: [a / b for a, b in zip(t, times[baseline], strict=True)] for n, t in times.items()}
    return {n: (1e3 * statistics.median(times[n]), statistics.median(pairs[n])) for n in steps}


def peak(step: Callable[[], None], resident: int) -> float:
    """MiB: what stays between two steps, and the most that a step holds on top of it.

    The second step of two: the profiler knows the size of what was allocated while it looked, and takes the rest for
    whatever lay there before.
    """
    step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
        with torch.profiler.record_function("second"):
            step()
    held = between = highest = 0
    for event in sorted(profile.profiler.kineto_results.events(), key=lambda e: e.start_ns()):
        if event.name() == "second":
            between = highest = held
        elif event.name() == "[memory]":
            held += event.nbytes()
            highest = max(highest, held)
    return (resident + highest - between) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=50, help="in all")
    parser.add_argument("--tasks", type=int, nargs="+", default=[2, 4, 8, 16])
    settings = parser.parse_args()
    torch.set_num_threads(1)
    size = sum(p.numel() for p in network().parameters())
    print(f"{size:,} shared parameters, batch {BATCH}, torch {torch.__version__}, one thread")
    try:
        import torchjd  # noqa: F401

        peers = {"plain loop": False, "torchjd upgrad": True}
    except ImportError:
        peers = {"plain loop": False}
    cells: dict[str, list[str]] = {}
    for tasks in settings.tasks:
        steps = {name: ours(tasks, make()) for name, make in METHODS.items()}
        loops = {name: loop(tasks, aggregate) for name, aggregate in peers.items()}
        found = ratios(steps, "plain sum", 0.75 * settings.seconds / len(settings.tasks))
        found |= ratios(loops, "plain loop", 0.25 * settings.seconds / len(settings.tasks))
        resident = 4 * 4 * size  # weights, gradients and two moments
        memory = {name: peak(step, resident) for name, step in (steps | loops).items()}
        for name, (milliseconds, ratio) in found.items():
            base = memory["plain sum" if name in steps else "plain loop"]
            cells.setdefault(name, []).append(f"{ratio:.2f} ({milliseconds:.1f} ms, memory {memory[name] / base:.2f})")
    print("| method | " + " | ".join(f"{t} tasks" for t in settings.tasks) + " |")
    print("|---" * (1 + len(settings.tasks)) + "|")
    for name, row in cells.items():
        print(f"| {name} | " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
