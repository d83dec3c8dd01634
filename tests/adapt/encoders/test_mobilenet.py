"""MobileNet against the description of the layers of Keras."""

import numpy
import pytest
import torch

from adapt import encoders


def keras_arrays(width=0.25):
    g = numpy.random.default_rng(0)
    encoder = encoders.mobilenet(width)
    arrays, before = {}, 3
    shapes = {n: p.shape for n, p in encoder.body.named_parameters() if n.endswith("conv.weight")}
    for name, shape in shapes.items():
        layer = (
            "conv1" if name.startswith("conv1") else f"conv_{'dw' if '.0.' in name else 'pw'}_{name.split('.')[0][5:]}"
        )
        out, inside, h, w = shape
        kernel = "depthwise_kernel" if "dw" in layer else "kernel"
        size = (h, w, out, 1) if "dw" in layer else (h, w, inside, out)
        arrays[f"{layer}.{kernel}"] = g.normal(0, 0.3, size).astype("float32")
        for part in ("gamma", "beta", "moving_mean", "moving_variance"):
            arrays[f"{layer}_bn.{part}"] = g.uniform(0.5, 1.5, out).astype("float32")
    del before
    return arrays


def test_mobilenet_is_what_keras_computes(tmp_path):
    """Against scipy's correlations, written from the description of the layers."""
    from scipy.signal import correlate

    arrays = keras_arrays()
    numpy.savez(tmp_path / "w.npz", **arrays)
    encoder = encoders.mobilenet(0.25, tmp_path / "w.npz").eval()
    x = numpy.random.default_rng(1).uniform(-1, 1, (3, 32, 32))

    def norm(x, layer):
        g, b, m, v = (
            arrays[f"{layer}_bn.{p}"][:, None, None] for p in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return numpy.clip((x - m) / numpy.sqrt(v + 1e-3) * g + b, 0, 6)

    def pad(x, stride):
        return numpy.pad(x, ((0, 0), (1, 1), (1, 1)) if stride == 1 else ((0, 0), (0, 1), (0, 1)))

    k = arrays["conv1.kernel"]
    y = numpy.stack([sum(correlate(c, k[:, :, i, o], "valid") for i, c in enumerate(pad(x, 2))) for o in range(8)])
    y = norm(y[:, ::2, ::2], "conv1")
    for number in range(1, 14):
        stride = 2 if number in (2, 4, 6, 12) else 1
        k = arrays[f"conv_dw_{number}.depthwise_kernel"][..., 0]
        y = numpy.stack([correlate(c, k[:, :, i], "valid") for i, c in enumerate(pad(y, stride))])[
            :, ::stride, ::stride
        ]
        y = norm(y, f"conv_dw_{number}")
        y = norm(numpy.einsum("chw,co->ohw", y, arrays[f"conv_pw_{number}.kernel"][0, 0]), f"conv_pw_{number}")
    out = encoder(torch.from_numpy(x[None]).float())[0]
    torch.testing.assert_close(out.detach().double(), torch.from_numpy(y.mean((1, 2))).double(), rtol=1e-3, atol=1e-4)
    assert encoder.dim == 256 and len(encoder.layers) == 14
    with pytest.raises(ValueError, match="another shape"):
        encoders.mobilenet(0.5, tmp_path / "w.npz")


@pytest.mark.data
def test_real_mobilenet_weights_fit():
    from adapt.datasets import data_file

    encoder = encoders.mobilenet(0.25, data_file("mobilenet025_imagenet/mobilenet025_224_notop.npz")).eval()
    with torch.no_grad():
        out = encoder(torch.zeros(1, 3, 96, 96))
    assert out.shape == (1, 256) and 0.1 < out.mean() < 5


def test_a_width_without_channels():
    with pytest.raises(ValueError, match="gives one channel"):
        encoders.mobilenet(0.01)
