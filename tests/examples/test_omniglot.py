"""The example of Omniglot's one-shot runs runs, trains on no character of the runs, and counts errors rightly."""

import json
import sys

import pytest
import torch

from tests.examples.loaded import example_of

example = example_of("omniglot")
pytestmark = pytest.mark.data


def test_quick_run(tmp_path, monkeypatch, capsys):
    few = example.datasets.omniglot("small1").images
    some = example.TensorDataset(*(x[few.tensors[1][:, 1] < 16] for x in few.tensors))
    monkeypatch.setattr(example.datasets, "omniglot", lambda part: example.datasets.Omniglot(some, [], []))
    monkeypatch.setattr(example, "Settings", lambda **quick: example_settings(**(quick | {"runs": 1, "steps": 1})))
    monkeypatch.setattr(sys, "argv", ["omniglot.py", "--quick", "--out", str(tmp_path)])
    example.main()
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["quick"] and "test images read together, one per class" in capsys.readouterr().out
    errors = {name: scores[0] for name, scores in found["verdict"]["targets"][0]["scores"].items()}
    assert errors["modified Hausdorff distance"] == 0.45 and errors["aligned strokes"] <= 0.15
    assert errors["pixels"] > 0.5 and len(errors) == 9
    assert errors["test images read together, one per class"] <= errors["whitened + aligned"]
    assert (tmp_path / "report.png").read_bytes()[:4] == b"\x89PNG"


example_settings = example.Settings


def test_a_turned_character_is_another_class():
    x, y = example.turned().tensors
    assert x.shape == (4 * 2720, 1, 28, 28) and y.unique().tolist() == list(range(544))
    assert torch.equal(x[2720].rot90(-1, (1, 2)), x[0]) and y[2720] == y[0] + 136


def test_varied_drawings_keep_place_and_ink_and_views_differ():
    torch.manual_seed(0)
    x = torch.zeros(50, 1, 28, 28)
    x[:, :, 8:20, 12:15] = 1
    varied = example.vary(x)
    assert varied.shape == x.shape and 0 <= varied.min() and varied.max() <= 1
    assert (varied[0] - varied[1]).abs().max() > 0.5
    ink = varied.sum((1, 2, 3)) / x[0].sum()
    assert 0.6 < ink.min() and ink.max() < 2.5
    assert (example.vary(x, 0.0) - x).abs().max() < 1e-4


def test_the_encoder_learns_from_the_given_seed(monkeypatch):
    few = example.turned().tensors
    rows = torch.arange(0, len(few[0]), 1)[few[1] < 70]
    monkeypatch.setattr(example, "turned", lambda: example.TensorDataset(*(t[rows] for t in few)))
    now = example_settings(steps=1)
    first = example.trained.__wrapped__("prototypes", 0, now)
    again = example.trained.__wrapped__("prototypes", 0, now)
    other = example.trained.__wrapped__("contrastive", 1, now)
    x = few[0][:4]
    assert torch.equal(first.eval()(x), again.eval()(x)) and not torch.equal(first(x), other.eval()(x))
