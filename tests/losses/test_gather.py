"""The gather: rows of all ranks, once and twice differentiable, and compiled."""

import torch

import losses
from tests.ranks import run_ranks


def test_one_rank_returns_the_same_tensor():
    x = torch.ones(3, 2)
    assert losses.gather(x) is x


def gathered(rank, world):
    x = (torch.arange(6.0, dtype=torch.float64).view(3, 2) + 10 * rank + 1).requires_grad_()
    rows = losses.gather(x)
    weights = torch.arange(1.0, 7.0, dtype=torch.float64)[:, None]
    loss = lambda rows: (weights * rows**3).sum()  # noqa: E731
    (g,) = torch.autograd.grad(loss(rows), x, create_graph=True)
    (gg,) = torch.autograd.grad(g.sum(), x)
    compiled = torch.compile(lambda x: loss(losses.gather(x)), fullgraph=True, backend="aot_eager")
    (gc,) = torch.autograd.grad(compiled(x), x)
    return x.detach(), rows.detach(), g.detach(), gg, gc


def test_two_ranks():
    zero, one = run_ranks(gathered, 2)
    everyone = torch.cat([zero[0], one[0]])
    weights = torch.arange(1.0, 7.0, dtype=torch.float64)[:, None]
    for rank, (x, rows, g, gg, gc) in enumerate((zero, one)):
        mine = weights[3 * rank : 3 * rank + 3]
        assert torch.equal(rows, everyone)
        torch.testing.assert_close(g, 2 * mine * 3 * x**2)  # each of the two ranks has that loss
        torch.testing.assert_close(gg, 2 * mine * 6 * x)
        torch.testing.assert_close(gc, g)
