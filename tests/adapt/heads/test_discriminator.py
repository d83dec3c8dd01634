"""The domain of a feature."""

import torch

from adapt import heads


def test_discriminator():
    assert heads.Discriminator(4, hidden=8)(torch.zeros(5, 4)).shape == (5,)
    assert "hidden" not in repr(heads.Discriminator(4, hidden=8)) and heads.Discriminator(4, hidden=8).dim == 4
