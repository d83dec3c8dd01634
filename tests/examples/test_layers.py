"""The example of copied layers runs; copies and frozen layers are what the names of the methods say."""

import json
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import torch

from adapt import report
from tests.examples.loaded import example_of

example = example_of("layers")
pytestmark = pytest.mark.data
FEW = example.Settings(seeds=1, images=8, epochs=2, batch=20)


def test_quick_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(example, "Settings", lambda **quick: FEW)
    monkeypatch.setattr(sys, "argv", ["layers.py", "--quick", "--out", str(tmp_path)])
    example.main()
    assert capsys.readouterr().out.count("| base B |") == 4
    found = json.loads((tmp_path / "report.json").read_text())
    scores = [target["scores"] for target in found["verdict"]["targets"]]
    assert found["quick"] and not found["failed"]["cells"] and [len(s) for s in scores] == [6] * 4
    assert all(s["base B"] == scores[0]["base B"] for s in scores)
    assert all((tmp_path / name).read_bytes()[:4] == b"\x89PNG" for name in ("report.png", "curve.png"))
    assert (tmp_path / "report.html").exists() and list((tmp_path / "tensorboard").rglob("events.*"))


@pytest.fixture
def seen(monkeypatch):
    """The layers of every network before and after the training; the base networks are there."""
    for task in "AB":
        example.base(task, 0, FEW)
    plain, seen = example.train, []

    def train(encoder, *rest):
        seen.append((deepcopy(encoder.layers), encoder.layers))
        return plain(encoder, *rest)

    monkeypatch.setattr(example, "train", train)
    return seen


@pytest.mark.parametrize("method", ["AnB+", "BnB+"])
def test_the_first_layers_are_copied_and_all_layers_learn(method, seen):
    base = example.base(method[0], 0, FEW)[0].encoder.layers
    example.learned(report.Cell(method, "n = 2", 0, None, report.Data(more=2), Path()), FEW)
    [(before, after)] = seen
    assert [same(before[layer], base[layer]) for layer in example.LAYERS] == [True, True, False, False]
    assert not any(same(before[layer], after[layer]) for layer in example.LAYERS)


@pytest.mark.parametrize(("method", "n"), [("AnB", 2), ("BnB", 2), ("AnB", 4)])
def test_frozen_layers_are_those_of_the_base_network_and_the_others_learn(method, n, seen, monkeypatch):
    base, frozen, plain = example.base(method[0], 0, FEW)[0].encoder.layers, [], example.engine.features
    monkeypatch.setattr(example.engine, "features", lambda first, rows: frozen.append(first) or plain(first, rows))
    example.learned(report.Cell(method, f"n = {n}", 0, None, report.Data(more=n), Path()), FEW)
    [(before, after)] = seen
    assert list(before) == example.LAYERS[n:] and not any(same(before[layer], base[layer]) for layer in before)
    assert not any(same(before[layer], after[layer]) for layer in before)
    expected = [p for layer in example.LAYERS[:n] for p in base[layer].state_dict().values()]
    for first in frozen:
        assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), expected, strict=True))
    assert len(frozen) == 2


def same(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_the_tasks_share_no_class_and_no_test_image_is_a_training_image():
    number = {key: label for key, label in zip(*keyed(example.images("train"), scale=2, shift=1), strict=True)}
    train = {task: keyed(example.rows("train", task, 3, 8)) for task in "AB"}
    classes = [{number[key] for key in train[task][0]} for task in "AB"]
    assert len(classes[0]) == len(classes[1]) == 5 and not classes[0] & classes[1]
    keys, labels = keyed(example.rows("test", "B", 3, 8))
    assert not set(keys) & set(number) and labels == train["B"][1] and sorted(set(labels)) == [0, 1, 2, 3, 4]


def keyed(images, scale=1, shift=0):
    x, y = images.tensors
    return [(scale * image - shift).numpy().tobytes() for image in x], y.tolist()
