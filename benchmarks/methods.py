"""python benchmarks/methods.py [--only dann mcd ...] [--networks mlp conv] [--rounds 9] [--busy]

What one training step of a method of `adapt.domain` costs in `adapt.Trainer`, beside

- the same step written by hand: same modules, losses, fused AdamW and batches, one loop and nothing else. Where the
  trainer asks a head for each stream in turn, the hand runs it once over both; where the encoder rests between two
  updates, the hand does not run it again;
- pytorch-adapt's hook with its own loss and an optimizer a model, where it has the method;
- skada's loss in the plain loop, where it has one (its own loop reads row by row: `engine.py`).

The contestants take turns in random order in one process; ours is compared with each other of the same round. Shown are
medians over the rounds, of milliseconds and of ours to the other: below 1, ours is faster. 64 + 64 rows in memory: 256
numbers through one layer, or 28 x 28 images through `encoders.small_conv`. Peers compute what they call the method:
pytorch-adapt's CDAN and VADA alternate between two optimizers, its JAN has one kernel, skada's CDAN sees raw logits.

Before the clock starts, three float64 steps of trainer and plain loop from the same weights must give equal weights.
"""

import argparse
import os
import random
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

sys.path[0] = str(Path(__file__).parents[1])  # benchmarks/losses.py would hide the package
import adapt
import losses
from adapt import Stream, Trainer, domain, encoders, heads, ramp
from adapt.randomness import keyed_seed, permutation

N, BATCHES, CLASSES, RATE = 64, 16, 10, 1e-3  # rows of a domain in a batch, batches an epoch


class Network(NamedTuple):
    encoder: Callable[[], encoders.Encoder]
    shape: tuple[int, ...]
    steps: int  # a turn


NETWORKS = {
    "mlp": Network(lambda: encoders.wrap(nn.Sequential(nn.Linear(256, 64), nn.ReLU()), 64), (256,), 40),
    "conv": Network(partial(encoders.small_conv, 1), (1, 28, 28), 8),
}


class Rows(NamedTuple):
    x: Tensor  # the source's inputs
    y: Tensor
    z: Tensor  # the target's
    which: Tensor  # of its rows, for the bank
    progress: float


class Parts:
    """Encoder and head with the same weights each time; `add` what else a method trains, in the order it is made."""

    def __init__(self, network: Network, exact: bool = False):
        torch.manual_seed(0)
        self.encoder = network.encoder()
        self.dim, self.head = self.encoder.dim, heads.Classifier(self.encoder, CLASSES)
        self.modules: list[nn.Module] = [self.encoder, self.head]
        self.generator, self.exact, self.step = torch.Generator(), exact, 0

    def add(self, module: Any) -> Any:
        self.modules.append(module)
        return module

    def both(self, b: Rows) -> Tensor:
        return self.encoder(torch.cat([b.x, b.z]))

    def update(self, *modules: nn.Module) -> Callable[[Tensor], None]:
        """A function that minimises a loss over the parameters of `modules`."""
        parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=RATE, fused=True)

        def minimise(loss: Tensor) -> None:
            optimizer.zero_grad()
            loss.backward(inputs=parameters)
            optimizer.step()
            self.same_draws()

        return minimise

    def same_draws(self) -> None:
        if self.exact:  # as `step.generator`; otherwise the hand has no reason to
            self.generator.manual_seed(keyed_seed(0, "step", self.step))


# ---- by hand ----
# A method of one phase is a function of the rows, the features of both domains and their logits to what is added to
# the source's cross-entropy; it makes its modules first. A method of several is a function of the rows that updates.

Loss = Callable[[Rows, Tensor, Tensor], Tensor]
rise = ramp(1.0)


def on_features(loss: Callable[..., Tensor], weight: Callable[[float], float] = rise) -> Callable[[Parts], Loss]:
    return lambda p: lambda b, f, logits: weight(b.progress) * loss(f[:N], f[N:])


def on_target(loss: Callable[[Tensor], Tensor]) -> Callable[[Parts], Loss]:
    return lambda p: lambda b, f, logits: loss(logits[N:])


def dann(p: Parts, strength: Callable[[float], float] = rise) -> Loss:
    D = p.add(heads.Discriminator(p.dim))
    return lambda b, f, logits: losses.domain_adversarial(*D(losses.reverse(f, strength(b.progress))).split(N))


def cdan(p: Parts, entropy: bool = False) -> Loss:
    D = p.add(heads.Discriminator(p.dim * CLASSES))  # up to 4,096: no random map

    def loss(b, f, logits):
        held = logits.detach()
        s, t = D(losses.multilinear_map(losses.reverse(f, rise(b.progress)), held)).split(N)
        ws, wt = losses.entropy_weights(held).split(N) if entropy else (None, None)
        return losses.domain_adversarial(s, t, source_weights=ws, target_weights=wt)

    return loss


def mdd(p: Parts) -> Loss:
    other = p.add(nn.Sequential(nn.Linear(p.dim, 256), nn.ReLU(), nn.Linear(256, CLASSES)))
    strength = ramp(0.1)

    def loss(b, f, logits):
        s, t = other(losses.reverse(f, strength(b.progress))).split(N)
        return losses.margin_disparity(logits[:N], s, logits[N:], t, margin=4.0)

    return loss


def dann_bsp(p: Parts) -> Loss:
    adversarial = dann(p)
    return lambda b, f, logits: (
        adversarial(b, f, logits) + 1e-4 * losses.batch_spectral_penalization(f[:N], f[N:], count=1)
    )


def vada(p: Parts) -> Loss:
    adversarial, model = dann(p, lambda progress: 1.0), nn.Sequential(p.encoder, p.head)

    def smooth(x: Tensor, logits: Tensor) -> Tensor:
        direction = torch.randn(x.shape, generator=p.generator)
        return losses.virtual_adversarial(model, x, radius=1.0, direction=direction, logits=logits.detach())

    return lambda b, f, logits: (
        1e-2 * adversarial(b, f, logits) + 1e-2 * losses.entropy(logits[N:])
        + smooth(b.x, logits[:N]) + 1e-2 * smooth(b.z, logits[N:])
    )  # fmt: skip


def jan(p: Parts) -> Loss:
    def loss(b, f, logits):
        (fs, ft), (ps, pt) = f.split(N), logits.softmax(1).split(N)
        return rise(b.progress) * losses.joint_mmd([fs, ps], [ft, pt])

    return loss


def dsan(p: Parts) -> Loss:
    weight = ramp(0.5)
    return lambda b, f, logits: weight(b.progress) * losses.local_mmd(f[:N], f[N:], b.y, logits[N:])


def sliced(p: Parts) -> Loss:
    return lambda b, f, _: rise(b.progress) * losses.sliced_wasserstein(f[:N], f[N:], generator=p.generator)


def afn(p: Parts) -> Loss:  # equal batches: the mean over both is half the sum
    return lambda b, f, _: 0.1 * losses.stepwise_feature_norm(f, step=1.0)


def deep_jdot(p: Parts) -> Loss:
    return lambda b, f, logits: losses.joint_transport(f[:N], f[N:], b.y, logits[N:])


def mean_teacher(p: Parts) -> Loss:
    student = nn.Sequential(p.encoder, p.head)
    teacher, weight = deepcopy(student).requires_grad_(False).eval(), ramp(3.0)
    weights = list(teacher.parameters()), list(student.parameters())
    buffers = list(teacher.buffers()), list(student.buffers())

    def loss(b, f, logits):
        with torch.no_grad():
            torch._foreach_lerp_(*weights, 0.01)
            for mine, theirs in zip(*buffers, strict=True):
                mine.copy_(theirs)
            taught = teacher(b.z)
        sure = taught.softmax(1).amax(1) >= 0.968
        kept = torch.where(sure[:, None], taught, logits[N:].detach())
        return weight(b.progress) * losses.consistency(logits[N:], kept)

    return loss


def atdoc(p: Parts) -> Loss:
    bank = losses.NeighbourhoodBank(N * BATCHES, p.dim, CLASSES, temperature=0.5)

    def loss(b, f, logits):
        known = bank.features, bank.probabilities, b.which
        value = losses.neighbourhood_aggregation(f[N:], logits[N:], *known, neighbours=5)
        bank.update(b.which, f[N:].detach(), logits[N:].detach())
        return 0.2 * b.progress * value

    return loss


def iwan(p: Parts) -> Loss:
    judge, D = p.add(heads.Discriminator(p.dim)), p.add(heads.Discriminator(p.dim))

    def loss(b, f, logits):
        js, jt = judge(f.detach()).split(N)
        s, t = D(losses.reverse(f, rise(b.progress))).split(N)
        weights = torch.sigmoid(-js.detach())
        return losses.domain_adversarial(js, jt) + losses.domain_adversarial(s, t, source_weights=weights)

    return loss


def osbp(p: Parts) -> Loss:
    def loss(b, f, logits):
        z = p.head(losses.reverse(f[N:], rise(b.progress)))
        unknown = z[:, -1] - z[:, :-1].logsumexp(1)
        return -(0.5 * F.logsigmoid(unknown) + 0.5 * F.logsigmoid(-unknown)).mean()

    return loss


ONE_PHASE: dict[str, tuple[Callable[[Parts], Any], Callable[[Parts], Loss]]] = {
    "dann": (lambda p: domain.dann(p.encoder), dann),
    "cdan": (lambda p: domain.cdan(p.head), cdan),
    "cdan-e": (lambda p: domain.cdan(p.head, entropy=True), partial(cdan, entropy=True)),
    "mdd": (lambda p: domain.mdd(p.head), mdd),
    "dann+bsp": (lambda p: [domain.dann(p.encoder), domain.bsp()], dann_bsp),
    "vada": (lambda p: domain.vada(p.head, radius=1.0), vada),
    "iwan": (lambda p: domain.iwan(p.encoder), iwan),
    "osbp": (lambda p: domain.osbp(p.head), osbp),
    "dan": (lambda p: domain.dan(), on_features(losses.mmd)),
    "jan": (lambda p: domain.jan(p.head), jan),
    "dsan": (lambda p: domain.dsan(p.head), dsan),
    "deep_coral": (lambda p: domain.deep_coral(), on_features(losses.coral)),
    "homm": (lambda p: domain.homm(), on_features(losses.higher_order_moment_matching)),
    "sliced": (lambda p: domain.sliced(), sliced),
    "afn": (lambda p: domain.afn(), afn),
    "deep_jdot": (lambda p: domain.deep_jdot(p.head), deep_jdot),
    "mcc": (lambda p: domain.mcc(p.head), on_target(partial(losses.minimum_class_confusion, temperature=2.5))),
    "bnm": (lambda p: domain.bnm(p.head), on_target(losses.batch_nuclear_norm)),
    "im": (lambda p: domain.im(p.head), on_target(losses.information_maximization)),
    "mean_teacher": (lambda p: domain.mean_teacher(p.head, encoder=p.encoder), mean_teacher),
    "atdoc": (lambda p: domain.atdoc(p.head, rows=N * BATCHES), atdoc),
}


def learn(*classifiers: nn.Module) -> list:
    return [adapt.supervised(head, on="source", name=f"learn_{i}") for i, head in enumerate(classifiers)]


def two_heads(method: Callable) -> Callable[[Parts], list]:
    def phases(p: Parts) -> list:
        other = heads.Classifier(p.dim, CLASSES)
        return method(p.head, second=other, encoder=p.encoder, learn=learn(p.head, other))

    return phases


def by_two_heads(gap: Callable[[Parts, Tensor, Tensor], Tensor]) -> Callable[[Parts], Callable[[Rows], None]]:
    def make(p: Parts) -> Callable[[Rows], None]:
        first, second = both = p.head, p.add(heads.Classifier(p.dim, CLASSES))
        everything, classifiers, encoder = p.update(*p.modules), p.update(*both), p.update(p.encoder)

        def step(b: Rows) -> None:
            f = p.encoder(b.x)
            everything(F.cross_entropy(first(f), b.y) + F.cross_entropy(second(f), b.y))
            with torch.no_grad():
                f = p.both(b)
            (s1, t1), (s2, t2) = (head(f).split(N) for head in both)
            classifiers(F.cross_entropy(s1, b.y) + F.cross_entropy(s2, b.y) - gap(p, t1, t2))
            for _ in range(4):
                f = p.encoder(b.z)
                encoder(gap(p, first(f), second(f)))

        return step

    return make


def swd_gap(p: Parts, first: Tensor, second: Tensor) -> Tensor:
    return losses.sliced_wasserstein_discrepancy(first, second, directions=128, generator=p.generator)


def wdgrl(p: Parts) -> Callable[[Rows], None]:
    critic = p.add(heads.Discriminator(p.dim))
    judge, learner = p.update(critic), p.update(p.encoder, p.head)

    def step(b: Rows) -> None:
        f = p.both(b)  # once for all six updates
        s, t = f.detach().split(N)
        for _ in range(5):
            distance = losses.wasserstein_critic(*critic(torch.cat([s, t])).split(N))
            judge(10 * losses.gradient_penalty(critic, s, t, generator=p.generator, ends=True) - distance)
        distance = losses.wasserstein_critic(*critic(f).split(N))
        learner(F.cross_entropy(p.head(f[:N]), b.y) + distance)

    return step


def adda(p: Parts) -> Callable[[Rows], None]:
    fixed, D = deepcopy(p.encoder).requires_grad_(False).eval(), p.add(heads.Discriminator(p.dim))
    tell, hide = p.update(D), p.update(p.encoder)

    def step(b: Rows) -> None:
        f = p.encoder(b.z)  # once for both
        with torch.no_grad():
            s = fixed(b.x)
        tell(losses.domain_adversarial(*D(torch.cat([s, f.detach()])).split(N)))
        hide(losses.inverted_domain(D(f)))

    return step


PHASES: dict[str, tuple[Callable[[Parts], list], Callable[[Parts], Callable[[Rows], None]]]] = {
    "mcd": (two_heads(domain.mcd), by_two_heads(lambda p, a, b: losses.classifier_discrepancy(a, b))),
    "swd": (two_heads(domain.swd), by_two_heads(swd_gap)),
    "wdgrl": (lambda p: domain.wdgrl(p.encoder, learn=learn(p.head)), wdgrl),
    "adda": (lambda p: domain.adda(p.encoder), adda),
}


# ---- skada's losses in the plain loop ----


def skada_dann(p: Parts, cdan: bool = False) -> Loss:
    from skada.deep._adversarial import DANNLoss
    from skada.deep.modules import GradientReversalLayer

    loss, D = DANNLoss(nn.BCEWithLogitsLoss()), p.add(heads.Discriminator(p.dim * (CLASSES if cdan else 1)))

    def own(b, f, logits):
        seen = torch.bmm(logits.unsqueeze(2), f.unsqueeze(1)).flatten(1) if cdan else f
        return loss(*D(GradientReversalLayer.apply(seen, 1.0)).split(N))

    return own


def skada_mdd(p: Parts) -> Loss:
    from skada.deep._adversarial import MDDLoss
    from skada.deep.modules import GradientReversalLayer

    loss, other = MDDLoss(), p.add(nn.Sequential(nn.Linear(p.dim, 256), nn.ReLU(), nn.Linear(256, CLASSES)))
    return lambda b, f, logits: loss(*logits.split(N), *other(GradientReversalLayer.apply(f, 1.0)).split(N))


def skada_loss(name: str, use: Callable[..., Tensor]) -> Callable[[Parts], Loss]:
    def make(p: Parts) -> Loss:
        from skada.deep import losses as theirs

        return partial(use, getattr(theirs, name))

    return make


SKADA: dict[str, Callable[[Parts], Loss]] = {
    "dann": skada_dann,
    "cdan": partial(skada_dann, cdan=True),
    "mdd": skada_mdd,
    "dan": skada_loss("dan_loss", lambda loss, b, f, logits: loss(f[:N], f[N:])),
    "deep_coral": skada_loss("deepcoral_loss", lambda loss, b, f, logits: loss(f[:N], f[N:])),
    "deep_jdot": skada_loss("deepjdot_loss", lambda loss, b, f, logits: loss(b.y, logits[N:], f[:N], f[N:], 1.0, 1.0)),
    "mcc": skada_loss("mcc_loss", lambda loss, b, f, logits: loss(logits[N:], T=2.5)),
}


# ---- pytorch-adapt's hooks ----

KERNELS = torch.tensor([0.25, 0.5, 1.0, 2.0, 4.0])
Make = Callable[[Any, Any, dict[str, torch.optim.Optimizer], Parts], Any]
BESIDE: dict[str, Make] = {  # beside the classifier's loss
    "dan": lambda h, layers, o, p: h.AlignerHook(layers.MMDLoss(KERNELS, "quadratic")),
    "jan": lambda h, layers, o, p: h.JointAlignerHook(layers.MMDLoss(mmd_type="quadratic")),
    "deep_coral": lambda h, layers, o, p: h.AlignerHook(layers.CORALLoss()),
    "sliced": lambda h, layers, o, p: h.AlignerHook(layers.SlicedWasserstein()),
    "afn": lambda h, layers, o, p: h.AFNHook(),
    "mcc": lambda h, layers, o, p: h.MCCHook(loss_fn=layers.MCCLoss(T=2.5)),
    "bnm": lambda h, layers, o, p: h.BNMHook(),
    "im": lambda h, layers, o, p: h.ChainHook(h.TargetEntropyHook(), h.TargetDiversityHook()),
    "atdoc": lambda h, layers, o, p: h.ATDOCHook(N * BATCHES, p.dim, CLASSES),
}
WHOLE: dict[str, Make] = {
    "dann": lambda h, layers, o, p: h.DANNHook([o["G"], o["C"], o["D"]]),
    "dann+bsp": lambda h, layers, o, p: h.DANNHook([o["G"], o["C"], o["D"]], post_g=[h.BSPHook()]),
    "cdan": lambda h, layers, o, p: h.CDANHook(d_opts=[o["D"]], g_opts=[o["G"], o["C"]]),
    "cdan-e": lambda h, layers, o, p: h.CDANNEHook(opts=[o["G"], o["C"], o["D"]]),
    "vada": lambda h, layers, o, p: h.VADAHook(d_opts=[o["D"]], g_opts=[o["G"], o["C"]]),
    "mcd": lambda h, layers, o, p: h.MCDHook([o["G"]], [o["C"]]),
    "swd": lambda h, layers, o, p: h.MCDHook([o["G"]], [o["C"]], layers.SlicedWasserstein()),
    "adda": lambda h, layers, o, p: h.ADDAHook(threshold=0.0, d_opts=[o["D"]], g_opts=[o["T"]]),
}


# ---- the contestants: each takes as many steps as it is told ----

Run = Callable[[int], object]


def make_data(network: Network) -> tuple[TensorDataset, TensorDataset]:
    generator, rows = torch.Generator().manual_seed(0), N * BATCHES
    x, z = (torch.randn(rows, *network.shape, generator=generator) for _ in range(2))
    x, z = x.to(torch.get_default_dtype()), z.to(torch.get_default_dtype())
    return TensorDataset(x, torch.randint(CLASSES, (rows,), generator=generator)), TensorDataset(z)


def read(data: tuple[TensorDataset, TensorDataset]) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """The batches of two streams of these names and this seed, written by hand."""
    (x, y), (z,) = data[0].tensors, data[1].tensors
    for epoch in count():
        orders = [permutation(len(x), 0, name, epoch).split(N) for name in ("source", "target")]
        for i, j in zip(*orders, strict=True):
            yield x.index_select(0, i), y.index_select(0, i), z.index_select(0, j), j


def trainer(method: str, network: Network, parts: Parts) -> Run:
    source, target = make_data(network)
    if method in PHASES:
        terms, phases = None, PHASES[method][0](parts)
    else:
        terms, phases = [adapt.supervised(parts.head, on="source"), ONE_PHASE[method][0](parts)], None
    streams = {"source": Stream(source, N), "target": Stream(target, N, labels=False)}
    optimizer = partial(torch.optim.AdamW, lr=RATE, fused=True)
    run = Trainer(parts.encoder, terms, streams, phases=phases, optimizer=optimizer, device="cpu", progress=False)
    warnings.filterwarnings("ignore", message="the run was planned")  # every turn is a plan, as in the plain loop
    return lambda steps: run.fit(run.step + steps)


def plain(step: Callable[[Rows], None], network: Network, parts: Parts) -> Run:
    batches = read(make_data(network))

    def run(steps: int) -> None:
        last = parts.step + steps
        for module in parts.modules:
            module.train()
        while parts.step < last:
            parts.same_draws()
            step(Rows(*next(batches), parts.step / last))
            parts.step += 1

    return run


def one_phase(make: Callable[[Parts], Loss], network: Network, parts: Parts) -> Run:
    added = make(parts)
    minimise = parts.update(*parts.modules)

    def step(b: Rows) -> None:
        f = parts.both(b)
        logits = parts.head(f)
        minimise(F.cross_entropy(logits[:N], b.y) + added(b, f, logits))

    return plain(step, network, parts)


def by_hand(method: str, network: Network, parts: Parts) -> Run:
    if method in PHASES:
        return plain(PHASES[method][1](parts), network, parts)
    return one_phase(ONE_PHASE[method][1], network, parts)


def skada(method: str, network: Network, parts: Parts) -> Run:
    return one_phase(SKADA[method], network, parts)


def pytorch_adapt(method: str, network: Network, parts: Parts) -> Run:
    warnings.filterwarnings("ignore", message="pkg_resources")  # by torchmetrics 0.9.3, on import
    from pytorch_adapt import hooks, layers
    from pytorch_adapt.hooks.optimizer import OptimizerHook
    from pytorch_adapt.weighters import SumWeighter

    wide = parts.dim * (CLASSES if "cdan" in method else 1)
    models = {"G": parts.encoder, "C": parts.head, "D": heads.Discriminator(wide), "T": deepcopy(parts.encoder)}
    if method in ("mcd", "swd"):
        models["C"] = layers.MultipleModels(parts.head, heads.Classifier(parts.dim, CLASSES))
    optimizers: dict[str, torch.optim.Optimizer] = {
        name: torch.optim.AdamW(m.parameters(), lr=RATE, fused=True) for name, m in models.items()
    }
    if method in WHOLE:
        hook = WHOLE[method](hooks, layers, optimizers, parts)
    else:
        chain = hooks.ChainHook(hooks.CLossHook(), BESIDE[method](hooks, layers, optimizers, parts))
        hook = OptimizerHook(chain, [optimizers["G"], optimizers["C"]], SumWeighter())
    fixed = {"src_domain": torch.zeros(N), "target_domain": torch.ones(N), **models}
    fixed["combined_model"] = nn.Sequential(models["G"], models["C"])
    fixed["feature_combiner"] = layers.RandomizedDotProduct([parts.dim, CLASSES], wide)

    def step(b: Rows) -> None:
        hook({**fixed, "src_imgs": b.x, "src_labels": b.y, "target_imgs": b.z, "target_sample_idx": b.which})

    return plain(step, network, parts)


# ---- measuring ----


def check_same_work(method: str, network: Network) -> None:
    """In float64: in float32, AdamW's first steps turn the rounding of a gradient near zero into a whole step."""
    torch.set_default_dtype(torch.float64)
    try:
        by_hand(method, network, mine := Parts(network, exact=True))(3)
        trainer(method, network, other := Parts(network))(3)
    finally:
        torch.set_default_dtype(torch.float32)
    pairs = zip((mine.encoder, mine.head), (other.encoder, other.head), strict=True)
    for (name, a), b in ((n, p) for m, o in pairs for n, p in zip(m.named_parameters(), o.parameters(), strict=True)):
        difference = (a - b).abs().max() / a.abs().max()
        assert difference < 1e-6, f"{method}: trainer and hand differ in `{name}` by {difference:.1e}."


def measure(method: str, network: Network, rounds: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Milliseconds a step: by contestant, one number a round."""
    contestants = {"ours": trainer, "by hand": by_hand}
    if method in BESIDE or method in WHOLE:
        contestants["pytorch-adapt"] = pytorch_adapt
    if method in SKADA:
        contestants["skada"] = skada
    runs = {name: make(method, network, Parts(network)) for name, make in contestants.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run(network.steps)  # warm-up
    order = random.Random(0)
    for _ in range(rounds):
        for name in order.sample(list(runs), len(runs)):
            start = clock()
            runs[name](network.steps)
            times[name].append(1e3 * (clock() - start) / network.steps)
    return times


def row(method: str, times: dict[str, list[float]]) -> str:
    """Ours in milliseconds; for each other its milliseconds and, over the rounds, the median of ours to it."""
    cells = [method, f"{statistics.median(times['ours']):.2f}"]
    for name in ("by hand", "pytorch-adapt", "skada"):
        own = times.get(name)
        if own is None:
            cells.append("")
            continue
        ratio = statistics.median(t / o for t, o in zip(times["ours"], own, strict=True))
        cells.append(f"{statistics.median(own):.2f} ({ratio:.2f})")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    methods = [*ONE_PHASE, *PHASES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=methods, default=methods)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, help="default: OMP_NUM_THREADS, else 2")
    parser.add_argument(
        "--busy", action="store_true", help="processor time of one thread: for a machine that is shared"
    )
    options = parser.parse_args()
    if options.busy or options.threads or "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1 if options.busy else options.threads or 2)
    print(f"threads: {torch.get_num_threads()}")
    clock = time.process_time if options.busy else time.perf_counter
    for name in options.networks:
        print(f"\n## {name}\n\n| method | ours, ms | by hand (ratio) | pytorch-adapt (ratio) | skada (ratio) |")
        print("|---|---:|---:|---:|---:|")
        for method in options.only:
            check_same_work(method, NETWORKS[name])
            print(row(method, measure(method, NETWORKS[name], options.rounds, clock)), flush=True)


if __name__ == "__main__":
    main()
