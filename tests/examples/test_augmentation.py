"""The example of augmentation runs; both starts learn from the same images, augmented or as they are."""

import json
import sys

import pytest
import torch

from adapt import report
from tests.examples.loaded import example_of

example = example_of("augmentation")
pytestmark = pytest.mark.data
FEW = example.Settings(steps=((40, 1), (80, 1)), seeds=1, test=3)


@pytest.fixture
def streams(monkeypatch):
    """The streams of the cells."""
    plain, seen = example.Stream, []

    def stream(*given, **how):
        seen.append(plain(*given, **how))
        return seen[-1]

    monkeypatch.setattr(example, "Stream", stream)
    return seen


@pytest.fixture(scope="module")
def pool():
    return example.images("train", 10)


def test_quick_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(example, "Settings", lambda **quick: FEW)
    monkeypatch.setattr(sys, "argv", ["augmentation.py", "--quick", "--out", str(tmp_path)])
    example.main()
    printed = capsys.readouterr().out
    assert printed.count("| ImageNet start |") == 4 and printed.count("labels | strong |") == 2
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["quick"] and not found["failed"]["cells"]
    assert [len(target["scores"]) for target in found["verdict"]["targets"]] == [3] * 4
    assert all((tmp_path / name).read_bytes()[:4] == b"\x89PNG" for name in ("report.png", "gain.png"))
    assert (tmp_path / "report.html").exists() and list((tmp_path / "tensorboard").rglob("events.*"))


def test_both_starts_learn_from_the_same_images_and_more_labels_include_the_fewer(pool, tmp_path, streams):
    for method, budget in ((example.BASELINE, 40), (example.PRETRAINED, 40), (example.PRETRAINED, 80)):
        cell = report.Cell(method, example.NONE, 1, budget, report.Data(more=pool), tmp_path / f"{method} {budget}")
        torch.manual_seed(1)
        example.learned(cell, FEW)
    (one, labels), (other, _), (more, _) = (stream.dataset.tensors for stream in streams)
    assert torch.equal(one, other) and labels.bincount().tolist() == [4] * 10
    images = {image.numpy().tobytes() for image in more}
    assert len(images) == 80 and {image.numpy().tobytes() for image in one} < images


def test_the_pretrained_start_has_the_weights_and_the_random_start_has_none():
    torch.manual_seed(0)
    one, other, random = (example.load(pretrained=p).state_dict() for p in (True, True, False))
    assert len(one) == 66 and all(torch.equal(a, b) for a, b in zip(one.values(), other.values(), strict=True))
    weights = [name for name in one if one[name].ndim == 4]
    assert len(weights) == 11 and not any(torch.equal(one[name], random[name]) for name in weights)


def test_the_strong_augmentation_changes_the_images_of_the_stream(pool, tmp_path, streams):
    for number, strength in enumerate(example.STRENGTHS):
        cell = report.Cell(example.BASELINE, strength, 1, 40, report.Data(more=pool), tmp_path / str(number))
        example.learned(cell, FEW)
    batches = [next(iter(stream.batches("images", 1))).inputs for stream in streams]
    assert not torch.allclose(batches[0], batches[1], atol=0.1)
    assert all(batch.min() >= 0 and batch.max() <= 1 for batch in batches)
