"""Handwritten digits from paper to photographs, without a label of the target.

    python examples/digits.py            # about 5 minutes on two cores; nothing is downloaded
    python examples/digits.py --quick    # a smoke run of half a minute; its numbers mean nothing

Six ways to train the same network, each with the same five seeds: on the source alone, with one of four adaptation
terms beside it, and on the target's labels as the upper bound. A seventh row has no network: a logistic regression on
the pixels of the source. Settings are the same for all networks and were fixed on another pair of domains (MNIST
digits, shrunk to 8 x 8, treated by the same recipe); nothing was chosen on this target, and the test split is looked at
once a run, at the end. The same command goes on where a killed one ended; other settings need another folder (--out).
Writes a page, its facts as JSON, a picture and a TensorBoard folder.
"""

import argparse
import os
import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch.utils.data import ConcatDataset

import adapt
from adapt import Stream, Trainer, datasets, domain, encoders, heads, ramp, report
from adapt.engine import cosine


@dataclass
class Settings:
    seeds: int = 5
    steps: int = 600
    batch_size: int = 64  # of each domain
    learning_rate: float = 3e-3


THREADS = 2  # where OMP_NUM_THREADS sets no other number
BASELINE, ORACLE = "source only", "target only"
# the terms beside the source, with the best weight of 0.3, 1 and 3 on another pair: benchmarks/digits_development.py
METHODS = {
    BASELINE: lambda encoder, head: [],
    "DANN": lambda encoder, head: [domain.dann(encoder, strength=ramp(0.3))],
    "MK-MMD": lambda encoder, head: [domain.dan(weight=ramp(3.0))],
    "CORAL": lambda encoder, head: [domain.deep_coral(weight=ramp(1.0))],
    "MCC": lambda encoder, head: [domain.mcc(head, weight=ramp(0.3))],
    ORACLE: lambda encoder, head: [],
}


def vary(image: torch.Tensor) -> torch.Tensor:
    """Dark on light or light on dark, with equal chance; moved by up to two pixels."""
    image = 1 - image if torch.rand(()) < 0.5 else image
    return torch.roll(image, torch.randint(-2, 3, (2,)).tolist(), (1, 2))


def train(cell: report.Cell, settings: Settings) -> tuple[Trainer, heads.Classifier]:
    digits = cell.data.more
    encoder = encoders.small_conv()
    classify = heads.Classifier(encoder, classes=10)
    learn_from = "target" if cell.method == ORACLE else "source"
    source = {"source": Stream(digits.paper.train, settings.batch_size, augment=vary)}
    target = {"target": Stream(digits.photo.train, settings.batch_size, labels=cell.method == ORACLE)}
    trainer = Trainer(
        encoder,
        [adapt.supervised(classify, on=learn_from), *METHODS[cell.method](encoder, classify)],
        {BASELINE: source, ORACLE: target}.get(cell.method, source | target),
        optimizer=lambda groups: torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True),
        schedule=cosine(),
        watch={"source": (classify, digits.paper.validation), "target": (classify, digits.photo.validation)},
        watch_every=50,
        log_every=25,
        save_every=settings.steps,
        log=cell.folder,
        seed=cell.seed,
        progress=False,
    )
    return trainer.fit(settings.steps), classify


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds of 40 steps: does everything run?")
    parser.add_argument("--out", default="runs/digits", help="folder for what is written (default: %(default)s)")
    arguments = parser.parse_args()
    settings = Settings(seeds=2, steps=40) if arguments.quick else Settings()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(THREADS)
    print(f"threads: {torch.get_num_threads()} (OMP_NUM_THREADS sets another number)")

    digits = datasets.digits()
    held_out = ConcatDataset([digits.paper.validation, digits.paper.test])
    result = report.experiment(
        arguments.out,
        {"no encoder": report.no_encoder(digits.paper.train)}
        | dict.fromkeys(METHODS, partial(train, settings=settings)),
        settings.seeds,
        BASELINE,
        data=report.Data(test=digits.photo.test, source=held_out, more=digits),
        settings=asdict(settings) | {"threads": torch.get_num_threads()},
        oracle=[ORACLE],
        quick=arguments.quick,
    )
    print(f"\n{result.table()}\n\npage {result.page()}, facts {result.json()}, picture {result.figure()}")
    result.tensorboard()
    print(f"curves: {Path(sys.executable).parent / 'tensorboard'} --logdir {result.folder}")


if __name__ == "__main__":
    main()
