"""A linear classifier on features, solved and not trained."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor

from adapt.heads import Classifier
from adapt.streams import key

PENALTIES = tuple(float(p) for p in numpy.logspace(1, -5, 10))


@dataclass(frozen=True)
class Probe:
    """A fitted `head`, its `penalty`, and the held-out cross-entropy of every penalty that was tried."""

    head: Classifier
    penalty: float
    held_out: dict[float, float]


def probe(
    features: Tensor,
    labels: Tensor,
    classes: int | Sequence[str],
    *,
    penalties: Sequence[float] = PENALTIES,
    folds: int = 5,
    seed: int = 0,
) -> Probe:
    r"""Multinomial logistic regression on frozen features, its penalty chosen by cross-validation on the same rows.

    .. math:: \min_{W, b}\; \frac1n \sum_i -\log \mathrm{softmax}(W \hat x_i + b)_{y_i} + \frac{\lambda}{2} \lVert W \rVert^2

    with :math:`\hat x` the features, each with mean 0 and deviation 1; that scaling is then folded into the head, which takes plain
    features. Solved by L-BFGS in float64: no learning rate, no seed but that of the folds.

    Args:
        features: ``(n, d)``, such as ``streams.features(encoder, train).tensors[0]``.
        labels: ``(n,)`` of the rows to train on.
        classes: how many, or their names.
        penalties: :math:`\lambda` to choose among, ten from 10 to 1e-5; one of them is taken as it is. scikit-learn's
            ``C`` is :math:`1 / (\lambda n)`.
        folds: of the cross-validation, each with its share of every class; 5. A class needs two rows to be held out.
        seed: of the folds.

    Returns:
        A :class:`Probe`. The head begins LP-FT: train it on with the whole encoder at a small rate.

    Raises:
        ValueError: shapes that do not fit, labels outside of the classes, fewer than two classes in the labels, features that
            are not finite, penalties that are not positive.

    Kumar et al., Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution (LP-FT), 2022,
    https://arxiv.org/abs/2202.10054
    """
    with torch.random.fork_rng(devices=[]):  # its random start is not used
        head = Classifier(features.shape[-1], classes if isinstance(classes, int) else list(classes))
    head.check(labels)
    if features.ndim != 2 or len(features) != len(labels):
        raise ValueError(
            f"`features` must be (n, d) with n labels, got {tuple(features.shape)} and {len(labels)} labels: pool or flatten them."
        )
    if not features.isfinite().all():
        raise ValueError("`features` hold values that are not finite.")
    if not penalties or min(penalties) <= 0 or folds < 2:
        raise ValueError(f"`penalties` must be positive and `folds` at least 2, got {list(penalties)} and {folds}.")
    y = labels.cpu().numpy()
    if len(numpy.unique(y)) < 2:
        raise ValueError("`labels` hold one class: there is nothing to tell apart.")
    x = features.detach().cpu().double().numpy()
    mean, deviation = x.mean(0), x.std(0)
    deviation[deviation <= 1e-12 * numpy.abs(x).max(initial=1e-300)] = 1
    x = (x - mean) / deviation
    path = sorted(map(float, penalties), reverse=True)
    held_out = dict.fromkeys(path, 0.0) if len(path) > 1 else {}
    if held_out:
        fold = _folds(y, folds, seed)
        for number in range(folds):
            out = fold == number
            if not out.any():
                continue
            for penalty, weights in zip(path, _path(x[~out], y[~out], head.classes, path), strict=True):
                held_out[penalty] += _cross_entropy(x[out] @ weights[:-1] + weights[-1], y[out]) * out.sum() / len(y)
    best = min(path, key=lambda p: (held_out[p], -p)) if held_out else path[0]
    weights = _path(x, y, head.classes, [p for p in path if p >= best])[-1]
    slope = weights[:-1] / deviation[:, None]
    with torch.no_grad():
        head.linear.weight.copy_(torch.from_numpy(slope.T))
        head.linear.bias.copy_(torch.from_numpy(weights[-1] - mean @ slope))
    return Probe(head, best, held_out)


def _path(x: numpy.ndarray, y: numpy.ndarray, classes: int, penalties: Sequence[float]) -> list[numpy.ndarray]:
    """``(d + 1, classes)`` weights, the bias last, for each penalty, from the largest on: each starts where the last ended."""
    from scipy.optimize import minimize

    n, d = x.shape
    Y = numpy.eye(classes)[y]

    def loss(flat: numpy.ndarray, penalty: float) -> tuple[float, numpy.ndarray]:
        W = flat.reshape(d + 1, classes)
        z = x @ W[:-1] + W[-1]
        z -= z.max(1, keepdims=True)
        p = numpy.exp(z)
        total = p.sum(1, keepdims=True)
        value = (numpy.log(total[:, 0]) - (Y * z).sum(1)).mean() + penalty / 2 * (W[:-1] ** 2).sum()
        p /= total
        p -= Y
        gradient = numpy.empty_like(W)
        gradient[:-1] = x.T @ p / n + penalty * W[:-1]
        gradient[-1] = p.mean(0)
        return value, gradient.ravel()

    flat, found = numpy.zeros((d + 1) * classes), []
    for penalty in penalties:
        options = {"maxiter": 500, "maxcor": 10, "gtol": 1e-5, "ftol": 1e-9}
        flat = minimize(loss, flat, (penalty,), jac=True, method="L-BFGS-B", options=options).x
        found.append(flat.reshape(d + 1, classes))
    return found


def _cross_entropy(logits: numpy.ndarray, y: numpy.ndarray) -> float:
    z = logits - logits.max(1, keepdims=True)
    return float((numpy.log(numpy.exp(z).sum(1)) - z[numpy.arange(len(y)), y]).mean())


def _folds(y: numpy.ndarray, folds: int, seed: int) -> numpy.ndarray:
    """A fold for each row, every class dealt out in turn; a class of one row is never held out."""
    fold = numpy.full(len(y), -1)
    order = numpy.random.default_rng(key(seed, "probe")).permutation(len(y))
    dealt = 0
    for c in numpy.unique(y):
        rows = order[y[order] == c]
        if len(rows) > 1:
            fold[rows] = (dealt + numpy.arange(len(rows))) % folds
            dealt += len(rows)
    return fold
