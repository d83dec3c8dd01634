"""Active learning: time and memory beside scikit-activeml, and which strategy chooses best on real data.

    python benchmarks/active.py peers                       # a minute; benchmarks/active.md has what both found
    python benchmarks/active.py data --folder FOLDER        # minutes; needs ADAPT_DATA; FOLDER keeps the features

`peers` times a choice of 100 rows by scikit-activeml and here in one run, n = 4,000, d = 384, 20 classes, and measures
the memory above the arguments, here at n = 20,000, d = 768, 100 classes.

`data` draws 5 pools of each data set, half of the rows, and asks for as many rows as there are classes, ten times. A
logistic regression with a fixed penalty on centred frozen features is tested on other rows. The data of `DEVELOPMENT`
chose the penalty and the default strategy; the figures are those of `TARGETS`.
"""

import argparse
import csv
import gc
import gzip
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy
import torch
from torch import Tensor

sys.path[0] = str(Path(__file__).parents[1])  # benchmarks/losses.py would hide the package

from adapt import datasets, encoders, engine, fewshot
from adapt.fewshot import strategies
from adapt.heads.score import student

Rows = tuple[Tensor, Tensor]

# data ----------------------------------------------------------------------------------------------------------------


def images(data: torch.utils.data.TensorDataset, size: int, rows: int) -> Rows:
    """Features of the MobileNet of ImageNet, of the first rows in a random order."""
    x, y = data.tensors
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))[:rows]
    x = torch.nn.functional.interpolate(x[order].expand(-1, 3, -1, -1), size=size, mode="bilinear") * 2 - 1
    network = encoders.mobilenet(0.25, datasets.data_file("mobilenet025_imagenet/mobilenet025_224_notop.npz"))
    return engine.features(network, torch.utils.data.TensorDataset(x, y[order])).tensors


def texts(found: list[str], labels: Tensor, rows: int) -> Rows:
    """Features of MiniLM, of the first rows in a random order."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:rows]
    return encoders.sentences([found[i] for i in order.tolist()]), labels[order]


def news() -> Rows:
    with gzip.open(datasets.data_file("ag_news", "test.csv.gz"), "rt") as file:
        rows = list(csv.reader(file))
    return texts([f"{title} {text}" for _, title, text in rows], torch.tensor([int(r[0]) - 1 for r in rows]), 2000)


def reviews() -> Rows:
    kitchen = datasets.amazon_reviews_text().kitchen
    return texts(kitchen.texts, kitchen.labels, 1200)


def objects() -> Rows:
    """Histograms of 800 words, without any encoder."""
    x, y = datasets.office_caltech10_surf().amazon.tensors
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    return x[order], y[order]


def speech() -> Rows:
    """Means of the bands over five parts of the time, without any encoder."""
    waves, labels = datasets.fsdd().tensors
    bands = datasets.log_mel(waves, datasets.FSDD_RATE)
    parts = bands.unfold(-1, bands.shape[-1] // 5, bands.shape[-1] // 5).mean(-1).flatten(1)
    order = torch.randperm(len(parts), generator=torch.Generator().manual_seed(0))
    return parts[order], labels[order, 0]


DEVELOPMENT: dict[str, Callable[[], Rows]] = {
    "usps": lambda: images(datasets.usps(), 64, 2000),
    "semeion": lambda: images(datasets.semeion(), 64, 1593),
    "mnist_m": lambda: images(datasets.mnist_m(), 64, 2000),
    "office amazon": objects,
}
TARGETS: dict[str, Callable[[], Rows]] = {
    "cifar10_jpg": lambda: images(datasets.cifar10_jpg("train"), 64, 2000),
    "ag_news": news,
    "amazon kitchen": reviews,
    "fsdd": speech,
}


def kept(name: str, read: Callable[[], Rows], folder: Path) -> Rows:
    path = folder / f"{name}.pt"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(read(), path)
    return torch.load(path, weights_only=True)


def then_margin(first: Callable, pool: fewshot.Pool) -> Tensor:
    """The first two labels for each class by another strategy, then margin."""
    early = pool.probabilities is None or int(pool.labelled.sum()) < 2 * pool.probabilities.shape[1]
    return first(pool) if early else strategies.margin(pool)


STRATEGIES = {name: name for name in strategies.__all__} | {
    f"{name}, then margin": partial(then_margin, vars(strategies)[name]) for name in ("typiclust", "max_herding")
}


def shown(values: numpy.ndarray) -> str:
    mean, low, high = (100 * v for v in student(values))
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def beginning(found: fewshot.LabelEfficiency) -> fewshot.LabelEfficiency:
    """One and two labels for each class."""
    return fewshot.LabelEfficiency(found.labels[:2], {s: values[:, :2] for s, values in found.accuracy.items()})


def table(found: list[fewshot.LabelEfficiency]) -> str:
    """Means over the data sets; the intervals are over seeds."""
    whole = {s: numpy.mean([f.areas(s) for f in found], 0) for s in STRATEGIES}
    cold = {s: numpy.mean([beginning(f).areas(s) for f in found], 0) for s in STRATEGIES}
    lines = [
        "| strategy | 1 label per class | 2 | 10 | area % | area minus margin, points "
        "| area up to 2 minus random, points |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for s in sorted(STRATEGIES, key=lambda s: -whole[s].mean()):
        points = " | ".join(f"{100 * numpy.mean([f.accuracy[s][:, k] for f in found]):.1f}" for k in (0, 1, -1))
        differences = [
            "" if s == "margin" else shown(whole[s] - whole["margin"]),
            "" if s == "random" else shown(cold[s] - cold["random"]),
        ]
        lines.append(f"| {s} | {points} | {100 * whole[s].mean():.1f} | {' | '.join(differences)} |")
    return "\n".join(lines)


def compared(name: str, folder: Path, seeds: int) -> fewshot.LabelEfficiency:
    x, y = kept(name, (DEVELOPMENT | TARGETS)[name], folder)
    start, classes, cut = time.process_time(), len(y.unique()), len(y) * 2 // 3
    x = x - x[:cut].mean(0)
    found = fewshot.label_efficiency(
        x[:cut], y[:cut], x[cut:], y[cut:], STRATEGIES, budget=classes, rounds=10, seeds=seeds
    )
    print(
        f"\n{name}: {cut} rows, pools of {cut // 2}, {len(y) - cut} test rows, {x.shape[1]} features, {classes} "
        f"classes, {time.process_time() - start:.0f} s\n\n{table([found])}",
        flush=True,
    )
    return found


# peers ---------------------------------------------------------------------------------------------------------------


def measured(run: Callable, repeats: int = 1) -> tuple[float, float, list[int]]:
    """Seconds of the fastest repeat, peak of the memory above the start in MiB, and the chosen rows."""
    times = []
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory("VmRSS")
    for _ in range(repeats):
        start = time.perf_counter()
        found = run()
        times.append(time.perf_counter() - start)
    return min(times), memory("VmHWM") - before, [int(i) for i in found]


def memory(kind: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) / 1024


def peers(n: int, d: int, classes: int, budget: int) -> str:
    """Time and memory of the same choice by scikit-activeml and here, on the same float64 rows."""
    from skactiveml import pool as theirs
    from skactiveml.base import SkactivemlClassifier

    class Known(SkactivemlClassifier):
        def fit(self, X, y):
            return self

        def predict_proba(self, X):
            return p[classes:]

    class SameDraws(theirs.Badge):
        """The random numbers that are drawn here."""

        def _validate_data(self, *args, **kwargs):
            checked = super()._validate_data(*args, **kwargs)
            self.random_state_ = self
            key = fewshot.Pool.generator(argparse.Namespace(seed=0), "badge")
            self.numbers = iter(torch.rand(budget, generator=key, dtype=torch.float64).tolist()[1:])
            return checked

        def choice(self, rows, size, replace, p):
            return numpy.cumsum(p).searchsorted([next(self.numbers)], side="right")

    g = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=g, dtype=torch.float64).numpy()
    p = (2 * torch.randn(n, classes, generator=g, dtype=torch.float64)).softmax(1).numpy()
    y = numpy.where(numpy.arange(n) < classes, numpy.arange(n), numpy.nan)
    clusters = {"cluster_algo_dict": {"random_state": 0, "n_init": 1}}
    clf, estimator = {"clf": Known(), "fit_clf": False}, {"estimator": Known(), "fit_estimator": False}
    pairs = {
        "margin": (strategies.margin, theirs.UncertaintySampling(method="margin_sampling", random_state=0), clf),
        "k_centre": (strategies.k_centre, theirs.CoreSet(random_state=0), {}),
        "max_herding": (
            strategies.max_herding, theirs.MaxHerding(metric="rbf", metric_dict={"gamma": 0.5}, random_state=0), {},
        ),
        "typiclust": (
            partial(strategies.typiclust, neighbours=5, unit_length=False),
            theirs.TypiClust(random_state=0, **clusters), {},
        ),
        "clue": (strategies.clue, theirs.Clue(random_state=0, **clusters), estimator),
        "badge": (partial(strategies.badge, origin=True), SameDraws(random_state=0), clf),
    }  # fmt: skip
    lines = [
        f"\nn = {n:,}, d = {d}, {classes} classes, {budget} rows chosen, float64; features {x.nbytes >> 20} MiB\n",
        "| strategy | scikit-activeml, s | here, s | ratio | scikit-activeml, MiB | here, MiB | same rows |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, (own, their, given) in pairs.items():
        their_time, their_memory, their_rows = measured(partial(their.query, x, y, batch_size=budget, **given))
        time_here, memory_here, rows = measured(partial(fewshot.query, x, p, range(classes), budget, own), 3)
        same = len(set(rows) & set(their_rows))
        lines.append(
            f"| {name} | {their_time:.3f} | {time_here:.3f} | {their_time / time_here:.1f} | {their_memory:.0f} | "
            f"{memory_here:.0f} | {same} of {budget} |"
        )
    return "\n".join(lines)


def large(n: int, d: int, classes: int, budget: int) -> str:
    """Memory above the arguments, in units of the features."""
    g = torch.Generator().manual_seed(0)
    x, p = torch.randn(n, d, generator=g), torch.randn(n, classes, generator=g).softmax(1)
    size = x.numel() * 4 / 2**20
    fewshot.query(x[:100], p[:100], None, 2, "badge")  # what torch loads once
    lines = [
        f"\nn = {n:,}, d = {d}, {classes} classes, {budget} rows chosen, float32; features {size:.0f} MiB, gradients "
        f"{size * classes:,.0f} MiB\n",
        "| strategy | s | MiB above the arguments | in units of the features |",
        "|---|---:|---:|---:|",
    ]
    for name in ("badge", "margin", "k_centre"):
        seconds, peak, _ = measured(partial(fewshot.query, x, p, None, budget, name))
        lines.append(f"| {name} | {seconds:.2f} | {peak:.0f} | {peak / size:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["peers", "data"])
    parser.add_argument("--folder", type=Path, default=Path("runs/active"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=[*DEVELOPMENT, *TARGETS], help="names of data sets")
    options = parser.parse_args()
    if options.part == "peers":
        print(large(20_000, 768, 100, 100), flush=True)
        print(peers(4_000, 384, 20, 100), flush=True)
        return
    found = {name: compared(name, options.folder, options.seeds) for name in options.only}
    for title, names in (("development", DEVELOPMENT), ("figures", TARGETS)):
        if some := [found[name] for name in names if name in found]:
            print(f"\nmean over the data of {title}\n\n{table(some)}")


if __name__ == "__main__":
    main()
