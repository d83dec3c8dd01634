"""The benchmark of rankings runs, goes on where it was stopped, and tests on rows that are not drawn."""

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest
import torch

PATH = Path(__file__).parents[1] / "benchmarks" / "ranking.py"
needs_data = pytest.mark.skipif("ADAPT_DATA" not in os.environ, reason="set ADAPT_DATA to the folder of the data sets")


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec = importlib.util.spec_from_file_location("ranking_benchmark", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    few = ("ResNet-20", "MobileNet, 32 px", "MobileNet, 64 px")
    monkeypatch.setattr(module, "CANDIDATES", {name: module.CANDIDATES[name] for name in few})
    return module


@pytest.mark.data
@needs_data
def test_quick_run_that_goes_on(benchmark, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "ranking_quick"
    flags = ["--quick", "--folder", str(tmp_path / "ranking"), "--targets", "semeion"]
    monkeypatch.setattr(sys, "argv", ["ranking.py", *flags])
    benchmark.main()
    printed = capsys.readouterr().out
    assert "| MobileNet, 64 px |" in printed and "| parameters | " in printed
    scores = json.loads((folder / "semeion" / "scores-0.json").read_text())
    assert "leep" in scores["ResNet-20"] and "leep" not in scores["MobileNet, 32 px"], "MobileNet came without a head"
    assert (folder / "ranking.png").read_bytes()[:4] == b"\x89PNG"
    kept = {path: path.read_bytes() for path in folder.rglob("*.json")}
    assert len(kept) == 2 * 4
    benchmark.main()
    assert {path: path.read_bytes() for path in folder.rglob("*.json")} == kept


@pytest.mark.data
@needs_data
@pytest.mark.parametrize("target", ["semeion", "olivetti"])
def test_rows(benchmark, target):
    train, test = benchmark.parts(target, 0, False)
    other, same = benchmark.parts(target, 1, False)
    assert torch.equal(test.tensors[0], same.tensors[0]) and not torch.equal(train.tensors[0], other.tensors[0])
    each = benchmark.TARGETS[target].each
    assert set(train.tensors[1].bincount().tolist()) == {each}
    seen = {row.numpy().tobytes() for row in torch.cat([train.tensors[0], other.tensors[0]])}
    assert not seen & {row.numpy().tobytes() for row in test.tensors[0]}


def test_scores_are_judged_by_the_encoders_that_have_them(benchmark):
    true = {"a": 0.9, "b": 0.8, "c": 0.7}
    scores = {
        n: {s.__name__: v for s in benchmark.SCORES} | {"parameters": -v} for n, v in zip("abc", (3, 2, 1), strict=True)
    }
    del scores["c"]["leep"]
    for row in scores.values():
        del row["nce"]
    found = benchmark.judged(true, [scores, scores])
    assert found["knn"] == found["leep"] == pytest.approx((1, 0)) and found["parameters"] == pytest.approx((-1, 0.2))
    assert found["nce"] == pytest.approx((float("nan"), float("nan")), nan_ok=True)
