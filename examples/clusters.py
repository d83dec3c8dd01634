"""Clusters of digits and of news without a label, on features that were learned without a label.

    ADAPT_DATA=... python examples/clusters.py            # about 7 minutes of processor time
    ADAPT_DATA=... python examples/clusters.py --quick    # a smoke run; its numbers mean nothing

SimCLR pre-trains an encoder on the unlabelled digits of MNIST, USPS and MNIST-M, 22,291 images. Clustered are 2,007
test digits of USPS, the 1,593 digits of Semeion, a set that the encoder has not seen, and 2,000 texts of AG News on
features of MiniLM (extra `text`, else these cells fail; kept in the folder ADAPT_CACHE). The score is the adjusted Rand
index: 1 for the classes, 0 for chance. Labels score, and choose nothing. Figures: docs/unsupervised.md.
"""

import argparse
import csv
import gzip
import math
import os
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor
from torch.utils.data import TensorDataset

from adapt import Stream, Trainer, datasets, encoders, engine, report, unsupervised
from adapt.engine import cosine


@dataclass(frozen=True)
class Settings:
    seeds: int = 5
    epochs: int = 6
    rows: int = 10_000  # most images of each data set
    texts: int = 2_000


PLAIN, RANDOM, MEANS, SPECTRAL, SCAN = "no encoder", "random encoder", "k-means", "spectral", "SCAN"
NEWS, CLASSES = "AG News", {"USPS": 10, "Semeion": 10, "AG News": 4}


def grey(digits: TensorDataset, settings: Settings) -> TensorDataset:
    """Digits as 28 x 28 grey values; those of 16 x 16 get the margin of MNIST."""
    x, y = (part[: settings.rows] for part in digits.tensors)
    size = 20 if x.shape[-1] == 16 else 28
    x = F.interpolate(x.mean(1, keepdim=True), size=size, mode="bilinear", align_corners=False)
    return TensorDataset(F.pad(x, [(28 - size) // 2] * 4), y)


def augment(x: Tensor) -> Tensor:
    """Turn by up to 17 degrees, scale, shear and move a digit; make the strokes thicker, or blur."""
    turn, wide, high, shear, right, down, stroke, _ = (2 * torch.rand(8) - 1).tolist()
    cos, sin, wide, high = math.cos(0.3 * turn), math.sin(0.3 * turn), 1 + 0.2 * wide, 1 + 0.2 * high
    rows = torch.tensor([[cos / wide, -sin / wide + 0.3 * shear, 0.15 * right], [sin / high, cos / high, 0.15 * down]])
    y = F.grid_sample(x[None], F.affine_grid(rows[None], [1, *x.shape], align_corners=False), align_corners=False)
    y = F.max_pool2d(y, 3, 1, 1) if stroke > 0.33 else F.avg_pool2d(y, 3, 1, 1) if stroke < -0.33 else y
    return y[0]


@cache
def encoder_of(seed: int, epochs: int, settings: Settings) -> encoders.Encoder:
    torch.manual_seed(seed)
    encoder = encoders.small_conv(1)
    if epochs:
        sets = [grey(part, settings).tensors[0] for part in (datasets.mnist(), datasets.usps(), datasets.mnist_m())]
        rows = Stream(TensorDataset(torch.cat(sets)), 256, labels=False, views=[augment, augment])
        optimizer = partial(torch.optim.AdamW, lr=2e-3, weight_decay=1e-4)
        term, how = unsupervised.simclr(encoder, on="rows"), {"schedule": cosine(warmup=0.05), "progress": False}
        Trainer(encoder, [term], {"rows": rows}, optimizer=optimizer, seed=seed, **how).fit(epochs=epochs)
    return encoder


@cache
def rows_of(task: str, method: str, seed: int, settings: Settings) -> tuple[Tensor, Tensor]:
    """Features of length one, and the labels that score."""
    if task == NEWS:
        with gzip.open(datasets.data_file("ag_news", "test.csv.gz"), "rt") as file:
            news = list(csv.reader(file))
        news = [news[i] for i in np.random.default_rng(0).permutation(len(news))[: settings.texts]]
        texts, y = [f"{title}. {text}" for _, title, text in news], torch.tensor([int(row[0]) for row in news])
        if method in (PLAIN, RANDOM):  # no random encoder of texts: the words again
            words = TfidfVectorizer(stop_words="english", min_df=2).fit_transform(texts)
            return F.normalize(torch.from_numpy(TruncatedSVD(50, random_state=seed).fit_transform(words)), dim=1), y
        return encoders.sentences(texts, os.environ.get("ADAPT_CACHE", "runs/features")), y
    data = grey(datasets.usps("test") if task == "USPS" else datasets.semeion(), settings)
    if method == PLAIN:
        return F.normalize(data.tensors[0].flatten(1), dim=1), data.tensors[1]
    encoder = encoder_of(seed, 0 if method == RANDOM else settings.epochs, settings)
    return F.normalize(engine.features(encoder, data).tensors[0], dim=1), data.tensors[1]


def clustered(cell: report.Cell, settings: Settings) -> report.Outcome:
    x, y = rows_of(cell.task, cell.method, cell.seed, settings)
    ways = {SCAN: unsupervised.scan, SPECTRAL: partial(unsupervised.cluster, method="spectral")}
    find = ways.get(cell.method, unsupervised.cluster)
    found = unsupervised.cluster_scores(find(x, CLASSES[cell.task], seed=cell.seed), y)
    return report.Outcome({"ARI": found.ari, "NMI": found.nmi, "accuracy": found.accuracy})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds of few rows: does everything run?")
    parser.add_argument("--out", default="runs/clusters", help="folder for what is written (default: %(default)s)")
    arguments = parser.parse_args()
    settings = Settings(seeds=2, epochs=1, rows=128, texts=100) if arguments.quick else Settings()
    torch.set_num_threads(1)  # the network is small
    methods = dict.fromkeys((PLAIN, RANDOM, MEANS, SPECTRAL, SCAN), partial(clustered, settings=settings))
    grid = {"data": dict.fromkeys(CLASSES, report.Data()), "settings": settings, "quick": arguments.quick}
    result = report.experiment(arguments.out, methods, settings.seeds, PLAIN, **grid)
    print(result.table())
    for task, classes in CLASSES.items():
        found = unsupervised.number_of_clusters(rows_of(task, MEANS, 0, settings)[0], range(2, 13))
        print(f"{task}, {classes} classes: {found}")
    print(f"page {result.page()}, picture {result.figure()}, numbers {result.json()}")


if __name__ == "__main__":
    main()
