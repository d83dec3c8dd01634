"""ADAPT_DATA=... python benchmarks/test_time_streams.py [--methods ...] [--kinds ...] [--seeds 5] [--out FILE]

Accuracy of test-time methods on streams of corrupted CIFAR-10 images, severity 5, with ResNet-20: six streams, a stream
ordered class by class, clean images, and clean images class by class; batches of 1, 16 and 200 rows.

A seed draws the rows of each corruption and the order. All methods get the same batches. The answers of the source
model are computed once for each image, and a guard reads the same adapted answers, so a pass gives the rows with and
without guard. `--cache FOLDER` keeps the corrupted images. Each line of FILE is one run; a second call goes on behind.
"""

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import torch
from torch import Tensor

sys.path[0] = str(Path(__file__).parents[1])  # benchmarks/losses.py would hide the package
import adapt
from adapt import datasets, encoders, heads
from adapt import transductive as tt

POOL = 400  # images; the rows of a stream are drawn from the pool
ROWS = {200: 210, 16: 32, 1: 16}  # of each corruption, by the size of the batches
CORRELATED = {200: 400, 16: 32, 1: 16}  # two batches of each corruption
CLEAN = {200: 400, 16: 400, 1: 200}
LEVELS = (1, 3, 5)
KINDS = (*tt.ARRIVALS, "ordered", "clean", "clean, ordered")
SOURCE, DEFAULT = "source", "default"
METHODS = {
    DEFAULT: None, "adabn": tt.adabn(), "tent": tt.tent(), "eata": tt.eata(), "sar": tt.sar(rate=1e-3),
    "roid": tt.roid(), "rdumb": tt.rdumb(every=30), "lame": tt.lame(), "t3a": tt.t3a(),
}  # fmt: skip
# time of a batch with adaptation, in forward passes: benchmarks/test_time.md; the guard adds one
COSTS = {DEFAULT: 2, "tent": 3, "eata": 3, "sar": 5, "roid": 3, "rdumb": 3}


class Images:
    """Corrupted test images, normalised for the network, and the source model's answers for each."""

    def __init__(self, model: adapt.Model, cache: Path | None):
        self.model, self.cache = model, cache
        chosen = torch.randperm(2000, generator=torch.Generator().manual_seed(0))[:POOL]
        self.clean, self.labels = (column[chosen] for column in datasets.cifar10_jpg("test").tensors)
        self._images: dict[tuple[str, int], Tensor] = {}
        self._answers: dict[tuple[str, int], Tensor] = {}

    def inputs(self, name: str, severity: int, rows: Tensor) -> Tensor:
        key = name, severity
        if key not in self._images:
            file = None if self.cache is None else self.cache / f"{name}-{severity}.pt"
            if name == "clean":
                made = (255 * self.clean).round().byte()
            elif file is not None and file.exists():
                made = torch.load(file, weights_only=True)
            else:
                made = datasets.corrupt((255 * self.clean).round().byte(), name, severity)
                if file is not None:
                    torch.save(made, file)
            self._images[key] = made
        x = self._images[key][rows].float() / 255
        mean = torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1)
        deviation = torch.tensor((0.229, 0.224, 0.225)).view(3, 1, 1)
        return ((x - mean) / deviation).to(memory_format=torch.channels_last)

    def source(self, name: str, severity: int, rows: Tensor) -> Tensor:
        known = self._answers.setdefault((name, severity), torch.full((len(self.labels), 10), torch.nan))
        new = rows[known[rows, 0].isnan()].unique()
        if len(new):
            known[new] = torch.from_numpy(self.model.probabilities(self.inputs(name, severity, new))).log()
        return known[rows]

    def batches(self, kind: str, size: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor, bool]]:
        """Yield inputs, the source's answers, labels, and whether the adapter starts again."""
        clean = kind.startswith("clean")
        names = ("clean",) if clean else datasets.CORRUPTIONS
        order = "correlated" if "ordered" in kind else "continual" if clean else kind
        rows = CLEAN if clean else CORRELATED if kind in ("correlated", "ordered") else ROWS
        stream = tt.arrivals(
            order, self.labels, len(names), batch_size=size, rows=rows[size], levels=len(LEVELS),
            concentration=0 if "ordered" in kind else 0.1, seed=seed,
        )  # fmt: skip
        for domain, level, row, reset in stream:
            x, q = torch.empty(len(row), 3, 32, 32), torch.empty(len(row), 10)
            x = x.to(memory_format=torch.channels_last)
            for d, v in {(int(d), int(v)) for d, v in zip(domain, level, strict=True)}:
                here = (domain == d) & (level == v)
                x[here] = self.inputs(names[d], LEVELS[v], row[here])
                q[here] = self.source(names[d], LEVELS[v], row[here])
            yield x, q, self.labels[row], reset


def accuracies(images: Images, name: str, clocked: bool, kind: str, size: int, seed: int) -> dict[str, float]:
    clock = tt.Clock(cost=COSTS[name]) if clocked else None
    adapter = tt.Online(images.model, METHODS[name], guard=None, clock=clock)
    watch, hits = tt.Guard().start(10), {SOURCE: [], name: [], f"{name} + guard": []}
    for x, q, y, reset in images.batches(kind, size, seed):
        if reset:
            adapter.reset()
            watch = tt.Guard().start(10)
        dropped = adapter.dropped
        p = adapter(x)
        if adapter.dropped > dropped:
            mixed = p if watch.trusts else q
        else:
            mixed = watch(p, q)
        for answer, found in zip((q, p, mixed), hits.values(), strict=True):
            found.append((answer.argmax(1) == y).float())
    return {row: 100 * float(torch.cat(found).mean()) for row, found in hits.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    parser.add_argument("--sizes", nargs="+", type=int, default=list(ROWS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--clocked", action="store_true")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--out", type=Path, default=Path("test_time_streams.csv"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    encoder = encoders.cifar_resnet(20, datasets.data_file("resnet_cifar10_weights", "resnet20-12fca82f.th"))
    encoder.body.to(memory_format=torch.channels_last)
    head = heads.Classifier(encoder, encoder.classes)
    head.linear.load_state_dict(encoder.head.state_dict())
    images = Images(adapt.Model(encoder, head), arguments.cache)
    done = set()
    if arguments.out.exists():
        with arguments.out.open() as file:
            done = {tuple(line[:5]) for line in csv.reader(file)}
    with arguments.out.open("a", buffering=1) as file:
        for seed in range(arguments.seeds):
            for kind in arguments.kinds:
                for size in arguments.sizes:
                    for name in arguments.methods:
                        key = [kind, str(size), str(seed), name, "clock" if arguments.clocked else ""]
                        if tuple(key) in done:
                            continue
                        found = accuracies(images, name, arguments.clocked, kind, size, seed)
                        csv.writer(file).writerow([*key, *(f"{value:.3f}" for value in found.values())])
    show(arguments.out)


def show(path: Path) -> None:
    """Print the mean over the seeds, and the worst single run against the source."""
    with path.open() as file:
        lines = list(csv.reader(file))
    print("| stream | rows | method | seeds | source | method alone | with guard | worst run against source |")
    print("|---|---:|---|---:|---:|---:|---:|---:|")
    for key in dict.fromkeys((a, b, d + (", clocked" if e else "")) for a, b, _, d, e, *_ in lines):
        runs = [
            [float(v) for v in line[5:]]
            for line in lines
            if (line[0], line[1], line[3] + (", clocked" if line[4] else "")) == key
        ]
        values = " | ".join(f"{mean(column):.1f}" for column in zip(*runs, strict=True))
        print(f"| {' | '.join(key)} | {len(runs)} | {values} | {min(r[2] - r[0] for r in runs):+.1f} |")


if __name__ == "__main__":
    main()
