"""Recordings as images."""

import numpy
import pytest
import torch

from adapt import datasets


def test_the_power_is_the_sum_of_the_spectrum_under_triangles():
    wave = torch.rand(1, 656, generator=torch.Generator().manual_seed(0)) - 0.5
    found = datasets.log_mel(wave, 8000, bands=5, hop=200)
    assert found.shape == (1, 1, 5, 3)
    mel = numpy.linspace(0, 2595 * numpy.log10(1 + 4000 / 700), 7)
    corners = 700 * (10 ** (mel / 2595) - 1)
    window = 0.5 - 0.5 * numpy.cos(2 * numpy.pi * numpy.arange(256) / 256)
    for frame in range(3):
        heard = wave[0, 200 * frame : 200 * frame + 256].double().numpy() * window
        for band, (low, middle, high) in enumerate(zip(corners, corners[1:], corners[2:], strict=False)):
            power = 0.0
            for k in range(129):
                hertz = k * 8000 / 256
                weight = numpy.interp(hertz, [low, middle, high], [0, 1, 0])
                power += weight * abs(heard @ numpy.exp(-2j * numpy.pi * k * numpy.arange(256) / 256)) ** 2
            assert found[0, 0, band, frame].item() == pytest.approx(numpy.log(power + 1e-4), abs=1e-4)


def test_one_recording_is_one_image_and_silence_is_the_floor():
    waves = torch.rand(2, 400)
    torch.testing.assert_close(datasets.log_mel(waves[1], 8000), datasets.log_mel(waves, 8000)[1])
    assert datasets.log_mel(torch.zeros(300), 8000, floor=0.5).eq(torch.tensor(0.5).log()).all()


@pytest.mark.parametrize("waves", [torch.zeros(255), torch.zeros(2, 2, 300), torch.zeros(300, dtype=torch.int16)])
def test_other_shapes_are_refused(waves):
    with pytest.raises(ValueError, match="`waves` must be .samples,. or .n, samples. floating numbers"):
        datasets.log_mel(waves, 8000)
