"""The examples of schools and torques run, and compare the errors of all tasks."""

import json
import sys

import pytest
import torch

from tests.examples.loaded import example_of


@pytest.mark.data
@pytest.mark.parametrize(("name", "methods", "tasks"), [("schools", 5, 139), ("multitask", 8, 7)])
def test_quick_run(name, methods, tasks, tmp_path, monkeypatch, capsys):
    example = example_of(name)
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
    train, test = example_of("schools").parts(school, seed=3)
    assert school[train].bincount().tolist() == [3, 6, 9, 3, 6]
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(36))
