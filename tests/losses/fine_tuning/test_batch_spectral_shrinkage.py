"""BSS beyond the battery: equal, vanishing and very unequal singular values."""

import pytest
import torch

import losses


def drawn(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6)])
def test_equal_singular_values_have_a_finite_gradient(shape):
    x = torch.eye(*shape, dtype=torch.float64).requires_grad_()
    value = losses.batch_spectral_shrinkage(x, count=2)
    value.backward()
    torch.testing.assert_close(value.item(), 2.0)
    torch.testing.assert_close(x.grad.square().sum().item(), 8.0)  # 2 X V V^T, V two orthonormal directions


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (1, 3)])
def test_zero_features(shape):
    x = torch.zeros(*shape, requires_grad=True)
    losses.batch_spectral_shrinkage(x).backward()
    assert (x.grad == 0).all()


def test_only_the_smallest_directions_get_a_gradient():
    x = drawn(7, 4).requires_grad_()
    losses.batch_spectral_shrinkage(x, count=2).backward()
    U, S, Vh = torch.linalg.svd(x.detach(), full_matrices=False)
    torch.testing.assert_close(x.grad, 2 * (U[:, 2:] * S[2:]) @ Vh[2:])


@pytest.mark.parametrize("shape", [(24, 16), (16, 24)])
def test_a_small_singular_value_beside_large_ones_keeps_its_digits(shape):
    n, d = shape
    U, V = torch.linalg.qr(drawn(n, 16)).Q, torch.linalg.qr(drawn(d, 16, 1)).Q
    S = torch.logspace(2, -1.5, 16, dtype=torch.float64)
    x = ((U * S) @ V.T).float()
    exact = torch.linalg.svdvals(x.double())[-1].square()
    torch.testing.assert_close(losses.batch_spectral_shrinkage(x).double(), exact, rtol=1e-6, atol=0)
    gram = x @ x.T if n < d else x.T @ x  # what float32 makes of it
    assert (torch.linalg.eigvalsh(gram)[0] - exact).abs() > 0.01 * exact


def test_turning_the_features_changes_nothing():
    x, Q = drawn(7, 4), torch.linalg.qr(drawn(4, 4, 1)).Q
    torch.testing.assert_close(losses.batch_spectral_shrinkage(x @ Q), losses.batch_spectral_shrinkage(x))


def test_bad_shapes():
    for shape in ((4,), (4, 3, 2), (0, 3)):
        with pytest.raises(ValueError, match=r"`features` must be \(n, d\) features"):
            losses.batch_spectral_shrinkage(torch.zeros(shape))


def test_bad_counts():
    with pytest.raises(ValueError, match="`count` must be a whole number of at least 1, got 0"):
        losses.batch_spectral_shrinkage(drawn(4, 3), count=0)
    with pytest.raises(ValueError, match=r"at least `count` = 4 rows .* got \(5, 3\)"):
        losses.batch_spectral_shrinkage(drawn(5, 3), count=4)
    losses.batch_spectral_shrinkage(drawn(5, 3), count=3)
