"""How much of a pretrained encoder should move, and from how many labels on?

    ADAPT_DATA=... python examples/inductive.py            # about half an hour on two cores
    ADAPT_DATA=... python examples/inductive.py --quick    # a smoke run; its numbers mean nothing

MobileNet of ImageNet: with 10 labels per class LP-FT and LoRA have 53.0 %, the probe 50.6, full fine-tuning 45.9, the
same network from scratch 11.5, a logistic regression on pixels 25.5; with 400 labels LP-FT has 72.2 %, from scratch
18.8. The steps and the images are equal for all. Nothing is chosen on the test images. ResNet-20: a related source.
"""

import argparse
import os
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.data import Subset, TensorDataset

from adapt import datasets, encoders, engine, inductive, report


@dataclass(frozen=True)
class Settings:
    epochs: tuple[tuple[int, int], ...] = ((10, 20), (50, 6), (400, 2))  # by labels of each class
    seeds: int = 5
    test: int = 200  # of each class: all of them


RESNET, BASELINE, INTERPOLATED = "ResNet-20 of CIFAR-10", "from scratch", "interpolated fine-tuning"
# the encoder, its file, size and scale of the images, and the last layer that `last layers` leaves frozen
SOURCES: dict[str, tuple[Any, ...]] = {
    "MobileNet of ImageNet": (partial(encoders.mobilenet, 0.25), "mobilenet025_imagenet/mobilenet025_224_notop.npz",
                              96, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "block11"),
    RESNET: (partial(encoders.cifar_resnet, 20), "resnet_cifar10_weights/resnet20-12fca82f.th",
             32, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "layer2"),
}  # fmt: skip
# what is frozen and kept, what of the rest learns, and how
STRATEGIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    BASELINE: ("nothing", "full", {"start": "random", "encoder_scale": 1.0, "batch_norm": "follow"}),
    "probe": ("everything", "probe", {}), "last layers": ("first layers", "full", {}),
    "full": ("nothing", "full", {"start": "random"}),
    "LP-FT": ("nothing", "full", {}), "LoRA": ("nothing", "adapters", {}), "BitFit": ("nothing", "bias", {}),
    INTERPOLATED: ("nothing", "", {}),
}  # fmt: skip


def load(name: str, *, pretrained: bool) -> encoders.Encoder:
    make, weights, size, *_ = SOURCES[name]
    plain = make(weights=datasets.data_file(weights) if pretrained else None)
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d) and not pretrained:
            module.momentum = 0.1  # MobileNet's 0.01 is for long runs: 60 steps would leave half of the start in it
    body = nn.Sequential(OrderedDict(size=nn.Upsample(size, mode="bilinear"), network=plain.body))
    body.to(memory_format=torch.channels_last)  # on a CPU a step of MobileNet takes 0.63 of the time
    layers = [f"network.{layer}" for layer in plain.layers]
    return encoders.Encoder(body, plain.dim, layers=layers, head=plain.head, classes=plain.classes)


def images(name: str, part: str, each: int) -> TensorDataset:
    x, y = datasets.cifar10_jpg("test" if part == "test" else "train").tensors
    mean, deviation = (torch.tensor(value).view(3, 1, 1) for value in SOURCES[name][3:5])
    rows = torch.cat([(y == c).nonzero().squeeze(1)[:each] for c in range(10)])
    return TensorDataset((x[rows] - mean) / deviation, y[rows])


def drawn(cell: report.Cell) -> torch.Tensor:
    y = cell.data.more.tensors[1]
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(cell.seed))
    return torch.cat([order[y[order] == c][: cell.budget // 10] for c in range(10)])  # more include the fewer


def learned(cell: report.Cell, settings: Settings, folder: str) -> report.Outcome:
    """The test accuracy of a strategy; features of a frozen prefix are computed once and kept in a folder."""
    frozen, learn, options = STRATEGIES[cell.method]
    encoder, pool, test = load(cell.task, pretrained=cell.method != BASELINE), cell.data.more, cell.data.test
    if frozen == "everything":
        first, encoder = encoder, encoders.wrap(nn.Identity(), encoder.dim)
    elif frozen == "first layers":
        first, encoder = encoders.split_at(encoder, f"network.{SOURCES[cell.task][-1]}")
    if frozen != "nothing":
        pool, test = engine.features(first, pool, folder), engine.features(first, test, folder)
    if learn == "adapters":
        encoders.lora(encoder, 8)
    train = TensorDataset(*(column[drawn(cell)] for column in pool.tensors))
    epochs = dict(settings.epochs)[cell.budget // 10]
    options = options | {"classes": datasets.CIFAR10_CLASSES, "epochs": epochs, "seed": cell.seed}
    if cell.method != INTERPOLATED:
        return report.Outcome({"accuracy": inductive.transfer(encoder, train, learn, **options).evaluate(test)})
    found = inductive.interpolated_fine_tuning(encoder, train, **options)
    curves = {"share of the way to the fine-tuned weights": [(cell.budget, found.share)]}
    return report.Outcome({"accuracy": found.model.evaluate(test)}, curves=curves)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds of 3 labels per class: does everything run?")
    parser.add_argument("--out", default="runs/inductive", help="folder for what is written (default: %(default)s)")
    arguments = parser.parse_args()
    settings = Settings(epochs=((3, 1),), seeds=2, test=10) if arguments.quick else Settings()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(2)
    sizes = {"test": settings.test, "more": max(dict(settings.epochs))}
    data = {name: report.Data(**{part: images(name, part, each) for part, each in sizes.items()}) for name in SOURCES}
    methods = dict.fromkeys(STRATEGIES, partial(learned, settings=settings, folder=f"{arguments.out}/features"))
    methods["no encoder"] = report.no_encoder(lambda cell: Subset(cell.data.more, drawn(cell)))
    budgets, quick = [10 * labels for labels, _ in settings.epochs], arguments.quick
    result = report.experiment(
        arguments.out, methods, settings.seeds, BASELINE, data=data, budgets=budgets, settings=settings, quick=quick
    )
    owner = inductive.transfer(load(RESNET, pretrained=True), None, "direct", classes=datasets.CIFAR10_CLASSES)
    print(f"\n{result.table()}\n\n{RESNET}, its own head used directly: {owner.evaluate(data[RESNET].test)}")
    print(f"\npage {result.page()}, picture {result.figure()}, numbers {result.json()}")
    print(f"curves: tensorboard --logdir {result.tensorboard()}")


if __name__ == "__main__":
    main()
