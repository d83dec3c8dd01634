"""The examples of schools and torques run, and compare the errors of all tasks."""

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest
import torch


def load(name):
    spec = importlib.util.spec_from_file_location(f"{name}_example", Path(__file__).parents[2] / f"examples/{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


needs_data = pytest.mark.skipif("ADAPT_DATA" not in os.environ, reason="set ADAPT_DATA to the folder of the data sets")


@pytest.mark.data
@needs_data
@pytest.mark.parametrize(("name", "methods", "tasks"), [("schools", 5, 139), ("multitask", 8, 7)])
def test_quick_run(name, methods, tasks, tmp_path, monkeypatch, capsys):
    example = load(name)
    few = example.Settings(seeds=1, steps=2)
    monkeypatch.setattr(example, "Settings", lambda **quick: few)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--quick", "--out", str(tmp_path)])
    example.main()
    assert capsys.readouterr().out.count("| uncertainty |") == 3  # against two baselines, and delta-m
    found = json.loads((tmp_path / "report.json").read_text())
    assert len(found["verdict"]["targets"][0]["scores"]) == methods and len(found["scores"]["scores"]) == tasks
    assert not found["failed"]["cells"]
    assert (tmp_path / "report.png").read_bytes()[:4] == b"\x89PNG" and (tmp_path / "report.html").exists()


def test_each_school_has_three_quarters_of_the_pupils_in_training():
    school = torch.arange(5).repeat_interleave(torch.tensor([4, 8, 12, 4, 8]))
    train, test = load("schools").parts(school, seed=3)
    assert school[train].bincount().tolist() == [3, 6, 9, 3, 6]
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(36))
