"""Images in the colours of other images."""

import pickle

import numpy
import pytest
import torch
from torch.utils.data import TensorDataset

import adapt
from adapt import Stream, Trainer, datasets, encoders, heads
from adapt.streams import jointly


def image(seed, size=(3, 12, 17)):
    return torch.rand(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_fourier_style_swaps_the_low_frequencies():
    x, other = image(0), 0.5 * image(1) + 2
    for share in (0.0, 0.1, 0.25):
        found = datasets.fourier_style([other], share=share)(x)
        b = int(share * 12)
        expected = numpy.empty(x.shape)
        for c in range(3):
            one, two = numpy.fft.fft2(x[c]), numpy.fft.fft2(other[c])
            for i in range(-b, b + 1):
                for j in range(-b, b + 1):
                    one[i % 12, j % 17] = abs(two[i % 12, j % 17]) * numpy.exp(1j * numpy.angle(one[i % 12, j % 17]))
            expected[c] = numpy.fft.ifft2(one).real
        numpy.testing.assert_allclose(found, expected.clip(x.min().item(), other.max().item()), atol=1e-12)
        numpy.testing.assert_allclose(found.mean((1, 2)), other.mean((1, 2)), atol=0.05)
    assert found.shape == x.shape and found.dtype == x.dtype


def test_histogram_style_has_the_values_of_the_other_image():
    x, other = image(0), image(1, (3, 9, 5)).square() + 1
    found = datasets.histogram_style([other])(x)
    for c in range(3):
        # the quantiles of the result are those of the other image, and the order of the pixels stays
        levels = numpy.linspace(0.05, 0.95, 19)
        gap = numpy.quantile(found[c], levels) - numpy.quantile(other[c], levels)
        assert abs(gap).max() < 0.06
        assert (found[c].flatten()[x[c].flatten().argsort()].diff() >= 0).all()
    numpy.testing.assert_allclose(datasets.histogram_style([x])(x), x, atol=1e-12)
    flat = torch.full((1, 2, 2), 0.5)
    assert torch.equal(datasets.histogram_style([torch.arange(4.0).view(1, 2, 2)])(flat), torch.full((1, 2, 2), 3.0))
    equal = torch.tensor([[[0.0, 0.0, 1.0, 1.0]]])
    assert len(datasets.histogram_style([image(2, (1, 4, 4)).float()])(equal).unique()) == 2  # equal pixels stay equal


@pytest.mark.parametrize("make", [datasets.fourier_style, datasets.histogram_style])
def test_a_style_is_an_augmentation(make):
    """The image is drawn from the generator that the stream keys; labels stay; other sizes, items with labels."""
    target = TensorDataset(torch.stack([image(k, (3, 8, 8)).float() for k in range(5)]), torch.arange(5))
    style = pickle.loads(pickle.dumps(make(target)))
    x = image(9).float()
    torch.manual_seed(0)
    found = [style(x) for _ in range(8)]
    torch.manual_seed(0)
    assert all(torch.equal(style(x), f) for f in found) and any(not torch.equal(f, found[0]) for f in found)
    images, masks = torch.rand(8, 3, 12, 12), torch.randint(2, (8, 12, 12))
    encoder = encoders.Encoder(torch.nn.Conv2d(3, 4, 3, padding=1), 4)
    head = heads.Dense(encoder, 2, channels=4)
    for augment in (style, jointly(lambda image, mask: (style(image), mask))):
        stream = Stream(TensorDataset(images, masks), 4, augment=augment)
        Trainer(encoder, [adapt.supervised(head, on="s")], {"s": stream}, progress=False, device="cpu").fit(1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: datasets.fourier_style([]), "`images` is empty"),
        (lambda: datasets.histogram_style([]), "`images` is empty"),
        (lambda: datasets.fourier_style([image(0)], share=2.0), "`share` must be"),
        (lambda: datasets.fourier_style([image(0)])(image(0)[0]), r"the image must be \(channels, h, w\).*\(12, 17\)"),
        (lambda: datasets.histogram_style([image(0)[0]])(image(0)), "the drawn image must be"),
        (lambda: datasets.histogram_style([image(0).long()])(image(0)), "floating point, got torch.int64"),
        (lambda: datasets.histogram_style([image(0)[:1]])(image(0)), "3 channels of the image, got 1"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
