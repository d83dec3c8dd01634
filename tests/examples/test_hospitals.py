"""The example of the hospitals runs, and no label of the target reaches a classifier."""

import json
import sys

import numpy as np
import pytest

from adapt import datasets
from tests.examples.loaded import example_of


@pytest.mark.data
def test_quick_run(tmp_path, monkeypatch, capsys):
    example = example_of("hospitals")
    few = example.Settings(seeds=1, folds=2, trees=2)
    monkeypatch.setattr(example, "Settings", lambda **quick: few)
    monkeypatch.setattr(sys, "argv", ["hospitals.py", "--quick", "--out", str(tmp_path)])
    example.main()
    assert capsys.readouterr().out.count("| EM, unguarded |") == 8
    assert not json.loads((tmp_path / "report.json").read_text())["failed"]["cells"]
    assert (tmp_path / "report.png").read_bytes()[:4] == b"\x89PNG" and (tmp_path / "report.html").exists()


@pytest.mark.data
def test_the_source_is_the_other_hospitals():
    x, y, target = example_of("hospitals").parts("va", 0, 1.0)
    hospitals = datasets.heart_disease()
    others = [hospitals.cleveland, hospitals.hungarian, hospitals.switzerland]
    assert len(x) == sum(map(len, others)) and y.sum() == sum(int(part.tensors[1].sum()) for part in others)
    assert len(target) == len(hospitals.va) and np.isfinite(target).all()
