from functools import partial

import torch

import losses
from tests.losses.case import Case, Input, labels, logits, weights
from tests.losses.supervised import references


def fixed(draw):
    """One number for each class, the same on every rank."""
    return Input("classes", "", draw, moves=False)


def shares(rows):
    """``(n,)`` mixing numbers."""
    return Input("mixing", rows, lambda n, g: torch.rand(n, generator=g, dtype=torch.float64), moves=False)


def soft(rows, *shape):
    """``(n, *shape)`` soft labels, classes second."""
    draw = lambda n, g: (3 * torch.randn(n, *shape, generator=g, dtype=torch.float64)).softmax(1)  # noqa: E731
    return Input("soft labels", rows, draw, moves=False)


class_weights = fixed(lambda n, g: 3 * torch.rand(4, generator=g, dtype=torch.float64) + 0.1)
class_counts = fixed(lambda n, g: torch.tensor([3, 40, 11, 500])[torch.randperm(4, generator=g)])

CASES = [
    Case(
        "weighted_cross_entropy",
        losses.weighted_cross_entropy,
        [logits("s"), labels("s")],
        references.weighted_cross_entropy,
    ),
    Case(
        "weighted_cross_entropy all options, dense",
        lambda z, y, w, a: losses.weighted_cross_entropy(z, y, weights=w, class_weights=a, label_smoothing=0.3),
        [logits("s", 4, 3), labels("s", 3), weights("s", 3), class_weights],
        partial(references.weighted_cross_entropy, smoothing=0.3),
    ),
    Case(
        "weighted_cross_entropy weights",
        lambda z, y, w: losses.weighted_cross_entropy(z, y, weights=w),
        [logits("s"), labels("s"), weights("s")],
        references.weighted_cross_entropy,
    ),
    Case(
        "weighted_cross_entropy class weights",
        lambda z, y, a: losses.weighted_cross_entropy(z, y, class_weights=a),
        [logits("s"), labels("s"), class_weights],
        lambda z, y, a, frozen=None: references.weighted_cross_entropy(z, y, a=a),
    ),
    Case(
        "weighted_cross_entropy soft labels",
        lambda z, y, w: losses.weighted_cross_entropy(z, y, weights=w, label_smoothing=0.1),
        [logits("s", 4, 2), soft("s", 4, 2), weights("s", 2)],
        partial(references.weighted_cross_entropy, smoothing=0.1),
    ),
    Case(
        "weighted_cross_entropy soft labels and class weights",
        lambda z, y, w, a: losses.weighted_cross_entropy(z, y, weights=w, class_weights=a),
        [logits("s"), soft("s", 4), weights("s"), class_weights],
        references.weighted_cross_entropy,
    ),
    Case(
        "logit_adjusted_cross_entropy",
        lambda z, y, n: losses.logit_adjusted_cross_entropy(z, y, class_counts=n),
        [logits("s"), labels("s"), class_counts],
        references.logit_adjusted_cross_entropy,
    ),
    Case(
        "logit_adjusted_cross_entropy half as strong, dense",
        lambda z, y, n, w: losses.logit_adjusted_cross_entropy(z, y, class_counts=n, strength=0.5, weights=w),
        [logits("s", 4, 3), labels("s", 3), class_counts, weights("s", 3)],
        partial(references.logit_adjusted_cross_entropy, strength=0.5),
    ),
    Case("focal", losses.focal, [logits("s"), labels("s")], references.focal),
    Case(
        "focal below one, class weights, dense",
        lambda z, y, w, a: losses.focal(z, y, focus=0.7, class_weights=a, weights=w),
        [logits("s", 4, 3), labels("s", 3), weights("s", 3), class_weights],
        partial(references.focal, focus=0.7),
    ),
    Case("binary_focal", losses.binary_focal, [logits("s"), labels("s", 4, classes=2)], references.binary_focal),
    Case(
        "binary_focal not balanced",
        lambda z, y, w: losses.binary_focal(z, y, focus=0.5, balance=None, weights=w),
        [logits("s", 3), labels("s", 3, classes=2), weights("s", 3)],
        partial(references.binary_focal, focus=0.5, balance=None),
    ),
    Case(
        "binary_focal balance 0.7",
        partial(losses.binary_focal, focus=1.0, balance=0.7),
        [logits("s", 3), labels("s", 3, classes=2)],
        partial(references.binary_focal, focus=1.0, balance=0.7),
    ),
    Case(
        "mixup_cross_entropy",
        losses.mixup_cross_entropy,
        [logits("s"), labels("s"), labels("s"), shares("s")],
        references.mixup_cross_entropy,
    ),
    Case(
        "mixup_cross_entropy one number, dense",
        lambda z, y, other, w: losses.mixup_cross_entropy(z, y, other, 0.3, weights=w),
        [logits("s", 4, 3), labels("s", 3), labels("s", 3), weights("s", 3)],
        lambda z, y, other, w, frozen=None: references.mixup_cross_entropy(z, y, other, 0.3, w),
    ),
    Case(
        "mixup_cross_entropy a number a row, dense",
        losses.mixup_cross_entropy,
        [logits("s", 4, 2, 2), labels("s", 2, 2), labels("s", 2, 2), shares("s")],
        references.mixup_cross_entropy,
    ),
]

#: public, and no losses: they have tests of their own
BLOCKS = {"balanced_class_weights", "draw_mixup", "mixup"}
