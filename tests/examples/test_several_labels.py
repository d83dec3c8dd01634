"""The example with several labels a row runs, and writes what it says."""

import importlib.util
import os
import sys
from pathlib import Path

import numpy
import pytest
import torch

spec = importlib.util.spec_from_file_location(
    "several_labels_example", Path(__file__).parents[2] / "examples" / "several_labels.py"
)
example = importlib.util.module_from_spec(spec)
spec.loader.exec_module(example)
data = pytest.mark.data
needs_data = pytest.mark.skipif("ADAPT_DATA" not in os.environ, reason="set ADAPT_DATA to the folder of the data sets")


@data
@needs_data
def test_quick_run(tmp_path, monkeypatch, capsys):
    for flags in (["speech", "--log", str(tmp_path)], ["characters"]):
        monkeypatch.setattr(sys, "argv", ["several_labels.py", "--quick", "--data", *flags])
        example.main()
    printed = capsys.readouterr().out
    assert printed.count("| single-task |") == printed.count("| UPGrad |") == 2
    assert printed.count("at the features, the tasks' gradients differ in length") == 2
    assert printed.count("| default, without the drawer |") == 1
    assert len(list(tmp_path.glob("speech/*/events.*"))) == 5


def test_log_mel_is_the_sum_of_the_spectrum_under_triangles():
    wave = torch.rand(1, 656, generator=torch.Generator().manual_seed(0)) - 0.5
    found = example.log_mel(wave, bands=5)
    assert found.shape == (1, 1, 5, 3)
    mel = numpy.linspace(0, 2595 * numpy.log10(1 + 4000 / 700), 7)
    corners = 700 * (10 ** (mel / 2595) - 1)
    window = 0.5 - 0.5 * numpy.cos(2 * numpy.pi * numpy.arange(256) / 256)
    for frame in range(3):
        heard = wave[0, 200 * frame : 200 * frame + 256].double().numpy() * window
        for band, (low, middle, high) in enumerate(zip(corners, corners[1:], corners[2:], strict=False)):
            power = 0.0
            for k in range(129):
                hertz = k * 8000 / 256
                weight = numpy.interp(hertz, [low, middle, high], [0, 1, 0])
                power += weight * abs(heard @ numpy.exp(-2j * numpy.pi * k * numpy.arange(256) / 256)) ** 2
            assert found[0, 0, band, frame].item() == pytest.approx(numpy.log(power + 1e-4), abs=1e-4)


def test_table_pairs_the_splits_and_leaves_out_what_is_not_there():
    found = {
        "single-task": [{"a": 0.5, "b": 0.25}, {"a": 0.25, "b": 0.5}],
        example.DEFAULT: [{"a": 0.625, "b": 0.25}, {"a": 0.375, "b": 0.5}],
        "fewer": [{"a": 0.5}, {"a": 0.25}],
    }
    _, _, single, default, fewer = (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in example.table(found, ["a", "b"]).splitlines()
    )
    assert single[3:] == [""] * 4
    assert default[3:5] == ["+12.5 (+12.5 to +12.5)", "+0.0 (+0.0 to +0.0)"]
    assert default[5].startswith("+18.8 ") and default[6] == ""  # (1/4 + 0) / 2 and (1/2 + 0) / 2
    assert fewer[2] == fewer[4] == fewer[6] == "" and fewer[3] == "+0.0 (+0.0 to +0.0)"
