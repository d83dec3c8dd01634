"""Batch nuclear norm beyond the battery: no decomposition of P, and what happens at rank deficiency."""

import pytest
import torch

import losses


def by_decomposition(z):
    return -torch.linalg.svdvals(z.softmax(1)).sum() / z.shape[0]


def value_and_gradient(loss, z):
    z = z.clone().requires_grad_()
    value = loss(z)
    return value.detach(), *torch.autograd.grad(value, z)


@pytest.mark.parametrize("shape", [(40, 12), (12, 40), (16, 16), (1, 5), (5, 1)])
def test_gradient_is_that_of_the_singular_values(shape):
    z = 3 * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found, wanted = value_and_gradient(losses.batch_nuclear_norm, z), value_and_gradient(by_decomposition, z)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-11)


def test_float32_has_its_digits():
    # the square of a matrix in float32 would lose half of them: singular values from 1 to 1e-3
    z = torch.randn(64, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 1e-2
    z[:, :2] += 4
    single, double = value_and_gradient(losses.batch_nuclear_norm, z.float()), value_and_gradient(by_decomposition, z)
    torch.testing.assert_close(single[0].double(), double[0], rtol=1e-6, atol=0)
    assert (single[1].double() - double[1]).norm() < 1e-3 * double[1].norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(6, 3), (3, 6)])
def test_equal_rows_have_rank_one(shape, dtype):
    z = torch.randn(1, shape[1], generator=torch.Generator().manual_seed(2), dtype=dtype).expand(shape)
    value, gradient = value_and_gradient(losses.batch_nuclear_norm, z)
    p = z[:1].softmax(1)
    torch.testing.assert_close(value, -p.norm() / shape[0] ** 0.5)
    # only the singular value that is not zero moves: all rows have the gradient of |p| / n
    (wanted,) = value_and_gradient(lambda z: -z.softmax(1).norm() / (shape[0] * shape[0] ** 0.5), z[:1])[1:]
    torch.testing.assert_close(gradient, wanted.expand(shape) * 1.0, rtol=1e-4, atol=1e-6)


def test_small_singular_values_count_until_rounding():
    # all rows equal but for a difference of 1e-5, far above the tolerance
    z = torch.zeros(8, 4, dtype=torch.float64)
    z[::2, 0] += 1e-5
    assert losses.batch_nuclear_norm(z) < losses.batch_nuclear_norm(torch.zeros_like(z)) - 1e-7
    torch.testing.assert_close(losses.batch_nuclear_norm(z), by_decomposition(z), rtol=1e-9, atol=0)


def test_a_class_that_nobody_predicts():
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    z[:, 3] = -1e4
    value, gradient = value_and_gradient(losses.batch_nuclear_norm, z)
    wanted, without = value_and_gradient(losses.batch_nuclear_norm, z[:, :3])
    torch.testing.assert_close(value, wanted)
    torch.testing.assert_close(gradient[:, :3], without)
    assert (gradient[:, 3] == 0).all()
    assert value_and_gradient(losses.fast_batch_nuclear_norm, z)[1].isfinite().all()


def test_bounds():
    z = 60 * torch.eye(4).repeat(3, 1)  # confident and balanced: sqrt(n / classes) four times
    torch.testing.assert_close(losses.batch_nuclear_norm(z), torch.tensor(-(4 * 3**0.5) / 12))
    torch.testing.assert_close(losses.fast_batch_nuclear_norm(z), losses.batch_nuclear_norm(z))
    one_class = 60 * torch.eye(4)[:1].repeat(12, 1)
    torch.testing.assert_close(losses.batch_nuclear_norm(one_class), torch.tensor(-(12**0.5) / 12))
    torch.testing.assert_close(losses.batch_frobenius_norm(one_class), losses.batch_frobenius_norm(z))  # blind to it


def test_second_derivative_is_that_of_the_singular_values():
    z = torch.randn(5, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64, requires_grad=True)
    found, wanted = (
        torch.autograd.grad(torch.autograd.grad(f(z), z, create_graph=True)[0].square().sum(), z)[0]
        for f in (losses.batch_nuclear_norm, by_decomposition)
    )
    torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-11)
