"""Values and gradients equal to those of other libraries, where they compute the same thing."""

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss

import losses

g = torch.Generator().manual_seed(0)
z = 3 * torch.randn(6, 4, 3, generator=g, dtype=torch.float64)
y = torch.randint(4, (6, 3), generator=g)
soft = torch.randn(6, 4, 3, generator=g, dtype=torch.float64).softmax(1)
a = torch.rand(4, generator=g, dtype=torch.float64)


def assert_same(ours, theirs, logits):
    found = []
    for loss in (ours, theirs):
        leaf = logits.clone().requires_grad_()
        value = loss(leaf)
        found.append((value.detach(), torch.autograd.grad(value, leaf)[0]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
@pytest.mark.parametrize("class_weights", [None, a])
def test_torch_cross_entropy_of_hard_labels(smoothing, class_weights):
    assert_same(
        lambda z: losses.weighted_cross_entropy(z, y, class_weights=class_weights, label_smoothing=smoothing),
        lambda z: F.cross_entropy(z, y, weight=class_weights, label_smoothing=smoothing),
        z,
    )


def test_torch_cross_entropy_of_soft_labels():
    assert_same(
        lambda z: losses.weighted_cross_entropy(z, soft, label_smoothing=0.1),
        lambda z: F.cross_entropy(z, soft, label_smoothing=0.1),
        z,
    )


def test_torch_divides_soft_labels_by_the_number_of_rows_whatever_the_class_weights_are():
    mean_weight = torch.einsum("ncp,c->", soft, a) / y.numel()
    assert_same(
        lambda z: losses.weighted_cross_entropy(z, soft, class_weights=a),
        lambda z: F.cross_entropy(z, soft, weight=a) / mean_weight,
        z,
    )


def test_torch_ignore_index():
    marked = y.clone()
    marked[0, 1] = marked[4, 2] = 255
    assert_same(
        lambda z: losses.weighted_cross_entropy(z, marked, weights=marked != 255, class_weights=a),
        lambda z: F.cross_entropy(z, marked, ignore_index=255, weight=a),
        z,
    )


def test_torch_cross_entropy_of_adjusted_logits():
    counts = torch.tensor([5, 70, 1, 200])
    assert_same(
        lambda z: losses.logit_adjusted_cross_entropy(z, y, class_counts=counts, strength=1.5),
        lambda z: F.cross_entropy(z + 1.5 * (counts / counts.sum().double()).log()[:, None], y),
        z,
    )


@pytest.mark.parametrize(("focus", "balance"), [(2.0, 0.25), (0.5, 0.6), (2.0, None)])
def test_torchvision_sigmoid_focal_loss(focus, balance):
    hits = y > 1
    alpha = -1 if balance is None else balance
    assert_same(
        lambda z: losses.binary_focal(z, hits, focus=focus, balance=balance),
        lambda z: sigmoid_focal_loss(z, hits.double(), alpha=alpha, gamma=focus, reduction="mean"),
        z[:, 0],
    )
    default = sigmoid_focal_loss(z[:, 0], hits.double(), reduction="mean")
    torch.testing.assert_close(losses.binary_focal(z[:, 0], hits), default)
