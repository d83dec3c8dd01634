"""`global_batch=False` keeps to the places of its own rank."""

import sys

import pytest
import torch

import losses

g = torch.Generator().manual_seed(0)
z, y, w = torch.randn(4, 3, 5, generator=g), torch.randint(3, (4, 5), generator=g), torch.rand(4, 5, generator=g)


def elsewhere(rows):
    """A gather as if a second rank held other rows; weights that are all one stay so."""
    return torch.cat([rows, rows.flip(0) if rows.dtype == torch.long else rows.flip(0).square()])


@pytest.mark.parametrize("weights", [None, w])
@pytest.mark.parametrize(
    ("loss", "file", "logits", "labels"),
    [
        (losses.dice, "_dice", z, y),
        (losses.lovasz_softmax, "lovasz", z, y),
        (losses.lovasz_hinge, "lovasz", z[:, 0], (y == 1).long()),
    ],
)
def test_the_places_of_other_ranks_are_asked_for_where_they_should_be(loss, file, logits, labels, weights, monkeypatch):
    alone = loss(logits, labels, weights=weights)
    monkeypatch.setattr(sys.modules[f"losses.dense.{file}"], "gather", elsewhere)
    torch.testing.assert_close(loss(logits, labels, weights=weights, global_batch=False), alone)
    together = loss(logits, labels, weights=weights)
    assert (together - alone).abs() > 1e-3
    monkeypatch.undo()
    if loss is not losses.dice:  # it gathers its sums, not its places
        all_weights = None if weights is None else elsewhere(weights)
        torch.testing.assert_close(together, loss(elsewhere(logits), elsewhere(labels), weights=all_weights))
