"""The example of test time runs, gives all methods the same batches, and scores the answers of their time."""

import json
import sys

import pytest
import torch

from adapt import report
from tests.examples.loaded import example_of

example = example_of("test_time")
pytestmark = pytest.mark.data
FEW = example.Settings(seeds=2, images=6, rows=((1, 1), (4, 2)))


def test_quick_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(example, "Settings", lambda **quick: FEW)
    monkeypatch.setattr(example.datasets, "CORRUPTIONS", ("fog", "contrast"))
    monkeypatch.setattr(example, "METHODS", {name: example.METHODS[name] for name in ("TENT", "default, clocked")})
    monkeypatch.setattr(sys, "argv", ["test_time.py", "--quick", "--out", str(tmp_path)])
    threads = torch.get_num_threads()
    example.main()
    torch.set_num_threads(threads)
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["quick"] and not found["failed"]["cells"] and len(found["verdict"]["targets"]) == 12
    assert all(len(target["scores"]) == 3 for target in found["verdict"]["targets"])
    assert printed.count("default, clocked") >= 12 and "mixed and correlated, batches of 4" in printed
    assert all((tmp_path / name).read_bytes()[:4] == b"\x89PNG" for name in ("report.png", "streams.png"))
    assert (tmp_path / "report.html").exists() and list((tmp_path / "tensorboard").rglob("events.*"))


def test_the_scores_are_those_of_the_model_and_of_the_adapter(tmp_path, monkeypatch):
    monkeypatch.setattr(example.datasets, "CORRUPTIONS", ("fog", "contrast"))
    labels = example.pool(6)[1]
    order = {"batch_size": 4, "rows": 2, "levels": 3, "seed": 1}
    hits, adapter = {example.SOURCE: [], "default": []}, example.tt.Online(example.model())
    for batch in example.tt.arrivals("mixed", labels, 2, **order):
        names = [("fog", "contrast")[domain] for domain in batch.domain]
        x = torch.stack([example.corrupted(n, 5, 6)[row] for n, row in zip(names, batch.row, strict=True)])
        plain = torch.from_numpy(example.model().probabilities(x)).argmax(1)
        hits[example.SOURCE].append(plain == labels[batch.row])
        hits["default"].append(adapter(x).argmax(1) == labels[batch.row])
    for method, found in hits.items():
        cell = report.Cell(method, "t", 1, None, report.Data(more=("mixed", 4)), tmp_path / method)
        score = example.answered(cell, FEW).scores["accuracy"]
        assert score.n == 4 and score.value == pytest.approx(float(torch.cat(found).double().mean()))
