"""What a correction for label shift gains and costs, with the guard and without.

    python benchmarks/label_shift.py --sets development        # about 3 minutes; the sets on which the guard was chosen
    ADAPT_DATA=... python benchmarks/label_shift.py            # about 4 minutes; other data, nothing chosen on them
    ADAPT_DATA=... python benchmarks/label_shift.py --sets spam    # comments under four videos to a fifth
    python benchmarks/label_shift.py --sets time               # seconds: estimate and correction, 10 classes

A classifier learns from few rows of a set. Labelled rows that the classifier has not seen are the source; all other
rows are a pool from which targets of 50 to 5,000 rows are drawn with other shares of the classes: the same shares,
Dirichlet(30 K p) (weak), Dirichlet(5 K p) (medium) and Dirichlet(0.5) (strong). A cell is one drawn target. A cell is
harmed where the correction costs more than 1 point of the accuracy on the drawn rows.
"""

import argparse
import csv
import gzip
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path[0] = str(Path(__file__).parents[1])  # else `benchmarks/losses.py` would hide the package

from adapt import datasets
from adapt.transductive import LabelShift

ROWS = (50, 100, 200, 500, 1000, 5000)
SHIFTS: dict[str, float | None] = {"none": None, "weak": 30.0, "medium": 5.0, "strong": 0.5}


def linear(**options: Any) -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=300, **options))


def forest() -> Any:
    return RandomForestClassifier(50, random_state=0)


def clouds(K: int, distance: float) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(K)
    means = draw.normal(size=(K, 8)) * distance / np.sqrt(8)
    y = draw.choice(K, size=12_000, p=draw.dirichlet(np.full(K, 5.0)))
    return means[y] + draw.normal(size=(len(y), 8)), y


def images(data: Any, components: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = (column.numpy() for column in data.tensors)
    return PCA(components, random_state=0).fit_transform(x.reshape(len(x), -1).astype(float)), y


def wisdm() -> tuple[np.ndarray, np.ndarray]:
    users = datasets.wisdm_transformed().values()
    return tuple(np.nan_to_num(np.concatenate([u.tensors[k].numpy() for u in users])) for k in (0, 1))  # type: ignore


def reviews() -> tuple[np.ndarray, np.ndarray]:
    parts = datasets.amazon_reviews_text()
    return np.array([t for part in parts for t in part.texts], object), np.concatenate([part.labels for part in parts])


def news() -> tuple[np.ndarray, np.ndarray]:
    with gzip.open(datasets.data_file("ag_news", "test.csv.gz"), "rt", encoding="utf8") as file:
        rows = [row for row in csv.reader(file) if row[0].isdigit()]
    return np.array([f"{row[1]} {row[2]}" for row in rows], object), np.array([int(row[0]) - 1 for row in rows])


def messages() -> tuple[np.ndarray, np.ndarray]:
    lines = datasets.data_file("sms_spam", "SMSSpamCollection.tsv").read_text(encoding="utf8").splitlines()
    label_of = {text: label for label, text in (line.split("\t", 1) for line in lines)}
    return np.array(list(label_of), object), np.array([int(label == "spam") for label in label_of.values()])


def words() -> Any:
    return make_pipeline(TfidfVectorizer(min_df=2), LogisticRegression(C=10, max_iter=300))


# name: classifier, rows and labels, number of rows to train, number of labelled source rows
Setting = tuple[Callable[[], Any], Callable[[], tuple[np.ndarray, np.ndarray]], int, int]
DEVELOPMENT: dict[str, Setting] = {
    "digits, linear": (linear, lambda: load_digits(return_X_y=True), 120, 400),
    "digits, naive Bayes": (GaussianNB, lambda: load_digits(return_X_y=True), 150, 500),
    "breast cancer, 1 component": (
        lambda: make_pipeline(StandardScaler(), PCA(1), LogisticRegression()),
        lambda: load_breast_cancer(return_X_y=True), 60, 150,
    ),
} | {
    f"{K} clouds at {distance}, {name}": (model, lambda K=K, distance=distance: clouds(K, distance), train, held)
    for K, distance, train, held in ((2, 1.5, 200, 300), (2, 2.5, 200, 1000), (5, 2.0, 300, 500), (10, 2.5, 500, 2000))
    for name, model in (("linear", linear), ("forest", forest))
}  # fmt: skip
FIGURES: dict[str, Setting] = {
    "MNIST, naive Bayes": (GaussianNB, lambda: images(datasets.mnist(), 30), 500, 1000),
    "MNIST, linear": (linear, lambda: images(datasets.mnist(), 30), 300, 500),
    "USPS, forest": (forest, lambda: images(datasets.usps(), 30), 300, 500),
    "WISDM, linear": (linear, wisdm, 400, 600),
    "WISDM, forest": (forest, wisdm, 400, 600),
    "reviews, linear": (words, reviews, 600, 400),
    "AG News, linear": (words, news, 400, 400),
    "phone messages, linear": (words, messages, 300, 300),
}


def drawn(shift: float | None, pool: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    shares = np.bincount(pool) / len(pool)
    if shift is None:
        return shares
    return draw.dirichlet(np.full(len(shares), shift) if shift < 1 else shift * len(shares) * shares)


def cells(setting: Setting, draws: int, seed: int, options: dict[str, dict[str, Any]]) -> dict[Any, list[float]]:
    """Gains in points by way, shift and number of target rows, one number for each drawn target."""
    make, load, train, held = setting
    x, y = load()
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(x))
    model = make().fit(x[order[:train]], y[order[:train]])
    p, pool = model.predict_proba(x[order[train:]]), y[order[train:]]
    ways = {way: LabelShift(p[:held], pool[:held], **more) for way, more in options.items()}
    p, pool = p[held:], pool[held:]
    rows = [np.flatnonzero(pool == k) for k in range(p.shape[1])]
    found: dict[Any, list[float]] = {}
    for shift, strength in SHIFTS.items():
        for n in ROWS:
            for _ in range(draws):
                true = draw.choice(len(rows), size=n, p=drawn(strength, pool, draw))
                given = p[[draw.choice(rows[k]) for k in true]]
                before = given.argmax(1) == true
                for way, estimator in ways.items():
                    after = estimator.estimate(given).correct(given).argmax(1) == true
                    found.setdefault((way, shift, n), []).append(100 * (after.sum() - before.sum()) / n)
    return found


VIDEOS = ("Psy", "KatyPerry", "LMFAO", "Eminem", "Shakira")


def spam(options: dict[str, dict[str, Any]]) -> None:
    """Print the error of the share of spam and the accuracy for each video, learned from the four others."""
    texts, labels, video = [], [], []
    for number, name in enumerate(VIDEOS):
        with open(datasets.data_file("youtube_spam", f"{name}.csv"), encoding="utf8", newline="") as file:
            distinct = {row["CONTENT"]: int(row["CLASS"]) for row in csv.DictReader(file)}
        texts, labels = texts + list(distinct), labels + list(distinct.values())
        video += [number] * len(distinct)
    x, y, of = np.array(texts, object), np.array(labels), np.array(video)
    print("| video | spam | source | error of the source | way | error of the share | accuracy |\n" + "|---" * 7 + "|")
    for number, name in enumerate(VIDEOS):
        model, here = words(), of == number
        unseen = cross_val_predict(model, x[~here], y[~here], cv=10, method="predict_proba")
        p, true = model.fit(x[~here], y[~here]).predict_proba(x[here]), y[here].mean()
        plain = (p.argmax(1) == y[here]).mean()
        before = f"{name} | {true:.3f} | {y[~here].mean():.3f} | {abs(y[~here].mean() - true):.3f}"
        print(f"| {before} | none | | {plain:.3f} |")
        for way, more in options.items():
            found = LabelShift(unseen, y[~here], **more).estimate(p)
            after = (found.correct(p).argmax(1) == y[here]).mean()
            print(f"| {before} | {way} | {abs(found.target[1] - true):.3f} | {after:.3f} |")


def times() -> None:
    """Print the time of estimate and correction, with the guard: 20 drawn targets for each shift, rows of 10 clouds."""
    x, y = clouds(10, 2.5)
    p = linear().fit(x[:500], y[:500]).predict_proba(x[500:])
    estimator, draw = LabelShift(p[:1000], y[500:1500]), np.random.default_rng(0)
    pool = y[1500:]
    rows = [1000 + np.flatnonzero(pool == k) for k in range(10)]
    print(f"| median (fastest) of 200, ms | {' | '.join(SHIFTS)} |\n" + "|---" * 5 + "|")
    for n in ROWS:
        cells = []
        for strength in SHIFTS.values():
            taken = []
            for _ in range(20):
                true = draw.choice(10, size=n, p=drawn(strength, pool, draw))
                target = p[[draw.choice(rows[k]) for k in true]]
                for _ in range(10):
                    start = time.perf_counter()
                    estimator.estimate(target).correct(target)
                    taken.append(1000 * (time.perf_counter() - start))
            cells.append(f"{np.median(taken):.2f} ({min(taken):.2f})")
        print(f"| {n} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", choices=("figures", "development", "spam", "time"), default="figures")
    parser.add_argument("--draws", type=int, default=20, help="targets for each set, shift and number of rows")
    arguments = parser.parse_args()
    options: dict[str, dict[str, Any]] = {"with the guard": {}} | {
        f"unguarded {method}": {"guard": False, "method": method} for method in ("em", "bbse", "bbse_hard", "rlls")
    }
    if arguments.sets == "spam":
        return spam(options)
    if arguments.sets == "time":
        return times()
    found: dict[Any, list[float]] = {}
    for seed, (name, setting) in enumerate((DEVELOPMENT if arguments.sets == "development" else FIGURES).items()):
        new = cells(setting, arguments.draws, seed, options)
        guarded = np.concatenate([v for key, v in new.items() if key[0] == "with the guard"])
        print(f"{name}: {guarded.mean():+.2f} points, {(guarded < -1.001).mean():.1%} of {len(guarded)} cells harmed")
        for key, gains in new.items():
            found.setdefault(key, []).extend(gains)
    columns = [*SHIFTS, *ROWS]
    print(f"\n| mean gain, points / cells harmed, % | all | {' | '.join(map(str, columns))} |")
    print("|" + "---|" * (len(columns) + 2))
    for way in options:
        numbers = []
        for column in (None, *columns):
            gains = np.concatenate([v for k, v in found.items() if k[0] == way and column in (None, *k[1:])])
            numbers.append(f"{gains.mean():+.2f} / {100 * (gains < -1.001).mean():.1f}")
        print(f"| {way} | {' | '.join(numbers)} |")


if __name__ == "__main__":
    main()
