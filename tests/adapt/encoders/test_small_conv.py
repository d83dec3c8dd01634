"""A small convolutional network."""

import pytest
import torch

from adapt import encoders


@pytest.mark.parametrize("size", [28, 32])
def test_small_conv(size):
    encoder = encoders.small_conv(1, dim=10, width=4)
    assert encoder(torch.zeros(2, 1, size, size)).shape == (2, 10)
    assert list(encoder.layers) == ["conv1", "conv2", "conv3", "features"]


def test_sizes_are_counted():
    with pytest.raises(ValueError, match="`width` must be a whole number of at least 1, got 0"):
        encoders.small_conv(width=0)
