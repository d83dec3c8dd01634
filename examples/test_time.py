"""Images arrive in batches, the weather turns, nobody gives a label: may a network adapt while it predicts?

    ADAPT_DATA=... python examples/test_time.py            # about 25 minutes of processor time
    ADAPT_DATA=... python examples/test_time.py --quick    # a smoke run; its numbers mean nothing

A ResNet-20 of CIFAR-10 reads test images under the 15 corruptions of CIFAR-10-C (severity 5), made here, in six streams
and batches of 1, 16 and 200 images. `BN statistics` takes the statistics of each batch; it needs large batches and all
classes in each batch. `default` is `transductive.Online(model)`: a window of rows mixed with the source's statistics,
and a guard that falls back to the source model. `clocked` is the same on a stream as fast as the plain model: every
second batch is answered without adaptation. Settings were fixed on training images. Figures: docs/test_time.md.
"""

import argparse
from dataclasses import dataclass
from functools import cache, partial

import numpy
import torch
from matplotlib.figure import Figure

import adapt
from adapt import datasets, encoders, heads, report
from adapt import transductive as tt


@dataclass(frozen=True)
class Settings:
    seeds: int = 5
    images: int = 1000
    rows: tuple[tuple[int, int], ...] = ((1, 30), (16, 48), (200, 210))  # of each corruption, by the size of a batch


LEVELS = (1, 3, 5)  # severities of the gradual stream; the other streams take the last
MEAN, DEVIATION = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
SOURCE = "source"
METHODS = {  # the method, and the options of the adapter
    "BN statistics": (tt.adabn(), {"guard": None}),
    "TENT": (tt.tent(), {"guard": None}),
    "default": (None, {}),
    "default, clocked": (None, {"clock": tt.Clock(cost=2)}),
}


@cache
def model() -> adapt.Model:
    encoder = encoders.cifar_resnet(20, datasets.data_file("resnet_cifar10_weights", "resnet20-12fca82f.th"))
    head = heads.Classifier(encoder, encoder.classes)
    head.linear.load_state_dict(encoder.head.state_dict())
    encoder.body.to(memory_format=torch.channels_last)  # on a CPU a pass takes 0.66 of the time
    return adapt.Model(encoder, head)


@cache
def pool(count: int) -> list[torch.Tensor]:
    chosen = torch.randperm(2000, generator=torch.Generator().manual_seed(0))[:count]
    return [column[chosen] for column in datasets.cifar10_jpg("test").tensors]


@cache
def corrupted(name: str, severity: int, count: int) -> torch.Tensor:
    x = datasets.corrupt((255 * pool(count)[0]).round().byte(), name, severity).float() / 255
    return ((x - MEAN.view(3, 1, 1)) / DEVIATION.view(3, 1, 1)).to(memory_format=torch.channels_last)


@cache
def source_answers(name: str, severity: int, count: int) -> torch.Tensor:
    return torch.from_numpy(model().probabilities(corrupted(name, severity, count))).log()


def gathered(of, batch: tt.Arrival, count: int) -> torch.Tensor:
    rows = zip(batch.domain.tolist(), batch.level.tolist(), batch.row.tolist(), strict=True)
    return torch.stack([of(datasets.CORRUPTIONS[domain], LEVELS[level], count)[row] for domain, level, row in rows])


def answered(cell: report.Cell, settings: Settings) -> report.Outcome:
    """The accuracy of the answers, each given when its batch arrives."""
    kind, size = cell.data.more
    labels, found = pool(settings.images)[1], []
    order = {"batch_size": size, "rows": dict(settings.rows)[size], "levels": len(LEVELS), "seed": cell.seed}
    method, options = METHODS.get(cell.method, (None, {}))
    adapter = tt.Online(model(), method, **options)
    for batch in tt.arrivals(kind, labels, len(datasets.CORRUPTIONS), **order):
        if batch.reset:
            adapter.reset()
        if cell.method == SOURCE:
            answer = gathered(source_answers, batch, settings.images)
        else:
            answer = adapter(gathered(corrupted, batch, settings.images).to(memory_format=torch.channels_last))
        found.append(model().head.measure(answer, labels[batch.row]))
    measures = {name: torch.cat([part[name] for part in found]) for name in found[0]}
    return report.Outcome({"accuracy": model().head.score(measures)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds of a few images: does everything run?")
    parser.add_argument("--out", default="runs/test_time", help="folder for what is written (default: %(default)s)")
    arguments = parser.parse_args()
    settings = Settings(seeds=2, images=20, rows=((1, 1), (16, 3), (200, 3))) if arguments.quick else Settings()
    torch.set_num_threads(1)  # the network is small
    sizes = [size for size, _ in settings.rows]
    tasks = {f"{kind}, batches of {size}": report.Data(more=(kind, size)) for size in sizes for kind in tt.ARRIVALS}
    methods, quick = dict.fromkeys([SOURCE, *METHODS], partial(answered, settings=settings)), arguments.quick
    result = report.experiment(arguments.out, methods, settings.seeds, data=tasks, settings=settings, quick=quick)
    figure = Figure(figsize=(11, 4), layout="constrained")
    for axes, size in zip(figure.subplots(1, len(sizes), sharey=True), sizes, strict=True):
        scores = [result.scores(f"{kind}, batches of {size}") for kind in tt.ARRIVALS]
        for place, method in enumerate(methods):
            heights = [100 * numpy.mean(found[method]) for found in scores]
            axes.bar(numpy.arange(len(scores)) + 0.16 * (place - 2), heights, 0.16, label=method)
        axes.set_xticks(range(len(scores)), [kind.replace(" and ", "\nand ") for kind in tt.ARRIVALS], rotation=60)
        axes.set(title=f"batches of {size}", ylabel="accuracy, %" if size == sizes[0] else "")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=5)
    figure.savefig(picture := result.folder / "streams.png", dpi=150)
    print(f"\n{result.table()}\n\npage {result.page()}, pictures {picture} and {result.figure()}")
    print(f"numbers {result.json()}, curves: tensorboard --logdir {result.tensorboard()}")


if __name__ == "__main__":
    main()
