"""Quantile loss beyond the battery."""

import pytest
import torch

import losses

y = torch.randn(501, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_the_sample_quantile_minimises_it(q):
    value = lambda guess: losses.quantile(torch.full((501, 1), float(guess)).double(), y, quantiles=(q,))  # noqa: E731
    best = y.quantile(q)
    assert value(best) < value(best + 0.05) and value(best) < value(best - 0.05)


def test_the_gradient_where_the_prediction_is_exact_lies_between_the_sides():
    p = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    losses.quantile(p, torch.zeros(1).double(), quantiles=(0.1, 0.8)).backward()
    torch.testing.assert_close(p.grad, torch.tensor([[0.4, -0.3]], dtype=torch.float64) / 2)


def test_a_missing_target_costs_nothing():
    p = torch.randn(501, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    seen = y < 1
    value = losses.quantile(p, torch.where(seen, y, torch.nan), quantiles=(0.1, 0.9), weights=seen)
    torch.testing.assert_close(value, losses.quantile(p[seen], y[seen], quantiles=(0.1, 0.9)))
    value.backward()
    assert p.grad.isfinite().all() and (p.grad[~seen] == 0).all()


@pytest.mark.parametrize(
    ("shapes", "quantiles", "message"),
    [
        (((4, 2), (5,)), (0.1, 0.5), r"got \(4, 2\) and \(5,\)"),
        (((4, 2), (4, 2)), (0.1, 0.5), r"`predictions` must be \(n, ..., quantiles\)"),
        (((4, 2), (4,)), (0.1,), "`quantiles` must be 2 numbers"),
        (((4, 1), (4,)), (1.0,), "each between 0 and 1"),
        (((4, 1), (4,)), (0.0,), "each between 0 and 1"),
    ],
)
def test_bad_arguments(shapes, quantiles, message):
    with pytest.raises(ValueError, match=message):
        losses.quantile(torch.zeros(shapes[0]), torch.zeros(shapes[1]), quantiles=quantiles)


def test_weights_of_another_shape():
    with pytest.raises(ValueError, match=r"`weights` must hold one number for each row, shape \(4,\)"):
        losses.quantile(torch.zeros(4, 1), torch.zeros(4), quantiles=(0.5,), weights=torch.ones(4, 1))
