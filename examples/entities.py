"""Named entities of a field with 100 or 200 labelled sentences, with the help of labelled news.

    ADAPT_DATA=... python examples/entities.py            # about an hour of processor time
    ADAPT_DATA=... python examples/entities.py --quick    # a smoke run; its numbers mean nothing

Strict F1, mean of five fields: target only 55.9, news first 59.4 (+3.5), news alone 19.2, without an encoder 36.5.

News with four types of names (CoNLL 2003), then five fields with types of their own (CrossNER). MiniLM (extra `text`)
learns in bfloat16, all but the table of word pieces. The settings were fixed on the validation sentences of literature.
A seed draws the new weights and the order. Test sentences are read once a run, at the end.
"""

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from transformers import AutoTokenizer

import adapt
from adapt import Model, Stream, Trainer, datasets, encoders, engine, heads, report
from adapt.streams import collate
from adapt.streams.tree import concatenate


@dataclass(frozen=True)
class Settings:
    seeds: int = 3
    sentences: int = 15_000  # of each part: all of them
    news: tuple[int, int] = 876, 32  # steps and batch: two epochs
    target: tuple[int, int] = 200, 8  # 8 epochs of 200 sentences, 17 of 100


QUICK = Settings(2, 16, news=(2, 8), target=(2, 8))
BASELINE, NEWS, BOTH = "target only", "news alone", "news, then target"
PEOPLE = ("politician", "scientist", "musicalartist", "writer", "researcher")
GROUPS = ("politicalparty", "university", "band", "magazine", "academicjournal")
LIKE = {"country": "location"} | dict.fromkeys(PEOPLE, "person") | dict.fromkeys(GROUPS, "organisation")  # else "misc"


def rows(sentences: list[tuple[list[str], list[int]]]) -> encoders.WordTokens:
    x, y = zip(*sorted(sentences, key=lambda sentence: len(sentence[0])), strict=True)  # for little padding
    return encoders.word_tokens(x, AutoTokenizer.from_pretrained(encoders.packaged_minilm()), 256, y, per_word=True)


def field(name: str, settings: Settings) -> report.Data:
    train, _, test, names = datasets.crossner()[name]
    train, test = (list(zip(*part, strict=True))[: settings.sentences] for part in (train, test))
    train = [each for each in train if each[0] not in [words for words, _ in test]]  # 7 of 700 are in a test too
    return report.Data(rows(test), names=names, more={"words": (train, test), "train": rows(train)})


def learn(names, data, steps: int, batch: int, seed: int, news: Model | None = None) -> Model:
    """A model; with a model of news it starts with the encoder, and with the rows of the head of the likest type."""
    torch.manual_seed(seed)
    tokens = encoders.from_transformers(encoders.packaged_minilm(), pool="tokens")
    encoder = encoders.by_word(tokens, shapes=True) if news is None else news.encoder
    encoder.layers["whole.model.embeddings"].word_embeddings.requires_grad_(False)  # most of the 30,522 are never seen
    head = heads.TokenClassifier(encoder, names, dropout=0.1, iob2=True)
    if news:
        new = [name for name in names if name not in news.head.names]
        heads.copy_rows(head, news.head, names={name: name[:2] + LIKE.get(name[2:], "misc") for name in new})
    if not steps:
        head.linear.bias.data[[name in new for name in names]] = -1e4  # news knows no other tag
        return Model(encoder, head, collate=collate.pad(), precision="bf16")
    stream = Stream(data, batch, collate=collate.pad(), lengths=data.lengths)
    trainer = Trainer(
        encoder, [adapt.supervised(head, "text")], {"text": stream}, encoder_scale=0.2, clip=1.0, precision="bf16",
        schedule=engine.cosine(warmup=0.1), seed=seed, progress=False,
    )  # fmt: skip
    return trainer.fit(steps).model(head)


def learned(cell: report.Cell, settings: Settings, folder: Path) -> Model:
    if not (saved := folder / f"news-{cell.seed}").exists() and cell.method != BASELINE:
        train, *_, names = datasets.crossner()["conll2003"]
        data = rows(list(zip(*train, strict=True))[: settings.sentences])
        learn(names, data, *settings.news, cell.seed).save(saved)
    news = None if cell.method == BASELINE else Model.load(saved)
    how = (0, 1) if cell.method == NEWS else settings.target
    return learn(cell.data.names, cell.data.more["train"], *how, cell.seed, news)


def no_encoder(cell: report.Cell) -> heads.Score:
    """A logistic regression on each word, its ending, its capitals, and the two words beside."""
    (train, test), head = cell.data.more["words"], heads.TokenClassifier(1, cell.data.names, iob2=True)
    texts = [
        f"b:{b} w:{word} l:{word.lower()} e:{word[-3:]} t:{word.istitle()} u:{word.isupper()} a:{a}"
        for words, _ in train + test for b, word, a in zip(["", *words], words, [*words[1:], ""], strict=False)
    ]  # fmt: skip
    y, true = ([tag for _, tags in side for tag in tags] for side in (train, test))
    x = CountVectorizer(token_pattern=r"\S+", lowercase=False).fit_transform(texts)  # columns of the test keep 0
    fitted = LogisticRegression(C=10, max_iter=300).fit(x[: len(y)], y)
    logits = torch.full((len(true), head.classes), -30.0)  # of tags that no training sentence has
    logits[:, fitted.classes_] = torch.from_numpy(fitted.predict_log_proba(x[len(y) :])).float()
    parts = zip(*(column.split([len(w) for w, _ in test]) for column in (logits, torch.tensor(true))), strict=True)
    return head.score(concatenate([head.measure(z[None], y[None]) for z, y in parts]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds of a few sentences: does everything run?")
    parser.add_argument("--out", default="runs/entities", help="folder for what is written (default: %(default)s)")
    given = parser.parse_args()
    setup = QUICK if given.quick else Settings()
    torch.set_num_threads(1)
    run = partial(learned, settings=setup, folder=Path(given.out) / "models")
    ways = dict.fromkeys([BASELINE, NEWS, BOTH], run) | {"no encoder": no_encoder}
    data = {name: field(name, setup) for name in datasets.CROSSNER_DOMAINS[-2 if given.quick else 1 :]}
    result = report.experiment(given.out, ways, setup.seeds, BASELINE, data=data, settings=setup, quick=given.quick)
    mean = {m: torch.tensor([result.scores(task)[m] for task in data]).mean(0).tolist() for m in ways}
    print(f"\nmean of {len(data)} fields\n\n{report.table(report.compare(mean, BASELINE), BASELINE, metric='span F1')}")
    print(f"\n{result.table()}\n\npage {result.page()}, numbers {result.json()}, picture {result.figure()}")


if __name__ == "__main__":
    main()
