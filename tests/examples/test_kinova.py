"""The example of the robot arm: the fit finds a known tempo, and never reads the command that is left out."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tests.examples.loaded import example_of

example = example_of("kinova")


def test_the_fit_finds_tempo_delay_gain_and_offset(monkeypatch):
    t = np.linspace(0, 3, 90)
    paths = {c: 100 * np.stack([np.sin(c * t), np.cos(t), t / c], 1) for c in (1, 2)}
    monkeypatch.setattr(example, "simulated", lambda command, simulator: paths[command])
    p = np.array([1.3, 1.5, 1.1, 0.9, 1.2, 10, -5, 3])
    wanted = {c: example.played(path, p, 60) for c, path in paths.items()}
    cost, found = example.fitted("any", wanted, 8)
    assert cost < 1e-6
    np.testing.assert_allclose(found, p, rtol=1e-3)
    assert (example.fitted("any", wanted, 2)[1][2:] == [1, 1, 1, 0, 0, 0]).all()


@pytest.mark.data
def test_the_command_that_is_left_out_is_not_read_by_the_fit(monkeypatch):
    kept, fits = example.real, []

    def spied(simulator, wanted, free):
        fits.append(sorted(wanted))
        return 0.0, np.array([1.0, 0, 1, 1, 1, 0, 0, 0])

    monkeypatch.setattr(example, "fitted", spied)
    example.scored(SimpleNamespace(task="pushing a cube", method="tempo: best fit", seed=0), example.Settings())
    assert fits == [[1, 2]] * 6
    assert [len(kept(c)) for c in (1, 2, 3)] == [23] * 3
    for c in (1, 2, 3):
        paths = kept(c)
        assert np.linalg.norm(paths - paths.mean(0), axis=2).mean() < 9, "runs repeat each other"


@pytest.mark.data
def test_quick_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["kinova.py", "--quick", "--out", str(tmp_path)])
    monkeypatch.setattr(example, "SIMULATORS", ["PyBullet", "VRepNewton"])
    example.main()
    said = capsys.readouterr().out
    assert said.count(" mm, ") == 21 and (tmp_path / "report.png").exists()
