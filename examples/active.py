"""Which reviews of another product should a person label next? Strategies beside each other, with and without a source.

    ADAPT_DATA=... python examples/active.py            # minutes; the features of MiniLM 15 minutes more, once
    ADAPT_DATA=... python examples/active.py --quick    # a smoke run; its numbers mean nothing

Mean of four products. From 2 to 20 labels without a source the area under the curve of MaxHerding, the default, is 5.6
points above margin's (95 % interval 2.1 to 9.0); with 4 labels or fewer no strategy is sure to beat chance. With a
source margin is the best: 75.5 % without a label, 78.8 with 100; chance 77.7, CLUE 78.6, MaxHerding 77.7.

Reviews of four products, each the target once, and the product before in the list is the source with 2,000 labels. In
the cold start nothing is known: a round asks for 2 labels. In the warm start the classifier of the source gives the
probabilities before the first label, and the classifier of the target is pulled to it: a round asks for 10 labels.
Features of MiniLM (extra `text`) minus their mean in the product, kept in the folder ADAPT_CACHE. A seed draws the
pool, half of two thirds of the reviews; the other third is the test. The differences are paired over seeds.
"""

import argparse
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib
import numpy
import torch
from torch import Tensor

from adapt import datasets, encoders, fewshot, report

matplotlib.use("Agg")
from matplotlib import pyplot

STRATEGIES = ["random", "margin", "entropy", "k_centre", "badge", "clue", "typiclust", "max_herding"]


@dataclass(frozen=True)
class Settings:
    seeds: int = 5
    rounds: int = 10
    cold: int = 2  # labels for each round: one of each class, if the choice is balanced
    warm: int = 10
    reviews: int = 2000  # of each product: all of them
    scale: float = 20.0  # of the cosines, as `fewshot.text_probe` says for sentence encoders


def product(texts: list[str], y: Tensor, reviews: int, folder: Path) -> tuple[Tensor, Tensor]:
    """Features minus their mean, which reads no label, and classes; in an order by chance."""
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))[:reviews]
    rows, place = order.unique(return_inverse=True)
    x = encoders.sentences([texts[i] for i in rows.tolist()], folder)
    return (x - x.mean(0))[place], y[order]


def curves(
    source: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor], settings: Settings, warm: bool
) -> fewshot.LabelEfficiency:
    x, y = target
    cut = len(x) * 2 // 3
    play = partial(fewshot.label_efficiency, x[:cut], y[:cut], x[cut:], y[cut:], STRATEGIES)
    size = {"rounds": settings.rounds, "seeds": settings.seeds}
    if not warm:
        return play(budget=settings.cold, **size)
    learner = fewshot.text_probe(fewshot.logistic().fit(*source).weight, scale=settings.scale)
    p = learner(x[:0], y[:0], x).exp()  # without a label of the target: the classifier of the source
    return play(budget=settings.warm, learner=learner, zero_shot=(p[:cut], p[cut:]), **size)


def mean(found: list[fewshot.LabelEfficiency]) -> fewshot.LabelEfficiency:
    """Return the mean over targets, seed by seed: the intervals are over seeds."""
    accuracy = {s: numpy.mean([f.accuracy[s] for f in found], 0) for s in STRATEGIES}
    return fewshot.LabelEfficiency(found[0].labels, accuracy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds, 2 rounds, 60 reviews: does everything run?")
    parser.add_argument("--out", default="runs/active", help="folder for the picture (default: %(default)s)")
    arguments = parser.parse_args()
    settings = Settings(seeds=2, rounds=2, cold=2, warm=4, reviews=60) if arguments.quick else Settings()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)  # the tensors are small

    folder = Path(os.environ.get("ADAPT_CACHE", Path.home() / ".cache" / "adapt"))
    products = {
        n: product(*read, settings.reviews, folder) for n, read in datasets.amazon_reviews_text()._asdict().items()
    }
    names = list(products)
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, warm in zip(axes, (False, True), strict=True):
        title = "warm start: the classifier of another product" if warm else "cold start: nothing is known"
        found = [curves(products[names[i - 1]], products[names[i]], settings, warm) for i in range(len(names))]
        for name, each in zip(names, found, strict=True):
            print(f"\n{title}; target {name}\n\n{each.table('margin')}", flush=True)
        every = mean(found)
        print(f"\n{title}; mean of {len(names)} targets\n\n{every.table('margin')}\n\n{every.table('random')}")
        if not warm:
            first = fewshot.LabelEfficiency(every.labels[:2], {s: v[:, :2] for s, v in every.accuracy.items()})
            print(f"\n{title}; up to two labels for each class\n\n{first.table('random')}", flush=True)
        report.curves(axis, every.lines, x="labelled reviews", percent=True)
        axis.set_title(title)
    Path(arguments.out).mkdir(parents=True, exist_ok=True)
    figure.savefig(Path(arguments.out, "active.png"), dpi=120)
    print(f"\npicture {Path(arguments.out, 'active.png')}")


if __name__ == "__main__":
    main()
