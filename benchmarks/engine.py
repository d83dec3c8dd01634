"""python benchmarks/engine.py --rounds 9

| ms a step | plain loop | adapt.Trainer | pytorch-adapt | skada |
|---|---:|---:|---:|---:|
| tiny MLP | 1.54 | 1.81 (1.17 times, +0.26 ms) | 3.32 (2.27) | 2.83 (1.88) |
| small CNN | 14.3 | 13.4 (0.97) | 17.4 (1.26) | 14.9 (1.13) |
| ResNet-18 | 426 | 420 (0.98) | 450 (1.02) | 403 (0.97) |

in 4 minutes on two cores (Intel Xeon, torch 2.15.0, two threads), otherwise idle. Ratios scatter by about 0.05 from run
to run: what is below that is noise.

One DANN step on the CPU through `adapt.Trainer`, a hand-written loop, pytorch-adapt's hook and skada's fit. They take
turns in random order in one process. Each is compared with the plain loop of the same round, which a busy machine slows
alike; shown are medians over the rounds, so a ratio is not exactly the ratio of two times.

All have the same network, initial weights, AdamW, batch sizes and rows in memory. What differs is their own:
pytorch-adapt runs encoder and discriminator once a domain and has three optimizers; skada reads row by row and
classifies the target too (its callbacks are off); both reverse gradients at constant strength. Without log folder and
progress bar the trainer reads no scalars. Each turn has one call of `fit`. The trainer's costs 0.1 ms beyond its steps,
spread over 512, 64 or 4 of them; skada's looks through its whole dataset first. A real run spreads both over more.

Before the clock starts, five steps of the trainer and of the plain loop from the same weights must give equal weights.
"""

import argparse
import json
import os
import platform
import random
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

sys.path[0] = str(Path(__file__).parents[1])  # benchmarks/losses.py would hide the package
import adapt
import losses
from adapt import Stream, Trainer, domain, encoders, heads, ramp
from adapt.randomness import permutation


@dataclass(frozen=True)
class Settings:
    rounds: int = 15
    cases: tuple[str, ...] = ("mlp", "cnn", "resnet18")
    threads: int | None = None  # OMP_NUM_THREADS, else 2
    peers: bool = True
    json: Path | None = None
    classes: int = 10
    learning_rate: float = 1e-3
    seed: int = 0


@dataclass(frozen=True)
class Case:
    title: str
    encoder: Callable[[], encoders.Encoder]
    shape: tuple[int, ...]
    batch: int  # rows of each domain
    batches: int  # an epoch
    epochs: int  # a turn; chosen for turns of 0.2 to 2 seconds

    @property
    def steps(self) -> int:
        return self.batches * self.epochs


def tiny_mlp() -> encoders.Encoder:
    return encoders.wrap(nn.Sequential(nn.Linear(16, 32), nn.ReLU()), 32)


CASES = {
    "mlp": Case("tiny MLP", tiny_mlp, (16,), batch=32, batches=64, epochs=8),
    "cnn": Case("small CNN", partial(encoders.small_conv, width=16), (3, 32, 32), batch=64, batches=16, epochs=4),
    "resnet18": Case("ResNet-18", partial(encoders.load, "resnet18"), (3, 64, 64), batch=32, batches=4, epochs=1),
}


class Network(NamedTuple):
    encoder: encoders.Encoder
    classifier: heads.Classifier
    discriminator: heads.Discriminator


class Data(NamedTuple):
    source: TensorDataset
    target: TensorDataset


Run = Callable[[int], object]  # takes as many steps as it is told


def make_network(case: Case, settings: Settings) -> Network:
    torch.manual_seed(settings.seed)
    encoder = case.encoder()
    return Network(encoder, heads.Classifier(encoder, settings.classes), heads.Discriminator(encoder))


def make_data(case: Case, settings: Settings, dtype: torch.dtype = torch.float32) -> Data:
    generator, rows = torch.Generator().manual_seed(settings.seed), case.batch * case.batches
    source, target = (torch.randn(rows, *case.shape, generator=generator, dtype=dtype) for _ in range(2))
    labels = torch.randint(settings.classes, (rows,), generator=generator)
    return Data(TensorDataset(source, labels), TensorDataset(target))


def read(case: Case, data: Data, settings: Settings) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Inputs, labels and target inputs: the batches of two streams of these names and this seed, written by hand."""
    (inputs, labels), (others,) = data.source.tensors, data.target.tensors
    for epoch in count():
        orders = [permutation(len(inputs), settings.seed, name, epoch).split(case.batch) for name in Data._fields]
        for i, j in zip(*orders, strict=True):
            yield inputs.index_select(0, i), labels.index_select(0, i), others.index_select(0, j)


# ---- the contestants ----


def plain_loop(case: Case, network: Network, data: Data, settings: Settings) -> Run:
    encoder, classifier, discriminator = network
    parameters = [p for module in network for p in module.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, fused=True)
    batches = read(case, data, settings)
    strength, done, n = ramp(1.0), 0, case.batch

    def run(steps: int) -> None:
        nonlocal done
        last = done + steps
        for module in network:
            module.train()
        while done < last:
            x, labels, z = next(batches)
            features = encoder(torch.cat([x, z]))
            logits = discriminator(losses.reverse(features, strength(done / last)))
            loss = F.cross_entropy(classifier(features[:n]), labels) + losses.domain_adversarial(logits[:n], logits[n:])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1

    return run


def trainer(case: Case, network: Network, data: Data, settings: Settings) -> Run:
    encoder, classifier, discriminator = network
    dann = domain.dann(encoder)
    dann.loss.discriminator = discriminator  # the same initial weights for all contestants
    trainer = Trainer(
        encoder,
        [adapt.supervised(classifier, "source"), dann],
        {"source": Stream(data.source, case.batch), "target": Stream(data.target, case.batch, labels=False)},
        optimizer=partial(torch.optim.AdamW, lr=settings.learning_rate, fused=True),
        seed=settings.seed,
        device="cpu",
        progress=False,
    )
    warnings.filterwarnings("ignore", message="the run was planned")  # every turn is a plan, as in the plain loop
    return lambda steps: trainer.fit(trainer.step + steps)


def pytorch_adapt(case: Case, network: Network, data: Data, settings: Settings) -> Run:
    warnings.filterwarnings("ignore", message="pkg_resources")  # by torchmetrics 0.9.3, on import
    from pytorch_adapt.containers import Models, Optimizers
    from pytorch_adapt.hooks import DANNHook

    models = Models(dict(zip("GCD", network, strict=True)))
    optimizers = Optimizers((torch.optim.AdamW, {"lr": settings.learning_rate, "fused": True}))
    optimizers.create_with(models)
    hook = DANNHook(opts=list(optimizers.values()))
    batches = read(case, data, settings)
    domains = {"src_domain": torch.zeros(case.batch), "target_domain": torch.ones(case.batch)}

    def run(steps: int) -> None:
        models.train()
        for _ in range(steps):
            x, labels, z = next(batches)
            hook({**models, **domains, "src_imgs": x, "src_labels": labels, "target_imgs": z})

    return run


def skada(case: Case, network: Network, data: Data, settings: Settings) -> Run:
    from skada.deep import DANN
    from skada.deep.base import DeepDADataset
    from skada.deep.modules import GradientReversalLayer

    encoder, classifier, discriminator = network
    discriminator.register_forward_pre_hook(lambda _, inputs: GradientReversalLayer.apply(*inputs, 1.0))
    net = DANN(
        nn.Sequential(encoder, classifier),
        layer_name="0",
        domain_classifier=discriminator,
        domain_criterion=nn.BCEWithLogitsLoss(),
        optimizer=torch.optim.AdamW,
        optimizer__fused=True,
        lr=settings.learning_rate,
        batch_size=case.batch,
        train_split=None,
        callbacks="disable",
        warm_start=True,
        verbose=0,
    )
    (x, labels), (z,) = data.source.tensors, data.target.tensors
    masked = torch.cat([labels, torch.full((len(z),), -1)])
    rows = DeepDADataset(torch.cat([x, z]), masked, torch.tensor([1, -2]).repeat_interleave(len(x)))
    return lambda steps: net.fit(rows, None, epochs=steps // case.batches)


# ---- measuring ----


def check_same_work(case: Case, settings: Settings) -> None:
    """In float64: in float32, AdamW's first steps turn the rounding of a gradient near zero into a whole step."""
    data = make_data(case, settings, torch.float64)
    networks = [make_network(case, settings) for _ in range(2)]
    for contestant, network in zip((plain_loop, trainer), networks, strict=True):
        contestant(case, Network(*(module.double() for module in network)), data, settings)(5)
    for mine, other in zip(*networks, strict=True):
        for (name, a), b in zip(mine.state_dict().items(), other.state_dict().values(), strict=True):
            difference = (a - b).abs().max() / a.abs().max()
            assert difference < 1e-6, f"{case.title}: trainer and plain loop differ in `{name}` by {difference:.1e}."


def measure(case: Case, settings: Settings) -> dict[str, list[float]]:
    """Milliseconds a step: by contestant, one number a round."""
    contestants = {"plain loop": plain_loop, "adapt.Trainer": trainer}
    if settings.peers:
        contestants |= {"pytorch-adapt DANNHook": pytorch_adapt, "skada DANN": skada}
    data = make_data(case, settings)
    runs = {name: make(case, make_network(case, settings), data, settings) for name, make in contestants.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run(case.steps)  # warm-up
    order = random.Random(settings.seed)
    for _ in range(settings.rounds):
        for name in order.sample(list(runs), len(runs)):
            start = time.perf_counter()
            runs[name](case.steps)
            times[name].append(1e3 * (time.perf_counter() - start) / case.steps)
    return times


def summarize(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Medians over the rounds: of the time, and of its ratio and difference to the plain loop in the same round."""
    plain = times["plain loop"]
    return {
        name: {
            "milliseconds": statistics.median(own),
            "ratio": statistics.median(t / p for t, p in zip(own, plain, strict=True)),
            "difference": statistics.median(t - p for t, p in zip(own, plain, strict=True)),
        }
        for name, own in times.items()
    }


def check_peers() -> None:
    missing = [name for name in ("pytorch_adapt", "skada", "skorch") if find_spec(name) is None]
    if missing:
        raise SystemExit(
            f'not installed: {", ".join(missing)}. Run `pip install "adapt-losses[bench]"`, or pass `--no-peers`.'
        )


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())


def parse() -> Settings:
    default = Settings()
    parser = argparse.ArgumentParser(description="Milliseconds of one DANN training step.")
    parser.add_argument("--rounds", type=int, default=default.rounds)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=default.cases)
    parser.add_argument("--threads", type=int, help="default: OMP_NUM_THREADS, else 2")
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=default.peers)
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    return replace(default, **vars(parser.parse_args()))


def main(settings: Settings) -> None:
    if settings.peers:
        check_peers()
    if settings.threads or "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(settings.threads or 2)
    results = {}
    print("| case | loop | ms a step | ratio to plain | ms more than plain |\n|---|---|---:|---:|---:|")
    for case in (CASES[name] for name in settings.cases):
        check_same_work(case, settings)
        times = measure(case, settings)
        medians = summarize(times)
        results[case.title] = {name: {**medians[name], "rounds": times[name]} for name in times}
        for name, m in medians.items():
            row = f"| {case.title} | {name} | {m['milliseconds']:.3f} | {m['ratio']:.2f} | {m['difference']:+.3f} |"
            print(row, flush=True)
    threads = torch.get_num_threads()
    machine = {"torch": torch.__version__, "threads": threads, "processor": processor(), "load": os.getloadavg()}
    print(f"\ntorch {machine['torch']}, threads: {threads}, {machine['processor']}")
    if settings.json:
        content = {**machine, "settings": asdict(settings), "results": results}
        settings.json.write_text(json.dumps(content, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main(parse())
