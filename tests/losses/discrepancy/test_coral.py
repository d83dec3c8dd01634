"""CORAL beyond the battery."""

import torch
from pytorch_adapt.layers import CORALLoss

import losses


def test_equals_pytorch_adapt():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(9, 5, generator=g), 2 * torch.randn(7, 5, generator=g)
    torch.testing.assert_close(losses.coral(x, y), CORALLoss()(x, y))


def test_means_do_not_matter_and_the_spread_does():
    x = torch.randn(9, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert losses.coral(x, x + 3) < 1e-25
    torch.testing.assert_close(losses.coral(2 * x, 0 * x), 16 * losses.coral(x, 0 * x))
