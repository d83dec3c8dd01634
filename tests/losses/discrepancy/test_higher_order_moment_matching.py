"""HoMM beyond the battery."""

import pytest
import torch

import losses

g = torch.Generator().manual_seed(0)
x, y = torch.randn(7, 3, generator=g).double(), torch.randn(5, 3, generator=g).double() + 1
homm = losses.higher_order_moment_matching


def test_first_and_second_order():
    torch.testing.assert_close(homm(x, y, order=1), (x.mean(0) - y.mean(0)).square().mean())
    torch.testing.assert_close(homm(x, y, order=2), (x.T @ x / 7 - y.T @ y / 5).square().mean())


def test_the_third_order_with_the_tensor_in_full():
    full = lambda z: torch.einsum("ni,nj,nk->ijk", z, z, z) / len(z)  # noqa: E731
    torch.testing.assert_close(homm(x, y), (full(x) - full(y)).square().mean())
    a, b = x - x.mean(0), y - y.mean(0)
    torch.testing.assert_close(homm(x, y, centred=True), (full(a) - full(b)).square().mean())


def test_clouds_that_differ_in_skewness_alone():
    skewed = torch.tensor([[-1.0], [-1.0], [2.0]]).double()
    torch.testing.assert_close(homm(skewed, -skewed, order=2), torch.zeros(()).double())
    torch.testing.assert_close(homm(skewed, -skewed, order=3), torch.tensor(16.0).double())  # moments 2 and -2


def test_many_features():
    wide = torch.randn(4, 20_000, generator=g)  # the tensor would have 8e12 entries
    assert homm(wide, wide + 0.1).isfinite()


@pytest.mark.parametrize("options", [{"order": 0}, {"order": 1, "centred": True}])
def test_an_order_that_says_nothing(options):
    with pytest.raises(ValueError, match="`order` must be a whole number of at least [12], got [01]"):
        homm(x, y, **options)


def test_bad_shapes():
    with pytest.raises(ValueError, match="same feature size"):
        homm(x, y[:, :2])
