"""The example of faces runs; with the extra `offline` the packaged encoder, too."""

import json
import sys
from importlib.util import find_spec

import pytest
import torch

from adapt import engine
from tests.examples.loaded import example_of

example = example_of("faces")
pytestmark = pytest.mark.data
THERE = find_spec("dlib") is not None and find_spec("face_recognition_models") is not None
QUICK = example.Settings(people=3, resamples=5)


def test_quick_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(example, "Settings", lambda **quick: QUICK)
    monkeypatch.setattr(example, "find_spec", lambda name: None)  # the next test has the packaged encoder
    monkeypatch.setattr(sys, "argv", ["faces.py", "--quick", "--out", str(tmp_path)])
    example.main()
    assert 'no row "packaged face encoder": pip install "adapt-losses[offline]"' in capsys.readouterr().out
    found = json.loads((tmp_path / "scores.json").read_text())
    assert found["quick"] and list(found) == [example.PIXELS, example.OWN, "quick"]
    assert list(found[example.OWN])[:2] == ["rank-1", "equal error rate"]
    assert found[example.OWN]["rank-1"]["value"] > found[example.PIXELS]["rank-1"]["value"]
    assert found[example.OWN]["rank-1"]["n"] == 3 and (tmp_path / "roc.png").read_bytes()[:4] == b"\x89PNG"


def test_right_names_are_counted_for_each_person():
    x = torch.eye(3)[:, None].repeat(1, 4, 1)
    assert example.named(x, "cosine").value == 1
    x[0] = torch.tensor([[1, 0, 0.2]] * 3 + [[0, 0.9, 0.1]])  # the last photograph looks like person 1
    # wrong: the last photograph where another one is known, and the three others where the last one is known
    score = example.named(x, "cosine")
    assert score.n == 3 and score.value == pytest.approx(1 - 6 / 36)


@pytest.mark.skipif(not THERE, reason='the packaged face encoder: pip install "adapt-losses[offline]"')
def test_the_packaged_encoder_tells_people_apart_and_is_cached(tmp_path):
    x, y = example.datasets.olivetti().tensors
    few = example.TensorDataset(x[[200, 201, 210, 211]], y[[200, 201, 210, 211]])
    encoder = example.packaged(few, QUICK)
    features = engine.features(encoder, few, tmp_path).tensors[0]
    distance = torch.cdist(features, features)
    assert features.shape == (4, 128) and distance[0, 1] < 0.6 < distance[0, 2]  # 0.6: the threshold of dlib's page
    encoder.body.hidden.function = None  # the cache answers
    assert torch.equal(engine.features(encoder, few, tmp_path).tensors[0], features)
