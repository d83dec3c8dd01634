"""The example of the turning labels runs, and the labels turn after the first part alone."""

import json
import sys

import numpy as np
import pytest

from tests.examples.loaded import example_of


@pytest.mark.data
def test_quick_run(tmp_path, monkeypatch, capsys):
    example = example_of("drift")
    few = example.Settings(seeds=1, first=150, before=100, after=100, components=4)
    monkeypatch.setattr(example, "Settings", lambda **quick: few)
    monkeypatch.setattr(sys, "argv", ["drift.py", "--quick", "--out", str(tmp_path)])
    example.main()
    assert capsys.readouterr().out.count("| query (default) |") == 3
    assert not json.loads((tmp_path / "report.json").read_text())["failed"]["cells"]


@pytest.mark.data
def test_the_labels_turn_in_the_middle():
    example = example_of("drift")
    settings = example.Settings(first=100, before=200, after=300, components=3)
    x, y = example.stream(settings, 0)
    plain = example.stream(example.Settings(first=100, before=500, after=0, components=3), 0)[1]
    np.testing.assert_array_equal(y[:300], plain[:300])
    np.testing.assert_array_equal(y[300:], example.TURNED[plain[300:]])
    assert sorted(example.TURNED) == list(range(10)) and len(x) == 600
