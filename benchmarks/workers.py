"""python benchmarks/workers.py --rounds 7

Images per second through a `Stream` with two workers, beside torch's own `DataLoader` doing the same work: the same
dataset of JPEG files (read, resized, as tensors), the same batch size, a random order, two workers each. The two take
turns in random order. The clock starts after the first batch, when the workers run, and stops six batches before the
end of the epoch: a loader has nothing to read ahead there, and a stream reads the next epoch. Printed are
medians and the median of the ratios of a round.

| images per second | Stream | DataLoader | ratio |
|---|---:|---:|---:|
| 256 x 256 JPEG to half the side | 1410 | 1487 | 0.97 |

with `--rounds 5`, in 30 seconds on two cores (Intel Xeon, torch 2.14.1), otherwise idle.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

sys.path[0] = str(Path(__file__).parents[1])
from adapt import Stream, datasets

ROWS, BATCH, WORKERS, SIDE = 2_048, 32, 2, 256


def write_images(folder: Path) -> None:
    draw = numpy.random.default_rng(0)
    for i in range(ROWS):
        small = draw.integers(0, 255, (SIDE // 16, SIDE // 16, 3), "uint8")
        path = folder / str(i % 10) / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(small).resize((SIDE, SIDE)).save(path, quality=90)


def through_stream(dataset: Dataset) -> Iterator[object]:
    return Stream(dataset, BATCH, workers=WORKERS).batches("images", 0)


def through_loader(dataset: Dataset) -> Iterator[object]:
    return iter(DataLoader(dataset, BATCH, shuffle=True, num_workers=WORKERS, drop_last=True))


def images_per_second(read: Callable[[Dataset], Iterator[object]], dataset: Dataset) -> float:
    batches = read(dataset)
    next(batches)
    rest, start = ROWS // BATCH - 7, time.perf_counter()
    assert sum(1 for _ in islice(batches, rest)) == rest
    return rest * BATCH / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    ways = {"Stream": through_stream, "DataLoader": through_loader}
    found: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder))
        dataset = datasets.images(folder, size=SIDE // 2)
        for _ in range(rounds):
            for name in random.sample(list(ways), len(ways)):
                found[name].append(images_per_second(ways[name], dataset))
    ratio = statistics.median(a / b for a, b in zip(found["Stream"], found["DataLoader"], strict=True))
    print("| images per second | Stream | DataLoader | ratio |\n|---|---:|---:|---:|")
    stream, loader = (statistics.median(found[name]) for name in ways)
    print(f"| {SIDE} x {SIDE} JPEG to half the side | {stream:.0f} | {loader:.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
