"""Discrepancies of two classifiers beyond the battery."""

import pytest
import torch

import losses

g = torch.Generator().manual_seed(0)
z, y = torch.randn(2, 8, 4, generator=g, dtype=torch.float64)
theta = torch.randn(4, 6, generator=g, dtype=torch.float64)


def sliced(a, b, **options):
    return losses.sliced_wasserstein_discrepancy(a, b, **({"directions": theta} | options))


KINDS = [
    losses.classifier_discrepancy,
    lambda a, b: losses.classifier_discrepancy(a, b, kind="symmetric_kl"),
    sliced,
]


@pytest.mark.parametrize("discrepancy", KINDS)
def test_zero_at_agreement_and_symmetric(discrepancy):
    a = z.clone().requires_grad_()
    value = discrepancy(a, z)
    assert value == 0 and not torch.autograd.grad(value, a)[0].any()
    assert discrepancy(z, z + 3) < 1e-15  # the softmax does not see a shift
    torch.testing.assert_close(discrepancy(z, y), discrepancy(y, z))


def test_rows_are_compared_in_pairs_and_batches_are_not():
    assert (losses.classifier_discrepancy(z, y.flip(0)) - losses.classifier_discrepancy(z, y)).abs() > 1e-3
    torch.testing.assert_close(sliced(z, y.flip(0)), sliced(z, y))
    assert sliced(z, z.flip(0)) < 1e-30


def test_opposite_certainties():
    sure, opposite = torch.tensor([[1e4, 0.0, 0.0]]), torch.tensor([[0.0, 1e4, 0.0]])
    assert losses.classifier_discrepancy(sure, opposite) == torch.tensor(2 / 3)
    assert losses.classifier_discrepancy(sure, opposite, kind="symmetric_kl") == 1e4
    axis = torch.tensor([[5.0], [0.0], [0.0]])  # its length does not matter
    assert sliced(sure, opposite, directions=axis) == 1


def test_the_generator_draws_unit_directions_as_many_as_asked():
    draw = lambda m: torch.nn.functional.normalize(  # noqa: E731
        torch.randn(4, m, generator=torch.Generator().manual_seed(3)), dim=0
    )
    for m in (1, 7):
        drawn = sliced(z, y, directions=None, generator=torch.Generator().manual_seed(3), projections=m)
        torch.testing.assert_close(drawn, sliced(z, y, directions=draw(m)))
    default = sliced(z, y, directions=None, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(default, sliced(z, y, directions=draw(128)))


def test_a_column_of_zeros_adds_zero():
    with_zero = torch.cat([theta, torch.zeros(4, 6)], 1)
    torch.testing.assert_close(sliced(z, y, directions=with_zero), sliced(z, y) / 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: losses.classifier_discrepancy(z, y[:5]),
            "`first_logits` and `second_logits` must have the same shape",
        ),
        (lambda: losses.classifier_discrepancy(z[0], y[0]), "`first_logits` must be \\(n, classes\\)"),
        (lambda: losses.classifier_discrepancy(z, y, kind="l2"), "`kind` must be .* got 'l2'"),
        (lambda: sliced(z, y[:5]), "`first_logits` and `second_logits` must have the same shape"),
        (lambda: sliced(z[0], y[0]), "`first_logits` must be \\(n, classes\\)"),
        (lambda: sliced(z, y, generator=g), "either `directions` or `generator`, got both"),
        (lambda: sliced(z, y, directions=None), "either `directions` or `generator`, got neither"),
        (lambda: sliced(z, y, directions=theta.T), "`directions` must be \\(4, M\\).*got \\(6, 4\\)"),
        (lambda: sliced(z, y, directions=theta[:, :0]), "`directions` must be \\(4, M\\)"),
        (lambda: sliced(z, y, directions=theta[:, 0]), "`directions` must be \\(4, M\\)"),
        (lambda: sliced(z, y, directions=None, generator=g, projections=0), "`projections` must be at least 1, got 0"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
