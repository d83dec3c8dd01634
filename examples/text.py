"""Sentiment of product reviews from few labels: word vectors, frozen and tuned, and a pretrained sentence encoder.

    ADAPT_DATA=... python examples/text.py            # minutes; the features of MiniLM a quarter of an hour more, once
    ADAPT_DATA=... python examples/text.py --quick    # a smoke run; its numbers mean nothing

Amazon reviews of four kinds of product, each a task: 20 or 400 labels per class, and about 1,000 test reviews that no
choice has seen. Five seeds draw the labelled reviews, the new weights and the order, the same for all methods; the
accuracy of a seed is the mean over the four products. The word vectors are the 1,000 most common words of word2vec
alone, so most opinions have no word vector: the share of known words is printed. `from scratch` is the same network
with random vectors of the same size. MiniLM (extra `text`) is frozen, and the features are kept in the folder
ADAPT_CACHE; without the extra the row of MiniLM is left out.

Settings are the library's defaults. Writes a table, results.json and a figure.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from tqdm import tqdm

from adapt import Model, datasets, encoders, inductive, report

CLASSES = ["negative", "positive"]
BASELINE = "from scratch"


@dataclass(frozen=True)
class Settings:
    labels: tuple[int, ...] = (20, 400)  # of each class
    seeds: int = 5
    epochs: int = 20
    words: int = 256  # of a review; the rest is cut off
    reviews: int = 1000  # of each class: all of them
    out: str = "runs/text"


def word_vectors() -> encoders.WordVectors:
    with numpy.load(datasets.data_file("word2vec_1000", "word2vec_1000.npz")) as file:
        return encoders.WordVectors(file["words"].tolist(), torch.from_numpy(file["vectors"]))


def random_vectors(vectors: encoders.WordVectors) -> encoders.WordVectors:
    return replace(vectors, vectors=torch.randn_like(vectors.vectors) * vectors.vectors.std())


def sentences(texts: list[str]) -> Tensor | None:
    """Features of MiniLM, or None where it is not installed."""
    folder = Path(os.environ.get("ADAPT_CACHE", Path.home() / ".cache" / "adapt"))
    try:
        return encoders.sentences(texts, folder)
    except ImportError as error:
        print(f"without MiniLM: {error}", file=sys.stderr)
        return None


Method = Callable[[TensorDataset, int, int], Model]


def methods(vectors: encoders.WordVectors, ids: Tensor, dense: Tensor | None) -> dict[str, tuple[Tensor, Method]]:
    """What each reads, and how it learns from labelled rows, epochs and seed."""

    def scratch(train: TensorDataset, epochs: int, seed: int) -> Model:
        fresh = random_vectors(vectors).encoder(tuned=True)
        return inductive.transfer(
            fresh, train, "full", classes=CLASSES, start="random", encoder_scale=1.0, epochs=epochs, seed=seed
        )

    def frozen(train: TensorDataset, epochs: int, seed: int) -> Model:
        return inductive.transfer(vectors.encoder(), train, "probe", classes=CLASSES, seed=seed)

    def tuned(train: TensorDataset, epochs: int, seed: int) -> Model:
        return inductive.transfer(vectors.encoder(tuned=True), train, "full", classes=CLASSES, epochs=epochs, seed=seed)

    def minilm(train: TensorDataset, epochs: int, seed: int) -> Model:
        kept = encoders.wrap(nn.Identity(), train.tensors[0].shape[1])
        return inductive.transfer(kept, train, "probe", classes=CLASSES, seed=seed)

    found: dict[str, tuple[Tensor, Method]] = {
        BASELINE: (ids, scratch), "word vectors, frozen": (ids, frozen), "word vectors, tuned": (ids, tuned),
    }  # fmt: skip
    return found if dense is None else found | {"MiniLM, frozen": (dense, minilm)}


def drawn(labels: Tensor, pool: Tensor, each: int, seed: int) -> Tensor:
    """So many rows of each class out of `pool`."""
    order = pool[torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))]
    return torch.cat([order[labels[order] == c][:each] for c in range(2)])


def picture(accuracy: dict[int, dict[str, list[float]]]) -> Figure:
    figure = Figure(figsize=(11, 2.6), layout="constrained")
    for axes, (labels, scores) in zip(figure.subplots(1, len(accuracy), sharey=True), accuracy.items(), strict=True):
        report.accuracy_bars(axes, scores, baseline=BASELINE)
        axes.set(xlim=(0.45, 1), xlabel="test accuracy, mean of four products", title=f"{labels} labels per class")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds, 30 reviews a class: does everything run?")
    parser.add_argument("--out", default=Settings.out, help="folder for what is written (default: %(default)s)")
    arguments = parser.parse_args()
    settings = Settings(out=arguments.out)
    if arguments.quick:
        settings = replace(settings, labels=(3, 6), seeds=2, epochs=1, reviews=30)
    out = Path(settings.out)
    if out.exists() and any(out.iterdir()):
        sys.exit(f"`{out}` holds the results of another run: move it away, or choose another folder with --out.")
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)  # the networks are small
    print(f"threads: {torch.get_num_threads()} (OMP_NUM_THREADS sets another number)")

    vectors = word_vectors()
    runs: dict[int, dict[str, list[list[float]]]] = {
        labels: {} for labels in settings.labels
    }  # a list a product, a number a seed
    coverage = {}
    products = datasets.amazon_reviews_text()._asdict()
    bar = tqdm(total=len(products) * len(settings.labels) * settings.seeds, unit="seed", desc="text")
    for product, (texts, y) in products.items():
        rows = torch.cat([(y == c).nonzero().squeeze(1)[: settings.reviews] for c in range(2)])
        texts, y = [texts[i] for i in rows.tolist()], y[rows]
        coverage[product] = vectors.coverage(texts)
        ids = vectors.ids(texts, settings.words)
        ways = methods(vectors, ids, sentences(texts))
        parts = datasets.splits(TensorDataset(ids, torch.arange(len(y))), product, validation=0.0, test=0.5)
        pool, test = parts.train.tensors[1], parts.test.tensors[1]  # reviews with equal words stay together
        for labels in settings.labels:
            for name in ways:
                runs[labels].setdefault(name, []).append([])
            for seed in range(settings.seeds):
                bar.set_postfix_str(f"{product}, {labels} labels per class")
                train = drawn(y, pool, labels, seed)
                for name, (inputs, learn) in ways.items():
                    torch.manual_seed(seed)
                    model = learn(TensorDataset(inputs[train], y[train]), settings.epochs, seed)
                    score = model.evaluate(TensorDataset(inputs[test], y[test]))
                    runs[labels][name][-1].append(score.value)
                bar.update()
    bar.close()

    accuracy = {n: {name: numpy.mean(some, axis=0).tolist() for name, some in each.items()} for n, each in runs.items()}
    lines = ["Words that have a vector: " + ", ".join(f"{p} {100 * share:.0f} %" for p, share in coverage.items())]
    for labels, scores in accuracy.items():
        rows = report.compare(scores, BASELINE)
        lines += [f"\n{labels} labels per class\n", report.table(rows, BASELINE, metric="test accuracy")]
    table = "\n".join(lines)
    figure = report.save(picture(accuracy), out / "text.png")
    (out / "table.md").write_text(table + "\n")
    results = {"settings": asdict(settings), "coverage": coverage, "accuracy": accuracy, "by_product": runs}
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(f"\n{table}\n\nfigure {figure}, results {out / 'results.json'}")


if __name__ == "__main__":
    main()
