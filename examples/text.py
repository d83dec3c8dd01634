"""Sentiment of product reviews from few labels: word vectors, frozen and tuned, and a pretrained sentence encoder.

    ADAPT_DATA=... python examples/text.py            # minutes; the features of MiniLM a quarter of an hour more, once
    ADAPT_DATA=... python examples/text.py --quick    # a smoke run; its numbers mean nothing

Mean of four products, against the same network from scratch: 20 labels per class, word vectors +10.4 points (95 %
interval 7.1 to 13.6), MiniLM +15.4 (11.7 to 19.0); 400 labels, frozen vectors -0.9 (-1.4 to -0.4), MiniLM +2.5. A
logistic regression on tf-idf, without any encoder: +10.4 and +1.6.

Amazon reviews of four kinds of product, each a task, with about 1,000 test reviews that no choice has seen. A seed
draws the labelled reviews, the new weights and the order. The vectors are those of the 1,000 most common words, random
vectors from scratch. The features of MiniLM (extra `text`, else the cells fail) are kept in the folder ADAPT_CACHE.
"""

import argparse
import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor, nn
from torch.utils.data import Subset, TensorDataset

from adapt import Model, datasets, encoders, heads, inductive, report

CLASSES, BASELINE = ["negative", "positive"], "from scratch"


@dataclass(frozen=True)
class Settings:
    labels: tuple[int, ...] = (20, 400)  # of each class
    seeds: int = 5
    epochs: int = 20
    words: int = 256  # of a review; the rest is cut off
    reviews: int = 1000  # of each class: all of them


QUICK = replace(Settings(), labels=(3, 6), seeds=2, epochs=1, reviews=30)


def product(name: str, texts: list[str], y: Tensor, vectors: encoders.WordVectors, settings: Settings) -> report.Data:
    """The reviews of a product as texts and as numbers of words; half of them for the test."""
    rows = torch.cat([(y == c).nonzero().squeeze(1)[: settings.reviews] for c in range(2)])
    texts, y = [texts[i] for i in rows.tolist()], y[rows]
    print(f"{name}: {100 * vectors.coverage(texts):.0f} % of the words have a vector")
    ids = vectors.ids(texts, settings.words)
    pool, _, test = datasets.splits(TensorDataset(ids, torch.arange(len(y))), name, validation=0.0, test=0.5)
    pool, test = pool.tensors[1], test.tensors[1]  # reviews with equal words stay together
    more = {"ids": ids, "reviews": datasets.texts(texts, y), "pool": pool, "test": test, "vectors": vectors}
    return report.Data(TensorDataset(ids[test], y[test]), names=CLASSES, more=more)


def drawn(cell: report.Cell) -> Tensor:
    """Numbers of as many reviews as the cell has labels, equally many of each class."""
    y, pool = cell.data.more["reviews"].labels, cell.data.more["pool"]
    order = pool[torch.randperm(len(pool), generator=torch.Generator().manual_seed(cell.seed))]
    return torch.cat([order[y[order] == c][: cell.budget // 2] for c in range(2)])


def learned(cell: report.Cell, encoder: encoders.Encoder, learn: str, inputs: Tensor, **options: Any) -> Model:
    train = TensorDataset(*(column[drawn(cell)] for column in (inputs, cell.data.more["reviews"].labels)))
    return inductive.transfer(encoder, train, learn, classes=CLASSES, seed=cell.seed, **options)


def no_encoder(cell: report.Cell) -> report.Outcome:
    """A logistic regression on tf-idf of words."""
    reviews, test = cell.data.more["reviews"], cell.data.more["test"]
    return report.no_encoder(Subset(reviews, drawn(cell)), Subset(reviews, test))(cell)


def words(cell: report.Cell, learn: str, fresh: bool = False, **options: Any) -> Model:
    vectors = cell.data.more["vectors"]
    if fresh:
        vectors = replace(vectors, vectors=torch.randn_like(vectors.vectors) * vectors.vectors.std())
    return learned(cell, vectors.encoder(tuned=learn == "full"), learn, cell.data.more["ids"], **options)


def minilm(cell: report.Cell) -> heads.Score:
    """A score in place of the model, which reads other numbers of the test reviews than the other models."""
    more, cache = cell.data.more, Path(os.environ.get("ADAPT_CACHE", Path.home() / ".cache" / "adapt"))
    dense, test = encoders.sentences(more["reviews"].texts, cache), more["test"]
    model = learned(cell, encoders.wrap(nn.Identity(), dense.shape[1]), "probe", dense)
    return model.evaluate(TensorDataset(dense[test], more["reviews"].labels[test]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds, 30 reviews a class: does everything run?")
    parser.add_argument("--out", default="runs/text", help="folder for what is written (default: %(default)s)")
    arguments = parser.parse_args()
    settings = QUICK if arguments.quick else Settings()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)  # the networks are small

    file = numpy.load(datasets.data_file("word2vec_1000", "word2vec_1000.npz"))
    vectors = encoders.WordVectors(file["words"].tolist(), torch.from_numpy(file["vectors"]))
    tuned = partial(words, learn="full", epochs=settings.epochs)
    scratch = partial(tuned, fresh=True, start="random", encoder_scale=1.0)
    result = report.experiment(
        arguments.out, {
            BASELINE: scratch, "word vectors, frozen": partial(words, learn="probe"), "word vectors, tuned": tuned,
            "MiniLM, frozen": minilm, "no encoder: tf-idf": no_encoder,
        }, settings.seeds, BASELINE,
        data={n: product(n, *read, vectors, settings) for n, read in datasets.amazon_reviews_text()._asdict().items()},
        budgets=[2 * each for each in settings.labels], settings=settings, quick=arguments.quick,
    )  # fmt: skip
    for budget in result.budgets:
        scores = [result.scores(task, budget) for task in result.tasks]
        mean = {method: numpy.mean([each[method] for each in scores], axis=0).tolist() for method in scores[0]}
        table = report.table(report.compare(mean, BASELINE), BASELINE, metric="test accuracy")
        print(f"\n{budget // 2} labels per class, mean of {len(scores)} products\n\n{table}")
    print(f"\n{result.table()}\n\npage {result.page()}, picture {result.figure()}, numbers {result.json()}")
    print(f"curves: tensorboard --logdir {result.tensorboard()}")


if __name__ == "__main__":
    main()
