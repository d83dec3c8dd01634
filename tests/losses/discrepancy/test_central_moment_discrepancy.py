"""CMD beyond the battery: norms at zero, powers, its interval."""

import pytest
import torch

import losses

g = torch.Generator().manual_seed(0)
x, y = torch.randn(7, 3, generator=g).double(), torch.randn(5, 3, generator=g).double() + 1
cmd = losses.central_moment_discrepancy


def test_features_scaled_with_their_interval_have_the_same_value():
    torch.testing.assert_close(cmd(4 * x, 4 * y, interval=(-1.0, 3.0)), cmd(x, y))


def test_one_moment_is_the_distance_of_the_means():
    torch.testing.assert_close(cmd(x, y, moments=1), torch.dist(x.mean(0), y.mean(0)))


def test_a_difference_in_one_moment_alone():
    a = torch.tensor([[-1.0], [1.0]]).requires_grad_()
    value = cmd(a, torch.tensor([[-2.0], [2.0]]))  # means and odd moments agree: 1 - 4, then 1 - 16
    value.backward()
    torch.testing.assert_close(value, torch.tensor(18.0))
    # d value / da = -d (a^2 mean + a^4 mean); the norms that are zero add nothing
    torch.testing.assert_close(a.grad, -torch.tensor([[-1.0 - 2], [1.0 + 2]]))


@pytest.mark.parametrize("sign", [1, -1])
def test_squares_that_overflow(sign):
    big = sign * torch.tensor([[-1e6], [1e6], [4e6]])
    value = cmd(big, torch.zeros(2, 1))  # the fifth moments are about 1e32, their squares do not fit float32
    torch.testing.assert_close(value.double(), cmd(big.double(), torch.zeros(2, 1).double()), rtol=1e-5, atol=0)


def test_squares_that_underflow():
    small = torch.tensor([[1e-30], [3e-30]]).requires_grad_()
    value = cmd(small, torch.zeros(2, 1), moments=1)
    value.backward()
    torch.testing.assert_close(value.detach(), torch.tensor(2e-30), rtol=1e-6, atol=0)
    torch.testing.assert_close(small.grad, torch.full((2, 1), 0.5))


def test_equal_rows_have_no_gradient_however_the_mean_is_rounded():
    for seed in range(50):
        row = torch.randn(1, 64, generator=torch.Generator().manual_seed(seed))
        source = row.repeat(7, 1).requires_grad_()
        value = cmd(source, row.repeat(5, 1))
        value.backward()
        assert value == 0 and (source.grad == 0).all(), seed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"moments": 0}, "`moments` must be .*at least 1, got 0"),
        ({"interval": (1.0, 1.0)}, "`interval` must be .* a < b"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        cmd(x, y, **options)
    with pytest.raises(ValueError, match="same feature size"):
        cmd(x, y[:, :2])
