"""A row of weight zero is never looked at: not in the value, not in the gradient, whatever its logits hold."""

from functools import partial

import pytest
import torch

import losses

g = torch.Generator().manual_seed(0)
a, b, c, d = torch.randn(4, 6, 4, generator=g, dtype=torch.float64)
domains = torch.tensor([0, 0, 1, 3, 3, 1])


def confusion(z, w):
    return losses.domain_confusion(z, weights=w)


def several(z, w):
    return losses.multi_domain_adversarial(z, domains[: len(z)], weights=w)


def discrepancy(kind, z, w):
    return losses.classifier_discrepancy(z, b[: len(z)], kind=kind, weights=w) + losses.classifier_discrepancy(
        d[: len(z)], z, kind=kind, weights=w
    )


def disparity(loss, z, w):
    n = len(z)
    source = loss(a[:n], z, b, c, source_weights=w)
    return source + loss(a, c, b[:n], z, target_weights=w)


def binary(kind, z, w):
    z = z[:, 0]
    both = losses.domain_adversarial(z, a[:, 0], source_weights=w, kind=kind)
    both = both + losses.domain_adversarial(a[:, 0], z, target_weights=w, kind=kind, label_smoothing=0.1)
    return both + losses.inverted_domain(z, weights=w, kind=kind)


def critic(z, w):
    return losses.wasserstein_critic(z[:, 0], a[:, 0], source_weights=w) + losses.wasserstein_critic(
        b[:, 0], z[:, 0], target_weights=w
    )


LOSSES = {
    "domain_confusion": confusion,
    "domain_confusion of one logit": lambda z, w: confusion(z[:, 0], w),
    "multi_domain_adversarial": several,
    "classifier_discrepancy": partial(discrepancy, "l1"),
    "classifier_discrepancy symmetric kl": partial(discrepancy, "symmetric_kl"),
    "margin_disparity": partial(disparity, losses.margin_disparity),
    "regression_disparity": partial(disparity, losses.regression_disparity),
    "domain_adversarial and inverted_domain": partial(binary, "cross_entropy"),
    "the same, least squares": partial(binary, "least_squares"),
    "wasserstein_critic": critic,
}


@pytest.mark.parametrize("bad", [torch.inf, -torch.inf, torch.nan])
@pytest.mark.parametrize("places", [(slice(None),), (slice(0, 1),)], ids=["all of the row", "its first logit"])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_an_infinite_row_of_weight_zero_is_left_out(loss, places, bad):
    w = torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0, 0.0], dtype=torch.float64)
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    without = z[:5].clone().requires_grad_()
    expected = loss(without, w[:5])
    z[5, places[0]] = bad
    z.requires_grad_()
    value = loss(z, w)
    torch.testing.assert_close(value, expected)
    (found,), (wanted,) = torch.autograd.grad(value, z), torch.autograd.grad(expected, without)
    torch.testing.assert_close(found[:5], wanted)
    assert (found[5] == 0).all()


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda w: losses.margin_disparity(a, b, c, d, source_weights=w), "source_weights"),
        (lambda w: losses.margin_disparity(a, b, c, d, target_weights=w), "target_weights"),
        (lambda w: losses.regression_disparity(a, b, c, d, source_weights=w), "source_weights"),
        (lambda w: losses.regression_disparity(a, b, c, d, target_weights=w), "target_weights"),
        (lambda w: losses.wasserstein_critic(a[:, 0], b[:, 0], source_weights=w), "source_weights"),
        (lambda w: losses.wasserstein_critic(a[:, 0], b[:, 0], target_weights=w), "target_weights"),
        (lambda w: losses.domain_confusion(a, weights=w), "weights"),
        (lambda w: losses.domain_confusion(a[:, 0], weights=w), "weights"),
        (lambda w: losses.inverted_domain(a[:, 0], weights=w), "weights"),
        (lambda w: losses.classifier_discrepancy(a, b, weights=w), "weights"),
    ],
)
def test_an_error_names_the_weights_that_do_not_fit(call, name):
    with pytest.raises(ValueError, match=f"`{name}` must hold one number for each row, shape \\(6,\\), got \\(5,\\)"):
        call(torch.ones(5))
