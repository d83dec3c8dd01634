"""How much of a pretrained encoder should move, and from how many labels on?

    ADAPT_DATA=... python examples/inductive.py            # about half an hour on two cores
    ADAPT_DATA=... python examples/inductive.py --quick    # a smoke run; its numbers mean nothing

Every strategy on `cifar10_jpg` at 10, 50 and 400 labels per class, against the same network from scratch in the same
number of steps, five seeds each. A seed draws the labelled images, the new weights and the order, the same for all
strategies. There are two encoders: a MobileNet of ImageNet, which never saw these labels; and a ResNet-20 of CIFAR-10
itself, with a head that can be used directly. The ResNet has learned from the training images, too, in better quality:
the rows of the ResNet say what a perfectly related source is worth.

Nothing is chosen on the 2,000 test images. The learning rate and the ratios are the library's defaults; the epochs are
as many as half an hour on two cores allows. In a first run of 10 labels LP-FT was far below the probe, and a choice
among whole strategies 2.4 points below LoRA. The causes were mended, and checked, on other images: training images that
were not drawn, and MNIST-M (docs/inductive.md). Features of a frozen prefix are computed once and kept.

Each run writes a file: a stopped script goes on where it was, and two processes may share the work (`--share 0/2` and
`--share 1/2`; the later process has the whole table). Writes tables, results.json and a figure of all runs so far.
"""

import argparse
import json
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.utils.data import TensorDataset
from tqdm import tqdm

from adapt import datasets, encoders, engine, inductive, report, store
from adapt.datasets import CIFAR10_CLASSES, data_file


@dataclass(frozen=True)
class Settings:
    labels: tuple[int, ...] = (10, 50, 400)  # of each class
    epochs: tuple[int, ...] = (20, 6, 2)
    seeds: int = 5
    batch_size: int = 32
    rate: float = 1e-3  # of the head; of a pretrained encoder a tenth
    rank: int = 8
    test: int = 200  # of each class: all of them


class Source(NamedTuple):
    """An encoder at hand: file, size and scale of the images, and the last layer that `last layers` leaves frozen."""

    make: Callable[..., encoders.Encoder]
    weights: str
    size: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    after: str


MOBILENET, RESNET = "MobileNet of ImageNet", "ResNet-20 of CIFAR-10"
SOURCES = {
    MOBILENET: Source(
        partial(encoders.mobilenet, 0.25), "mobilenet025_imagenet/mobilenet025_224_notop.npz",
        96, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "block11",
    ),
    RESNET: Source(
        partial(encoders.cifar_resnet, 20), "resnet_cifar10_weights/resnet20-12fca82f.th",
        32, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "layer2",
    ),
}  # fmt: skip
BASELINE, INTERPOLATED = "from scratch", "interpolated fine-tuning"
# what is frozen and kept, what of the rest learns, and how
STRATEGIES: dict[str, tuple[str, str, dict]] = {
    BASELINE: ("nothing", "full", {"start": "random", "encoder_scale": 1.0, "batch_norm": "follow"}),
    "probe": ("everything", "probe", {}),
    "last layers": ("first layers", "full", {}),
    "full": ("nothing", "full", {"start": "random"}),
    "LP-FT": ("nothing", "full", {}),
    "LoRA": ("nothing", "adapters", {}),
    "BitFit": ("nothing", "bias", {}),
    INTERPOLATED: ("nothing", "", {}),
}


def load(name: str, *, pretrained: bool) -> encoders.Encoder:
    """The encoder behind a layer that brings images to its size."""
    source = SOURCES[name]
    plain = source.make(weights=data_file(source.weights) if pretrained else None)
    if not pretrained:
        for module in plain.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.1  # MobileNet's 0.01 is for long runs: 60 steps would leave half of the start in it
    body = nn.Sequential(OrderedDict(size=nn.Upsample(source.size, mode="bilinear"), network=plain.body))
    body.to(memory_format=torch.channels_last)  # on a CPU a step of MobileNet takes 0.63 of the time, of the ResNet 0.9
    layers = [f"network.{layer}" for layer in plain.layers]
    return encoders.Encoder(body, plain.dim, layers=layers, head=plain.head, classes=plain.classes)


pixels = cache(datasets.cifar10_jpg)


def images(name: str, split: str, each: int) -> TensorDataset:
    """The first so many images of each class, on the scale of the encoder."""
    (x, y), source = pixels(split).tensors, SOURCES[name]
    rows = torch.cat([(y == c).nonzero().squeeze(1)[:each] for c in range(10)])
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (source.mean, source.deviation))
    return TensorDataset((x[rows] - mean) / deviation, y[rows])


def cut(name: str, frozen: str) -> tuple[nn.Module, encoders.Encoder]:
    """The frozen prefix of the pretrained encoder, and the rest of it."""
    encoder = load(name, pretrained=True)
    if frozen == "everything":
        return encoder, encoders.wrap(nn.Identity(), encoder.dim)
    return encoders.split_at(encoder, f"network.{SOURCES[name].after}")


@cache
def kept(name: str, frozen: str, split: str, each: int, folder: str) -> TensorDataset:
    """What the frozen prefix makes of the images."""
    return engine.features(cut(name, frozen)[0], images(name, split, each), folder)


def drawn(data: TensorDataset, each: int, seed: int) -> TensorDataset:
    """So many rows of each class; more labels include the fewer."""
    x, y = data.tensors
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    rows = torch.cat([order[y[order] == c][:each] for c in range(10)])
    return TensorDataset(x[rows], y[rows])


def run(settings: Settings, out: str, name: str, labels: int, strategy: str, seed: int) -> dict:
    """Train one strategy with one seed; return the test accuracy and the processor seconds, new features included."""
    torch.manual_seed(seed)  # new weights, and the first halves of the adapters
    frozen, learn, options = STRATEGIES[strategy]
    read = partial(images, name) if frozen == "nothing" else partial(kept, name, frozen, folder=f"{out}/features")
    pool, test = read(split="train", each=max(settings.labels)), read(split="test", each=settings.test)
    encoder = load(name, pretrained=strategy != BASELINE) if frozen == "nothing" else cut(name, frozen)[1]
    if learn == "adapters":
        encoders.lora(encoder, settings.rank)
    options = options | {
        "classes": CIFAR10_CLASSES, "epochs": settings.epochs[settings.labels.index(labels)], "seed": seed,
        "batch_size": settings.batch_size, "rate": settings.rate,
    }  # fmt: skip
    train, start, chosen = drawn(pool, labels, seed), time.process_time(), None
    if strategy == INTERPOLATED:
        found = inductive.interpolated_fine_tuning(encoder, train, **options)
        model, chosen = found.model, found.share
    else:
        model = inductive.transfer(encoder, train, learn, **options)
    return {"seconds": time.process_time() - start, "accuracy": model.evaluate(test).value, "chosen": chosen}


def path_of(out: str, name: str, labels: int, strategy: str, seed: int) -> Path:
    return Path(out) / "runs" / f"{name}, {labels}" / f"{strategy}-{seed}.json"


def write(path: Path, content: dict) -> None:
    """Whole or not at all."""
    with store.whole_file(path, several_writers=True) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1) + "\n")


Found = dict[str, dict[int, dict[str, list[dict]]]]  # encoder, labels, strategy: a run a seed


def found(settings: Settings, out: str) -> Found:
    """The sizes that are complete."""
    every: Found = {name: {} for name in SOURCES}
    for name in SOURCES:
        for n in settings.labels:
            paths = {s: [path_of(out, name, n, s, seed) for seed in range(settings.seeds)] for s in STRATEGIES}
            if all(path.exists() for some in paths.values() for path in some):
                every[name][n] = {s: [json.loads(path.read_text()) for path in some] for s, some in paths.items()}
    return every


def accuracies(runs: dict[str, list[dict]]) -> dict[str, list[float]]:
    return {strategy: [r["accuracy"] for r in some] for strategy, some in runs.items()}


def table(every: Found, direct: float) -> str:
    lines = [f"{RESNET}, its own head used directly: {100 * direct:.1f} %"]
    for name, sizes in every.items():
        for labels, runs in sizes.items():
            accuracy = accuracies(runs)
            lines += ["", f"{name}, {labels} labels per class", ""]
            lines += [report.table(report.compare(accuracy, BASELINE), BASELINE, metric="test accuracy"), ""]
            mean = {s: sum(values) / len(values) for s, values in accuracy.items()}
            best = max((s for s in mean if s != INTERPOLATED), key=mean.__getitem__)
            chosen = ", ".join(f"{r['chosen']:g}" for r in runs[INTERPOLATED])
            behind = 100 * (mean[INTERPOLATED] - mean[best])
            lines += [f"{INTERPOLATED} went {chosen} of the way; {behind:+.1f} points to the best, {best}."]
            spent = ", ".join(f"{s} {sum(r['seconds'] for r in some) / len(some):.1f}" for s, some in runs.items())
            lines += [f"Processor seconds of training: {spent}."]
    return "\n".join(lines)


def picture(every: Found, direct: float) -> Figure:
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    colours = ("#999999", "#0072b2", "#e69f00", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#000000")
    for axes, (name, sizes) in zip(figure.subplots(1, len(every), sharey=True), every.items(), strict=True):
        for strategy, colour in zip(STRATEGIES, colours, strict=True) if sizes else ():
            points = [report.mean_interval(accuracies(runs)[strategy]) for runs in sizes.values()]
            mean, low, high = zip(*points, strict=True)
            style = "--" if strategy == INTERPOLATED else "-"
            axes.plot(list(sizes), mean, style, color=colour, marker="o", markersize=3, label=strategy)
            axes.fill_between(list(sizes), low, high, color=colour, alpha=0.15, linewidth=0)
        if name == RESNET:
            axes.axhline(direct, color="#555555", linestyle=":", linewidth=1, label="direct")
        axes.set(xscale="log", xlabel="labels per class", title=name, ylim=(0, 1))
        axes.set_xticks(list(sizes), [str(n) for n in sizes])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
        if axes.lines:
            axes.legend(fontsize=7)
    figure.axes[0].set_ylabel("test accuracy: mean, 95 % interval")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds of 3 labels per class: does everything run?")
    parser.add_argument("--labels", nargs="+", type=int, default=[10, 50, 400], help="only some of 10, 50 and 400")
    parser.add_argument("--share", default="0/1", help="this process's share of the runs")
    parser.add_argument("--threads", type=int, help="1 where two processes share (default: OMP_NUM_THREADS, else 2)")
    parser.add_argument("--out", default="runs/inductive", help="folder for what is written (default: %(default)s)")
    arguments = parser.parse_args()
    settings, out = Settings(), arguments.out
    if arguments.quick:
        settings, arguments.labels = replace(settings, labels=(3,), epochs=(1,), seeds=2, test=10), [3]
    notes = Path(out) / "settings.json"
    if notes.exists() and json.loads(notes.read_text()) != json.loads(json.dumps(asdict(settings))):
        sys.exit(f"`{out}` holds runs of other settings: move it away, or choose another folder with --out.")
    write(notes, asdict(settings))
    if arguments.threads or "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(arguments.threads or 2)
    print(f"threads: {torch.get_num_threads()}")

    part, parts = (int(n) for n in arguments.share.split("/"))
    seeds = range(settings.seeds)
    jobs = [(n, labels, s, k) for labels in arguments.labels for n in SOURCES for k in seeds for s in STRATEGIES]
    todo = [job for job in jobs if not path_of(out, *job).exists()][part::parts]
    for job in (bar := tqdm(todo, unit="run", desc="inductive")):
        bar.set_postfix_str("{}, {} labels per class, {}, seed {}".format(*job))
        write(path_of(out, *job), run(settings, out, *job))

    owner = inductive.transfer(load(RESNET, pretrained=True), None, "direct", classes=CIFAR10_CLASSES)
    direct, every = owner.evaluate(images(RESNET, "test", settings.test)).value, found(settings, out)
    text = table(every, direct)
    (Path(out) / "table.md").write_text(text + "\n")
    write(Path(out) / "results.json", {"settings": asdict(settings), "direct": direct, "runs": every})
    figure = report.save(picture(every, direct), Path(out) / "inductive.png")
    print(f"\n{text}\n\nfigure {figure}, results {Path(out) / 'results.json'}")


if __name__ == "__main__":
    main()
