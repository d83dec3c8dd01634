"""Which table of word vectors serves a task? Tables of three corpora, ranked before any training and then used.

    ADAPT_DATA=... python examples/word_tables.py            # 1 minute of processor time, 3 seeds
    ADAPT_DATA=... python examples/word_tables.py --quick    # a smoke run; its numbers mean nothing

`ranking.rank` finds the best table of two tasks, and loses 1.8 points on the third (78.4 by all corpora, 76.6 by the
table ranked first). tf-idf without a table is better on reviews (81.0, 78.3) and spam (91.3, 84.5), not on news (76.0).

Tables of 100 numbers per word are learned here from 150,000 words each: reviews, half of AG News, captions. Tasks:
sentiment of kitchen reviews, topics of the other half of AG News, spam in comments. A seed draws 400 labelled texts and
the test; `ranking.rank` sees the labelled texts of seed 0 alone. Then a thesaurus, also from MiniLM (extra `text`).
"""

import argparse
import csv
import gzip
from dataclasses import dataclass
from functools import cache, partial

import numpy
import torch
from torch import Tensor
from torch.utils.data import TensorDataset
from transformers import AutoTokenizer

from adapt import datasets, encoders, inductive, randomness, ranking, report

TFIDF, GOOGLE, ALL = "no table: tf-idf", "Google News, 1,000 words", "all three"
TASKS = ("kitchen sentiment", "news topics", "spam in comments")
ASKED = ("good", "film", "bank", "win", "president", "software")


@dataclass(frozen=True)
class Settings:
    seeds: int = 3
    labels: int = 400
    words: int = 150_000  # of each corpus
    dim: int = 100
    sentences: int = 500  # for the thesaurus of the sentence encoder


def shuffled(rows: list, name: str) -> list:
    return [rows[i] for i in randomness.permutation(len(rows), 0, name).tolist()]


@cache
def news() -> tuple[list[str], Tensor]:
    """Texts and topics in a fixed order: the first half is a corpus, the second half a task."""
    with gzip.open(datasets.data_file("ag_news", "test.csv.gz"), "rt") as file:
        rows = shuffled(list(csv.reader(file)), "news")
    texts = [datasets.without_entities(f"{title} {text}") for _, title, text in rows]
    return texts, torch.tensor([int(row[0]) - 1 for row in rows])


@cache
def tables(settings: Settings) -> dict[str, encoders.WordVectors]:
    books, films, electronics, _ = (rows.texts for rows in datasets.amazon_reviews_text())
    corpora = {"reviews": books + films + electronics, "news": news()[0][:3800]}
    corpora["captions"] = datasets.multi30k().train.english
    for name, texts in [(name, shuffled(texts, name)) for name, texts in corpora.items()]:
        ends = numpy.cumsum([len(text.split()) for text in texts])
        corpora[name] = texts[: int((ends < settings.words).sum()) + 1]
    corpora[ALL] = [text for texts in corpora.values() for text in texts]
    file = numpy.load(datasets.data_file("word2vec_1000", "word2vec_1000.npz"))
    found = {name: encoders.learn_word_vectors(texts, settings.dim) for name, texts in corpora.items()}
    return found | {GOOGLE: encoders.WordVectors(file["words"].tolist(), torch.from_numpy(file["vectors"]))}


@cache
def task(name: str) -> tuple[list[str], Tensor]:
    """Texts, each once, and labels."""
    comments = datasets.youtube_spam().values()
    spam = [t for video in comments for t in video.texts], torch.cat([video.labels for video in comments])
    kitchen, half = datasets.amazon_reviews_text().kitchen, tuple(column[3800:] for column in news())
    texts, y = dict(zip(TASKS, (kitchen, half, spam), strict=True))[name]
    last = {text: i for i, text in enumerate(texts)}
    return list(last), y[list(last.values())]


def learned(cell: report.Cell, settings: Settings) -> report.Outcome:
    texts, y = task(cell.task)
    few, test = randomness.permutation(len(y), cell.seed, cell.task).tensor_split([settings.labels])
    if cell.method == TFIDF:
        rows = [datasets.texts([texts[i] for i in part.tolist()], y[part]) for part in (few, test)]
        return report.no_encoder(*rows)(cell)
    vectors = tables(settings)[cell.method]
    x = vectors.encoder()(vectors.ids(texts, 400))
    probe = inductive.probe(x[few], y[few], int(y.max()) + 1, seed=cell.seed)
    return report.Outcome({"accuracy": probe.model(torch.nn.Identity()).evaluate(TensorDataset(x[test], y[test]))})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds, 20,000 words a corpus: does everything run?")
    parser.add_argument("--out", default="runs/word_tables", help="folder for what is written (default: %(default)s)")
    arguments = parser.parse_args()
    settings = Settings(2, 40, 20_000, 10, 40) if arguments.quick else Settings()
    torch.set_num_threads(1)
    found, grid = tables(settings), {"data": {name: report.Data() for name in TASKS}, "quick": arguments.quick}
    methods = dict.fromkeys([TFIDF, *found], partial(learned, settings=settings))
    result = report.experiment(arguments.out, methods, settings.seeds, TFIDF, settings=settings, **grid)
    for name in TASKS:
        (texts, y), scores = task(name), result.scores(name)
        few = randomness.permutation(len(y), 0, name)[: settings.labels]
        known = ", ".join(f"{table} {100 * v.coverage(texts):.0f} %" for table, v in found.items())
        ranked = ranking.rank(found, y[few], texts=[texts[i] for i in few.tolist()], by=ranking.ridge, halves=0)
        best, used = max(found, key=lambda table: numpy.mean(scores[table])), numpy.mean(scores[ranked.best])
        print(f"\n{name}: known words {known}\n{ranked}\nranked first: {ranked.best} ({100 * used:.1f}), ", end="")
        print(f"best: {best} ({100 * numpy.mean(scores[best]):.1f})")
    whole = encoders.from_transformers(minilm := encoders.packaged_minilm(), pool="tokens")
    some, tokenizer = news()[0][: settings.sentences], AutoTokenizer.from_pretrained(minilm)
    found["MiniLM"] = encoders.contextual_word_vectors(some, whole, tokenizer)
    for word in ASKED:
        shown = {name: table.nearest(word, 6) for name, table in found.items() if word in table.rows}
        print(f"\n{word}", *(f"{name}: {', '.join(n for n, _ in near)}" for name, near in shown.items()), sep="\n  ")
    print(f"\n{result.table()}\n\npage {result.page()}, picture {result.figure()}, numbers {result.json()}")


if __name__ == "__main__":
    main()
