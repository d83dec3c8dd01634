"""Digits of another origin, where the source data is gone: a saved model and unlabelled target images are enough.

    ADAPT_DATA=... python examples/source_free.py            # about 2 hours of processor time
    ADAPT_DATA=... python examples/source_free.py --quick    # a smoke run; its numbers mean nothing

Six pairs of MNIST, USPS and Semeion. A source model is trained, saved, and loaded again: SHOT-IM and SHOT see the saved
model and unlabelled target images alone. Beside them: the source model as it is; MCC, which keeps the labelled source;
and a model with the target's labels (oracle). Network, settings and augmentation of the source are those of the
authors' code for digits; nothing was chosen on a target. A model with a sign of harm falls back to the source model.
Test images are not adapted to, and are read once a run, at the end.
"""

import argparse
from dataclasses import dataclass
from functools import cache, partial
from itertools import permutations
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, parametrize
from torch.utils.data import TensorDataset
from torchvision.transforms import v2

import adapt
from adapt import Model, Stream, Trainer, datasets, domain, encoders, engine, heads, report, transductive


@dataclass(frozen=True)
class Settings:
    seeds: int = 5
    images: int = 8000  # for training, of each origin: at most
    epochs: int = 30  # of the source model, and of the adaptation
    batch: int = 64
    rate: float = 0.01
    smoothing: float = 0.1  # of the source's labels


BASELINE, ORACLE, KEEPS = "source only", "target only", "MCC, source kept"
METHODS = {
    "SHOT-IM": transductive.shot_im,
    "SHOT": partial(transductive.shot, labels_weight=0.1),  # 0.1 for digits, as the authors
}
PAIRS = list(permutations(("mnist", "usps", "semeion"), 2))
# Of labelled images of USPS, as the authors; of Semeion too, which the authors do not have; none of MNIST
MOVED = v2.Compose([v2.RandomCrop(28, padding=4, fill=-1), v2.RandomRotation(10, fill=-1)])


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
    """A model of labelled images of an origin, with the authors' LeNet; with a target, MCC beside the labels."""
    torch.manual_seed(seed)
    bottleneck = nn.Linear(800, 256)
    nn.init.xavier_normal_(bottleneck.weight), nn.init.zeros_(bottleneck.bias)
    first = nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.ReLU()
    second = nn.Conv2d(20, 50, 5), nn.Dropout2d(0.5), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten()
    encoder = encoders.wrap(nn.Sequential(*first, *second, bottleneck, nn.BatchNorm1d(256)), 256)
    encoder.to(memory_format=torch.channels_last)  # half the time on a CPU
    head = heads.Classifier(encoder, 10, dropout=0.5, label_smoothing=settings.smoothing)
    parametrizations.weight_norm(head.linear)
    terms, rows = [adapt.supervised(head, "source")], images(origin, settings.images)[0]
    streams = {"source": Stream(rows, settings.batch, augment=None if origin == "mnist" else MOVED)}
    if target:
        terms.append(domain.mcc(head))
        streams["target"] = Stream(images(target, settings.images)[0], settings.batch, labels=False)
    sgd = partial(torch.optim.SGD, lr=settings.rate, momentum=0.9, nesterov=True, weight_decay=1e-3)
    trainer = Trainer(encoder, terms, streams, optimizer=sgd, schedule=engine.inverse(), seed=seed, progress=False)
    trainer.fit(epochs=settings.epochs)
    parametrize.remove_parametrizations(head.linear, "weight")  # the weights stay, and the head is a plain one again
    return trainer.model(head)


def learned(cell: report.Cell, settings: Settings, folder: Path) -> report.Outcome:
    source, target = cell.data.more
    unlabelled, test = images(target, settings.images)
    origin, beside = target if cell.method == ORACLE else source, target if cell.method == KEEPS else None
    saved = folder / (f"{origin}-{cell.seed}" + (f"-beside-{target}" if beside else ""))
    if not saved.exists():
        train(origin, beside, cell.seed, settings).save(saved)
    model = Model.load(saved)
    model.encoder.to(memory_format=torch.channels_last)
    if cell.method in METHODS:
        how = {"epochs": settings.epochs, "batch_size": settings.batch, "rate": settings.rate, "seed": cell.seed}
        model = transductive.source_free(model, unlabelled, method=METHODS[cell.method], **how)
    return report.Outcome({"accuracy": model.evaluate(test)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds of a few images: does everything run?")
    parser.add_argument("--out", default="runs/source_free", help="folder for what is written (default: %(default)s)")
    arguments = parser.parse_args()
    settings = Settings(seeds=2, images=100, epochs=2) if arguments.quick else Settings()
    torch.set_num_threads(1)  # the network is small
    grid = {"data": {f"{source} to {target}": report.Data(more=(source, target)) for source, target in PAIRS}}
    run = partial(learned, settings=settings, folder=Path(arguments.out) / "models")
    methods = dict.fromkeys([BASELINE, *METHODS, KEEPS, ORACLE], run)
    grid |= {"settings": settings, "oracle": [ORACLE], "quick": arguments.quick}
    result = report.experiment(arguments.out, methods, settings.seeds, BASELINE, **grid)
    print(f"\n{result.table()}\n\npage {result.page()}, numbers {result.json()}, picture {result.figure()}")


if __name__ == "__main__":
    main()
