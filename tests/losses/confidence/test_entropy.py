"""Entropy, diversity and consistency beyond the battery."""

import math

import pytest
import torch

import losses


def rows(*shape, seed=0):
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def flat(z):
    return z.movedim(1, -1).flatten(0, -2)


@pytest.mark.parametrize("loss", [losses.entropy, lambda z, **w: losses.pseudo_label(z, z, **w)])
def test_a_dense_prediction_is_a_prediction_at_each_place(loss):
    z, mask = rows(2, 3, 4, 5), torch.rand(2, 4, 5, generator=torch.Generator().manual_seed(1)) > 0.4
    torch.testing.assert_close(loss(z), loss(flat(z)))
    torch.testing.assert_close(loss(z, weights=mask), loss(flat(z)[mask.flatten()]))


def test_bounds():
    z = torch.zeros(4, 5, 3)
    assert losses.entropy(z).item() == pytest.approx(math.log(5))
    assert losses.diversity(torch.zeros(4, 5)).item() == pytest.approx(-math.log(5))
    assert losses.diversity(1e4 * torch.eye(5)[:1]).item() == pytest.approx(0)


def test_information_maximization_is_entropy_plus_diversity():
    z = rows(6, 4)
    torch.testing.assert_close(losses.information_maximization(z), losses.entropy(z) + losses.diversity(z))


def test_weights_of_another_shape():
    with pytest.raises(ValueError, match="`weights` must hold one number for each row"):
        losses.entropy(rows(2, 3, 4), weights=torch.ones(2))


def test_consistency_holds_the_teacher_unless_told():
    z, teacher = rows(4, 3).requires_grad_(), rows(4, 3, seed=1).requires_grad_()
    assert torch.autograd.grad(losses.consistency(z, teacher), teacher, allow_unused=True) == (None,)
    (gradient,) = torch.autograd.grad(losses.consistency(z, teacher, hold_teacher=False), teacher)
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("kind", ["mse", "kl"])
def test_consistency_is_zero_at_equality(kind):
    z = rows(4, 3).float().requires_grad_()
    value = losses.consistency(z, z + 5, kind=kind)  # the same probabilities
    (gradient,) = torch.autograd.grad(value, z)
    assert value.abs() < 1e-6 and gradient.abs().max() < 1e-6
    sure = torch.tensor([[1e4, 0.0]], requires_grad=True)
    worst = losses.consistency(sure, torch.tensor([[0.0, 1e4]]), kind=kind)
    assert worst.item() == pytest.approx({"mse": 1.0, "kl": 1e4}[kind])
    assert torch.autograd.grad(worst, sure)[0].isfinite().all()


def test_consistency_errors():
    z = rows(4, 3)
    with pytest.raises(ValueError, match="`logits` and `teacher_logits` must have the same shape"):
        losses.consistency(z, z[:2])
    with pytest.raises(ValueError, match="`temperature` must be a positive number, got 0"):
        losses.consistency(z, z, temperature=0)
    with pytest.raises(ValueError, match='`kind` must be "mse" or "kl", got \'l2\''):
        losses.consistency(z, z, kind="l2")


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 3.0], dtype=torch.float64)])
def test_a_masked_class_takes_no_part(weights):
    z = torch.tensor([[-torch.inf, 0.0, 1.0], [2.0, -torch.inf, 0.5]], dtype=torch.float64, requires_grad=True)
    value = losses.entropy(z, weights=weights)
    smaller = torch.tensor([[0.0, 1.0], [2.0, 0.5]], dtype=torch.float64, requires_grad=True)
    expected = losses.entropy(smaller, weights=weights)
    torch.testing.assert_close(value, expected)
    (found,) = torch.autograd.grad(value, z, create_graph=True)
    torch.testing.assert_close(found[z.detach().isfinite()].view(2, 2), torch.autograd.grad(expected, smaller)[0])
    assert torch.autograd.grad(found.square().sum(), z)[0].isfinite().all()
    torch.testing.assert_close(losses.entropy(z.detach()[:1]).item(), 0.5822, rtol=1e-4, atol=0)
