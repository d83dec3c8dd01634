"""Joint MMD beyond the battery."""

import pytest
import torch

import losses

f, p = torch.eye(4), torch.tensor([[1.0, 0.0]] * 2 + [[0.0, 1.0]] * 2)


def test_sees_the_joint_distribution_and_not_the_margins_only():
    other = p[[2, 1, 0, 3]]  # the same rows in another order: both margins are equal
    assert losses.mmd(p, other, estimator="biased").abs() < 1e-6
    assert losses.joint_mmd([f, p], [f, other], estimator="biased") > 0.01


def test_one_layer_is_mmd_and_blocks_equal_the_definition():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(600, 3, generator=g).double(), torch.randn(520, 3, generator=g).double() + 0.3
    torch.testing.assert_close(losses.joint_mmd([x], [y]), losses.mmd(x, y))
    leaves = [x.requires_grad_(), y.requires_grad_()]
    value = losses.joint_mmd([x, x.tanh(), x[:, :1]], [y, y.tanh(), y[:, :1]], bandwidth=3.0, scales=(1.0,))
    k = lambda a, b: torch.exp(-(torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist") ** 2) / 3)  # noqa: E731
    K = lambda a, b: k(a, b) * k(a.tanh(), b.tanh()) * k(a[:, :1], b[:, :1])  # noqa: E731
    off = lambda K: (K.sum() - K.trace()) / (len(K) * (len(K) - 1))  # noqa: E731
    expected = off(K(x, x)) + off(K(y, y)) - 2 * K(x, y).mean()
    torch.testing.assert_close(value, expected)
    gradients = [torch.autograd.grad(v, leaves) for v in (value, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize(
    ("source", "target", "options", "message"),
    [
        ([f], [f, p], {}, "same layers, at least one, got 1 and 2"),
        ([], [], {}, "at least one, got 0 and 0"),
        ([f, p[:3]], [f, p], {}, "same rows"),
        ([f, p], [f, p[:3]], {}, "same rows"),
        ([f, p], [f, p], {"bandwidth": [1.0]}, "one for each of the 2 layers"),
        ([f, p], [f, p], {"scales": [(1.0,)]}, "one for each of the 2 layers"),
        ([f, p], [f, p], {"scales": [(1.0,), (0.0,)]}, "`scales` must be .* a positive number"),
        ([f, p], [f, p], {"bandwidth": ["mean", -1.0]}, "`bandwidth` must be a positive number"),
        ([f, p], [f, p], {"estimator": "quadratic"}, "`estimator`"),
    ],
)
def test_bad_arguments(source, target, options, message):
    with pytest.raises(ValueError, match=message):
        losses.joint_mmd(source, target, **options)
