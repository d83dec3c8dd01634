"""The block of docs/speech.md runs, on made-up recordings of unequal length."""

import numpy
import torch
import torch.nn.functional as F
from scipy.io import wavfile

import adapt
from adapt import Stream, Trainer, datasets, encoders, heads, transductive
from adapt.streams import collate
from tests.pages import blocks_of, run_block


def test_the_block_runs(tmp_path, monkeypatch, capsys):
    draw = numpy.random.default_rng(0)
    for number in range(24):
        word = ("yes", "no")[number % 2]
        t = numpy.arange(draw.integers(3_000, 12_000)) / 8_000
        wave = 9_000 * numpy.sin(2 * numpy.pi * (600, 1_500)[number % 2] * t) + draw.normal(0, 50, len(t))
        folder = tmp_path / "recordings" / (f"train/{word}" if number < 16 else "new_voice")
        folder.mkdir(parents=True, exist_ok=True)
        wavfile.write(folder / f"{number}.wav", 8_000, wave.astype("int16"))
    monkeypatch.chdir(tmp_path)
    rooms = {"datasets": datasets, "encoders": encoders, "heads": heads, "transductive": transductive}
    names = {"torch": torch, "F": F, "adapt": adapt, "Stream": Stream, "Trainer": Trainer, "collate": collate}
    block, *_ = blocks_of("speech.md")
    torch.manual_seed(0)
    run_block("speech.md", 0, block, names | rooms)
    assert "'no'" in capsys.readouterr().out.splitlines()[-1]
