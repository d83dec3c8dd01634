"""AG News along the axis of labels: clusters, names, names with texts without labels, then 1 to 16 labels per class.

    ADAPT_DATA=... python examples/label_axis.py            # minutes; the features of MiniLM 10 minutes more, once
    ADAPT_DATA=... python examples/label_axis.py --quick    # a smoke run; its numbers mean nothing

Mean of 4 wordings: names 78.7 % (worst 73.2, best 83.0), k-means without any name 83.6, names and 3,800 texts without
labels 85.9, with 64 labels too 86.0. 64 labels alone 80.4, without an encoder 61.8, names and 64 labels 81.4.

The descriptions lie in `label_axis.json`: four wordings, written before any result and never changed, and bare names.
A seed splits the 7,600 texts in halves: texts without labels, some of which get labels, and test texts. The features
are MiniLM's (extra `text`), kept in the folder ADAPT_CACHE. K-means counts with the best assignment of clusters.
"""

import argparse
import csv
import gzip
import json
import os
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy
import torch
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import RidgeClassifier
from torch import Tensor

from adapt import datasets, encoders, fewshot, heads, report, zeroshot

WORDINGS = json.loads(Path(__file__).with_suffix(".json").read_text())  # by class, one text or several texts
KMEANS, NAMES, RIDGE, TFIDF = "k-means, no names", "names", "labels alone: ridge", "no encoder: tf-idf"
UNLABELLED, PROBE, BOTH = "names + unlabelled", "names, then labels", "names + unlabelled, then labels"


@dataclass(frozen=True)
class Settings:
    labels: tuple[int, ...] = (1, 2, 4, 8, 16)  # of each class
    seeds: int = 5
    texts: int = 7600


vectors_of = cache(lambda wording: zeroshot.vectors(encoders.sentences, WORDINGS[wording]))


@cache
def news(count: int) -> tuple[list[str], Tensor, Tensor]:
    """Texts, classes and features."""
    with gzip.open(datasets.data_file("ag_news", "test.csv.gz"), "rt") as file:
        rows = list(csv.reader(file))[:count]
    texts = [f"{title} {text}" for _, title, text in rows]
    kept = Path(os.environ.get("ADAPT_CACHE", Path.home() / ".cache" / "adapt"))
    return texts, torch.tensor([int(row[0]) - 1 for row in rows]), encoders.sentences(texts, kept)


@cache
def accuracy(method: str, wording: str, labels: int, seed: int, count: int) -> heads.Score:
    """The accuracy on the test half. The result is kept: several cells of the grid may ask for one result."""
    texts, y, x = news(count)
    pool, test = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).chunk(2)
    if method == KMEANS:
        clusters = KMeans(4, n_init=10, random_state=seed).fit(x[pool].numpy()).predict(x[test].numpy())
        table = numpy.bincount(4 * clusters + y[test].numpy(), minlength=16).reshape(4, 4)
        hits = numpy.array(linear_sum_assignment(-table)[1])[clusters] == y[test].numpy()
        return heads.proportion("accuracy", torch.from_numpy(hits))
    few = torch.cat([pool[y[pool] == c][:labels] for c in range(4)])
    known = torch.where(torch.isin(pool, few), y[pool], -1)
    if method == TFIDF:
        words = TfidfVectorizer(sublinear_tf=True, stop_words="english").fit([texts[i] for i in pool])
        solved = RidgeClassifier().fit(words.transform([texts[i] for i in few]), y[few])
        hits = solved.predict(words.transform([texts[i] for i in test])) == y[test].numpy()
        return heads.proportion("accuracy", torch.from_numpy(hits))
    if method in (UNLABELLED, BOTH):
        found = zeroshot.mixture(x[pool], vectors_of(wording), known).log_probabilities(x[test])
    else:  # the probe without any label is the classifier by names
        solver = fewshot.ridge() if method == RIDGE else fewshot.text_probe(vectors_of(wording), scale=20.0)
        found = solver(x[few], y[few], x[test])
    return heads.proportion("accuracy", found.argmax(1) == y[test])


def cell_of(cell: report.Cell, settings: Settings) -> heads.Score:
    labels = 0 if cell.method in (KMEANS, NAMES, UNLABELLED) else cell.budget // 4
    wording = "" if cell.method in (KMEANS, RIDGE, TFIDF) else cell.task
    return accuracy(cell.method, wording, labels, cell.seed, settings.texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds, 200 texts: does everything run?")
    parser.add_argument("--out", default="runs/label_axis", help="folder for what is written (default: %(default)s)")
    arguments = parser.parse_args()
    settings = Settings(labels=(1, 4), seeds=2, texts=200) if arguments.quick else Settings()
    torch.set_num_threads(1)  # the solutions are small
    methods = [NAMES, KMEANS, UNLABELLED, TFIDF, RIDGE, PROBE, BOTH]
    result = report.experiment(
        arguments.out, dict.fromkeys(methods, partial(cell_of, settings=settings)), settings.seeds, NAMES,
        data={wording: report.Data() for wording in WORDINGS}, budgets=[4 * k for k in settings.labels],
        settings=settings, quick=arguments.quick,
    )  # fmt: skip
    frozen, lines = [wording for wording in WORDINGS if wording != "bare names"], {}
    for method in methods:
        found = {w: [result.scores(w, b)[method] for b in result.budgets] for w in WORDINGS}  # by budget, then by seed
        lines[method] = settings.labels, numpy.mean([found[w] for w in frozen], 0).T
        print(f"{method:32}", *(f"{w} {100 * numpy.mean(v, 1).round(3)}" for w, v in found.items()), sep="  ")
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    report.curves(figure.subplots(), lines, x="labels of each class", percent=True, logarithmic=True)
    figure.savefig(picture := result.folder / "axis.png", dpi=150)
    for budget in result.budgets:
        mean = {m: numpy.mean([result.scores(w, budget)[m] for w in frozen], 0).tolist() for m in methods}
        table = report.table(report.compare(mean, NAMES), NAMES, metric="test accuracy")
        print(f"\n{budget // 4} labels of each class, mean of {len(frozen)} wordings\n\n{table}")
    print(f"\npage {result.page()}, pictures {picture} and {result.figure()}, numbers {result.json()}")
    print(f"curves: tensorboard --logdir {result.tensorboard()}")


if __name__ == "__main__":
    main()
