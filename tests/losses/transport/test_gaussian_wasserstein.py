"""The Wasserstein distance between Gaussians beyond the battery."""

import pytest
import torch

import losses

g = torch.Generator().manual_seed(0)
x = torch.randn(9, 4, generator=g, dtype=torch.float64)
y = 2 * torch.randn(7, 4, generator=g, dtype=torch.float64) + 1


def test_on_a_line_it_is_the_difference_of_means_and_deviations():
    a, b = x[:, :1], y[:, :1]
    expected = (a.mean() - b.mean()) ** 2 + (a.std() - b.std()) ** 2
    torch.testing.assert_close(losses.gaussian_wasserstein(a, b), expected)


@pytest.mark.parametrize("d", [2, 6, 30])
def test_scaling_and_moving_a_cloud(d):
    # C_y = s^2 C_x: the root is s C_x; full rank for d = 2 and 6, fewer rows than columns for d = 30
    a = torch.randn(9, d, generator=g, dtype=torch.float64)
    shift = torch.linspace(0, 1, d, dtype=torch.float64)
    value = losses.gaussian_wasserstein(a, 3 * a + shift - 2 * a.mean(0))
    torch.testing.assert_close(value, shift.square().sum() + 4 * a.var(0).sum())


def test_rotating_both_changes_nothing():
    rotation = torch.linalg.qr(torch.randn(4, 4, generator=g, dtype=torch.float64)).Q
    torch.testing.assert_close(
        losses.gaussian_wasserstein(x @ rotation, y @ rotation), losses.gaussian_wasserstein(x, y)
    )


def test_fewer_rows_than_columns_have_a_finite_gradient_that_is_right():
    a = torch.randn(5, 12, generator=g, dtype=torch.float64)
    b = torch.randn(4, 12, generator=g, dtype=torch.float64)
    for p, q in ((a, b), (b, a), (a, torch.ones(3, 12).double()), (a, a.clone())):
        p = p.clone().requires_grad_()
        losses.gaussian_wasserstein(p, q).backward()
        assert p.grad.isfinite().all()
    inside = torch.randn(9, 5, generator=g, dtype=torch.float64) @ a  # rows in the span of a: no kink on this side
    assert torch.autograd.gradcheck(
        lambda c: losses.gaussian_wasserstein(c @ a, a),
        [torch.randn(9, 5, generator=g, dtype=torch.float64).requires_grad_()],
    )
    assert losses.gaussian_wasserstein(inside, a) > 0


def test_directions_in_which_a_cloud_has_no_spread_are_pulled_by_the_means_alone():
    # there the distance has a kink, and zero is the slope in its middle
    flat = torch.stack([x[:, 0], torch.zeros(9).double(), x[:, 1]], 1).requires_grad_()
    corners = torch.cartesian_prod(*torch.tensor([[-1.0, 1.0], [0.0, 6.0], [-2.0, 2.0]], dtype=torch.float64))
    losses.gaussian_wasserstein(flat, corners).backward()
    torch.testing.assert_close(flat.grad[:, 1], torch.full((9,), -2 * 3 / 9, dtype=torch.float64))


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_float32_features_have_the_right_gradient_in_directions_of_little_variance(offset):
    # the singular values are products of two deviations: in float32 a spread of 1e-3 beside one of 1 is rounding
    a = (torch.randn(64, 2, generator=g) * torch.tensor([1.0, 1e-3]) + offset).requires_grad_()
    b = torch.randn(48, 2, generator=g) * torch.tensor([2.0, 3e-3])
    (found,) = torch.autograd.grad(losses.gaussian_wasserstein(a, b), a)
    (truth,) = torch.autograd.grad(losses.gaussian_wasserstein(a.double(), b.double()), a)
    spread = lambda gradient: gradient - gradient.mean(0)  # noqa: E731
    error = spread(found - truth).norm(dim=0) / spread(truth).norm(dim=0)
    assert (error < 1e-4).all()
    assert found.dtype == torch.float32


def test_a_second_derivative_is_an_error():
    a = x.clone().requires_grad_()
    (first,) = torch.autograd.grad(losses.gaussian_wasserstein(a, y), a, create_graph=True)
    with pytest.raises(RuntimeError, match="first derivative only"):
        first.sum().backward()


def test_one_row_has_no_covariance():
    message = r"A covariance needs at least 2 rows in `source` and in `target`, got 9 and 1; give larger batches\."
    with pytest.raises(ValueError, match=message):
        losses.gaussian_wasserstein(x, y[:1])
