"""How far do collections of texts lie apart, and does the distance tell what a transfer will lose?

    ADAPT_DATA=... python examples/text_distance.py            # 2 minutes of processor time
    ADAPT_DATA=... python examples/text_distance.py --quick    # a smoke run; its numbers mean nothing

Rank correlation with the loss of transfer, 14 pairs: perplexity gap .82, unknown words .53, MMD .18, A-distance .02;
among the 12 pairs of products MMD .88, perplexity gap .71, A-distance .67, unknown words .52.
The distances of 17 collections read no label: A-distance and MMD on features of MiniLM (extra `text`), known words, the
perplexity gap of models of word pairs (not symmetric). The loss, where labels are equal: balanced accuracy of a ridge
classifier on tf-idf that has learned from the target (5 folds), minus that of one that has learned from the source.
"""

import argparse
import csv
import gzip
import json
import os
from dataclasses import dataclass
from itertools import combinations, permutations
from pathlib import Path

import torch
from matplotlib.figure import Figure
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import get_scorer
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from adapt import datasets, encoders, randomness, report

MEASURES, SCORE = ("A-distance", "MMD", "unknown words %", "perplexity gap, bits"), get_scorer("balanced_accuracy")


@dataclass(frozen=True)
class Settings:
    texts: int = 100  # of each collection, for the encoder
    words: int = 12_000  # for the models of word pairs
    step: int = 1  # for the loss: every so many texts


def collections() -> dict[str, list[str]]:
    """Distinct texts by the name of the collection."""
    with gzip.open(datasets.data_file("ag_news", "test.csv.gz"), "rt") as file:
        news = [f"{title} {text}" for _, title, text in csv.reader(file)]
    found = {name: rows.texts for name, rows in datasets.amazon_reviews_text()._asdict().items()}
    found |= {"AG News": news, "MRPC": datasets.mrpc().train.first}
    with gzip.open(datasets.data_file("wmt_en_de_10k", "pairs.tsv.gz"), "rt") as file:
        found["WMT"] = [line.split("\t")[0] for line in file]
    found |= {"PUD": datasets.ud_pud().english.texts, "captions": datasets.multi30k().train.english}
    found["comments"] = [text for video in datasets.youtube_spam().values() for text in video.texts]
    found["messages"] = datasets.sms_spam().texts
    for name, rows in datasets.crossner().items():
        found[name] = [" ".join(words) for part in rows[:3] for words in part.words]
    return {name: list(dict.fromkeys(map(datasets.without_entities, texts))) for name, texts in found.items()}


def losses(step: int) -> dict[tuple[str, str], float]:
    """Points that a source loses against the target's own labels, by pair; every `step`-th text is read."""
    comments = list(datasets.youtube_spam().values())
    spam = [text for video in comments for text in video.texts], torch.cat([video.labels for video in comments])
    found = {}
    for group in (datasets.amazon_reviews_text()._asdict(), {"comments": spam, "messages": datasets.sms_spam()}):
        rows = {name: (texts[::step], y[::step].numpy()) for name, (texts, y) in group.items()}
        words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
        model = make_pipeline(words, RidgeClassifier(class_weight="balanced"))
        own = {name: cross_val_score(model, *rows[name], cv=5, scoring=SCORE).mean() for name in rows}
        for source in rows:
            model.fit(*rows[source])
            found |= {(source, n): 100 * float(own[n] - SCORE(model, *rows[n])) for n in rows if n != source}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20 texts of each collection: does everything run?")
    parser.add_argument("--out", type=Path, default="runs/text_distance", help="folder (default: %(default)s)")
    arguments = parser.parse_args()
    settings = Settings(texts=20, words=300, step=20) if arguments.quick else Settings()
    kept = Path(os.environ.get("ADAPT_CACHE", Path.home() / ".cache" / "adapt"))
    texts, x = collections(), {}
    for name, some in texts.items():
        rows = randomness.permutation(len(some), 0, name)[: settings.texts]
        x[name] = encoders.sentences([some[i] for i in rows], kept)
    far = {(a, b): report.discrepancy(x[a], x[b], permutations=20) for a, b in combinations(texts, 2)}
    table, loss = {}, losses(settings.step)
    for source, target in permutations(texts, 2):
        gap = report.text_gap(texts[source], texts[target], words=settings.words)
        one = far.get((source, target)) or far[target, source]  # the same in both directions
        table[source, target] = one.a_distance.value, one.mmd, 100 * (1 - gap.known), gap.gap
    for pair, points in sorted(loss.items(), key=lambda one: one[1]):
        shown = ", ".join(f"{m} {v:.2f}" for m, v in zip(MEASURES, table[pair], strict=True))
        print(f"{' to '.join(pair):22} loses {points:5.1f} points: {shown}")
    for number, measure in enumerate(MEASURES):
        parts = [pair for pair in loss if "comments" not in pair], list(loss)
        points = [spearmanr([table[p][number] for p in some], [loss[p] for p in some])[0] for some in parts]
        print("{}: rank correlation with the loss {:.2f} (products), {:.2f} (all)".format(measure, *points))
    figure, names = Figure(figsize=(13, 4.6), layout="constrained"), list(texts)
    left, *others = figure.subplots(1, 3, width_ratios=(1.3, 1, 1))
    image = left.imshow([[table.get((a, b), [0.0])[-1] for b in names] for a in names], cmap="viridis_r")
    left.set(yticks=range(len(names)), yticklabels=names, xlabel="target", ylabel="source", title=MEASURES[3])
    left.set_xticks(range(len(names)), names, rotation=90)
    figure.colorbar(image, ax=left)
    for axes, number in zip(others, (1, 3), strict=True):
        axes.set(xlabel=MEASURES[number], ylabel="loss of transfer, points of balanced accuracy")
        for source in dict.fromkeys(source for source, _ in loss):
            some = [pair for pair in loss if pair[0] == source]
            axes.plot([table[p][number] for p in some], [loss[p] for p in some], "o", label=f"from {source}")
    axes.legend()
    (out := arguments.out).mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "distances.png")
    numbers = {" to ".join(pair): [*map(float, v), loss.get(pair)] for pair, v in table.items()}
    numbers |= {"columns": [*MEASURES, "loss"], "quick": arguments.quick}
    (out / "scores.json").write_text(json.dumps(numbers, indent=1))
    print(f"picture {out / 'distances.png'}, numbers {out / 'scores.json'}")


if __name__ == "__main__":
    main()
