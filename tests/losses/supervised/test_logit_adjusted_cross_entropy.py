"""Logit adjustment beyond the battery."""

import pytest
import torch
import torch.nn.functional as F

import losses

g = torch.Generator().manual_seed(0)
z = torch.randn(5, 3, generator=g, dtype=torch.float64)
y = torch.tensor([0, 2, 1, 1, 0])
counts = torch.tensor([100, 3, 20])


def test_counts_and_shares_are_the_same_thing():
    by_counts = losses.logit_adjusted_cross_entropy(z, y, class_counts=counts)
    by_shares = losses.logit_adjusted_cross_entropy(z, y, class_counts=counts / counts.sum())
    torch.testing.assert_close(by_counts, by_shares, rtol=1e-6, atol=0)


@pytest.mark.parametrize("options", [{"strength": 0.0}, {"class_counts": torch.tensor([7, 7, 7])}])
def test_without_strength_or_imbalance_it_is_cross_entropy(options):
    value = losses.logit_adjusted_cross_entropy(z, y, **{"class_counts": counts, **options})
    torch.testing.assert_close(value, F.cross_entropy(z, y))


def test_it_asks_a_rare_class_to_win_by_more():
    rare, common = torch.tensor([1]), torch.tensor([0])
    level = torch.zeros(1, 3)
    assert losses.logit_adjusted_cross_entropy(level, rare, class_counts=counts) > 3
    assert losses.logit_adjusted_cross_entropy(level, common, class_counts=counts) < 0.3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_class_of_count_zero_takes_no_part(dtype):
    without = losses.logit_adjusted_cross_entropy(z[:, :2], y.clamp_max(1), class_counts=counts[:2])
    n = torch.tensor([100, 3, 0])
    torch.testing.assert_close(losses.logit_adjusted_cross_entropy(z, y.clamp_max(1), class_counts=n), without)
    logits = z.detach().clone().to(dtype).requires_grad_()
    value = losses.logit_adjusted_cross_entropy(logits, y, class_counts=n)  # one row carries it all the same
    value.backward()
    assert 10 < value < 30 and logits.grad.isfinite().all() and logits.grad[1, 2] < -0.19


def test_labels_where_the_weight_is_zero_may_be_anything():
    mask = y != 2
    value = losses.logit_adjusted_cross_entropy(z, torch.where(mask, y, 255), class_counts=counts, weights=mask)
    torch.testing.assert_close(value, losses.logit_adjusted_cross_entropy(z[mask], y[mask], class_counts=counts))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((z, y, counts[:2]), r"`class_counts` must hold one number for each class, shape \(3,\), got \(2,\)"),
        ((z, y.double(), counts), "whole numbers"),
        ((z[0], y, counts), "`logits` must be"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        losses.logit_adjusted_cross_entropy(*arguments[:2], class_counts=arguments[2])
