"""Discrepancies of two classifiers beyond the battery."""

import sys

import pytest
import torch
import torch.nn.functional as F

import losses

g = torch.Generator().manual_seed(0)
z, y = torch.randn(2, 8, 4, generator=g, dtype=torch.float64)
theta = F.normalize(torch.randn(6, 4, generator=g, dtype=torch.float64))


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
    assert value < 1e-30 and torch.autograd.grad(value, a)[0].abs().max() < 1e-15
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
    assert sliced(sure, opposite, directions=torch.tensor([[1.0, 0.0, 0.0]])) == 1


def test_it_is_the_sliced_distance_of_the_predictions():
    seeded = lambda: torch.Generator().manual_seed(3)  # noqa: E731
    for options in ({"directions": 7}, {}):
        drawn = losses.sliced_wasserstein_discrepancy(z, y, **options, generator=seeded())
        expected = losses.sliced_wasserstein(z.softmax(1), y.softmax(1), **options, generator=seeded())
        assert drawn == expected


@pytest.mark.parametrize("kind", ["l1", "symmetric_kl"])
def test_a_class_that_both_mask_takes_no_part(kind):
    a, b = (torch.cat([torch.full((8, 1), -torch.inf, dtype=torch.float64), x], 1).requires_grad_() for x in (z, y))
    value = losses.classifier_discrepancy(a, b, kind=kind)
    factor = 4 / 5 if kind == "l1" else 1  # l1 is a mean over classes
    torch.testing.assert_close(value, factor * losses.classifier_discrepancy(z, y, kind=kind))
    (gradient,) = torch.autograd.grad(value, a)
    assert (gradient[:, 0] == 0).all() and gradient.isfinite().all()


def test_global_batch_false_keeps_to_the_rows_of_its_rank(monkeypatch):
    elsewhere = lambda rows: torch.cat([rows, 2 * rows.flip(0)])  # noqa: E731 - as if a second rank held other rows
    for loss in (losses.sliced_wasserstein_discrepancy, losses.sliced_wasserstein, losses.max_sliced_wasserstein):
        alone = loss(z, y, directions=theta)
        monkeypatch.setattr(sys.modules["losses.transport._sliced_wasserstein"], "gather", elsewhere)
        monkeypatch.setattr(sys.modules["losses.transport.weights"], "gather", elsewhere)
        torch.testing.assert_close(loss(z, y, directions=theta, global_batch=False), alone)
        assert (loss(z, y, directions=theta) - alone).abs() > 1e-4
        monkeypatch.undo()


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
        (lambda: sliced(z, y, directions=theta.T), "`directions` must be \\(K, 4\\)"),
        (lambda: sliced(z, y, directions=5), "`generator` must be given"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
