"""Which shift is it: a table of the constructed kind against the found kind.

    ADAPT_DATA=... python benchmarks/which_shift.py --sets development        # the sets on which the tests were built
    ADAPT_DATA=... python benchmarks/which_shift.py            # about 3 minutes; other data, nothing chosen on them

A linear classifier learns from few rows of a set. 400 labelled rows that the classifier has not seen are the source; a
target has 500 other rows, drawn in one of four ways, and the labels of 100 of the rows are known:

- none: at random;
- label: with shares of the classes from Dirichlet(1);
- covariate: with probability exp(a z), z the first principal component in standard deviations, a = 0.7: the labels of
  equal inputs stay;
- concept: at random, and where z is above its median, the label of a class is the next class.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path[0] = str(Path(__file__).parents[1])  # else `benchmarks/losses.py` would hide the package

from adapt import datasets
from adapt.transductive import which_shift

KINDS = ("none", "label", "covariate", "concept")
SOURCE, TARGET, KNOWN, STRENGTH = 400, 500, 100, 0.7


def clouds(K: int, distance: float) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(K)
    y = draw.integers(K, size=6_000)
    return (draw.normal(size=(K, 8)) * distance / np.sqrt(8))[y] + draw.normal(size=(len(y), 8)), y


def images(data) -> tuple[np.ndarray, np.ndarray]:
    x, y = (column.numpy() for column in data.tensors)
    return PCA(30, random_state=0).fit_transform(x.reshape(len(x), -1).astype(float)), y


def wisdm() -> tuple[np.ndarray, np.ndarray]:
    users = datasets.wisdm_transformed().values()
    x, y = (np.concatenate([user.tensors[k].numpy() for user in users]) for k in (0, 1))
    return PCA(20, random_state=0).fit_transform(StandardScaler().fit_transform(np.nan_to_num(x))), y


DEVELOPMENT = {
    "2 clouds": lambda: clouds(2, 2.0),
    "4 clouds": lambda: clouds(4, 3.0),
    "WISDM": wisdm,
    "digits": lambda: (PCA(20, random_state=0).fit_transform(load_digits().data), load_digits().target),
}
FIGURES = {
    "MNIST": lambda: images(datasets.mnist()),
    "USPS": lambda: images(datasets.usps()),
    "Semeion": lambda: images(datasets.semeion()),
}


def target_of(kind: str, x: np.ndarray, y: np.ndarray, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the rows, and their labels."""
    z = (x[:, 0] - x[:, 0].mean()) / x[:, 0].std()  # the columns are principal components, or clouds
    weight = np.ones(len(x))
    if kind == "label":
        weight = (draw.dirichlet(np.ones(y.max() + 1)) / np.bincount(y))[y]
    elif kind == "covariate":
        weight = np.exp(STRENGTH * z)
    rows = draw.choice(len(x), size=TARGET, p=weight / weight.sum())
    turned = (y + (z > np.median(z))) % (y.max() + 1) if kind == "concept" else y
    return rows, turned[rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", choices=("figures", "development"), default="figures")
    parser.add_argument("--draws", type=int, default=30, help="targets for each set and kind")
    parser.add_argument("--labels", type=int, default=KNOWN, help="known labels of the target; 0: none")
    arguments = parser.parse_args()
    table, sure = np.zeros((4, 4), int), [[], []]
    for name, load in (DEVELOPMENT if arguments.sets == "development" else FIGURES).items():
        x, y = load()
        draw, own = np.random.default_rng(0), np.zeros((4, 4), int)
        for number in range(4 * arguments.draws):
            order, kind = draw.permutation(len(x)), KINDS[number % 4]
            train, source, pool = np.split(order, [300, 300 + SOURCE])
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300)).fit(x[train], y[train])
            rows, truth = target_of(kind, x[pool], y[pool], draw)
            known = np.where(np.arange(TARGET) < arguments.labels, truth, -1)
            p, t = model.predict_proba(x[source]), model.predict_proba(x[pool][rows])
            found = which_shift(x[source], x[pool][rows], p, y[source], t, target_labels=known, seed=number)
            own[KINDS.index(kind), KINDS.index(found.kind)] += 1
            sure[found.kind == kind].append(found.confidence)
        print(f"{name}: {np.trace(own) / own.sum():.0%} right {own.tolist()}", flush=True)
        table += own
    print(f"\n| constructed, found: | {' | '.join(KINDS)} |\n" + "|---" * 5 + "|")
    for kind, row in zip(KINDS, table, strict=True):
        print(f"| {kind} | {' | '.join(map(str, row))} |")
    print(f"\nconfidence of right answers {np.mean(sure[1]):.2f}, of wrong answers {np.mean(sure[0] or [0]):.2f}")


if __name__ == "__main__":
    main()
