"""`global_batch=False` keeps to the rows of its own rank."""

import sys

import pytest
import torch

import losses


def elsewhere(rows):
    """A gather as if a second rank held other rows."""
    return torch.cat([rows, 2 * rows.flip(0)])


x, y = (torch.randn(5, 3, generator=torch.Generator().manual_seed(s)) for s in range(2))


@pytest.mark.parametrize(
    ("name", "file", "arguments"),
    [
        ("batch_spectral_shrinkage", "_batch_spectral_shrinkage", (x,)),
        ("relational_distillation", "_relational_distillation", (x, y)),
        ("hard_feature_norm", "feature_norm", (x,)),
    ],
)
def test_the_rows_of_other_ranks_are_asked_for_where_they_should_be(name, file, arguments, monkeypatch):
    loss = getattr(losses, name)
    alone = loss(*arguments)
    monkeypatch.setattr(sys.modules[f"losses.fine_tuning.{file}"], "gather", elsewhere)
    torch.testing.assert_close(loss(*arguments, global_batch=False), alone)
    together = loss(*arguments)
    assert (together - alone).abs() > 1e-3
    monkeypatch.undo()
    torch.testing.assert_close(together, loss(*[elsewhere(a) for a in arguments]))
