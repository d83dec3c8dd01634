"""Gaussian likelihood beyond the battery."""

import math

import pytest
import torch

import losses

g = torch.Generator().manual_seed(0)
mu, s, y = torch.randn(3, 5, 2, generator=g, dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_log_variances_of_any_size(dtype, beta):
    extreme = torch.tensor([-1e4, -1e30, 1e4], dtype=dtype, requires_grad=True)
    means = torch.tensor([0.0, 1.0, 0.0], dtype=dtype, requires_grad=True)
    value = losses.gaussian_likelihood(means, extreme, torch.ones(3, dtype=dtype), beta=beta)
    value.backward()
    assert value.isfinite() and extreme.grad.isfinite().all() and means.grad.isfinite().all()
    assert extreme.grad[0] < 0  # an error that is not explained widens the collapsed variance
    assert extreme.grad[1] > 0 and extreme.grad[2] > 0


def test_a_collapsed_variance_has_the_minimum():
    low = torch.full((5, 2), -50.0, dtype=torch.float64)
    floor = torch.full((5, 2), math.log(1e-6), dtype=torch.float64)
    torch.testing.assert_close(losses.gaussian_likelihood(mu, low, y), losses.gaussian_likelihood(mu, floor, y))
    at = losses.gaussian_likelihood(mu, low, y, minimum_variance=0.01)
    torch.testing.assert_close(at, losses.gaussian_likelihood(mu, 0 * low + math.log(0.01), y))
    assert losses.gaussian_likelihood(mu, floor + 1, y) < losses.gaussian_likelihood(mu, floor, y)


def test_the_minimum_is_at_the_squared_error():
    r = (y - mu).square()
    log_variances = r.log().requires_grad_()
    losses.gaussian_likelihood(mu, log_variances, y).backward()
    assert log_variances.grad.abs().max() < 1e-12


def test_beta_one_gives_the_means_the_gradient_of_the_squared_error():
    means = mu.clone().requires_grad_()
    losses.gaussian_likelihood(means, s, y, beta=1.0).backward()
    torch.testing.assert_close(means.grad, (mu - y) / mu.numel())


def test_the_factor_of_beta_is_capped():
    high, zero = torch.full((1,), 500.0, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    plain = losses.gaussian_likelihood(zero, high, zero)
    torch.testing.assert_close(losses.gaussian_likelihood(zero, high, zero, beta=0.5), math.exp(60) * plain)
    torch.testing.assert_close(
        losses.gaussian_likelihood(zero, high / 10, zero, beta=1.0), math.exp(50) * (plain - 225)
    )


def test_a_missing_target_costs_nothing():
    seen = y < 0.5
    means, log_variances = mu.clone().requires_grad_(), s.clone().requires_grad_()
    value = losses.gaussian_likelihood(means, log_variances, torch.where(seen, y, torch.nan), weights=seen)
    torch.testing.assert_close(value, losses.gaussian_likelihood(mu[seen], s[seen], y[seen]))
    value.backward()
    for grad in (means.grad, log_variances.grad):
        assert grad.isfinite().all() and (grad[~seen] == 0).all() and (grad[seen] != 0).all()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((mu, s, y[:4]), {}, "`means` and `targets` must have the same shape"),
        ((mu, s[:, :1], y), {}, "`means` and `log_variances` must have the same shape"),
        ((mu, s, y), {"beta": -0.1}, r"`beta` must be in \[0, 1\], got -0.1"),
        ((mu, s, y), {"beta": 1.1}, r"`beta` must be in \[0, 1\]"),
        ((mu, s, y), {"minimum_variance": 0.0}, "`minimum_variance` must be a positive number"),
        ((mu, s, y), {"weights": torch.ones(5)}, "`weights` must hold one number for each row"),
    ],
)
def test_bad_arguments(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        losses.gaussian_likelihood(*arguments, **options)
