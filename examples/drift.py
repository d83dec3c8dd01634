"""A stream of digits whose labels turn in the middle: what a reaction to drift is worth, with 10 % of the labels.

    ADAPT_DATA=... python examples/drift.py            # about five minutes of processor time
    ADAPT_DATA=... python examples/drift.py --quick    # a smoke run; its numbers mean nothing

Accuracy after the turn: 53.9 % without learning, 56.3 without a reaction to the alarm, 70.5 with a reset, 72.9 with a
reset and 50 further labels, 85.1 with all labels. No false alarm; the alarm comes 300 to 1,000 rows after the turn.

The classifier learns from 500 digits of MNIST, then reads 4,500 digits in batches of 100. After 2,000 digits the label
of a 3 is 8, of an 8 is 3, of a 4 is 9 and of a 9 is 4, as when a second writer numbers the classes in another way: the
images stay, the labels turn. Each batch asks for the labels of 10 % of its rows, drawn at random; "query" asks for 50
labels more after an alarm. The options are the defaults; nothing is chosen on the stream.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from adapt import datasets, heads, report
from adapt.transductive import Drift, StreamClassifier


@dataclass(frozen=True)
class Settings:
    seeds: int = 5
    first: int = 500  # labelled digits before the stream
    before: int = 2_000
    after: int = 2_500
    batch: int = 100
    components: int = 40


BASELINE, FIXED, ORACLE = "no reaction", "no learning", "all labels, reset"
OPTIONS: dict[str, dict[str, Any]] = {
    BASELINE: {"reaction": "none"},
    FIXED: {"reaction": "none"},
    "adapt": {"reaction": "adapt"},
    "reset": {"reaction": "reset"},
    "query (default)": {},
    ORACLE: {"reaction": "reset", "audit": 1.0},
}
TURNED = np.array([0, 1, 2, 8, 9, 5, 6, 7, 3, 4])


@cache
def stream(settings: Settings, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and labels of the first rows and then of the stream, in the order of the seed."""
    images, labels = (column.numpy() for column in datasets.mnist().tensors)
    n = settings.first + settings.before + settings.after
    rows = np.random.default_rng(seed).permutation(len(images))[:n]
    x, y = images[rows].reshape(n, -1), labels[rows]
    x = PCA(settings.components, random_state=0).fit(x[: settings.first]).transform(x)
    turn = settings.first + settings.before
    return x / x[: settings.first].std(), np.where(np.arange(n) < turn, y, TURNED[y])


def scored(cell: report.Cell, settings: Settings) -> report.Outcome:
    x, y = stream(settings, cell.seed)
    first, turn = settings.first, settings.first + settings.before
    classifier = LogisticRegression(C=0.1, max_iter=300)
    online = StreamClassifier(classifier, Drift(), seed=cell.seed, **OPTIONS[cell.method]).fit(x[:first], y[:first])
    right, labels, curve, alarms = [], 0, [], []
    for start in range(first, len(x), settings.batch):
        rows = slice(start, start + settings.batch)
        right.append(online.predict(x[rows]) == y[rows])
        curve.append((start - first, float(right[-1].mean())))
        if cell.method != FIXED:
            wanted = online.ask(x[rows])
            labels += len(wanted)
            alarms += [start for _ in online.learn(x[rows], wanted, y[rows][wanted])]
    hits = torch.from_numpy(np.concatenate(right))
    scores = {
        "accuracy after the turn": heads.proportion("accuracy after the turn", hits[turn - first :]),
        "accuracy before the turn": heads.proportion("accuracy before the turn", hits[: turn - first]),
        "labels": heads.Score("labels", labels, labels, labels, 1, higher_is_better=False),
    }
    told = f"{sum(a < turn for a in alarms)} false alarms, first alarm {[a - turn for a in alarms if a >= turn][:1]}"
    print(f"{cell.method}, seed {cell.seed}: {told} rows after the turn")
    return report.Outcome(scores, curves={"accuracy of a batch": curve})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds of a short stream: does everything run?")
    parser.add_argument("--out", default="runs/drift", help="folder for what is written (default: %(default)s)")
    arguments = parser.parse_args()
    settings = Settings(seeds=2, first=200, before=200, after=200, components=5) if arguments.quick else Settings()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)

    methods: dict[str, Callable[[report.Cell], Any]] = {name: partial(scored, settings=settings) for name in OPTIONS}
    result = report.experiment(
        arguments.out, methods, settings.seeds, BASELINE, settings=settings, quick=arguments.quick, oracle=[ORACLE]
    )
    print(f"\n{result.table()}")
    for metric in result.metrics[1:]:
        print(f"\n{result.only(metric).table()}")
    print(f"\npage {result.page()}, picture {result.figure()}, numbers {result.json()}")
    print(f"curves: tensorboard --logdir {result.tensorboard()}")


if __name__ == "__main__":
    main()
