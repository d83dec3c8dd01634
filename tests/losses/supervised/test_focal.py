"""Focal losses beyond the battery."""

import pytest
import torch
import torch.nn.functional as F

import losses

g = torch.Generator().manual_seed(0)
z = torch.randn(5, 3, generator=g, dtype=torch.float64)
y = torch.tensor([0, 2, 1, 1, 0])


def test_focus_zero_is_cross_entropy():
    torch.testing.assert_close(losses.focal(z, y, focus=0), F.cross_entropy(z, y))
    hits = F.one_hot(y, 3)
    value = losses.binary_focal(z, hits, focus=0.0, balance=None)
    torch.testing.assert_close(value, F.binary_cross_entropy_with_logits(z, hits.double()))


def test_two_classes_are_the_binary_loss():
    binary = losses.binary_focal(z[:, 0], y > 0, balance=None)
    torch.testing.assert_close(losses.focal(torch.stack([0 * z[:, 0], z[:, 0]], 1), (y > 0).long()), binary)


@pytest.mark.parametrize("focus", [0.0, 0.3, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_certain_rows_right_and_wrong(focus, dtype):
    logits = torch.tensor([[1e4, 0.0], [1e4, 0.0], [60.0, 0.0]], dtype=dtype, requires_grad=True)
    value = losses.focal(logits, torch.tensor([0, 1, 0]), focus=focus)
    torch.testing.assert_close(value, torch.tensor(1e4 / 3, dtype=dtype))
    value.backward()
    expected = torch.tensor([[0, 0], [1, -1], [0, 0]], dtype=dtype) / 3
    torch.testing.assert_close(logits.grad, expected, rtol=1e-6, atol=1e-9)
    scores = torch.tensor([1e4, -1e4, 1e4], dtype=dtype, requires_grad=True)
    value = losses.binary_focal(scores, torch.tensor([1, 0, 0]), focus=focus, balance=None)
    torch.testing.assert_close(value, torch.tensor(1e4 / 3, dtype=dtype))
    value.backward()
    torch.testing.assert_close(scores.grad, torch.tensor([0, 0, 1 / 3], dtype=dtype), rtol=1e-6, atol=1e-9)


def test_one_class_is_always_right():
    logits = torch.randn(4, 1, generator=g).requires_grad_()
    value = losses.focal(logits, torch.zeros(4, dtype=torch.long), focus=0.5)
    value.backward()
    assert value == 0 and (logits.grad == 0).all()


def test_labels_where_the_weight_is_zero_may_be_anything():
    mask = y != 2
    marked = torch.where(mask, y, 255)
    for a in (None, torch.tensor([1.0, 2.0, 3.0])):
        value = losses.focal(z, marked, weights=mask, class_weights=a)
        torch.testing.assert_close(value, losses.focal(z[mask], y[mask], class_weights=a))
    value = losses.binary_focal(z[:, 0], marked, weights=mask)
    torch.testing.assert_close(value, losses.binary_focal(z[mask, 0], y[mask]))


def test_booleans_are_labels_of_the_binary_loss():
    torch.testing.assert_close(losses.binary_focal(z[:, 0], y == 1), losses.binary_focal(z[:, 0], (y == 1).long()))


@pytest.mark.parametrize("balance", [0.0, 1.0])
def test_balance_leaves_out_a_side(balance):
    side = (y > 0) if balance else (y == 0)
    value = losses.binary_focal(z[:, 0], y > 0, balance=balance) * 5
    alone = losses.binary_focal(z[side, 0], (y > 0)[side], balance=None) * side.sum()
    torch.testing.assert_close(value, alone)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.focal(z, y, focus=-1), "`focus` must be a number of at least 0, got -1"),
        (lambda: losses.focal(z, y, class_weights=torch.ones(2)), "`class_weights` must hold"),
        (lambda: losses.focal(z, y[:3]), "`labels` must hold one class"),
        (lambda: losses.focal(z[0], y), "`logits` must be"),
        (lambda: losses.binary_focal(z, z), r"use `labels.bool\(\)`"),
        (lambda: losses.binary_focal(z, y), r"`labels` must have the shape of the logits, \(5, 3\)"),
        (lambda: losses.binary_focal(z[:, 0], y, focus=-0.5), "`focus` must be a number of at least 0"),
        (lambda: losses.binary_focal(z[:, 0], y, balance=1.5), r"`balance` must be in \[0, 1\], or None, got 1.5"),
        (lambda: losses.binary_focal(z[:, 0], y, balance=-0.5), r"`balance` must be in \[0, 1\]"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("focus", [0.5, 2.0])
def test_a_row_that_rounds_to_certain_has_no_gradient(focus):
    logits = torch.tensor([[18.0, 0.0]], requires_grad=True)  # float32 has log p = 0 here, though e^-18 is not
    losses.focal(logits, torch.tensor([0]), focus=focus).backward()
    assert (logits.grad == 0).all()
