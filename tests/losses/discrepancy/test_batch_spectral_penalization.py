"""BSP beyond the battery: singular values that coincide or are zero."""

import pytest
import torch

import losses

bsp = losses.batch_spectral_penalization


@pytest.mark.parametrize(
    "x",
    [
        torch.eye(4, 6),
        torch.zeros(4, 6),
        torch.ones(4, 6),
        torch.cat([torch.zeros(3, 6), torch.ones(1, 6)]),
        torch.eye(6, 4),
    ],
    ids=["all equal", "zero", "rank one", "rows of zeros", "tall"],
)
@pytest.mark.parametrize("count", [1, 2, 4])
def test_coinciding_values(x, count):
    source = x.clone().requires_grad_()
    value = bsp(source, torch.zeros(1 if count == 1 else 5, x.shape[1]), count=count)
    value.backward()
    expected = torch.linalg.svdvals(x)[:count].square().sum()
    torch.testing.assert_close(value.detach(), expected, atol=1e-5, rtol=1e-6)
    # homogeneous of degree two: <gradient, x> = 2 value, and no subgradient is longer than 2 sigma
    torch.testing.assert_close((source.grad * x).sum(), 2 * value.detach(), atol=1e-5, rtol=1e-5)
    assert torch.linalg.svdvals(source.grad).max() <= 2 * torch.linalg.svdvals(x).max() + 1e-5


def test_it_turns_with_the_features_and_grows_with_their_square():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(3, 5, generator=g).double(), torch.randn(8, 5, generator=g).double()
    turn = torch.linalg.qr(torch.randn(5, 5, generator=g).double())[0]
    torch.testing.assert_close(bsp(x @ turn, y @ turn), bsp(x, y))
    torch.testing.assert_close(bsp(3 * x, 3 * y), 9 * bsp(x, y))
    torch.testing.assert_close(bsp(x, y, count=3), bsp(y, x, count=3))


@pytest.mark.parametrize("count", [0, 3])
def test_a_count_that_there_is_not(count):
    with pytest.raises(ValueError, match=r"`count` must be .*at least 1( and at most min\(n, m, d\) = 2)?, got"):
        bsp(torch.ones(2, 5), torch.ones(3, 5), count=count)
    with pytest.raises(ValueError, match="`count` must be .*at least 1"):
        bsp(torch.ones(3, 5), torch.ones(2, 5), count=count)


def test_bad_shapes():
    with pytest.raises(ValueError, match="same feature size"):
        bsp(torch.ones(2, 5), torch.ones(3, 4))


@pytest.mark.parametrize("seed", [4, 8, 11, 12])
def test_dead_columns_in_float32(seed):
    # the float32 eigenvectors of these Gram matrices are NaN, or are not found, on some processors
    g = torch.Generator().manual_seed(seed)
    alive = int(torch.randint(4, 16, (1,), generator=g))
    x = torch.zeros(64, 64)
    x[:, torch.randperm(64, generator=g)[:alive]] = torch.randn(64, alive, generator=g).relu()
    x.requires_grad_()
    value = bsp(x, x.detach())
    value.backward()
    torch.testing.assert_close(value.detach(), 2 * torch.linalg.matrix_norm(x.detach().double(), 2).square().float())
    assert x.grad.isfinite().all() and x.grad.abs().max() > 0
