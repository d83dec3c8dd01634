"""python benchmarks/word_vectors.py --words 400000

Loading a GloVe text file with ``encoders.word_vectors`` and with gensim's ``KeyedVectors.load_word2vec_format``.

The file is made here: random words, 100 numbers of five decimals each, as in the published files. The two take turns in
one process, each compared with the other of the same round; shown are medians of the processor's seconds (both use one
thread). Before the clock starts both read the first thousand words, and must give the same words and the same vectors
to the last bit. gensim reads a file without a header twice, once to count its lines: its time with the header is given
as well. Needs ``pip install gensim``.
"""

import argparse
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy

sys.path[0] = str(Path(__file__).parents[1])  # benchmarks/losses.py would hide the package
from adapt import encoders


@dataclass(frozen=True)
class Settings:
    words: int = 400_000
    dim: int = 100
    rounds: int = 3


def write(path: Path, words: int, dim: int, header: bool = False) -> None:
    generator = numpy.random.default_rng(0)
    with path.open("w") as file:
        if header:
            file.write(f"{words} {dim}\n")
        for start in range(0, words, 1000):
            rows = generator.normal(0, 0.4, (min(1000, words - start), dim))
            file.writelines(
                f"w{start + i} " + " ".join([f"{v:.5f}" for v in row]) + "\n" for i, row in enumerate(rows.tolist())
            )


def timed(load) -> float:
    start = time.process_time()
    load()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in Settings().__dict__.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    settings = Settings(**vars(parser.parse_args()))
    from gensim.models import KeyedVectors

    with tempfile.TemporaryDirectory() as folder:
        path, small, headed = (Path(folder) / name for name in ("glove.txt", "small.txt", "word2vec.txt"))
        write(path, settings.words, settings.dim)
        write(headed, settings.words, settings.dim, header=True)
        write(small, 1000, settings.dim)
        ours, theirs = encoders.word_vectors(small), KeyedVectors.load_word2vec_format(small, no_header=True)
        assert ours.words == theirs.index_to_key and numpy.array_equal(ours.vectors.numpy(), theirs.vectors)
        loads = {
            "adapt": lambda: encoders.word_vectors(path),
            "gensim": lambda: KeyedVectors.load_word2vec_format(path, no_header=True),
            "gensim, with a header": lambda: KeyedVectors.load_word2vec_format(headed),
        }
        times = {name: [] for name in loads}
        for _ in range(settings.rounds):
            for name, load in loads.items():
                times[name].append(timed(load))
        print(
            f"{settings.words} words of {settings.dim} numbers, {path.stat().st_size / 1e6:.0f} MB, "
            f"{platform.processor()}\n"
        )
        print("| load | CPU seconds | adapt's share of it |\n|---|---:|---:|")
        for name, seconds in times.items():
            share = statistics.median(a / b for a, b in zip(times["adapt"], seconds, strict=True))
            print(f"| {name} | {statistics.median(seconds):.2f} | {share:.2f} |")


if __name__ == "__main__":
    main()
