"""The packaged encoder of spoken words."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from adapt import encoders

LINE = "pip install --no-deps efficientword-net"


@pytest.fixture(scope="module")
def words():
    pytest.importorskip("eff_word_net", reason=LINE)
    pytest.importorskip("onnx2torch", reason="extra `onnx`")
    return encoders.packaged_words(8_000)


def wave(seconds=0.4, rate=8_000):
    t = torch.arange(int(seconds * rate)) / rate
    return torch.sin(2 * torch.pi * (300 + 400 * t) * t) * 0.3


def test_the_module_equals_the_graph_and_all_parameters_learn(words):
    import eff_word_net
    import onnxruntime

    path = Path(eff_word_net.__file__).parent / "models" / "resnet_50_arc" / "slim_93%_accuracy_72.7390%.onnx"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = torch.stack([words.preprocess(wave(s)) for s in (0.2, 0.7, 1.9)])
    wanted = np.concatenate([session.run(None, {"input": row[None].numpy()})[0] for row in x])
    with torch.no_grad():
        found = words.eval()(x)
    assert words.dim == 2048 and np.abs(found.numpy() - wanted).max() < 1e-5
    assert torch.allclose(found.norm(dim=1), torch.ones(3), atol=1e-5)
    (words.train()(x) * torch.linspace(-1, 1, 2048)).sum().backward()
    gradients = [p.grad for p in words.parameters()]
    assert len(gradients) == 110 and all(g is not None and g.isfinite().all() and g.any() for g in gradients)


def test_level_and_silence_at_the_ends_do_not_count(words):
    x = words.preprocess(wave())
    assert x.shape == (1, 149, 64) and x.dtype == torch.float32 and x.isfinite().all()
    around = torch.nn.functional.pad(wave(), (900, 123))
    assert torch.equal(words.preprocess(around), x)
    with torch.no_grad():
        quiet, loud = words.eval()(torch.stack([words.preprocess(0.1 * wave(1.9)), words.preprocess(wave(1.9))]))
    assert torch.allclose(quiet, loud, atol=1e-4)
    sixteen = encoders.packaged_words().preprocess(wave(rate=16_000))
    assert torch.cosine_similarity(sixteen.flatten(), x.flatten(), dim=0) > 0.9


@pytest.mark.parametrize("bad", [torch.zeros(100), torch.ones(2, 100), torch.full((9,), torch.nan)])
def test_recordings_without_a_word_are_refused(words, bad):
    with pytest.raises(ValueError, match=r"`wave` must be \(samples,\) finite numbers"):
        words.preprocess(bad)


def test_an_absent_package_and_a_rate_of_zero(monkeypatch):
    with pytest.raises(ValueError, match="`rate`"):
        encoders.packaged_words(0)
    monkeypatch.setitem(sys.modules, "eff_word_net", None)
    with pytest.raises(ImportError, match=LINE):
        encoders.packaged_words()
