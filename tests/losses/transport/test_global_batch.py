"""`global_batch=False` keeps to the rows of its own rank."""

import sys
from functools import partial

import pytest
import torch

import losses

pytest.importorskip("ot")
g = torch.Generator().manual_seed(0)
x, z = torch.randn(5, 3, generator=g), torch.randn(4, 6, generator=g)
y = 2 * torch.randn(4, 3, generator=g) + 1
a, b = torch.rand(5, generator=g), torch.rand(4, generator=g)
labels = torch.arange(5)
FILES = [
    name for name, module in sys.modules.items() if name.startswith("losses.transport.") and hasattr(module, "gather")
]


def elsewhere(rows):
    """A gather as if a second rank held other rows; weights that are all one stay so."""
    return torch.cat([rows, rows.flip(0) if rows.dtype == torch.long else rows.flip(0).square()])


def weighted(loss, **options):
    return lambda x, y, a, b, **more: loss(x, y, source_weights=a, target_weights=b, **options, **more)


@pytest.mark.parametrize(
    ("loss", "arguments"),
    [
        (losses.exact_transport, (x, y)),
        (weighted(losses.exact_transport), (x, y, a, b)),
        (losses.gaussian_wasserstein, (x, y)),
        (losses.joint_transport, (x, y, labels, z)),
        (partial(losses.joint_transport, plan="sinkhorn"), (x, y, labels, z)),
        (losses.sinkhorn_divergence, (x, y)),
        (weighted(losses.sinkhorn_divergence), (x, y, a, b)),
        (partial(losses.sliced_wasserstein, directions=torch.eye(3)), (x, y)),
        (weighted(losses.sliced_wasserstein, directions=torch.eye(3)), (x, y, a, b)),
        (partial(losses.max_sliced_wasserstein, directions=torch.eye(3)), (x, y)),
        (weighted(losses.max_sliced_wasserstein, directions=torch.eye(3)), (x, y, a, b)),
    ],
)
def test_the_rows_of_other_ranks_are_asked_for_where_they_should_be(loss, arguments, monkeypatch):
    alone = loss(*arguments)
    for file in FILES:
        monkeypatch.setattr(sys.modules[file], "gather", elsewhere)
    torch.testing.assert_close(loss(*arguments, global_batch=False), alone)
    together = loss(*arguments)
    assert (together - alone).abs() > 1e-3
    monkeypatch.undo()
    torch.testing.assert_close(together, loss(*[elsewhere(rows) for rows in arguments]))
