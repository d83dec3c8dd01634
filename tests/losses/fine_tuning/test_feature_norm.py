"""Adaptive feature norm beyond the battery, and lengths with a gradient at zero."""

import pytest
import torch

import losses
from losses.fine_tuning.norm import norm, unit


def test_the_hard_norm_is_the_square_of_a_mean_and_not_the_mean_of_squares():
    x = torch.tensor([[3.0, 4.0], [0.0, 15.0]])  # lengths 5 and 15
    assert losses.hard_feature_norm(x, radius=10.0) == 0
    assert losses.hard_feature_norm(x) == 15**2


def test_the_step_pulls_every_row_outwards_with_the_same_force():
    x = torch.tensor([[3.0, 4.0], [0.0, 1e-3], [500.0, 0.0]], requires_grad=True)
    value = losses.stepwise_feature_norm(x, step=2.0)
    value.backward()
    assert value == 4
    torch.testing.assert_close(x.grad, -2 * 2.0 / 3 * torch.tensor([[0.6, 0.8], [0.0, 1.0], [1.0, 0.0]]))


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), True])
def test_a_step_that_does_not_lengthen_is_refused(step):
    with pytest.raises(ValueError, match="`step` must be"):
        losses.stepwise_feature_norm(torch.ones(2, 2), step=step)


@pytest.mark.parametrize("loss", [losses.hard_feature_norm, losses.stepwise_feature_norm])
def test_a_zero_row_has_no_direction(loss):
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0]], requires_grad=True)
    loss(x).backward()
    assert (x.grad[0] == 0).all() and x.grad[1, 0] < 0
    with pytest.raises(ValueError, match=r"`features` must be \(n, d\)"):
        loss(x[0])


def test_lengths_have_two_derivatives_at_zero():
    x = torch.zeros(2, 3, requires_grad=True)
    for function in (norm, unit):
        (g,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)
        (gg,) = torch.autograd.grad(g.sum() + 0 * x.sum(), x)
        assert (g == 0).all() and (gg == 0).all()
    y = torch.tensor([[3.0, 4.0]])
    assert norm(y) == 5 and norm(y, 0).tolist() == [3, 4]
    torch.testing.assert_close(unit(y), y / 5)
    assert unit(y, 0).tolist() == [[1, 1]]
