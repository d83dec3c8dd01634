"""RSD beyond the battery: spectra and spans that are degenerate."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import losses
from losses.discrepancy._representation_subspace_distance import singular_vectors

rsd = losses.representation_subspace_distance
g = torch.Generator().manual_seed(0)
x, y = torch.randn(3, 8, generator=g).double(), torch.randn(4, 8, generator=g).double() + 1


def gradients(*clouds, **options):
    clouds = [c.clone().requires_grad_() for c in clouds]
    return torch.autograd.grad(rsd(*clouds, **options), clouds)


@pytest.mark.parametrize("tradeoff", [0.1, 0.0])
@pytest.mark.parametrize(("n", "m"), [(3, 4), (3, 3), (4, 2)])
def test_first_and_second_derivatives(n, m, tradeoff):
    inputs = torch.randn(n, 8, generator=g).double(), torch.randn(m, 8, generator=g).double()
    inputs = [z.requires_grad_() for z in inputs]
    assert gradcheck(lambda s, t: rsd(s, t, tradeoff=tradeoff), inputs)
    assert gradgradcheck(lambda s, t: rsd(s, t, tradeoff=tradeoff), inputs)


def test_neither_scale_nor_the_side_matters():
    for tradeoff in (0.0, 1.0):
        value = rsd(x, y, tradeoff=tradeoff)
        torch.testing.assert_close(rsd(1e3 * x, -0.01 * y, tradeoff=tradeoff), value)
        torch.testing.assert_close(rsd(y, x, tradeoff=tradeoff), value)


def test_the_first_term_knows_the_spans_alone():
    mix = torch.randn(3, 3, generator=g).double()
    torch.testing.assert_close(rsd(mix @ x, y, tradeoff=0), rsd(x, y, tradeoff=0))
    torch.testing.assert_close(rsd(mix @ x, x, tradeoff=0), torch.zeros(()).double(), atol=1e-13, rtol=0)
    assert rsd(mix @ x, x, tradeoff=1.0) > 0.01  # the order of the bases does matter to the second


def test_the_second_term_is_weighed_by_the_tradeoff():
    first, whole = rsd(x, y, tradeoff=0), rsd(x, y, tradeoff=1.0)
    torch.testing.assert_close(rsd(x, y), first + 0.1 * (whole - first))


@pytest.mark.parametrize("angle", [1e-1, 1e-5, 1e-9, 1e-12])
def test_small_angles(angle):
    # sqrt(1 - cos^2) loses an angle below 1e-8, and its gradient is not finite where cos is 1
    angle = torch.tensor(angle).double().requires_grad_()
    turned = torch.stack([angle.cos(), angle.sin(), torch.zeros(()).double()])[None]
    value = rsd(torch.eye(3).double()[:1], turned)
    value.backward()
    torch.testing.assert_close(value.detach(), angle.detach().sin(), rtol=1e-3, atol=0)
    torch.testing.assert_close(angle.grad, angle.detach().cos(), rtol=1e-3, atol=0)


def test_rows_that_repeat_add_no_direction():
    mix = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, -1.0]]).double()
    for few, other in ((y[:2], x), (y[:2], x[:1]), (x[:2], y)):  # the cloud of four rows is two-dimensional
        torch.testing.assert_close(rsd(mix @ few, other, tradeoff=0), rsd(few, other, tradeoff=0))
        torch.testing.assert_close(rsd(other, mix @ few, tradeoff=0), rsd(few, other, tradeoff=0))
        through = gradients(mix @ few, other, tradeoff=0)
        torch.testing.assert_close([mix.T @ through[0], through[1]], list(gradients(few, other, tradeoff=0)))


@pytest.mark.parametrize("tradeoff", [0.1, 0.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("a", "b"),
    [
        (torch.eye(3, 8), torch.eye(3, 8)),
        (torch.eye(3, 8), torch.eye(4, 8).flip(1)),
        (torch.eye(3, 8), torch.zeros(2, 8)),
        (torch.zeros(3, 8), torch.zeros(3, 8)),
        (torch.cat([torch.eye(2, 8), torch.zeros(1, 8)]), torch.ones(4, 8)),
        (torch.eye(3, 4), torch.eye(3, 4).roll(1, 1)),
        (torch.eye(3, 8) + 1e-7 * torch.rand(3, 8, generator=g), torch.eye(3, 8) + torch.rand(3, 8, generator=g)),
    ],
    ids=[
        "equal",
        "right angles",
        "nothing",
        "nothing twice",
        "one direction",
        "shared directions",
        "nearly coinciding",
    ],
)
def test_degenerate_clouds_are_finite(a, b, dtype, tradeoff):
    a, b = a.to(dtype), b.to(dtype)
    assert rsd(a, b, tradeoff=tradeoff).isfinite()
    assert all(z.isfinite().all() for z in gradients(a, b, tradeoff=tradeoff))


def test_what_degenerate_clouds_are_worth():
    worth = lambda a, b: rsd(a, b, tradeoff=0).item()  # noqa: E731
    assert worth(torch.eye(3, 8), torch.eye(4, 8).flip(1)) == pytest.approx(3)
    assert worth(torch.eye(3, 8), torch.zeros(2, 8)) == 0
    assert worth(torch.eye(3, 4), torch.eye(3, 4).roll(1, 1)) == pytest.approx(1)  # e1 e2 e3 and e2 e3 e4
    assert rsd(torch.eye(3, 8), torch.eye(4, 8).flip(1)).item() == pytest.approx(3)  # right angles have no partners


def test_a_strong_mean_direction_hides_no_gap_between_the_others():
    # after relu the first singular value is far above the others, whose differences are real all the same
    h = torch.Generator().manual_seed(0)
    shift = torch.randn(1, 1024, generator=h) / 2
    a, b = ((torch.randn(24, 1024, generator=h) + shift).relu() for _ in range(2))
    single, double = gradients(a, b)[0].double(), gradients(a.double(), b.double())[0]
    assert (single - double).norm() < 5e-3 * double.norm()
    small = 1e-3 * gradients(1e-3 * a, 1e-3 * b)[0].double()  # what coincides does not depend on the scale
    assert (small - double).norm() < 5e-3 * double.norm()


def test_equal_spans_in_another_order_have_no_gradient():
    rows = torch.randn(12, 64, generator=g).double()
    for change in gradients(rows, rows.flip(0)):
        assert change.abs().max() < 1e-11


def test_the_sides_of_the_singular_vectors():
    for shape in ((3, 5), (5, 3)):
        A = torch.randn(*shape, generator=g).double()
        P, Q = singular_vectors(A)
        values = torch.linalg.svdvals(A)
        torch.testing.assert_close(P * values @ Q.T, A)
        torch.testing.assert_close(Q.T @ Q, torch.eye(3).double())


@pytest.mark.parametrize("rows", [8, 9])
def test_as_many_rows_as_features(rows):
    with pytest.raises(ValueError, match=f"need fewer rows than features, .* got 3 and {rows} rows of 8 features"):
        rsd(x, torch.ones(rows, 8, dtype=x.dtype))


def test_other_errors():
    with pytest.raises(ValueError, match="`tradeoff` must be a number of at least 0, got -1"):
        rsd(x, y, tradeoff=-1)
    with pytest.raises(ValueError, match="same feature size"):
        rsd(x, y[:, :5])
