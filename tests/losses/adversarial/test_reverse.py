"""Gradient reversal."""

import pytest
import torch

import losses


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_forward_is_exact_and_the_gradient_is_turned(dtype):
    x = (1e3 * torch.randn(50, generator=torch.Generator().manual_seed(0))).to(dtype).requires_grad_()
    out = losses.reverse(x, 0.25)
    assert torch.equal(out, x)
    out.sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, -0.25))


def test_strength_zero_stops_the_gradient_and_a_tensor_will_do():
    x = torch.ones(3, requires_grad=True)
    losses.reverse(x, torch.tensor(0.0)).sum().backward()
    assert torch.equal(x.grad, torch.zeros(3))


def test_twice_and_compiled():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    reversed_cube = torch.compile(lambda x: losses.reverse(x, 2.0).pow(3).sum(), fullgraph=True, backend="aot_eager")
    reversed_cube(x).backward()
    torch.testing.assert_close(x.grad, -6 * x.detach() ** 2)
    (g,) = torch.autograd.grad(losses.reverse(x, 2.0).pow(3).sum(), x, create_graph=True)
    (gg,) = torch.autograd.grad(g.sum(), x)
    torch.testing.assert_close(gg, 24 * x.detach())  # each of the two derivatives brings a factor -2
