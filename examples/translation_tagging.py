"""Translation and part-of-speech tagging of the same text, by one encoder of English words.

    ADAPT_DATA=... python examples/translation_tagging.py            # about 15 minutes of processor time
    ADAPT_DATA=... python examples/translation_tagging.py --quick    # a smoke run; its numbers mean nothing

Tagging from 100 sentences: 83.5 % of the words alone, 83.2 % beside translation; from 500: 89.8 and 89.4 %.
Translation: 3.45 nats per word alone, 3.47 beside tagging; 3.40 and 3.38. Nothing is gained, and no balance changes the
result. Each task of a network is one score of the cell. Settings were fixed on seed 100, which is in no table.

220 steps on 29,000 captions make no translator: the decoder is given the true words before each and scored by its
cross-entropy per known word.
"""

import argparse
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.data import TensorDataset

from adapt import Stream, Trainer, datasets, encoders, heads, multitask, report
from adapt.engine import cosine

LENGTH = 60  # of the longest sentence; padding costs next to nothing


@dataclass(frozen=True)
class Settings:
    seeds: int = 5
    tagged: tuple[int, ...] = (100, 500)
    steps: int = 220
    batch: int = 16
    captions_batch: int = 48
    dim: int = 128
    dropout: float = 0.3
    learning_rate: float = 6e-3
    test_captions: int = 500


QUICK = Settings(seeds=2, tagged=(16,), steps=3, dim=16, captions_batch=8, test_captions=20)


class Sentences(nn.Module):
    """Words in context, ``(n, length, dim)``: vectors of word, ending and shape, then a GRU in both directions.

    Vectors start at zero, so that a word that was never learned says nothing, and words are left out at random, so that
    its ending and shape must do. Features of padding are exactly zero.
    """

    def __init__(self, words: int, endings: int, dim: int, dropout: float):
        super().__init__()
        self.words, self.endings, self.shapes = (nn.Embedding(size, dim) for size in (words, endings, 6))
        for table in (self.words, self.endings):
            nn.init.zeros_(table.weight)
        self.context, self.dropout = nn.GRU(dim, dim // 2, batch_first=True, bidirectional=True), dropout

    def forward(self, tokens: Tensor) -> Tensor:
        lengths = (tokens[..., 2] > 0).sum(1)  # packed: padding costs nothing
        packed = pack_padded_sequence(tokens, lengths, batch_first=True, enforce_sorted=False)
        word, ending, shape = packed.data.unbind(1)
        known = F.dropout(torch.ones(len(word), 1), self.dropout, self.training)
        x = self.words(word) * known + self.endings(ending) + self.shapes(shape)
        context, _ = self.context(packed._replace(data=F.dropout(x, self.dropout, self.training)))
        return pad_packed_sequence(context, batch_first=True, total_length=tokens.shape[1])[0]


class Decoder(nn.Module):
    """A sentence word by word, from the three words before and from the features that these ask for by attention.

    Its output is what it looks at; `loss` and `score` give it the true words before, `translate` its own.
    """

    missing = -1  # padding, and words that are not in the vocabulary

    def __init__(self, dim: int, vocabulary: Sequence[str], dropout: float):
        super().__init__()
        self.vocabulary, self.classes = vocabulary, len(vocabulary)  # word 0 ends a sentence
        self.look, self.join = nn.Linear(dim, dim, bias=False), nn.Linear(2 * dim, dim)
        self.words, self.place = nn.Embedding(self.classes + 1, dim), nn.Embedding(LENGTH, dim)
        self.before = nn.Linear(3 * dim, dim)
        for table in (self.words, self.place):
            nn.init.normal_(table.weight, std=dim**-0.5)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        return self.look(features)

    def states(self, memory: Tensor, before: Tensor, first: int = 0) -> Tensor:
        """``(n, length, 2 dim)`` from the words before each; -1 is the start, or an unknown word."""
        x = self.words(before % (self.classes + 1))
        x = F.pad(x, (0, 0, 2, 0)).unfold(1, 3, 1).flatten(2)
        h = (self.before(x) + self.place.weight[first : first + before.shape[1]]).tanh()
        attention = (h @ memory.mT).masked_fill(memory[:, None, :, 0] == 0, -torch.inf).softmax(2)
        return torch.cat([h, attention @ memory], 2)

    def logits(self, z: Tensor) -> Tensor:
        return F.linear(self.dropout(self.join(z).tanh()), self.words.weight[:-1])

    def forced(self, memory: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits and labels of all known words, and the number of their sentence."""
        there = labels != self.missing
        length = int(there.any(0).nonzero().max()) + 1 if there.any() else 1
        labels, there = labels[:, :length], there[:, :length]
        z = self.states(memory, F.pad(labels, (1, -1), value=-1))
        return self.logits(z[there]), labels[there], there.nonzero()[:, 0]

    def loss(self, memory: Tensor, labels: Tensor) -> Tensor:
        logits, y, _ = self.forced(memory, labels)
        return heads.class_cross_entropy(logits, y)

    def present(self, labels: Tensor) -> Tensor:
        return labels != self.missing

    def measure(self, memory: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy summed over the known words of each sentence, and their number."""
        totals, counts = [], []
        for m, y in zip(memory.split(100), labels.split(100), strict=True):
            logits, known, sentence = self.forced(m, y)
            costs = F.cross_entropy(logits, known, reduction="none").double()
            totals.append(torch.zeros(len(m)).double().index_add(0, sentence, costs))
            counts.append((y != self.missing).sum(1))
        return torch.cat(totals), torch.cat(counts)

    def score(self, measures: tuple[Tensor, Tensor], units: Tensor | None = None) -> heads.Score:
        """Cross-entropy per known word and sentence end; its exponential is the perplexity."""
        return heads.ratio("cross-entropy", *measures, higher_is_better=False, units=units)

    def check(self, labels: Tensor) -> None:
        if labels.ndim != 2 or labels.max() >= self.classes:
            raise ValueError(f"`labels` must be (n, length) below {self.classes}, got {tuple(labels.shape)}.")

    @torch.no_grad()
    def translate(self, memory: Tensor, length: int = 30) -> list[str]:
        """The most probable word, one after another."""
        words = torch.full((len(memory), 1), -1)
        for i in range(length):
            z = self.states(memory, words[:, -3:], max(0, i - 2))[:, -1:]
            words = torch.cat([words, self.logits(z).argmax(2)], 1)
        rows = [row[: row.index(0)] if 0 in row else row for row in words[:, 1:].tolist()]
        return [" ".join(self.vocabulary[i] for i in row) for row in rows]


class Texts:
    """All texts as numbers."""

    def __init__(self, settings: Settings):
        (train, _, test, _), pud = datasets.multi30k(), datasets.ud_pud()
        english, german = [split(t) for t in train.english], [split(t.lower()) for t in train.german]
        self.words = frequent([w.lower() for s in english + pud.english.words for w in s], 2)
        self.endings = frequent([w.lower()[-3:] for s in english + pud.english.words for w in s], 5)
        self.vocabulary = frequent([w for s in german for w in s], 20)
        self.captions = TensorDataset(self.tokens(english), self.translations(german))
        german = [split(t.lower()) for t in test.german[: settings.test_captions]]
        english = [split(t) for t in test.english[: settings.test_captions]]
        self.test = TensorDataset(self.tokens(english), self.translations(german))
        self.references = [" ".join(s) for s in german]
        self.news, self.tags = self.tokens(pud.english.words), padded(pud.english.tags)
        self.german = self.translations([split(t.lower()) for t in pud.german.texts])
        names = sorted(set(pud.documents))
        self.document = torch.tensor([names.index(d) for d in pud.documents])

    def tokens(self, sentences: list[list[str]]) -> Tensor:
        """``(n, length, 3)`` numbers of the word, of its ending and of its shape; 0 is padding, or unknown."""
        kinds = (lambda w: self.words.get(w.lower(), 0)), (lambda w: self.endings.get(w.lower()[-3:], 0)), shape
        return torch.stack([padded([[number(w) for w in s] for s in sentences], 0) for number in kinds], 2)

    def translations(self, sentences: list[list[str]]) -> Tensor:
        return padded([[self.vocabulary.get(w, -1) for w in s] + [0] for s in sentences])

    def parts(self, seed: int) -> tuple[Tensor, Tensor]:
        """Sentences to learn from, in random order, and for the test; those of a document are on one side."""
        g = torch.Generator().manual_seed(seed)
        documents, order = (torch.randperm(n, generator=g) for n in (int(self.document.max()) + 1, len(self.document)))
        learn = documents[self.document[order]] < 0.55 * len(documents)
        return order[learn], order[~learn]


def split(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text)


def frequent(words: list[str], least: int) -> dict[str, int]:
    """Words that occur often enough, numbered from 1."""
    return {w: i for i, (w, n) in enumerate(Counter(words).most_common(), 1) if n >= least}


def shape(word: str) -> int:
    """1 to 5: upper case, lower case, with a digit, letters without case, none of these."""
    kinds = (word[0].isupper(), word[0].islower(), any(c.isdigit() for c in word), any(c.isalpha() for c in word))
    return 1 + (kinds.index(True) if any(kinds) else 4)


def padded(rows: list[list[int]], value: int = -1) -> Tensor:
    return torch.tensor([(row + [value] * LENGTH)[:LENGTH] for row in rows])


SINGLE, DEFAULT = "single-task: a network per task", "default: equal, natural scale"
BALANCES: dict[str, Callable[[], Any]] = {
    DEFAULT: lambda: None,
    "random weights (RLW)": multitask.rlw,
    "uncertainty": multitask.uncertainty,
    "IMTL-G": multitask.imtl_g,
    "UPGrad at the features": lambda: multitask.upgrad(at="features"),
}


def learned(cell: report.Cell, settings: Settings) -> dict[str, Any]:
    """The scores of one network for all tasks; or of a network for the tags and another for the translations."""
    tasks = [["tags"], ["german", "captions"]] if cell.method == SINGLE else [["tags", "german", "captions"]]
    return {name: score for some in tasks for name, score in network(cell, settings, some).items()}


def network(cell: report.Cell, settings: Settings, tasks: list[str]) -> dict[str, Any]:
    """The scores of one network, by name; of a task that the network did not learn, none."""
    data: Texts = cell.data.more
    torch.manual_seed(cell.seed)
    encoder = encoders.wrap(
        Sentences(len(data.words) + 1, len(data.endings) + 1, settings.dim, settings.dropout), settings.dim
    )
    tagger = heads.TokenClassifier(settings.dim, list(datasets.UPOS))
    decoder = Decoder(settings.dim, ["", *data.vocabulary], settings.dropout)
    terms = {
        "tags": multitask.task("tags", tagger, "news", label=0),
        "german": multitask.task("german", decoder, "news", label=1),
        "captions": multitask.task("captions", decoder, "captions"),
    }
    learn, test = data.parts(cell.seed)
    learn, both = learn[: cell.budget], torch.stack([data.tags, data.german], 1)
    streams = {"news": Stream(TensorDataset(data.news[learn], both[learn]), settings.batch)}
    if "captions" in tasks:
        streams["captions"] = Stream(data.captions, settings.captions_batch)
    trainer = Trainer(
        encoder, [terms[t] for t in tasks], streams, balance=BALANCES.get(cell.method, lambda: None)(), seed=cell.seed,
        schedule=cosine(), clip=1.0, log_every=10,
        device="cpu", optimizer=lambda groups: torch.optim.AdamW(groups, settings.learning_rate, fused=True),
        progress=cell.method == DEFAULT and cell.seed == 0,  # a bar ends with a sentence on the tasks' gradients
    ).fit(settings.steps)  # fmt: skip
    trainer.network.eval()  # the decoder's score asks its dropout
    found: dict[str, Any] = {}
    if "tags" in tasks:
        score = trainer.evaluate(tagger, TensorDataset(data.news[test], data.tags[test]))
        error = heads.Score("tagging error", 1 - score.value, 1 - score.high, 1 - score.low, score.n, False)
        found |= {"tagging accuracy": score, "tagging error": error}
    if "captions" in tasks:
        memory, _, labels = trainer.predict(decoder, data.test)
        found["cross-entropy"] = decoder.score(decoder.measure(memory, labels))
        found["chrF"] = chrf(decoder.translate(memory), data.references)
    return found


def chrf(found: Sequence[str], references: Sequence[str]) -> float:
    """F2 of character n-grams, n = 1 to 6, over all sentences, in percent.

    Popovic, 2015, https://aclanthology.org/W15-3049
    """
    f = []
    for n in range(1, 7):
        hits, ours, theirs = 0, 0, 0
        for a, b in zip(found, references, strict=True):
            a, b = (
                Counter(t[i : i + n] for i in range(len(t) - n + 1)) for t in (a.replace(" ", ""), b.replace(" ", ""))
            )
            hits, ours, theirs = hits + (a & b).total(), ours + a.total(), theirs + b.total()
        precision, recall = hits / max(ours, 1), hits / max(theirs, 1)
        f.append(5 * precision * recall / max(4 * precision + recall, 1e-12))
    return 100 * sum(f) / 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds of a few steps: does everything run?")
    parser.add_argument("--out", default="runs/translation_tagging", help="folder for what is written")
    arguments = parser.parse_args()
    settings = QUICK if arguments.quick else Settings()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)  # the networks are small

    methods = dict.fromkeys([SINGLE, *BALANCES], partial(learned, settings=settings))
    result = report.experiment(
        arguments.out, methods, settings.seeds, SINGLE, data=report.Data(more=Texts(settings)), budgets=settings.tagged,
        settings=settings, quick=arguments.quick,
    )  # fmt: skip
    for metric in ("tagging accuracy", "cross-entropy", "chrF"):
        print(f"\n{result.only(metric).table()}\n\n{replace(result.only(metric), baseline=DEFAULT).table()}")
    for budget in result.budgets:
        gains = report.compare(result.delta_m(["tagging error", "cross-entropy"], budget=budget), SINGLE)
        print(f"\n{budget} tagged sentences\n\n{report.table(gains, SINGLE, metric='delta-m')}")
    print(f"\npage {result.page()}, picture {result.figure()}, numbers {result.json()}")
    print(f"curves: tensorboard --logdir {result.tensorboard()}")


if __name__ == "__main__":
    main()
