"""The block of docs/video.md runs, on made-up videos of unequal length."""

import numpy
import torch

import adapt
from adapt import Stream, Trainer, encoders, heads
from adapt.streams import collate
from tests.pages import blocks_of, run_block


def test_the_block_runs(tmp_path, capsys):
    draw, files, labels = numpy.random.default_rng(0), [], []
    for number in range(8):
        frames = numpy.zeros((draw.integers(3, 7), 1, 28, 28), "uint8")
        for t in range(len(frames)):
            row = 4 * t if number % 2 == 0 else 24 - 4 * t
            frames[t, 0, row : row + 4, 10:14] = 255
        files.append(tmp_path / f"{number}.npy")
        labels.append(number % 2)
        numpy.save(files[-1], frames)
    names = {"numpy": numpy, "torch": torch, "adapt": adapt, "Stream": Stream, "Trainer": Trainer}
    torch.manual_seed(0)
    (block,) = blocks_of("video.md")
    rooms = {"encoders": encoders, "heads": heads, "collate": collate, "files": files, "labels": labels}
    run_block("video.md", 0, block, names | rooms)
    assert "falls" in capsys.readouterr().out
