"""A linear head on features, by a solver without a learning rate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from adapt.engine import Model
from adapt.engine.card import card_of_rows
from adapt.heads import Classifier, Regressor
from adapt.heads.weighing import Weight
from adapt.inductive.solvers import Logistic, Ridge
from adapt.randomness import keyed_seed
from losses.options import FROM_0, POSITIVE, check, each, or_none, whole

PENALTIES = tuple(float(p) for p in numpy.logspace(1, -4, 10))
Solver = Logistic | Ridge


@dataclass(frozen=True)
class Probe:
    """A fitted head, and how it was chosen.

    Attributes:
        head: with the chosen class weights as ``head.weight``.
        penalty: the chosen penalty.
        held_out: the loss on held-out rows, or the named score, of every penalty of the search with these weights.
    """

    head: Classifier | Regressor
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
    classes: int | Sequence[str] | None = None,
    *,
    outputs: int | None = None,
    weight: Weight | Tensor = None,
    score: str | None = None,
    penalties: Sequence[float] = PENALTIES,
    folds: int | None = None,
    seed: int = 0,
) -> Probe:
    r"""Fit a linear head to frozen features; cross-validation on the same rows chooses the penalty.

    For classes multinomial logistic regression, for numbers ridge regression on standardised labels :math:`\hat y`:

    .. math:: \min_{W, b}\; \frac1{\sum_i w_{y_i}} \sum_i -w_{y_i} \log \mathrm{softmax}(W \hat x_i + b)_{y_i}
        + \frac{\lambda}{2} \lVert W \rVert^2, \qquad
        \min_{W, b}\; \frac1{2n} \sum_i (W \hat x_i + b - \hat y_i)^2 + \frac{\lambda}{2} \lVert W \rVert^2

    with :math:`\hat x` the features, each with mean 0 and deviation 1. The scaling is then folded into the head: the
    head takes plain features, and a regressor predicts in the units of the labels. The solver for classes is L-BFGS in
    float64, along the principal axes, each scaled by its curvature (Böhning's bound): no learning rate, and no seed
    except the seed of the folds. From the largest penalty on, the search ends after the held-out loss has risen twice.

    Args:
        features: ``(n, d)``, such as ``engine.features(encoder, train).tensors[0]``.
        labels: ``(n,)`` classes of the rows to train on; or numbers, ``(n,)`` or ``(n, outputs)``, NaN where missing.
        classes: number of classes, or their names.
        outputs: of a regressor, in place of `classes`: how many numbers per row.
        weight: of the classes, as in :class:`adapt.heads.Classifier`. None: equal weights; with a `score` the search
            tries ``"balanced"`` too.
        score: the value that the search chooses by, on the held-out rows of all folds together: a metric or a further
            value of the head, such as ``"macro F1"``, ``"balanced accuracy"``, ``"AUC"``, ``"mean absolute error"``.
            None is the loss.
        penalties: candidates for :math:`\lambda`, ten from 10 to 1e-4. A single penalty is taken without a search.
            In scikit-learn ``C`` is :math:`1 / (\lambda n)`, :math:`2 / (\lambda n)` for two classes, and the ``alpha``
            of ``Ridge`` is :math:`\lambda n`.
        folds: of the cross-validation, each with a share of every class; a class needs two rows to be held out. None
            takes 5 below 1,000 rows; from 1,000 rows on, one fifth of the rows is held out once.
        seed: of the folds.

    Returns:
        A :class:`Probe`. The head begins LP-FT: train the head on with the whole encoder at a small rate.

    Raises:
        TypeError: `features` or `labels` that are no tensors.
        ValueError: neither or both of `classes` and `outputs`; shapes that do not fit, labels outside of the classes,
            fewer than two classes in the labels, features that are not finite, penalties that are not positive; class
            weights of a regressor; a score that the head does not have.

    Kumar et al., Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution (LP-FT), 2022,
    https://arxiv.org/abs/2202.10054
    """
    head = _head_for(features, labels, classes, outputs)
    check(each(POSITIVE), penalties=penalties)
    check(or_none(whole(2)), folds=folds)
    check(FROM_0, seed=seed)
    x = features.detach().cpu().double().numpy()
    mean, deviation = x.mean(0), x.std(0)
    deviation[deviation <= 1e-12 * numpy.abs(x).max(initial=1e-300)] = 1
    x = (x - mean) / deviation
    labels, path = labels.detach().cpu(), sorted(map(float, penalties), reverse=True)
    labels = labels.double() if isinstance(head, Regressor) else labels.long()
    fold = folds_of(labels.numpy(), folds or 5, seed)
    parts = [part for f in range(folds or (5 if len(x) < 1000 else 1)) if (part := fold == f).any()]

    if isinstance(head, Regressor):
        if weight is not None:
            raise ValueError("`weight` is for classes, and a regressor has none: leave `weight` out.")
        found = [_regression(head, x, labels, path, parts, score)]
    else:
        tried: Sequence[Weight | Tensor] = (None, "balanced") if score and weight is None else (weight,)
        found = [_classification(head, x, labels, path, parts, score, each) for each in tried]
    best = min(found, key=lambda search: search.risk)  # the first of equal risks
    weights = best.solver(x, best.y).solve(best.penalty)
    slope = weights[:-1] / deviation[:, None]
    with torch.no_grad():
        best.head.linear.weight.copy_(torch.from_numpy(slope.T))
        best.head.linear.bias.copy_(torch.from_numpy(weights[-1] - mean @ slope))
    return Probe(best.head, best.penalty, best.held_out)


def _head_for(
    features: Tensor, labels: Tensor, classes: int | Sequence[str] | None, outputs: int | None
) -> Classifier | Regressor:
    """Return a head of the size of the features, after a look at features and labels."""
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
    head = head_of(features.shape[-1], classes, outputs)
    head.check(labels)
    return head


def head_of(
    encoder: Any,
    classes: int | Sequence[str] | None,
    outputs: int | None,
    weight: Weight | Tensor = None,
    *,
    seed: int = 0,
) -> Classifier | Regressor:
    """Return a random head of classes or of numbers; the global random state stays.

    Raises:
        ValueError: neither or both of `classes` and `outputs`.
    """
    expect_one_kind(classes, outputs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seed))
        return Regressor(encoder, outputs or 0) if classes is None else Classifier(encoder, classes, weight=weight)


def expect_one_kind(classes: int | Sequence[str] | None, outputs: int | None) -> None:
    """Raise a ValueError unless either `classes` or `outputs` is given."""
    if (classes is None) == (outputs is None):
        raise ValueError(
            f"give either `classes` or, for numbers to predict, `outputs`, got {classes!r} and {outputs!r}: "
            "`outputs=1` for one number per row."
        )


@dataclass(frozen=True)
class _Search:
    """The best penalty of a head, its risk on held-out rows (lower is better), and how the head is solved."""

    head: Any
    y: numpy.ndarray
    solver: Callable[[numpy.ndarray, numpy.ndarray], Solver]
    penalty: float
    risk: float
    held_out: dict[float, float]


def _classification(
    head: Any, x: numpy.ndarray, labels: Tensor, path: Sequence[float], parts: Sequence[numpy.ndarray],
    score: str | None, weight: Weight | Tensor,
) -> _Search:  # fmt: skip
    y = labels.numpy()
    if len(numpy.unique(y)) < 2:
        raise ValueError("`labels` hold one class, and a probe tells classes apart: add rows of another class.")
    head = head_of(x.shape[1], head.names, None, weight)
    if head.weight == "balanced":  # a class without a row has any weight
        counts = numpy.bincount(y, minlength=head.classes)
        head.weight = tuple((len(y) / ((counts > 0).sum() * numpy.maximum(counts, 1))).tolist())
    each = None if head.weight is None else numpy.asarray(head.weight)

    def loss(logits: numpy.ndarray, rows: numpy.ndarray) -> float:
        z = logits - logits.max(1, keepdims=True)
        share = numpy.ones(len(rows)) if each is None else each[y[rows]]
        return float((share * (numpy.log(numpy.exp(z).sum(1)) - z[numpy.arange(len(z)), y[rows]])).sum() / share.sum())

    return _searched(head, x, y, labels, path, parts, score, lambda x, y: Logistic(x, y, head.classes, each), loss)


def _regression(
    head: Regressor, x: numpy.ndarray, labels: Tensor, path: Sequence[float], parts: Sequence[numpy.ndarray],
    score: str | None,
) -> _Search:  # fmt: skip
    head.learn_from(labels)
    y = ((labels.reshape(len(labels), -1) - head.mean) / head.deviation).numpy()

    def loss(predicted: numpy.ndarray, rows: numpy.ndarray) -> float:
        return float(numpy.nanmean((predicted - y[rows]) ** 2))

    return _searched(head, x, y, labels, path, parts, score, Ridge, loss)


def _searched(
    head: Any, x: numpy.ndarray, y: numpy.ndarray, labels: Tensor, path: Sequence[float],
    parts: Sequence[numpy.ndarray], score: str | None, solver: Callable[..., Solver], loss: Callable[..., float],
) -> _Search:  # fmt: skip
    """Return the penalty with the least loss, or with the best named score, on the held-out rows of all parts."""
    if not parts or len(path) == 1 and score is None:
        return _Search(head, y, solver, path[0], 0.0, {})
    solvers = [solver(x[~part], y[~part]) for part in parts]
    rows = numpy.concatenate([part.nonzero()[0] for part in parts])
    held_out: dict[float, float] = {}
    sign = 1
    for penalty in path:
        fitted = [each.solve(penalty) for each in solvers]
        found = numpy.concatenate([x[part] @ w[:-1] + w[-1] for part, w in zip(parts, fitted, strict=True)])
        if score is None:
            held_out[penalty] = loss(found, rows)
            last = list(held_out.values())[-3:]
            if len(last) == 3 and last[0] < last[1] < last[2]:
                break
        else:
            held_out[penalty], higher = _named(head, found, labels[rows], score)
            sign = -1 if higher else 1
    best = min(held_out, key=lambda p: (sign * held_out[p], -p))
    return _Search(head, y, solver, best, sign * held_out[best], held_out)


def _named(head: Any, found: numpy.ndarray, labels: Tensor, score: str) -> tuple[float, bool]:
    """Return a named value of the head on outputs, and whether higher is better."""
    output = torch.from_numpy(found)
    if isinstance(head, Regressor):
        output = (head.mean + head.deviation * output).reshape(labels.shape)
    return head.score(head.measure(output, labels)).named(score)


def folds_of(y: numpy.ndarray, folds: int, seed: int) -> numpy.ndarray:
    """Return a fold for each row, each class spread over all folds; a single row of a class is never held out (-1).

    For numbers a fold is a share of the rows.
    """
    fold = numpy.full(len(y), -1)
    order = numpy.random.default_rng(keyed_seed(seed, "probe")).permutation(len(y))
    if y.dtype.kind == "f" or y.ndim > 1:
        if len(y) > 1:
            fold[order] = numpy.arange(len(y)) % folds
        return fold
    dealt = 0
    for c in numpy.unique(y):
        rows = order[y[order] == c]
        if len(rows) > 1:
            fold[rows] = (dealt + numpy.arange(len(rows))) % folds
            dealt += len(rows)
    return fold
