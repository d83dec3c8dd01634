"""Margin disparity and its regression form beyond the battery."""

import math

import pytest
import torch

import losses

g = torch.Generator().manual_seed(0)
f_s, a_s = torch.randn(2, 6, 4, generator=g, dtype=torch.float64)
f_t, a_t = torch.randn(2, 5, 4, generator=g, dtype=torch.float64)


def test_permuted_predictions_change_either_term():
    value = losses.margin_disparity(f_s, a_s, f_t, a_t)
    assert (losses.margin_disparity(f_s.roll(1, 0), a_s, f_t, a_t) - value).abs() > 1e-2
    assert (losses.margin_disparity(f_s, a_s, f_t.roll(1, 0), a_t) - value).abs() > 1e-2


def test_only_the_largest_main_logit_matters_and_it_gets_no_gradient():
    mine = [x.clone().requires_grad_() for x in (f_s, a_s, f_t, a_t)]
    value = losses.margin_disparity(*mine)
    gradients = torch.autograd.grad(value, mine, allow_unused=True)
    assert gradients[0] is None and gradients[2] is None
    torch.testing.assert_close(losses.margin_disparity(3 * f_s, a_s, f_t + 5, a_t), value)


def test_the_adversary_wants_agreement_on_source_and_disagreement_on_target():
    sure = torch.eye(4).double() * 1e4
    assert losses.margin_disparity(sure, sure, sure, sure.roll(1, 0)) == 0
    both = losses.margin_disparity(sure, sure, sure, sure)  # 1 - p underflows, its logarithm does not
    torch.testing.assert_close(both.item(), 1e4 - math.log(3))
    assert losses.margin_disparity(sure, sure.roll(1, 0), sure, sure.roll(1, 0), margin=3.0) == 3e4


def test_default_margin():
    zero = torch.zeros(2, 2)
    torch.testing.assert_close(losses.margin_disparity(zero, zero, zero, zero).item(), 5 * math.log(2))


def test_a_confident_wrong_target_row_keeps_its_gradient():
    a = torch.tensor([[40.0, 0.0]], requires_grad=True)  # log(1 - p + 1e-6) has none here
    (gradient,) = torch.autograd.grad(losses.margin_disparity(a.detach(), a.detach(), a.detach(), a), a)
    torch.testing.assert_close(gradient, torch.tensor([[1.0, -1.0]]))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((f_s, a_s[:5], f_t, a_t), {}, "`source_logits` and `source_adversarial_logits` must have the same shape"),
        ((f_s, a_s, f_t, a_t[:, :3]), {}, "`target_logits` and `target_adversarial_logits` must have the same shape"),
        ((f_s[:, :1], a_s[:, :1], f_t, a_t), {}, "`source_logits` must have at least 2 classes.*got 1"),
        ((f_s, a_s, f_t[:, :1], a_t[:, :1]), {}, "`target_logits` must have at least 2 classes"),
        ((f_s[0], a_s[0], f_t, a_t), {}, "`source_logits` must be \\(n, classes\\)"),
        ((f_s[:, :3], a_s[:, :3], f_t, a_t), {}, "must have the same number of classes, got 3 and 4"),
        ((f_s, a_s, f_t, a_t), {"margin": 0.0}, "`margin` must be a positive number"),
    ],
)
def test_errors(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        losses.margin_disparity(*arguments, **options)


def test_regression_takes_one_output_or_many_and_holds_the_main_head():
    one = losses.regression_disparity(f_s[:, 0], a_s[:, 0], f_t[:, 0], a_t[:, 0])
    column = losses.regression_disparity(f_s[:, :1], a_s[:, :1], f_t[:, :1], a_t[:, :1])
    assert torch.equal(one, column)
    mine = [x.clone().requires_grad_() for x in (f_s, a_s, f_t, a_t)]
    gradients = torch.autograd.grad(losses.regression_disparity(*mine), mine, allow_unused=True)
    assert [x is None for x in gradients] == [True, False, True, False]


def test_regression_equal_heads_have_no_value_and_no_gradient():
    a = f_s.clone().requires_grad_()
    value = losses.regression_disparity(f_s, a, f_s, a)
    assert value == 0 and not torch.autograd.grad(value, a)[0].any()


def test_regression_errors():
    with pytest.raises(ValueError, match="`target_outputs` and `target_adversarial_outputs`"):
        losses.regression_disparity(f_s, a_s, f_t, a_t[:3])
    with pytest.raises(ValueError, match="`source_outputs` and `source_adversarial_outputs`"):
        losses.regression_disparity(f_s, a_s[:3], f_t, a_t)
    with pytest.raises(ValueError, match="same number of outputs, at least 1, got 3 and 4"):
        losses.regression_disparity(f_s[:, :3], a_s[:, :3], f_t, a_t)
    with pytest.raises(ValueError, match="same number of outputs, at least 1, got 0 and 0"):
        losses.regression_disparity(*[torch.zeros(2, 0)] * 4)
    with pytest.raises(ValueError, match="`margin` must be a positive number"):
        losses.regression_disparity(f_s, a_s, f_t, a_t, margin=-1.0)
