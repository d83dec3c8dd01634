"""Digits of another origin, where the source data is gone: a saved model and unlabelled target images are enough.

    ADAPT_DATA=... python examples/source_free.py            # about 15 minutes of processor time
    ADAPT_DATA=... python examples/source_free.py --quick    # a smoke run; its numbers mean nothing

Six pairs of MNIST, USPS and Semeion. A source model is trained, saved, and loaded again: SHOT-IM and SHOT see the saved
model and unlabelled target images alone. Beside them: the source model as it is; MCC, which keeps the labelled source;
and a model with the target's labels (oracle). Settings are those of the authors of SHOT, except for the network (three
small convolutions), fewer images and epochs, and no augmentation; nothing was chosen on a target. A model with a sign
of harm falls back to the source model. Test images are not adapted to, and are read once a run, at the end.
"""

import argparse
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.utils.data import TensorDataset

import adapt
from adapt import Model, Stream, Trainer, datasets, domain, encoders, heads, report, transductive
from adapt.engine import inverse


@dataclass(frozen=True)
class Settings:
    seeds: int = 5
    images: int = 5000  # for training, of each origin: at most
    epochs: int = 15  # of the source model, and of the adaptation
    batch: int = 64
    rate: float = 0.01
    smoothing: float = 0.1  # of the source's labels


BASELINE, ORACLE, KEEPS = "source only", "target only", "MCC, source kept"
METHODS = {
    "SHOT-IM": transductive.shot_im,
    "SHOT": partial(transductive.shot, labels_weight=0.1),  # 0.1 for digits, as the authors
}
ORIGINS = ("mnist", "usps", "semeion")
PAIRS = [(s, t) for s in ORIGINS for t in ORIGINS if s != t]


@cache
def images(origin: str, most: int) -> tuple[TensorDataset, TensorDataset]:
    """Training and test images, (1, 28, 28) in [-1, 1]; USPS as one set, as in the authors' split."""
    if origin == "usps":
        parts = [datasets.usps(part).tensors for part in ("train", "test")]
        x, y = (torch.cat(columns) for columns in zip(*parts, strict=True))
    else:
        x, y = {"mnist": datasets.mnist, "semeion": datasets.semeion}[origin]().tensors
    if x.shape[-1] == 16:  # digits of MNIST fill a box of 20 pixels, the others a box of 16
        x = F.pad(F.interpolate(x.float(), size=(20, 20), mode="bilinear"), (4, 4, 4, 4))
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    test, train = order[: len(y) // 5], order[len(y) // 5 :][:most]
    return TensorDataset(2 * x[train] - 1, y[train]), TensorDataset(2 * x[test] - 1, y[test])


def train(origin: str, target: str | None, seed: int, settings: Settings) -> Model:
    """A model of labelled images of an origin; with a target, MCC beside the labels."""
    torch.manual_seed(seed)
    encoder = encoders.small_conv(1)
    head = heads.Classifier(encoder, 10, dropout=0.5, label_smoothing=settings.smoothing)
    terms, rows = [adapt.supervised(head, "source")], images(origin, settings.images)[0]
    streams = {"source": Stream(rows, settings.batch)}
    if target:
        terms.append(domain.mcc(head))
        streams["target"] = Stream(images(target, settings.images)[0], settings.batch, labels=False)
    sgd = partial(torch.optim.SGD, lr=settings.rate, momentum=0.9, nesterov=True, weight_decay=1e-3)
    trainer = Trainer(encoder, terms, streams, optimizer=sgd, schedule=inverse(), seed=seed, progress=False)
    return trainer.fit(epochs=settings.epochs).model(head)


def source_model(origin: str, seed: int, settings: Settings, folder: Path) -> Model:
    """The model of an origin from its folder, trained once."""
    saved = folder / f"{origin}-{seed}"
    if not saved.exists():
        train(origin, None, seed, settings).save(saved)
    return Model.load(saved)


def learned(cell: report.Cell, settings: Settings, folder: Path) -> report.Outcome:
    source, target = cell.data.more
    unlabelled, test = images(target, settings.images)
    if cell.method == KEEPS:
        model = train(source, target, cell.seed, settings)
    else:
        model = source_model(target if cell.method == ORACLE else source, cell.seed, settings, folder)
    if cell.method in METHODS:
        model = transductive.source_free(
            model, unlabelled, method=METHODS[cell.method], epochs=settings.epochs, batch_size=settings.batch,
            rate=settings.rate, seed=cell.seed,
        )  # fmt: skip
    return report.Outcome({"accuracy": model.evaluate(test)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds of a few images: does everything run?")
    parser.add_argument("--out", default="runs/source_free", help="folder for what is written (default: %(default)s)")
    arguments = parser.parse_args()
    settings = Settings(seeds=2, images=100, epochs=2) if arguments.quick else Settings()
    torch.set_num_threads(1)  # the network is small
    tasks = {f"{source} to {target}": report.Data(more=(source, target)) for source, target in PAIRS}
    methods = dict.fromkeys(
        [BASELINE, *METHODS, KEEPS, ORACLE],
        partial(learned, settings=settings, folder=Path(arguments.out) / "models"),
    )
    result = report.experiment(
        arguments.out, methods, settings.seeds, BASELINE, data=tasks, settings=settings, oracle=[ORACLE],
        quick=arguments.quick,
    )  # fmt: skip
    print(f"\n{result.table()}\n\npage {result.page()}, numbers {result.json()}, picture {result.figure()}")


if __name__ == "__main__":
    main()
