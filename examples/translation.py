"""Translation of captions, English to German and French, with an encoder of English sentences that stays frozen.

    ADAPT_DATA=... python examples/translation.py            # 3 hours of processor time; the first two parts 1 hour
    ADAPT_DATA=... python examples/translation.py --quick    # a smoke run; its numbers mean nothing

BLEU (sacreBLEU 13a, cased) and chrF2. 29,000 pairs: German 36.5 and 60.4 (three seeds), French 56.6 and 72.5 (one); one
decoder for both 37.8 and 55.3 BLEU (one). French, 2,900 pairs, three seeds: 26.1 BLEU with an encoder from scratch,
28.0 with MiniLM, 35.6 with the decoder of German. States of MiniLM are computed once (folder ADAPT_CACHE) and mixed.
"""

import argparse
import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoTokenizer, BertConfig, BertModel

import adapt
from adapt import Model, Stream, Trainer, datasets, encoders, heads, report
from adapt.engine import cosine
from adapt.streams import collate


@dataclass(frozen=True)
class Settings:
    seeds: int = 3
    full: tuple[int, int, int] = (29_000, 7, 64)  # captions, epochs, captions of a batch
    few: tuple[int, int, int] = (2_900, 12, 32)
    pieces: int = 4_000  # of words; in German and French together
    rate: float = 2e-3


QUICK = replace(Settings(), seeds=1, full=(200, 1, 64), few=(80, 1, 64), pieces=300)
LANGUAGES, LENGTH, PAD = ["German", "French"], 64, collate.pad()
SMALL = {"hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4}  # the sizes of a layer of the head
HEAD: Any = {"length": LENGTH, "encoder_layers": 1, "label_smoothing": 0.1, "languages": LANGUAGES, "byte_level": True,
             "dropout": 0.1, "beam": 5}  # fmt: skip
MINILM, SCRATCH, PARENT, BOTH = "MiniLM", "encoder from scratch", "MiniLM, decoder of German", "MiniLM, one decoder"
PARTS = {"german": (["German"], [MINILM]), "few": (["French"], [MINILM, SCRATCH, PARENT]),
         "french": (["French"], [MINILM]), "both": (LANGUAGES, [BOTH])}  # fmt: skip


def read(settings: Settings) -> dict[str, Any]:
    """English captions as tokens and as states of MiniLM; captions of both languages as labels."""
    sides, folder, cache = datasets.multi30k(), encoders.packaged_minilm(), os.environ.get("ADAPT_CACHE", "runs/cache")
    print("leaks:", datasets.leak_check(sides.train.english, sides.flickr.english, near=1))
    encoder, tokenizer = encoders.from_transformers(folder), AutoTokenizer.from_pretrained(str(folder))
    pieces = datasets.BytePairs(sides.train.german + sides.train.french, size=settings.pieces)
    found: dict[str, Any] = {"encoder": encoder, "pieces": pieces, "words": tokenizer.vocab_size}
    for name, side in (("train", sides.train), ("test", sides.flickr)):
        english, *others = (column[: settings.full[0]] for column in side)
        tokens = encoders.tokens(english, tokenizer, LENGTH, padded=False)
        states = encoders.keep_states(encoders.mix_layers(encoder), tokens, cache, precision="bf16")
        found[name] = {"tokens": tokens.inputs, "states": states.inputs}
        for number, (language, texts) in enumerate(zip(LANGUAGES, others, strict=True)):
            found[name][language] = nn.functional.pad(pieces.numbers(texts, LENGTH), (1, 0), value=number)
    return found


def rows(side: dict[str, Any], method: str, languages: list[str], most: int | None = None) -> encoders.Tokens:
    """Pairs of an English caption and of the labels: the number of the language, and the pieces of words."""
    inputs = side["tokens" if method == SCRATCH else "states"]
    columns = {key: list(column[:most]) * len(languages) for key, column in inputs.items()}
    return encoders.Tokens(columns, torch.cat([side[language][:most] for language in languages]))


def trained(cell: report.Cell, settings: Settings, part: str, models: Path) -> Model:
    data, (most, epochs, batch) = cell.data.more, settings.few if part == "few" else settings.full
    encoder = encoders.kept_mix(encoders.mix_layers(data["encoder"]))
    if cell.method == SCRATCH:  # eager: the attention of torch is slow in bf16
        small = BertConfig(**SMALL, vocab_size=data["words"], num_hidden_layers=1, attn_implementation="eager")
        encoder = encoders.mix_layers(encoders.from_transformers(BertModel(small)))
    head = heads.Sequence(encoder, data["pieces"].words, **HEAD)
    if cell.method == PARENT:
        start = Model.load(models / f"german {MINILM} 0", collate=PAD)  # one German decoder for all seeds
        encoder.load_state_dict(start.encoder.state_dict())
        head.load_state_dict(start.head.state_dict())
    train = rows(data["train"], cell.method, LANGUAGES if part == "both" else [cell.task], most)
    lengths = LENGTH * (train.labels >= 0).sum(1) + train.lengths  # of the text to write, then of the text to read
    return Trainer(
        encoder, [adapt.supervised(head, "pairs")], {"pairs": Stream(train, batch, collate=PAD, lengths=lengths)},
        optimizer=lambda groups: torch.optim.AdamW(groups, settings.rate, betas=(0.9, 0.98), fused=True), device="cpu",
        schedule=cosine(warmup=0.05), clip=1.0, precision="bf16", seed=cell.seed, progress=False, log=cell.folder,
    ).fit(epochs=epochs).model(head)  # fmt: skip


def scores(cell: report.Cell, settings: Settings, part: str, models: Path) -> report.Outcome:
    saved = models / f"{part} {cell.method} {cell.seed}"  # read by other cells: the decoder of German, the one for both
    model = Model.load(saved, collate=PAD) if saved.exists() else trained(cell, settings, part, models)
    if not saved.exists() and part != "few":
        model.save(saved)
    model.head.language = LANGUAGES.index(cell.task)
    found = model.evaluate(rows(cell.data.more["test"], cell.method, [cell.task]))
    return report.Outcome({"BLEU": found.further["BLEU"], "chrF2": found})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1 seed of a few captions: does everything run?")
    parser.add_argument("--out", default="runs/translation", type=Path, help="folder for what is written")
    arguments = parser.parse_args()
    settings, out, grid = QUICK if arguments.quick else Settings(), arguments.out, {"quick": arguments.quick}
    torch.set_num_threads(1)  # the network is small
    data = report.Data(more=read(settings))
    for part, (tasks, methods) in PARTS.items():
        run = partial(scores, settings=settings, part=part, models=out / "models")
        grid |= {"data": dict.fromkeys(tasks, data), "settings": settings}
        result = report.experiment(out / part, dict.fromkeys(methods, run), settings.seeds, **grid)
        print(f"\n{part}: {result.page()}, {result.figure()}, {result.json()}, BLEU is {heads.bleu_signature()}")
        print(*(result.only(metric).table() for metric in result.metrics), sep="\n\n")


if __name__ == "__main__":
    main()
