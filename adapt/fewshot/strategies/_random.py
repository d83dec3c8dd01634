"""Rows by chance."""

import torch
from torch import Tensor

from adapt.fewshot.pool import Pool


def random(pool: Pool) -> Tensor:
    """Return rows by chance, all rows without a label with the same probability: the baseline of every strategy."""
    open_rows = (~pool.labelled).nonzero()[:, 0].cpu()
    return open_rows[torch.randperm(len(open_rows), generator=pool.generator("random"))[: pool.budget]]
