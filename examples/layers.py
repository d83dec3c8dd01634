"""From general to specific: how many layers of a network can another task take over?

    ADAPT_DATA=... python examples/layers.py            # about 5 minutes of processor time
    ADAPT_DATA=... python examples/layers.py --quick    # a smoke run; its numbers mean nothing

After Yosinski et al., How transferable are features in deep neural networks?, 2014, https://arxiv.org/abs/1411.1792.
A seed splits the ten classes of CIFAR-10 into the tasks A and B. `base A` has learned A, and `base B` has learned B.
The first n layers of a base network are copied, new layers above start at random, and the new network learns B:

    AnB, AnB+    layers of base A: frozen, or (+) the layers go on learning. A loss of AnB: the layers are specific.
    BnB, BnB+    layers of base B. A loss of BnB: the layers fit only the upper layers that grew up with them.

Frozen layers of A: with one or two layers no loss is seen, with three -2.0 points, with all four -9.0 (base B: 63.1 %).
Frozen layers of B lose nothing. All networks have the same settings, fixed on training images of seed 100.
"""

import argparse
from dataclasses import dataclass
from functools import cache, partial

import numpy
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.utils.data import TensorDataset

import adapt
from adapt import Stream, Trainer, datasets, encoders, engine, heads, report
from adapt.engine import cosine


@dataclass(frozen=True)
class Settings:
    seeds: int = 6
    images: int = 400  # for training, of each class: all of them
    epochs: int = 10
    batch: int = 64
    rate: float = 3e-3


BASELINE, PLAIN = "base B", "no encoder"
# whose layers are copied, and whether the copied layers go on learning
COPIES = {BASELINE: ("B", True), "AnB": ("A", False), "BnB": ("B", False), "AnB+": ("A", True), "BnB+": ("B", True)}
LAYERS = list(encoders.small_conv().layers)
Learned = tuple[Trainer, heads.Classifier]
images = cache(datasets.cifar10_jpg)


def rows(part: str, task: str, seed: int, each: int) -> TensorDataset:
    """Images of the five classes of a task, with the labels 0 to 4."""
    x, y = images(part).tensors
    classes = torch.randperm(10, generator=torch.Generator().manual_seed(seed)).view(2, 5)["AB".index(task)]
    index = torch.cat([(y == c).nonzero().squeeze(1)[:each] for c in classes])
    return TensorDataset(2 * x[index] - 1, (y[index, None] == classes).int().argmax(1))


def train(encoder: encoders.Encoder, pool: TensorDataset, seed: int, settings: Settings) -> Learned:
    head = heads.Classifier(encoder, classes=5)
    trainer = Trainer(
        encoder, [adapt.supervised(head, on="images")], {"images": Stream(pool, settings.batch)}, schedule=cosine(),
        optimizer=partial(torch.optim.AdamW, lr=settings.rate), seed=seed, log_every=10, progress=False,
        callbacks=[lambda *_: None],  # a listener: for nobody the trainer reads no loss
    )  # fmt: skip
    return trainer.fit(epochs=settings.epochs), head


@cache  # a cell may need two base networks, and other cells need the same
def base(task: str, seed: int, settings: Settings) -> Learned:
    torch.manual_seed(3 * seed + "AB".index(task))
    return train(encoders.small_conv(), rows("train", task, seed, settings.images), seed, settings)


def learned(cell: report.Cell, settings: Settings) -> report.Outcome:
    """The accuracy of a network with the first n layers of a base network on the test images of task B."""
    pool, test = (rows(part, "B", cell.seed, settings.images) for part in ("train", "test"))
    if cell.method == PLAIN:
        return report.no_encoder(pool, test)(cell)
    source, learns = COPIES[cell.method]
    trainer, head = base(source, cell.seed, settings)
    if cell.method != BASELINE:
        torch.manual_seed(3 * cell.seed + 2)
        encoder, copied = encoders.small_conv(), LAYERS[: cell.data.more]
        for layer in copied:
            encoder.layers[layer].load_state_dict(trainer.encoder.layers[layer].state_dict())
        if not learns:  # the outputs of frozen layers are computed once
            whole = encoder, encoders.wrap(nn.Identity(), encoder.dim)
            first, encoder = whole if copied == LAYERS else encoders.split_at(encoder, copied[-1])
            pool, test = engine.features(first, pool), engine.features(first, test)
        trainer, head = train(encoder, pool, cell.seed, settings)
    loss = [(row["step"], row["loss/total"]) for row in trainer.history if "loss/total" in row]
    return report.Outcome({"accuracy": trainer.evaluate(head, test)}, curves={"loss/total": loss})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds of a few images: does everything run?")
    parser.add_argument("--out", default="runs/layers", help="folder for what is written (default: %(default)s)")
    arguments = parser.parse_args()
    settings = Settings(seeds=2, images=20, epochs=2, batch=20) if arguments.quick else Settings()
    torch.set_num_threads(1)  # the network is small
    tasks = {f"n = {n}": report.Data(more=n) for n in range(1, len(LAYERS) + 1)}
    methods = dict.fromkeys([*COPIES, PLAIN], partial(learned, settings=settings))
    result = report.experiment(
        arguments.out, methods, settings.seeds, BASELINE, data=tasks, settings=settings, quick=arguments.quick
    )
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes, scores, lines = figure.subplots(), [result.scores(task) for task in tasks], {}
    for method in list(COPIES)[1:]:
        gains = [100 * numpy.subtract(found[method], found[BASELINE]) for found in scores]
        lines[method] = (range(1, len(tasks) + 1), numpy.stack(gains, 1))
    report.curves(axes, lines, x="number n of copied layers", y=f"accuracy minus {BASELINE}, points")
    axes.set_xticks(range(1, len(tasks) + 1))
    axes.axhline(0, color="#666666", linewidth=1, zorder=0)
    figure.savefig(picture := result.folder / "curve.png", dpi=150)
    print(f"\n{result.table()}\n\npage {result.page()}, pictures {picture} and {result.figure()}")
    print(f"numbers {result.json()}, curves: tensorboard --logdir {result.tensorboard()}")


if __name__ == "__main__":
    main()
