"""Was the ranking right? Ten scores beside the accuracy after fine-tuning, for all encoders at hand on four targets.

    python benchmarks/ranking.py [--targets olivetti ...] [--quick]      # benchmarks/ranking.md has what it found

Encoders: the ResNets of CIFAR-10, 20 to 56 layers deep, and the MobileNet of ImageNet on images of 32, 64 and 96
pixels. Targets: cifar10_jpg, the ResNets' own task, whose training images they have seen; MNIST-M; Semeion, binary
digits; Olivetti, 40 faces. Each seed draws the rows to train on, 50 of a class (5 of a face); scores see these rows and
no others. `true` is the accuracy on test rows after a small fixed budget: LP-FT, the default of `inductive.transfer`, 4
passes of batches of 32 (Olivetti 10). No score was made or chosen with these accuracies. The last table has, by target
and score, the weighted Kendall tau with the mean true accuracy, mean over seeds, and what a user loses who takes the
encoder that the score puts first.

One file a run under `--folder`: stopped, it goes on where it was; two processes may share it, `--share 0/2` and
`--share 1/2`. Needs ADAPT_DATA.
"""

import argparse
import json
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from tqdm import tqdm

sys.path[0] = str(Path(__file__).parents[1])  # benchmarks/losses.py would hide the package
sys.path.append(str(Path(__file__).parent))
from models import weighted_kendall

from adapt import datasets, encoders, engine, inductive, ranking, report, store

SCORES = (
    ranking.knn, ranking.ridge, ranking.logme, ranking.h_score, ranking.n_leep, ranking.transrate, ranking.gbc,
    ranking.parc, ranking.leep, ranking.nce,
)  # fmt: skip
COLUMNS = (*(score.__name__ for score in SCORES), "parameters")
IMAGENET = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
HALF = torch.tensor(0.5), torch.tensor(0.5)

# encoders ------------------------------------------------------------------------------------------------------------


class Candidate(NamedTuple):
    """`make` reads the weights; images are brought to `size` pixels and to the `scale` (mean, deviation)."""

    make: Callable[[], encoders.Encoder]
    size: int
    scale: tuple[Tensor, Tensor]


def resnet(depth: int, file: str) -> Candidate:
    path = f"resnet_cifar10_weights/{file}.th"
    return Candidate(lambda: encoders.cifar_resnet(depth, datasets.data_file(path)), 32, IMAGENET)


def mobilenet(size: int) -> Candidate:
    path = "mobilenet025_imagenet/mobilenet025_224_notop.npz"
    return Candidate(lambda: encoders.mobilenet(0.25, datasets.data_file(path)), size, HALF)


CANDIDATES = {
    "ResNet-20": resnet(20, "resnet20-12fca82f"),
    "ResNet-32": resnet(32, "resnet32-d509ac18"),
    "ResNet-44": resnet(44, "resnet44-014dd654"),
    "ResNet-56": resnet(56, "resnet56-4bfd9763"),
    "MobileNet, 32 px": mobilenet(32),
    "MobileNet, 64 px": mobilenet(64),
    "MobileNet, 96 px": mobilenet(96),
}


def load(name: str) -> encoders.Encoder:
    """The encoder behind a layer that brings images to its size."""
    candidate = CANDIDATES[name]
    plain = candidate.make()
    body = nn.Sequential(OrderedDict(size=nn.Upsample(candidate.size, mode="bilinear"), network=plain.body))
    body.to(memory_format=torch.channels_last)  # faster on a CPU: see examples/inductive.py
    layers = [f"network.{layer}" for layer in plain.layers]
    return encoders.Encoder(body, plain.dim, layers=layers, head=plain.head, classes=plain.classes)


# targets -------------------------------------------------------------------------------------------------------------


class Target(NamedTuple):
    """`read` gives images in [0, 1] with three channels.

    `each` rows of a class are drawn for training, and at most `test` other rows for the test.
    """

    read: Callable[[], TensorDataset]
    each: int
    epochs: int
    test: int


def cifar() -> TensorDataset:
    """Training rows, then test rows."""
    both = datasets.cifar10_jpg("train"), datasets.cifar10_jpg("test")
    return TensorDataset(*(torch.cat(parts) for parts in zip(*(d.tensors for d in both), strict=True)))


TARGETS = {
    "cifar10_jpg": Target(cifar, 50, 4, 2000),
    "mnist_m": Target(datasets.mnist_m, 50, 4, 1000),
    "semeion": Target(datasets.semeion, 50, 4, 1000),
    "olivetti": Target(datasets.olivetti, 5, 10, 200),
}


@cache
def parts(name: str, seed: int, quick: bool) -> tuple[TensorDataset, TensorDataset]:
    """Rows to train on, drawn by the seed, and rows to test on, the same for all seeds."""
    target = TARGETS[name]
    x, y = target.read().tensors
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    if name == "cifar10_jpg":
        pool, test = order[order < 4000], order[order >= 4000]
    else:  # half of every class may be drawn, the other half is tested on
        halves = [(order[y[order] == c]).tensor_split([(int((y == c).sum()) + 1) // 2]) for c in y.unique().tolist()]
        pool, test = torch.cat([a for a, _ in halves]), torch.cat([b for _, b in halves])
        test = test[torch.randperm(len(test), generator=torch.Generator().manual_seed(0))]
    pool = pool[torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))]
    each = 3 if quick else target.each
    train = torch.cat([pool[y[pool] == c][:each] for c in y.unique().tolist()])
    test = test[: 60 if quick else target.test]
    return TensorDataset(x[train], y[train]), TensorDataset(x[test], y[test])


def prepared(data: TensorDataset, name: str) -> TensorDataset:
    mean, deviation = CANDIDATES[name].scale
    x, y = data.tensors
    return TensorDataset((x.expand(-1, 3, -1, -1) - mean) / deviation, y)


# runs ----------------------------------------------------------------------------------------------------------------


def ranked(target: str, seed: int, quick: bool) -> ranking.Ranking:
    """All scores of all encoders on the rows to train on."""
    given = {}
    train, _ = parts(target, seed, quick)
    for name in CANDIDATES:
        encoder = load(name)
        rows = engine.features(encoder, prepared(train, name)).tensors[0]
        with torch.no_grad():
            source = None if encoder.head is None else encoder.head(rows).softmax(1)
        cost = ranking.cost(encoder, prepared(train, name).tensors[0][:32], repeats=1)
        given[name] = ranking.Pretrained(rows, source, cost)
    return ranking.rank(given, train.tensors[1], scores=SCORES, resamples=0, halves=0)


def scored(target: str, seed: int, quick: bool) -> dict:
    """The ranking as plain numbers."""
    rows = ranked(target, seed, quick).rows
    return {
        row.name: {s: score.value for s, score in row.scores.items()} | {"parameters": row.cost.parameters}
        for row in rows
        if row.cost
    }


def tuned(target: str, seed: int, quick: bool, name: str) -> dict:
    """Accuracy after the fixed budget."""
    train, test = (prepared(part, name) for part in parts(target, seed, quick))
    classes = int(train.tensors[1].max()) + 1
    start = time.process_time()
    model = inductive.transfer(
        load(name), train, "full", classes=classes, epochs=1 if quick else TARGETS[target].epochs, seed=seed
    )
    return {"true": model.evaluate(test).value, "seconds": time.process_time() - start}


def path_of(folder: Path, target: str, seed: int, name: str) -> Path:
    return folder / target / f"{name}-{seed}.json"


def write(path: Path, content: dict) -> None:
    """Whole or not at all."""
    with store.whole_file(path, several_writers=True) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1) + "\n")


# what was found ------------------------------------------------------------------------------------------------------


def read(folder: Path, targets: list[str], seeds: int) -> dict[str, tuple[dict[str, float], list[dict]]]:
    """By target that is complete: the mean true accuracy of each encoder, and the scores of each seed."""
    found = {}
    for target in targets:
        paths = [path_of(folder, target, seed, name) for seed in range(seeds) for name in (*CANDIDATES, "scores")]
        if all(path.exists() for path in paths):
            content = partial(
                lambda target, name, seed: json.loads(path_of(folder, target, seed, name).read_text()), target
            )
            true = {name: numpy.mean([content(name, seed)["true"] for seed in range(seeds)]) for name in CANDIDATES}
            found[target] = true, [content("scores", seed) for seed in range(seeds)]
    return found


def judged(true: dict[str, float], by_seed: list[dict]) -> dict[str, tuple[float, float]]:
    """By score, over the encoders for which it is defined, mean over seeds: the weighted Kendall tau, and the accuracy
    that is lost where its first is not the best of all. NaN where fewer than two have the score."""
    found = {}
    for column in COLUMNS:
        scores = [{name: row[column] for name, row in seed.items() if column in row} for seed in by_seed]
        if min(map(len, scores)) < 2:
            found[column] = numpy.nan, numpy.nan
            continue
        lost = [max(true.values()) - true[max(some, key=some.__getitem__)] for some in scores]
        found[column] = float(numpy.mean([weighted_kendall(s, true) for s in scores])), float(numpy.mean(lost))
    return found


def tables(found: dict) -> str:
    lines = []
    for target, (true, by_seed) in found.items():
        lines += [f"\n{target}: mean over {len(by_seed)} seeds, the best encoder first\n"]
        lines += [f"| encoder | true % | {' | '.join(COLUMNS)} |", "|---|---:" + "|---:" * len(COLUMNS) + "|"]
        for name in sorted(true, key=lambda n: -true[n]):
            cells = [numpy.mean([s[name][c] for s in by_seed]) if c in by_seed[0][name] else None for c in COLUMNS]
            numbers = " | ".join("" if c is None else f"{c:.3g}" if abs(c) < 1e4 else f"{c / 1e6:.2f} M" for c in cells)
            lines += [f"| {name} | {100 * true[name]:.1f} | {numbers} |"]
    each = {target: judged(*rest) for target, rest in found.items()}
    tau, lost = ({c: [row[c][k] for row in each.values()] for c in COLUMNS} for k in (0, 1))
    lines += [
        "\nWeighted Kendall tau with `true`, and the points lost with the first encoder; leep and nce know the ResNets "
        "alone\n"
    ]
    lines += [f"| score | {' | '.join(each)} | mean | points lost |", "|---" + "|---:" * (len(each) + 2) + "|"]
    for c in sorted(COLUMNS, key=lambda c: -numpy.nan_to_num(numpy.mean(tau[c]), nan=-2)):
        cells = ["" if numpy.isnan(value) else f"{value:.2f}" for value in (*tau[c], numpy.mean(tau[c]))]
        points = 100 * numpy.mean(lost[c])
        lines += [f"| {c} | {' | '.join(cells)} | {'' if numpy.isnan(points) else f'{points:.1f}'} |"]
    return "\n".join(lines)


def picture(found: dict) -> Figure:
    """The default score against the truth, a point an encoder: ResNets in blue, MobileNets in orange."""
    colours = ("#9ecae1", "#6baed6", "#3182bd", "#08519c", "#fdbe85", "#fd8d3c", "#d94701")
    figure = Figure(figsize=(2.9 * len(found) + 1.6, 3), layout="constrained")
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, (target, (true, by_seed)) in zip(panels, found.items(), strict=True):
        for name, colour in zip(CANDIDATES, colours, strict=False):
            score = numpy.mean([s[name]["knn"] for s in by_seed])
            marker = "o" if name.startswith("ResNet") else "s"
            axes.plot(
                score, true[name], marker, color=colour, markeredgecolor="#444444", markeredgewidth=0.4, label=name
            )
        axes.set(title=target, xlabel="leave-one-out k-NN accuracy")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("accuracy after fine-tuning")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=8, frameon=False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", nargs="+", default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("runs/ranking"))
    parser.add_argument("--share", default="0/1", help="this process's share of the runs")
    parser.add_argument("--quick", action="store_true", help="2 seeds of 3 rows a class: does everything run?")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.folder = 2, options.folder.with_name(f"{options.folder.name}_quick")
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    part, of = (int(n) for n in options.share.split("/"))
    jobs = [(t, s, n) for t in options.targets for s in range(options.seeds) for n in ("scores", *CANDIDATES)]
    for target, seed, name in (
        bar := tqdm([j for j in jobs if not path_of(options.folder, *j).exists()][part::of], unit="run")
    ):
        bar.set_postfix_str(f"{target}, {name}, seed {seed}")
        found = scored(target, seed, options.quick) if name == "scores" else tuned(target, seed, options.quick, name)
        write(path_of(options.folder, target, seed, name), found)
    if not (complete := read(options.folder, options.targets, options.seeds)):
        sys.exit("no target is complete yet: the other share is still running.")
    text = tables(complete)
    (options.folder / "table.md").write_text(text.strip() + "\n")
    report.save(picture(complete), options.folder / "ranking.png")
    print(f"{text}\n\nfigure {options.folder / 'ranking.png'}")


if __name__ == "__main__":
    main()
