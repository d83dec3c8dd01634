"""Weighted cross-entropy beyond the battery."""

import pytest
import torch

import losses

g = torch.Generator().manual_seed(0)
z = torch.randn(5, 3, generator=g, dtype=torch.float64)
y = torch.tensor([0, 2, 1, 1, 0])


def test_what_stands_where_the_weight_is_zero_is_never_looked_at():
    mask = torch.tensor([True, True, False, True, False])
    for other in (255, -100, -1):
        marked = torch.where(mask, y, other).requires_grad_(False)
        logits = z.clone().requires_grad_()
        value = losses.weighted_cross_entropy(logits, marked, weights=mask)
        torch.testing.assert_close(value, torch.nn.functional.cross_entropy(z[mask], y[mask]))
        value.backward()
        assert (logits.grad[~mask] == 0).all() and (logits.grad[mask] != 0).all()


@pytest.mark.parametrize("other", [3, -1, -100])
def test_a_label_that_is_no_class_is_an_error_where_it_counts(other):
    with pytest.raises(RuntimeError):
        losses.weighted_cross_entropy(z, torch.where(y == 2, other, y))


def test_a_one_hot_soft_label_has_the_value_of_the_hard_one():
    hot = torch.nn.functional.one_hot(y, 3).double()
    options = {"class_weights": torch.tensor([1.0, 2.0, 0.5]), "label_smoothing": 0.2, "weights": y + 1.0}
    hard = losses.weighted_cross_entropy(z, y, **options)
    torch.testing.assert_close(losses.weighted_cross_entropy(z, hot, **options), hard)


def test_smoothing_one_forgets_the_labels():
    a = losses.weighted_cross_entropy(z, y, label_smoothing=1)
    torch.testing.assert_close(a, losses.weighted_cross_entropy(z, y.roll(1), label_smoothing=1.0))
    torch.testing.assert_close(a, -z.log_softmax(1).mean())


def test_rows_whose_classes_weigh_nothing_give_zero():
    logits = z.clone().requires_grad_()
    a = torch.tensor([0.0, 1.0, 1.0])
    value = losses.weighted_cross_entropy(
        logits, torch.zeros(5, dtype=torch.long), class_weights=a, label_smoothing=0.1
    )
    value.backward()
    assert value == 0 and (logits.grad == 0).all()


def test_small_integers_are_labels_too():
    torch.testing.assert_close(losses.weighted_cross_entropy(z, y.byte()), losses.weighted_cross_entropy(z, y))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((z, y[:4]), {}, r"shape \(5,\), got \(4,\)"),
        ((z, y.cfloat()), {}, "whole numbers"),
        ((z[0], y), {}, r"`logits` must be \(n, classes\)"),
        ((z, torch.zeros(5, 4)), {}, r"Soft `labels` must have the logits' shape \(5, 3\), got \(5, 4\)"),
        ((z, y), {"weights": torch.ones(5, 1)}, r"`weights` must hold one number for each row, shape \(5,\)"),
        ((z, torch.zeros(5, 3)), {"weights": torch.ones(5, 3)}, "`weights` must hold one number for each row"),
        (
            (z, y),
            {"class_weights": torch.ones(4)},
            r"`class_weights` must hold one number for each class, shape \(3,\)",
        ),
        ((z, y), {"label_smoothing": 1.1}, r"`label_smoothing` must be in \[0, 1\], got 1.1"),
        ((z, y), {"label_smoothing": -0.1}, r"`label_smoothing` must be in \[0, 1\]"),
    ],
)
def test_bad_arguments(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        losses.weighted_cross_entropy(*arguments, **options)


def test_a_class_weight_that_is_nan_is_seen():
    a = torch.tensor([1.0, torch.nan, 1.0])
    assert losses.weighted_cross_entropy(z, y, class_weights=a).isnan()


def test_float64_weights_leave_float32_logits_in_float32():
    assert losses.weighted_cross_entropy(z.float(), y, weights=torch.ones(5).double()).dtype == torch.float32
