"""Rows with missing labels are worth having."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from adapt import Stream, Trainer, encoders, heads, multitask


def error_of(labels, x, test):
    """Mean squared error over three tasks after training on `labels`, NaN where missing."""
    torch.manual_seed(0)
    encoder = encoders.wrap(nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 16)), 16)
    tops = [heads.Regressor(16) for _ in range(3)]
    terms = [multitask.task(f"t{t}", top, "rows", label=t) for t, top in enumerate(tops)]
    data = TensorDataset(x, labels)
    trainer = Trainer(
        encoder, terms, {"rows": Stream(data, min(32, len(x)))}, progress=False, device="cpu",
        optimizer=lambda groups: torch.optim.AdamW(groups, 1e-2),
    )  # fmt: skip
    trainer.fit(150)
    return sum(
        (trainer.predict(top, TensorDataset(test.tensors[0])).outputs - test.tensors[1][:, t]).square().mean().item()
        for t, top in enumerate(tops)
    )


@pytest.mark.claim
def test_half_of_the_labels_missing_loses_less_than_complete_rows_only():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(720, 8, generator=g)
    mixing = torch.randn(8, 3, generator=g)
    y = torch.tanh(x @ mixing) + 0.3 * x[:, :3] + 0.1 * torch.randn(720, 3, generator=g)
    x, test = x[:240], TensorDataset(x[240:], y[240:])
    full = y[:240]
    masked = full.masked_fill(torch.rand(full.shape, generator=g) < 0.5, torch.nan)
    complete = ~masked.isnan().any(1)
    everything, half, few = (
        error_of(full, x, test),
        error_of(masked, x, test),
        error_of(full[complete], x[complete], test),
    )
    assert everything < half < few
    assert half - everything < 0.5 * (few - everything)
