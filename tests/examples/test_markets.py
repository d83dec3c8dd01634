"""The examples of markets run; a source row is known before the date; the leak is told."""

import json
import sys

import numpy as np
import pytest

from tests.examples.loaded import example_of


@pytest.mark.data
def test_quick_run_of_volatility(tmp_path, monkeypatch, capsys):
    example = example_of("volatility")
    few = example.Settings(dates=2, histories=(60,), stocks=2)
    monkeypatch.setattr(example, "Settings", lambda **quick: few)
    monkeypatch.setattr(sys, "argv", ["volatility.py", "--quick", "--out", str(tmp_path)])
    example.main()
    assert capsys.readouterr().out.count("| 60 | indices only: HAR |") == 3
    assert not json.loads((tmp_path / "report.json").read_text())["failed"]["cells"]
    assert (tmp_path / "report.png").exists() and (tmp_path / "report.html").exists()


@pytest.mark.data
def test_labels_are_the_next_five_days_and_the_test_does_not_reach_the_training(monkeypatch):
    example = example_of("volatility")
    days, x, y = example.series(60)["spx"]
    closes = example.read()[0].closes[:, 0].numpy()
    returns = np.diff(np.log(closes))
    assert y[100] == pytest.approx(np.log((returns[101:106] ** 2).sum() + 5 * example.FLOOR))
    assert x[100, 2] == pytest.approx(np.log((returns[96:101] ** 2).mean() + example.FLOOR))
    settings = example.Settings(stocks=1)
    before = example.losses("indices only: HAR", 60, 9, settings)
    start = example.read()[1].days[example.TEST * 9 - example.LAST]
    changed = {name: (d, a.copy(), b.copy()) for name, (d, a, b) in example.series(60).items()}
    for name in example.read()[0].names:
        d, a, b = changed[name]
        later = np.searchsorted(d, start)
        a[later:], b[later - example.HORIZON :] = 9.0, 9.0  # what nobody knows at the date
    monkeypatch.setattr(example, "series", lambda history: changed)
    example.losses.cache_clear()
    assert np.array_equal(before, example.losses("indices only: HAR", 60, 9, settings))


@pytest.mark.data
def test_returns_tell_the_leak(tmp_path, monkeypatch, capsys):
    example = example_of("returns")
    monkeypatch.setattr(sys, "argv", ["returns.py", "--out", str(tmp_path)])
    example.main()
    said = capsys.readouterr().out
    assert said.count("not distinguishable from the random walk") == 3 and "| nikkei | all markets | +0.2203 |" in said
    assert "is a leak. column of the future: column 0 is known 15:00:00 later" in said
    assert (tmp_path / "returns.png").exists()
