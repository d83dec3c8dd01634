"""The example of the left-out hospital runs; its areas are those of scikit-learn; no label of the target is read."""

import json
import sys

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from torch.utils.data import TensorDataset

from adapt import datasets, report
from tests.examples.loaded import example_of


@pytest.mark.data
def test_quick_run(tmp_path, monkeypatch, capsys):
    example = example_of("heart")
    few = example.Settings(seeds=1, trees=2, epochs=1)
    monkeypatch.setattr(example, "Settings", lambda **quick: few)
    monkeypatch.setattr(example, "PENALTIES", {"logisticregression__C": [0.01, 1.0]})
    monkeypatch.setattr(sys, "argv", ["heart.py", "--quick", "--out", str(tmp_path)])
    example.main()
    assert capsys.readouterr().out.count("| transformer, all columns |") == 4
    assert not json.loads((tmp_path / "report.json").read_text())["failed"]["cells"]
    assert (tmp_path / "report.png").exists() and (tmp_path / "report.html").exists()


def test_the_area_and_its_interval():
    draw, area = np.random.default_rng(0), example_of("heart").area
    y = draw.permutation(np.r_[np.ones(40), np.zeros(60)])
    p = np.round(draw.random(100) + 0.3 * y, 1)
    found = area(p, y)
    assert found.value == pytest.approx(roc_auc_score(y, p))
    ill, healthy = p[y == 1], p[y == 0]
    again = []
    for _ in range(4000):
        a, b = draw.choice(ill, (40, 1)), draw.choice(healthy, 60)
        again.append(((a > b) + (a == b) / 2).mean())
    assert (found.high - found.low) / 3.92 == pytest.approx(np.std(again), rel=0.07)


@pytest.mark.data
def test_labels_of_the_target_change_the_score_alone(tmp_path, monkeypatch):
    example, sites = example_of("heart"), datasets.heart_disease()
    x, y = sites.va.tensors
    turned = sites._replace(va=TensorDataset(x, 1 - y))
    found = []
    for given in (sites, turned):
        monkeypatch.setattr(example, "read", lambda given=given: given)
        cell = report.Cell("penalty by hospital", "va", 0, None, None, tmp_path)
        found.append(example.scored(cell, example.Settings())["AUC"].value)
    assert found[0] + found[1] == pytest.approx(1)  # the same probabilities
