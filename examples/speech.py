"""Spoken digits of a new speaker, from scratch: recordings of the speaker help without a label.

    ADAPT_DATA=... python examples/speech.py            # 10 minutes of processor time
    ADAPT_DATA=... python examples/speech.py --quick    # a smoke run; its numbers mean nothing

Mean of six speakers, two seeds: 73.2 % source only, 75.8 with the speaker's statistics, 89.0 with SHOT; worst speaker
50.0, 56.5 and 72.2.
Each speaker is left out in turn. All recordings of the speaker are read without labels, and all are scored. A seed
draws 80 % of the other recordings, the weights and the order. Accents, and a pretrained encoder: accents.py.
"""

import argparse
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, partial

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import TensorDataset

import adapt
from adapt import Model, Stream, Trainer, datasets, domain, encoders, engine, heads, report, transductive

BASELINE, AUGMENTED, ORACLE = "source only", "augmented", "target only"
TERMS = {"DANN": domain.dann, "CORAL": lambda encoder: domain.deep_coral()}
SHOT = {"SHOT-IM": transductive.shot_im, "SHOT": transductive.shot}
vary, ADAPTED = (
    datasets.vary_speech,
    ["augmented, statistics", *TERMS, *SHOT],
)  # all with BatchNorm statistics of the target


@dataclass(frozen=True)
class Settings:
    seeds: int = 3
    variations: int = 5  # of each recording
    steps: int = 250  # of training
    epochs: int = 10  # of SHOT


def image(wave: Tensor) -> Tensor:
    heard = F.pad(wave[wave.nonzero().min() : wave.nonzero().max() + 1], (0, 256))
    x = datasets.log_mel(heard, datasets.FSDD_RATE, hop=64, floor=1e-3)
    x = F.interpolate(x[None], size=(32, 32), mode="bilinear", antialias=True)[0]
    return (x - x.mean()) / x.std()  # (1, 32, 32), bands by time


@cache
def recordings() -> tuple[Tensor, Tensor, numpy.ndarray]:
    waves, labels = datasets.fsdd(seconds=2.4).tensors
    return torch.stack([image(w) for w in waves]), labels[:, 0], numpy.array(datasets.FSDD_SPEAKERS)[labels[:, 1]]


def parts(speaker: str, method: str, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Numbers of recordings to learn from and to score; of the speaker alone, two halves in turn."""
    own = torch.from_numpy(recordings()[2] == speaker)
    source, target = (rows.nonzero().squeeze(1) for rows in (~own, own))
    a, b = target[0::2], target[1::2]
    order = torch.randperm(len(source), generator=torch.Generator().manual_seed(seed))
    return [(a, b), (b, a)] if method == ORACLE else [(source[order[: round(0.8 * len(source))]], target)]


@cache
def trained(speaker: str, method: str, seed: int, part: int, s: Settings) -> Model:
    (x, y, _), (train, test) = recordings(), parts(speaker, method, seed)[part]
    torch.manual_seed(seed)
    encoder = encoders.small_conv(1).to(memory_format=torch.channels_last)
    head = heads.Classifier(encoder, 10, dropout=0.3, label_smoothing=0.1)
    more = s.variations if method != BASELINE else 0  # of each recording, drawn once
    source, target = (torch.stack([vary(one) for _ in range(more) for one in x[i]] or [*x[i]]) for i in (train, test))
    rows = TensorDataset(source, y[train].repeat(more or 1))
    terms, streams = [adapt.supervised(head, "source")], {"source": Stream(rows, 50)}
    if method in TERMS:
        terms.append(TERMS[method](encoder))
        streams["target"] = Stream(TensorDataset(target), 25, labels=False)
    adam = partial(torch.optim.AdamW, lr=3e-3, fused=True)
    trainer = Trainer(encoder, terms, streams, optimizer=adam, schedule=engine.cosine(), seed=seed, progress=False)
    trainer.fit(steps=s.steps)
    return trainer.model(head)


def scored(cell: report.Cell, s: Settings) -> heads.Score:
    (x, y, _), hits = recordings(), []
    method = AUGMENTED if cell.method in (ADAPTED[0], *SHOT) else cell.method  # three methods go on from one network
    for part, (_, test) in enumerate(parts(cell.task, method, cell.seed)):
        model, target = deepcopy(trained(cell.task, method, cell.seed, part, s)), TensorDataset(x[test])
        if cell.method in ADAPTED:
            domain.adabn(model.encoder, target)
        if cell.method in SHOT:
            how = {"epochs": s.epochs, "augment": vary, "seed": cell.seed}
            model = transductive.source_free(model, target, method=SHOT[cell.method], **how)
        hits.append(torch.from_numpy(model.predict(target)) == y[test])
    return heads.proportion("accuracy", torch.cat(hits))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 steps, two speakers: does everything run?")
    parser.add_argument("--out", default="runs/speech", help="folder for what is written (default: %(default)s)")
    arguments = parser.parse_args()
    settings = Settings(seeds=2, variations=1, steps=3, epochs=1) if arguments.quick else Settings()
    torch.set_num_threads(1)  # the network is small
    (x, _, names), speakers = recordings(), datasets.FSDD_SPEAKERS[: 2 if arguments.quick else None]
    for target in (names == speaker for speaker in speakers):
        assert not datasets.leak_check(x[~target], x[target], groups=(names[~target], names[target]))
    methods = dict.fromkeys([BASELINE, AUGMENTED, *ADAPTED, ORACLE], partial(scored, s=settings))
    grid = {"oracle": [ORACLE], "settings": settings, "quick": arguments.quick}
    result = report.experiment(
        arguments.out, methods, settings.seeds, BASELINE, data=dict.fromkeys(speakers, report.Data()), **grid
    )
    for method in methods:
        found = [100 * numpy.mean(result.scores(speaker)[method]) for speaker in speakers]
        print(f"mean of {len(found)} speakers {numpy.mean(found):5.1f} %, worst speaker {min(found):5.1f} %: {method}")
    print(f"\n{result.table()}\n\npage {result.page()}, picture {result.figure()}, numbers {result.json()}")


if __name__ == "__main__":
    main()
