"""Values and gradients equal to those of other libraries, where they compute the same thing."""

import pytest
import torch
import torch.nn.functional as F
from torchmetrics.functional import dice as hard_dice
from torchmetrics.functional import jaccard_index

import losses

g = torch.Generator().manual_seed(0)


def assert_same(ours, theirs, *tensors):
    found = []
    for loss in (ours, theirs):
        leaves = [t.clone().requires_grad_() for t in tensors]
        value = loss(*leaves)
        found.append((value.detach(), torch.autograd.grad(value, leaves)))
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_torch_gaussian_nll(scale):
    mu, s, y = scale * torch.randn(3, 6, 4, generator=g, dtype=torch.float64)
    assert_same(
        losses.gaussian_likelihood,
        lambda mu, s, y: F.gaussian_nll_loss(mu, y, s.exp(), full=True),
        mu,
        s,
        y,
    )


def test_torch_normal_distribution():
    mu, s, y = torch.randn(3, 6, 4, generator=g, dtype=torch.float64)
    assert_same(
        losses.gaussian_likelihood,
        lambda mu, s, y: -torch.distributions.Normal(mu, (s / 2).exp()).log_prob(y).mean(),
        mu,
        s,
        y,
    )


def test_torch_gaussian_nll_overflows_where_this_does_not():
    zero, high = torch.zeros(1), torch.full((1,), 1e4)
    assert F.gaussian_nll_loss(zero, zero, high.exp()).isinf()
    assert losses.gaussian_likelihood(zero, high, zero).isfinite()


def test_half_the_mean_absolute_error_at_the_median():
    p, y = torch.randn(2, 6, 4, generator=g, dtype=torch.float64)
    assert_same(lambda p, y: losses.quantile(p[..., None], y, quantiles=(0.5,)), lambda p, y: F.l1_loss(p, y) / 2, p, y)


@pytest.mark.parametrize("squared", [True, False])
def test_torchmetrics_dice_and_jaccard_of_hard_predictions(squared):
    g = torch.Generator().manual_seed(1)
    truth, found = torch.randint(3, (2, 4, 5), generator=g)
    assert len(truth.unique()) == 3
    certain = 1e4 * F.one_hot(found, 3).movedim(-1, 1).float()
    theirs = hard_dice(found.flatten(), truth.flatten(), average="macro", num_classes=3)
    torch.testing.assert_close(losses.dice(certain, truth, squared=squared), 1 - theirs)
    torch.testing.assert_close(losses.lovasz_softmax(certain, truth), 1 - jaccard_index(found, truth, num_classes=3))
    hinge = losses.lovasz_hinge(2.0 * (found == 1) - 1, truth == 1)  # errors of 0 and 2
    ours = 1 - jaccard_index((found == 1).long(), (truth == 1).long(), num_classes=2, average="none")[1]
    torch.testing.assert_close(hinge, 2 * ours)


def test_torchmetrics_counts_an_absent_class_that_is_predicted():
    g = torch.Generator().manual_seed(1)
    truth, found = torch.randint(2, (20,), generator=g), torch.randint(3, (20,), generator=g)
    certain = 1e4 * F.one_hot(found, 3).float()
    theirs = 1 - hard_dice(found, truth, average="macro", num_classes=3)
    torch.testing.assert_close(losses.dice(certain, truth, classes="all"), theirs)
    torch.testing.assert_close(losses.dice(certain, truth), (3 * theirs - 1) / 2)
