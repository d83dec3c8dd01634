"""Translation and part-of-speech tagging of the same text, by one encoder of English words.

    ADAPT_DATA=... python examples/translation_tagging.py            # about 15 minutes of processor time
    ADAPT_DATA=... python examples/translation_tagging.py --quick    # a smoke run; its numbers mean nothing

Tagging from 100 sentences: 83.5 % of the words alone, 83.2 % beside translation; from 500: 89.8 and 89.4 %.
Translation: 3.45 nats per word alone, 3.47 beside tagging; 3.40 and 3.38. Nothing is gained, and no balance changes the
result. 220 steps make no translator: the decoder is given the true words before. Settings were fixed on seed 100.
"""

import argparse
import os
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils.data import TensorDataset

from adapt import Stream, Trainer, datasets, encoders, heads, multitask, report
from adapt.engine import cosine


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
SINGLE, DEFAULT = "single-task: a network per task", "default: equal, natural scale"
BALANCES: dict[str, Any] = {
    DEFAULT: lambda: None, "random weights (RLW)": multitask.rlw, "uncertainty": multitask.uncertainty,
    "IMTL-G": multitask.imtl_g, "UPGrad at the features": lambda: multitask.upgrad(at="features"),
}  # fmt: skip


def read(settings: Settings) -> dict[str, Any]:
    """Captions in English and German; sentences of news with tags and German, and the number of their document."""
    (train, _, test, _), pud = datasets.multi30k(), datasets.ud_pud()
    forms = datasets.WordForms(train.english + pud.english.words)
    german = datasets.Vocabulary(train.german, least=20, lower=True)
    english, translated = (part[: settings.test_captions] for part in (test.english, test.german))
    labels, names = [datasets.padded(pud.english.tags), german.numbers(pud.german.texts)], sorted(set(pud.documents))
    return {
        "sizes": forms.sizes, "words": german.words, "german": [text.lower() for text in translated],
        "captions": TensorDataset(forms.numbers(train.english), german.numbers(train.german)),
        "test": TensorDataset(forms.numbers(english), german.numbers(translated)),
        "news": (forms.numbers(pud.english.words), torch.stack(labels, 1)),
        "document": torch.tensor([names.index(document) for document in pud.documents]),
    }  # fmt: skip


def parts(document: torch.Tensor, seed: int, budget: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Sentences to learn from, in random order, and for the test; the sentences of a document are on one side."""
    g = torch.Generator().manual_seed(seed)
    documents, order = (torch.randperm(n, generator=g) for n in (int(document.max()) + 1, len(document)))
    learn = documents[document[order]] < 0.55 * len(documents)
    return order[learn][:budget], order[~learn]


def learned(cell: report.Cell, settings: Settings) -> dict[str, Any]:
    """The scores of one network for all tasks; or of a network for the tags and another for the translations."""
    data, found = cell.data.more, dict[str, Any]()
    (x, y), (learn, test) = data["news"], parts(data["document"], cell.seed, cell.budget)
    for tags, words in [(True, False), (False, True)] if cell.method == SINGLE else [(True, True)]:
        torch.manual_seed(cell.seed)
        encoder = encoders.small_gru(*data["sizes"], dim=settings.dim, dropout=settings.dropout)
        tag = heads.TokenClassifier(encoder, datasets.UPOS)
        decode = heads.Sequence(encoder, data["words"], width=settings.dim, dropout=settings.dropout)
        terms = [multitask.task("tags", tag, "news", label=0)] if tags else []
        streams = {"news": Stream(TensorDataset(x[learn], y[learn]), settings.batch)}
        if words:
            terms += [multitask.task("german", decode, "news", label=1), multitask.task("captions", decode, "captions")]
            streams["captions"] = Stream(data["captions"], settings.captions_batch)
        trainer = Trainer(
            encoder, terms, streams, balance=BALANCES.get(cell.method, lambda: None)(), schedule=cosine(), clip=1.0,
            optimizer=lambda groups: torch.optim.AdamW(groups, settings.learning_rate, fused=True), device="cpu",
            progress=cell.method == DEFAULT and cell.seed == 0,  # a bar ends with a sentence on the tasks' gradients
            seed=cell.seed, log_every=10,
        ).fit(settings.steps)  # fmt: skip
        if tags:
            right = trainer.evaluate(tag, TensorDataset(x[test], y[test, 0]))
            wrong = heads.Score("tagging error", 1 - right.value, 1 - right.high, 1 - right.low, right.n, False)
            found |= {"tagging accuracy": right, "tagging error": wrong}
        if words:
            said = trainer.evaluate(decode, data["test"])
            nats = said.further["cross-entropy"]
            found |= {"cross-entropy": heads.Score("cross-entropy", nats, nats, nats, said.n, False), "chrF": said}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds of a few steps: does everything run?")
    parser.add_argument("--out", default="runs/translation_tagging", help="folder for what is written")
    arguments = parser.parse_args()
    settings = QUICK if arguments.quick else Settings()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)  # the networks are small
    result = report.experiment(
        arguments.out, dict.fromkeys([SINGLE, *BALANCES], lambda cell: learned(cell, settings)), settings.seeds, SINGLE,
        data=report.Data(more=read(settings)), budgets=settings.tagged, settings=settings, quick=arguments.quick,
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
