"""What is pretraining still worth when labels are many and the augmentation is strong?

    ADAPT_DATA=... python examples/augmentation.py            # about 10 minutes of processor time
    ADAPT_DATA=... python examples/augmentation.py --quick    # a smoke run; its numbers mean nothing

The question of Zoph et al., Rethinking Pre-training and Self-training, 2020, https://arxiv.org/abs/2006.06882, on
CIFAR-10: the first five blocks of a MobileNet of ImageNet against the same blocks from a random start. The gain of
pretraining falls from 14.0 points (200 labels) to 9.0 under strong augmentation, and to 11.8 with 1,600 labels; no harm
is seen. Both starts make the same steps on the same images with one setting, fixed on training images of seed 100.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.utils.data import TensorDataset
from torchvision.transforms import v2

import adapt
from adapt import Stream, Trainer, datasets, encoders, heads, report
from adapt.datasets import CIFAR10_CLASSES, data_file
from adapt.engine import cosine


@dataclass(frozen=True)
class Settings:
    steps: tuple[tuple[int, int], ...] = ((200, 150), (1600, 600))  # by the number of labels
    seeds: int = 5
    batch: int = 32
    rate: float = 1e-2
    test: int = 200  # of each class: all of them


BASELINE, PRETRAINED = "random start", "ImageNet start"
NONE = "no augmentation"
STRENGTHS: dict[str, Callable | None] = {
    NONE: None,
    "strong": v2.Compose([
        v2.RandomHorizontalFlip(), v2.RandomCrop(32, 4, padding_mode="reflect"), v2.TrivialAugmentWide(),
        v2.RandomErasing(1.0, scale=(0.05, 0.25)),
    ]),
}  # fmt: skip


def load(*, pretrained: bool) -> encoders.Encoder:
    """The first five blocks of a MobileNet, which leave maps of 4 x 4 places of a small image."""
    weights = data_file("mobilenet025_imagenet/mobilenet025_224_notop.npz") if pretrained else None
    conv, *blocks, pool = encoders.mobilenet(0.25, weights=weights).body
    body = nn.Sequential(v2.Normalize([0.5] * 3, [0.5] * 3), conv, *blocks[:5], pool)
    for module in body.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1  # MobileNet's 0.01 is for long runs: 150 steps would leave the start in the mean
    body.to(memory_format=torch.channels_last)  # less time for a step on a CPU
    return encoders.wrap(body, example=torch.zeros(2, 3, 32, 32))


def images(part: str, each: int) -> TensorDataset:
    x, y = datasets.cifar10_jpg(part).tensors
    rows = torch.cat([(y == c).nonzero().squeeze(1)[:each] for c in range(10)])
    return TensorDataset(x[rows], y[rows])


def drawn(cell: report.Cell) -> TensorDataset:
    x, y = cell.data.more.tensors
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(cell.seed))
    rows = torch.cat([order[y[order] == c][: cell.budget // 10] for c in range(10)])  # more include the fewer
    return TensorDataset(x[rows], y[rows])


def learned(cell: report.Cell, settings: Settings) -> tuple[Trainer, heads.Classifier]:
    encoder = load(pretrained=cell.method == PRETRAINED)
    head = heads.Classifier(encoder, classes=CIFAR10_CLASSES)
    stream = Stream(drawn(cell), settings.batch, augment=STRENGTHS[cell.task])
    trainer = Trainer(
        encoder, [adapt.supervised(head, on="images")], {"images": stream}, schedule=cosine(),
        optimizer=partial(torch.optim.AdamW, lr=settings.rate), seed=cell.seed, log=cell.folder, log_every=5,
        progress=False,
    )  # fmt: skip
    return trainer.fit(dict(settings.steps)[cell.budget]), head


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds of a few steps: does everything run?")
    parser.add_argument("--out", default="runs/augmentation", help="folder for what is written (default: %(default)s)")
    arguments = parser.parse_args()
    settings = Settings(steps=((40, 2), (80, 2)), seeds=2, test=10) if arguments.quick else Settings()
    torch.set_num_threads(1)  # the network is small
    data = dict.fromkeys(STRENGTHS, report.Data(test=images("test", settings.test), more=images("train", 400)))
    methods: dict[str, Any] = dict.fromkeys((BASELINE, PRETRAINED), partial(learned, settings=settings))
    methods["no encoder"], budgets = report.no_encoder(drawn), [labels for labels, _ in settings.steps]
    result = report.experiment(
        arguments.out, methods, settings.seeds, BASELINE, data=data, budgets=budgets, settings=settings,
        quick=arguments.quick,
    )  # fmt: skip
    gains: dict[str, dict[str, numpy.ndarray]] = {}  # of pretraining, by number of labels and strength
    for budget in budgets:
        scores = {strength: result.scores(strength, budget) for strength in STRENGTHS}
        gains[f"{budget} labels"] = {s: numpy.subtract(of[PRETRAINED], of[BASELINE]) for s, of in scores.items()}
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes = figure.subplots()
    lines = {s: (budgets, 100 * numpy.stack([found[s] for found in gains.values()], 1)) for s in STRENGTHS}
    report.curves(axes, lines, x="labelled images", y="gain of pretraining, points", logarithmic=True)
    axes.minorticks_off()
    axes.set_xticks(budgets, budgets)
    axes.axhline(0, color="#666666", linewidth=1, zorder=0)
    figure.savefig(picture := result.folder / "gain.png", dpi=150)
    print(f"\n{result.table()}\n\n{report.table(report.compare(gains, NONE), NONE, metric='gain of pretraining')}")
    print(f"\npage {result.page()}, pictures {picture} and {result.figure()}")
    print(f"numbers {result.json()}, curves: tensorboard --logdir {result.tensorboard()}")


if __name__ == "__main__":
    main()
