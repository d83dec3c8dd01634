"""The binary discriminator's loss beyond the battery."""

import math

import pytest
import torch

import losses

s, t = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.3, -1.0])


def test_a_column_is_as_good_as_a_row_and_weights_are_one_a_row():
    u = torch.tensor([1.0, 2.0, 3.0])
    column = losses.domain_adversarial(s[:, None], t[:, None], source_weights=u)
    assert torch.equal(column, losses.domain_adversarial(s, t, source_weights=u))


def test_a_mask_leaves_rows_out_and_a_domain_of_weight_zero_adds_nothing():
    mask = torch.tensor([True, False, True])
    assert torch.equal(losses.domain_adversarial(s, t, source_weights=mask), losses.domain_adversarial(s[mask], t))
    target_alone = losses.domain_adversarial(s, t, source_weights=torch.zeros(3))
    torch.testing.assert_close(target_alone, 0.5 * torch.nn.functional.softplus(t).mean())


def test_weights_are_normalised_within_their_domain():
    u, v = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 4.0])
    once = losses.domain_adversarial(s, t, source_weights=u, target_weights=v)
    torch.testing.assert_close(losses.domain_adversarial(s, t, source_weights=10 * u, target_weights=v), once)
    torch.testing.assert_close(losses.domain_adversarial(s, t, source_weights=u, target_weights=7 * v), once)


def test_source_is_label_one_and_saturated_logits_are_exact():
    right, wrong = torch.tensor([1e4]), torch.tensor([-1e4])
    assert losses.domain_adversarial(right, wrong) == 0
    assert losses.domain_adversarial(wrong, right) == 1e4


def test_an_infinite_logit_on_the_right_side_costs_nothing():
    for right in (torch.tensor([torch.inf, 0.0]), torch.tensor([1e4, 0.0])):
        z = right.clone().requires_grad_()
        value = losses.domain_adversarial(z, -z)
        torch.testing.assert_close(value.item(), math.log(2) / 2)
        torch.testing.assert_close(torch.autograd.grad(value, z)[0], torch.tensor([0.0, -0.25]))
        torch.testing.assert_close(losses.inverted_domain(right).item(), math.log(2) / 2)


def test_smoothed_labels_have_their_minimum_at_their_own_probability():
    best = math.log(0.9 / 0.1)  # label smoothing 0.2: labels 0.9 and 0.1
    z = torch.tensor([best], dtype=torch.float64, requires_grad=True)
    value = losses.domain_adversarial(z, -z, label_smoothing=0.2)
    (gradient,) = torch.autograd.grad(value, z)
    assert gradient.abs() < 1e-12
    torch.testing.assert_close(value.item(), -0.9 * math.log(0.9) - 0.1 * math.log(0.1))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((s[:, None].expand(3, 2), t), {}, "`source_logits` must hold one number a row.*got \\(3, 2\\)"),
        ((s, t[None]), {}, "`target_logits` must hold one number a row.*got \\(1, 2\\)"),
        ((s, t), {"label_smoothing": 1.0}, "`label_smoothing` must be in \\[0, 1\\), got 1.0"),
        ((s, t), {"label_smoothing": -0.1}, "`label_smoothing` must be in \\[0, 1\\), got -0.1"),
        ((s, t), {"kind": "hinge"}, "`kind` must be .* got 'hinge'"),
        (
            (s, t),
            {"source_weights": torch.ones(2)},
            "`source_weights` must hold one number for each row, shape \\(3,\\)",
        ),
        (
            (s, t),
            {"target_weights": torch.ones(2, 1)},
            "`target_weights` must hold one number for each row, shape \\(2,\\)",
        ),
    ],
)
def test_errors(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        losses.domain_adversarial(*arguments, **options)
