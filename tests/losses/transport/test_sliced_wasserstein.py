"""Sliced Wasserstein distances beyond the battery."""

import math

import pytest
import torch

import losses

g = torch.Generator().manual_seed(0)
x = torch.randn(8, 3, generator=g, dtype=torch.float64)
y = 2 * torch.randn(8, 3, generator=g, dtype=torch.float64) + 1
eye = torch.eye(3, dtype=torch.float64)
both = pytest.mark.parametrize("loss", [losses.sliced_wasserstein, losses.max_sliced_wasserstein])


def seeded():
    return torch.Generator().manual_seed(1)


@pytest.mark.parametrize("power", [1, 1.5, 2])
def test_unequal_numbers_of_rows_are_copies_of_rows(power):
    options = {"directions": eye, "power": power}
    few = y[:6]
    expected = losses.sliced_wasserstein(x.repeat(3, 1), few.repeat(4, 1), **options)  # 24 rows each: the short path
    torch.testing.assert_close(losses.sliced_wasserstein(x, few, **options), expected)
    weights = {"source_weights": torch.full((8,), 2.0), "target_weights": torch.ones(6)}
    torch.testing.assert_close(losses.sliced_wasserstein(x, few, **options, **weights), expected)


@pytest.mark.parametrize("power", [1, 2, 3])
def test_a_shift_along_a_direction(power):
    shifted = x + torch.tensor([0.0, 3.0, 0.0])
    torch.testing.assert_close(
        losses.sliced_wasserstein(x, shifted, directions=eye[1:2], power=power), torch.tensor(3.0**power).double()
    )


def test_the_number_of_directions_is_what_was_asked_for():
    # published: a layer that draws 128 whatever its argument says
    drawn = torch.nn.functional.normalize(torch.randn(7, 3, generator=seeded()).double(), dim=1)
    torch.testing.assert_close(
        losses.sliced_wasserstein(x, y, directions=7, generator=seeded()),
        losses.sliced_wasserstein(x, y, directions=drawn),
    )
    default = losses.sliced_wasserstein(x, y, generator=seeded())
    torch.testing.assert_close(default, losses.sliced_wasserstein(x, y, directions=128, generator=seeded()))
    assert default != losses.sliced_wasserstein(x, y, directions=127, generator=seeded())


def test_many_directions_have_the_mean_of_the_sphere():
    shift = torch.tensor([3.0, 0.0, 0.0])
    value = losses.sliced_wasserstein(x, x + shift, directions=20_000, generator=seeded())
    assert abs(value / 3.0 - 1) < 0.03  # the mean of (theta . shift)^2 is |shift|^2 / d


def test_the_ascent_finds_the_worst_direction():
    angle = torch.linspace(0, math.pi, 2000, dtype=torch.float64)
    a, b = x[:, :2], y[:7, :2] * torch.tensor([3.0, 0.3])
    grid = torch.stack([angle.cos(), angle.sin()], 1)
    highest = torch.stack([losses.sliced_wasserstein(a, b, directions=w[None]) for w in grid]).max()
    start = losses.max_sliced_wasserstein(a, b, directions=eye[1:2, :2], steps=0)
    found = losses.max_sliced_wasserstein(a, b, directions=eye[1:2, :2], steps=40)
    assert start < 0.8 * highest
    torch.testing.assert_close(found, highest, rtol=1e-5, atol=0)


def test_the_gradient_is_that_of_the_maximum():
    # the direction is held; at a maximum it does not matter that it would move
    loss = lambda a: losses.max_sliced_wasserstein(a, y, directions=eye[:1], steps=60)  # noqa: E731
    assert torch.autograd.gradcheck(loss, [x[:3].clone().requires_grad_()], atol=1e-5)


def test_more_steps_never_lower_the_value():
    values = [losses.max_sliced_wasserstein(x, y, directions=eye, steps=s) for s in range(6)]
    assert all(a <= b for a, b in zip(values, values[1:], strict=False))
    assert losses.max_sliced_wasserstein(x, y, generator=seeded()) >= losses.sliced_wasserstein(
        x, y, generator=seeded()
    )


def test_the_defaults_of_the_search():
    drawn = torch.nn.functional.normalize(torch.randn(128, 3, generator=seeded()).double(), dim=1)
    far = y * torch.tensor([1.0, 0.5, 0.1])
    default = losses.max_sliced_wasserstein(x, far, generator=seeded())
    torch.testing.assert_close(default, losses.max_sliced_wasserstein(x, far, directions=drawn, steps=10))
    assert default != losses.max_sliced_wasserstein(x, far, directions=drawn[:5], steps=1)


@both
def test_rows_that_a_mask_leaves_out(loss):
    mask = torch.tensor([True] * 5 + [False] * 3)
    wild = torch.where(mask[:, None], x, torch.tensor(1e6).double())
    options = {"directions": eye}
    torch.testing.assert_close(loss(wild, y, source_weights=mask, **options), loss(x[:5], y, **options))
    torch.testing.assert_close(loss(y, wild, target_weights=mask, **options), loss(y, x[:5], **options))
    unknown = torch.where(mask[:, None], x, torch.nan).requires_grad_()
    value = loss(unknown, y, source_weights=mask, **options)
    value.backward()
    torch.testing.assert_close(value, loss(x[:5], y, **options))
    torch.testing.assert_close(loss(y, unknown, target_weights=mask, **options), loss(y, x[:5], **options))
    assert unknown.grad.isfinite().all() and (unknown.grad[5:] == 0).all()
    nobody = loss(x, y, source_weights=torch.zeros(8), **options)
    assert nobody == 0 and loss(x, y, target_weights=torch.zeros(8), **options) == 0


@both
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "`generator` must be given"),
        ({"directions": 0, "generator": seeded()}, "`directions` must be .*at least 1, got 0"),
        ({"directions": torch.eye(2)}, "must be \\(K, 3\\) unit vectors, got shape \\(2, 2\\)"),
        ({"directions": torch.ones(3)}, "must be \\(K, 3\\) unit vectors"),
        ({"directions": torch.ones(0, 3)}, "must be \\(K, 3\\) unit vectors"),
        ({"directions": eye, "power": 0.5}, "`power` must be .*at least 1, got 0.5"),
        ({"directions": eye, "source_weights": torch.ones(3)}, "`source_weights` must hold one number for each row"),
        ({"directions": eye, "target_weights": torch.ones(3)}, "`target_weights` must hold one number for each row"),
    ],
)
def test_bad_options(loss, options, message):
    with pytest.raises(ValueError, match=message):
        loss(x, y, **options)


def test_negative_steps():
    with pytest.raises(ValueError, match="`steps` must be .*at least 0, got -1"):
        losses.max_sliced_wasserstein(x, y, directions=eye, steps=-1)
    with pytest.raises(ValueError, match="same feature size"):
        losses.sliced_wasserstein(x, y[:, :2], directions=eye)
