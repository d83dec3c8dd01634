"""Two clouds that move together: the boundary of the source cuts one cloud of the target."""

import torch
from torch.utils.data import TensorDataset


def moved(rows, shift, seed):
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(rows) % 2
    x = 0.45 * torch.randn(rows, 2, generator=g) + torch.stack([2.0 * y - 1 + shift, 0.6 * y], 1)
    return TensorDataset(x, y)
