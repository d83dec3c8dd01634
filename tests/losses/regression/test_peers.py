"""Values and gradients equal to those of other libraries, where they compute the same thing."""

import pytest
import torch
import torch.nn.functional as F

import losses

g = torch.Generator().manual_seed(0)


def assert_same(ours, theirs, *tensors):
    found = []
    for loss in (ours, theirs):
        leaves = [t.clone().requires_grad_() for t in tensors]
        value = loss(*leaves)
        found.append((value.detach(), torch.autograd.grad(value, leaves)))
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_torch_gaussian_nll(scale):
    mu, s, y = scale * torch.randn(3, 6, 4, generator=g, dtype=torch.float64)
    assert_same(
        losses.gaussian_likelihood,
        lambda mu, s, y: F.gaussian_nll_loss(mu, y, s.exp(), full=True),
        mu,
        s,
        y,
    )


def test_torch_normal_distribution():
    mu, s, y = torch.randn(3, 6, 4, generator=g, dtype=torch.float64)
    assert_same(
        losses.gaussian_likelihood,
        lambda mu, s, y: -torch.distributions.Normal(mu, (s / 2).exp()).log_prob(y).mean(),
        mu,
        s,
        y,
    )


def test_torch_gaussian_nll_overflows_where_this_does_not():
    zero, high = torch.zeros(1), torch.full((1,), 1e4)
    assert F.gaussian_nll_loss(zero, zero, high.exp()).isinf()
    assert losses.gaussian_likelihood(zero, high, zero).isfinite()


def test_half_the_mean_absolute_error_at_the_median():
    p, y = torch.randn(2, 6, 4, generator=g, dtype=torch.float64)
    assert_same(lambda p, y: losses.quantile(p[..., None], y, quantiles=(0.5,)), lambda p, y: F.l1_loss(p, y) / 2, p, y)
