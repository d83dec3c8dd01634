"""`global_batch=False` keeps to the rows of its own rank."""

import sys

import pytest
import torch

import losses


def elsewhere(rows):
    """A gather as if a second rank held other rows."""
    return torch.cat([rows, 2 * rows.flip(0) + torch.eye(*rows.shape)])


z = 2 * torch.randn(5, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "name",
    [
        "batch_frobenius_norm",
        "batch_nuclear_norm",
        "diversity",
        "fast_batch_nuclear_norm",
        "information_maximization",
        "minimum_class_confusion",
    ],
)
def test_the_rows_of_other_ranks_are_asked_for_where_they_should_be(name, monkeypatch):
    loss = getattr(losses, name)
    alone = loss(z)
    monkeypatch.setattr(sys.modules[f"losses.confidence._{name}"], "gather", elsewhere)
    torch.testing.assert_close(loss(z, global_batch=False), alone)
    together = loss(z)
    assert (together - alone).abs() > 1e-3
    monkeypatch.undo()
    torch.testing.assert_close(together, loss(elsewhere(z)))
