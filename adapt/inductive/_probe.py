"""A linear classifier on features, by a solver without a learning rate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from adapt.engine import Model
from adapt.engine.card import card_of_rows
from adapt.heads import Classifier
from adapt.randomness import keyed_seed

PENALTIES = tuple(float(p) for p in numpy.logspace(1, -4, 10))


@dataclass(frozen=True)
class Probe:
    """A fitted `head`, the chosen `penalty`, and the `held_out` cross-entropy of every penalty of the search."""

    head: Classifier
    penalty: float
    held_out: dict[float, float]

    def model(
        self, encoder: nn.Module, device: torch.device | str = "cpu", *, preparation: Any = None, inputs: Any = None
    ) -> Model:
        """Return the head behind the encoder whose features it was fitted to, as a model that predicts and saves.

        `preparation` and `inputs` as in :class:`adapt.Model`.
        """
        card = card_of_rows(None, "by the probe", {"penalty": self.penalty})
        return Model(encoder, self.head, device, preparation=preparation, inputs=inputs, card=card)


def probe(
    features: Tensor,
    labels: Tensor,
    classes: int | Sequence[str],
    *,
    penalties: Sequence[float] = PENALTIES,
    folds: int | None = None,
    seed: int = 0,
) -> Probe:
    r"""Fit multinomial logistic regression to frozen features; cross-validation on the same rows chooses the penalty.

    .. math:: \min_{W, b}\; \frac1n \sum_i -\log \mathrm{softmax}(W \hat x_i + b)_{y_i}
        + \frac{\lambda}{2} \lVert W \rVert^2

    with :math:`\hat x` the features, each with mean 0 and deviation 1. The scaling is then folded into the head: the
    head takes plain features. The solver is L-BFGS in float64, along the principal axes, each scaled by its curvature
    (Böhning's bound): no learning rate, and no seed except the seed of the folds. From the largest penalty on, the
    search ends after the held-out loss has risen twice.

    Args:
        features: ``(n, d)``, such as ``engine.features(encoder, train).tensors[0]``.
        labels: ``(n,)`` of the rows to train on.
        classes: number of classes, or their names.
        penalties: candidates for :math:`\lambda`, ten from 10 to 1e-4. A single penalty is taken without a search.
            scikit-learn's ``C`` is :math:`1 / (\lambda n)`.
        folds: of the cross-validation, each with a share of every class; a class needs two rows to be held out. None
            takes 5 below 1,000 rows; from 1,000 rows on, one fifth of the rows is held out once.
        seed: of the folds.

    Returns:
        A :class:`Probe`. The head begins LP-FT: train the head on with the whole encoder at a small rate.

    Raises:
        TypeError: `features` or `labels` that are no tensors.
        ValueError: shapes that do not fit, labels outside of the classes, fewer than two classes in the labels,
            features that are not finite, penalties that are not positive.

    Kumar et al., Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution (LP-FT), 2022,
    https://arxiv.org/abs/2202.10054
    """
    head = _head_for(features, labels, classes)
    if not penalties or min(penalties) <= 0 or (folds is not None and folds < 2):
        raise ValueError(f"`penalties` must be positive and `folds` at least 2, got {list(penalties)} and {folds}.")
    y = labels.cpu().numpy()
    if len(numpy.unique(y)) < 2:
        raise ValueError("`labels` hold one class, and a probe tells classes apart: add rows of another class.")
    x = features.detach().cpu().double().numpy()
    mean, deviation = x.mean(0), x.std(0)
    deviation[deviation <= 1e-12 * numpy.abs(x).max(initial=1e-300)] = 1
    x = (x - mean) / deviation
    path = sorted(map(float, penalties), reverse=True)
    held_out = _held_out_losses(x, y, path, head.classes, folds, seed) if len(path) > 1 else {}
    best = min(held_out, key=lambda p: (held_out[p], -p)) if held_out else path[0]
    weights = _Solver(x, y, head.classes).solve(best)
    slope = weights[:-1] / deviation[:, None]
    with torch.no_grad():
        head.linear.weight.copy_(torch.from_numpy(slope.T))
        head.linear.bias.copy_(torch.from_numpy(weights[-1] - mean @ slope))
    return Probe(head, best, held_out)


def _head_for(features: Tensor, labels: Tensor, classes: int | Sequence[str]) -> Classifier:
    """Return a classifier of the size of the features, after a look at features and labels."""
    for name, value in (("features", features), ("labels", labels)):
        if not isinstance(value, Tensor):
            raise TypeError(
                f"`{name}` must be a tensor, got a {type(value).__name__}: "
                "`rows, labels = engine.features(encoder, train).tensors` computes both."
            )
    if features.ndim != 2 or len(features) != len(labels):
        raise ValueError(
            f"`features` must be (n, d) with n labels, got {tuple(features.shape)} and {len(labels)} labels: pool or "
            "flatten them."
        )
    if not features.isfinite().all():
        raise ValueError("`features` hold values that are not finite: look at the encoder and at its inputs.")
    with torch.random.fork_rng(devices=[]):  # the random start is not used
        head = Classifier(features.shape[-1], classes)
    head.check(labels)
    return head


def _held_out_losses(
    x: numpy.ndarray, y: numpy.ndarray, path: Sequence[float], classes: int, folds: int | None, seed: int
) -> dict[float, float]:
    """Return the held-out cross-entropy of each penalty, the largest first; empty where no row can be held out."""
    fold = folds_of(y, folds or 5, seed)
    used = [f for f in range(folds or (5 if len(y) < 1000 else 1)) if (fold == f).any()]
    solvers = [_Solver(x[fold != f], y[fold != f], classes) for f in used]
    rows = sum(int((fold == f).sum()) for f in used)
    held_out: dict[float, float] = {}
    for penalty in path if used else ():
        fitted = [solver.solve(penalty) for solver in solvers]
        held_out[penalty] = sum(
            _cross_entropy(x[fold == f] @ w[:-1] + w[-1], y[fold == f])
            for f, w in zip(used, fitted, strict=True)
        ) / rows  # fmt: skip
        last = list(held_out.values())[-3:]
        if len(last) == 3 and last[0] < last[1] < last[2]:
            break
    return held_out


class _Solver:
    """Fits for one penalty after the other, each from the end of the fit before."""

    def __init__(self, x: numpy.ndarray, y: numpy.ndarray, classes: int):
        n, d = x.shape
        curvature, axes = numpy.linalg.eigh((x.T @ x if d <= n else x @ x.T) / n)
        kept = curvature > 1e-12 * curvature[-1]  # along the other axes the weights are zero
        self.curvature, axes = curvature[kept], axes[:, kept]
        self.axes = axes if d <= n else x.T @ axes / numpy.sqrt(n * self.curvature)
        self.z, self.Y = x @ self.axes, numpy.eye(classes)[y]
        self.W = numpy.zeros((len(self.curvature) + 1, classes))  # the bias last

    def solve(self, penalty: float) -> numpy.ndarray:
        """``(d + 1, classes)`` weights, the bias last."""
        from scipy.optimize import minimize

        scale = 1 / numpy.sqrt(numpy.append(self.curvature / 2 + penalty, 0.5))[:, None]

        def loss(flat: numpy.ndarray) -> tuple[float, numpy.ndarray]:
            W = scale * flat.reshape(self.W.shape)
            logits = self.z @ W[:-1] + W[-1]
            logits -= logits.max(1, keepdims=True)
            p = numpy.exp(logits)
            total = p.sum(1, keepdims=True)
            value = (numpy.log(total).sum() - (self.Y * logits).sum()) / len(p) + penalty / 2 * (W[:-1] ** 2).sum()
            p /= total
            p -= self.Y
            gradient = numpy.vstack([self.z.T @ p / len(p) + penalty * W[:-1], p.mean(0)])
            return value, (scale * gradient).ravel()

        options = {"maxiter": 500, "gtol": 1e-5, "ftol": 1e-8}
        flat = minimize(loss, (self.W / scale).ravel(), jac=True, method="L-BFGS-B", options=options).x
        self.W = scale * flat.reshape(self.W.shape)
        return numpy.vstack([self.axes @ self.W[:-1], self.W[-1]])


def _cross_entropy(logits: numpy.ndarray, y: numpy.ndarray) -> float:
    z = logits - logits.max(1, keepdims=True)
    return float((numpy.log(numpy.exp(z).sum(1)) - z[numpy.arange(len(y)), y]).sum())


def folds_of(y: numpy.ndarray, folds: int, seed: int) -> numpy.ndarray:
    """Return a fold for each row, each class spread over all folds; a single row of a class is never held out (-1)."""
    fold = numpy.full(len(y), -1)
    order = numpy.random.default_rng(keyed_seed(seed, "probe")).permutation(len(y))
    dealt = 0
    for c in numpy.unique(y):
        rows = order[y[order] == c]
        if len(rows) > 1:
            fold[rows] = (dealt + numpy.arange(len(rows))) % folds
            dealt += len(rows)
    return fold
