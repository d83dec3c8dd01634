"""Confusion and inverted labels beyond the battery."""

import math

import pytest
import torch

import losses

z = torch.randn(6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_one_logit_is_the_softmax_of_two():
    two = torch.stack([z, torch.zeros(6)], 1)
    torch.testing.assert_close(losses.domain_confusion(z), losses.domain_confusion(two))
    assert torch.equal(losses.domain_confusion(z[:, None]), losses.domain_confusion(z))


def test_undecided_is_the_minimum():
    logits = torch.zeros(3, 5, requires_grad=True)
    value = losses.domain_confusion(logits)
    (gradient,) = torch.autograd.grad(value, logits)
    torch.testing.assert_close(value.item(), math.log(5))
    assert gradient.abs().max() < 1e-7


def test_bad_shapes():
    with pytest.raises(ValueError, match="`logits` must be \\(n, classes\\).*got shape \\(2, 3, 4\\)"):
        losses.domain_confusion(torch.zeros(2, 3, 4))
    with pytest.raises(ValueError, match="`logits` must hold one number a row"):
        losses.domain_confusion(torch.zeros(0, 1))
    with pytest.raises(ValueError, match="K >= 2.* got K = 0"):
        losses.domain_confusion(torch.zeros(2, 0))


def test_inverted_labels_do_not_saturate_where_the_reversed_loss_does():
    t = torch.tensor([-30.0], requires_grad=True)
    (inverted,) = torch.autograd.grad(losses.inverted_domain(t), t)
    reversed_ = torch.autograd.grad(losses.domain_adversarial(torch.zeros(1), losses.reverse(t)), t)[0]
    torch.testing.assert_close(inverted, torch.tensor([-1.0]))
    assert inverted.sign() == reversed_.sign() and reversed_.abs() < 1e-12


def test_inverted_labels_are_the_discriminator_s_loss_with_source_s_label():
    for kind in ("cross_entropy", "least_squares"):
        both = losses.domain_adversarial(z, -z if kind == "cross_entropy" else 1 - z, kind=kind)
        torch.testing.assert_close(losses.inverted_domain(z[:, None], kind=kind), both)


def test_inverted_errors():
    with pytest.raises(ValueError, match="`target_logits` must hold one number a row"):
        losses.inverted_domain(torch.zeros(3, 2))
    with pytest.raises(ValueError, match="`kind`"):
        losses.inverted_domain(z, kind="hinge")
