"""Transfer as estimators of scikit-learn, and around any estimator: TrAdaBoost, warm starts, features, a scorer."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch import nn

from adapt import select
from adapt.engine.labelled_rows import encoded
from losses.options import COUNT, check

CONTINUED = ("n_estimators", "max_iter")  # what grows where an estimator has `warm_start` and no `partial_fit`
ESTIMATORS = ("FewShotClassifier", "TransferClassifier", "TransferRegressor")


def __getattr__(name: str) -> Any:
    """Return an estimator: the classes need scikit-learn, which `import adapt` leaves out."""
    if name in ESTIMATORS:
        from adapt.bridges import _estimators

        return getattr(_estimators, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def on_target(X_target: Any, *, rule: Callable[[Any], float] = select.information_maximization) -> Any:
    r"""Return a scorer for ``GridSearchCV`` that reads predictions for unlabelled target rows, and no label.

    The score is ``rule(logits)`` of ``(m, classes)`` logits, the logarithms of the probabilities. The rows of the folds
    are not read.

    Args:
        X_target: ``(m, d)`` rows of the target.
        rule: from logits to a number, higher is better: of :mod:`adapt.select`, ``information_maximization`` (default,
            of the most-used rules), ``batch_nuclear_norm``, ``entropy``, ``soft_neighbourhood_density``; or your own.

    Returns:
        A callable ``(estimator, X, y)``, as `scoring` asks for.

    A rule on one model is fooled by a confident collapse onto fewer classes: :func:`adapt.select.choose` compares all
    models and may stay with source-only. Take `on_target` where the search of scikit-learn is wanted.

    Musgrave et al., Three New Validators and a Large-Scale Benchmark Ranking for Unsupervised Domain Adaptation, 2022,
    https://arxiv.org/abs/2208.07360

    >>> from sklearn.linear_model import LogisticRegression
    >>> model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    >>> on_target([[-9.0], [9.0]])(model) > on_target([[0.4], [0.6]])(model)
    True
    """
    return partial(_target_score, X_target, rule)


def _target_score(X_target: Any, rule: Callable[[Any], float], estimator: Any, X: Any = None, y: Any = None) -> float:
    p = np.asarray(estimator.predict_proba(X_target), dtype=np.float64)
    return float(rule(torch.as_tensor(np.log(np.maximum(p, np.finfo(np.float32).tiny)))))


class TrAdaBoost:
    r"""Boosts a classifier on many source rows and few labelled target rows: source rows that do not fit lose weight.

    In each of N rounds the classifier learns from all rows with their weights. With the weighted error
    :math:`\epsilon_t < 1/2` on the target rows, :math:`\beta_t = \epsilon_t / (1 - \epsilon_t)` and
    :math:`\beta = 1 / (1 + \sqrt{2 \ln n / N})` for n source rows:

    .. math:: w_i \leftarrow w_i \, \beta^{[\text{wrong}]} \text{ (source)}, \qquad
        w_i \leftarrow w_i \, \beta_t^{-[\text{wrong}]} \text{ (target)}

    The prediction is the vote of the rounds from N / 2 on, with weights :math:`\ln 1 / \beta_t`. The paper has two
    classes; the vote serves more classes in the same way. The paper asks for an error below 1/2: a larger error counts
    as 0.49, and an error of 0 as 1e-6.

    Args:
        estimator: a classifier whose `fit` takes `sample_weight`; cloned in each round.
        rounds: N.

    Raises:
        ValueError: an estimator without `sample_weight`; rows and labels of unequal number; other columns.

    Where hardly a source row fits the target, the classifier of the target rows alone is as good. Related: skada has no
    method with target labels.

    Dai, Yang, Xue, Yu, Boosting for Transfer Learning, 2007, https://doi.org/10.1145/1273496.1273521
    """

    def __init__(self, estimator: Any, *, rounds: int = 20):
        from sklearn.utils.validation import has_fit_parameter

        if not has_fit_parameter(estimator, "sample_weight"):
            raise ValueError(
                f"`estimator` must take `sample_weight` in its `fit`, which {type(estimator).__name__} does not: take "
                "`DecisionTreeClassifier(max_depth=3)` or `LogisticRegression()`, say."
            )
        check(COUNT, rounds=rounds)
        self.estimator, self.rounds = estimator, int(rounds)

    def fit(self, source: Any, source_labels: Any, target: Any, target_labels: Any) -> "TrAdaBoost":
        """Learn from ``(n, d)`` source rows and ``(m, d)`` target rows with labels."""
        from sklearn.base import clone

        x, y, n = _joined(source, source_labels, target, target_labels)
        w = np.full(len(y), 1 / len(y))
        shrink = 1 / (1 + np.sqrt(2 * np.log(n) / self.rounds))
        self.models, self.votes, self.classes_ = [], [], np.unique(y)
        for _ in range(self.rounds):
            model = clone(self.estimator).fit(x, y, sample_weight=w / w.sum() * len(y))
            wrong = model.predict(x) != y
            error = w[n:][wrong[n:]].sum() / w[n:].sum()
            error = np.clip(error, 1e-6, 0.49)
            beta = error / (1 - error)
            self.models.append(model)
            self.votes.append(float(-np.log(beta)))
            w[:n] *= shrink ** wrong[:n]
            w[n:] *= beta ** -wrong[n:].astype(float)
            w /= w.sum()
        return self

    def predict(self, x: Any) -> ndarray:
        """Return the ``(n,)`` predicted labels."""
        late = range(len(self.models) // 2, len(self.models))
        votes = sum(self.votes[t] * (self.models[t].predict(x)[:, None] == self.classes_) for t in late)
        return self.classes_[np.argmax(votes, 1)]


class FeatureAugmentation:
    r"""Trains one estimator on both domains, with columns that are shared and columns of a domain of their own.

    .. math:: \Phi_s(x) = (x, x, 0), \qquad \Phi_t(x) = (x, 0, x)

    A linear estimator learns what both domains have in common, and a difference for each domain.

    Args:
        estimator: a classifier or regressor, cloned.

    Raises:
        ValueError: rows and labels of unequal number, other columns.

    Daumé III, Frustratingly Easy Domain Adaptation, 2007, https://aclanthology.org/P07-1033
    """

    def __init__(self, estimator: Any):
        self.estimator = estimator

    def fit(self, source: Any, source_labels: Any, target: Any, target_labels: Any) -> "FeatureAugmentation":
        """Learn from ``(n, d)`` source rows and ``(m, d)`` target rows with labels; arrays or sparse matrices."""
        from sklearn.base import clone

        x, y, n = _joined(source, source_labels, target, target_labels)
        both = _stacked([augmented(x[:n], "source"), augmented(x[n:], "target")])
        self.model = clone(self.estimator).fit(both, y)
        return self

    def predict(self, x: Any) -> ndarray:
        """Return predictions for target rows."""
        return self.model.predict(augmented(x, "target"))


def augmented(x: Any, domain: str) -> Any:
    """Return the ``(n, 3 d)`` columns of :class:`FeatureAugmentation` for rows of the source or the target."""
    from scipy import sparse

    if domain not in ("source", "target"):
        raise ValueError(f'`domain` must be "source" or "target", got {domain!r}.')
    zero = sparse.csr_array(x.shape) if sparse.issparse(x) else np.zeros_like(np.asarray(x))
    parts = [x, x, zero] if domain == "source" else [x, zero, x]
    return sparse.hstack(parts, format="csr") if sparse.issparse(x) else np.concatenate(parts, 1)


def continued(estimator: Any, x: Any, labels: Any, *, rounds: int = 10) -> Any:
    """Return a copy of a fitted estimator after some more training on target rows: a warm start.

    An estimator with `partial_fit` takes `rounds` passes over the rows. A boosting with `warm_start` gets `rounds` more
    trees. Any other estimator with `warm_start` and `max_iter` goes on for `rounds` iterations from its coefficients:
    few iterations stay near the source, and many iterations end where a training on the target alone ends.

    Args:
        estimator: fitted on the source, such as `SGDClassifier`, `MLPClassifier`, `GradientBoostingClassifier`,
            `LogisticRegression`. The estimator itself stays as it is.
        x, labels: rows of the target.
        rounds: passes, trees or iterations.

    Raises:
        TypeError: an estimator that is not fitted, or can not go on.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.utils.validation import check_is_fitted

    check(COUNT, rounds=rounds)
    check_is_fitted(estimator)
    model, options = deepcopy(estimator), estimator.get_params()
    if "partial_fit" in dir(model):
        for _ in range(rounds):
            model.partial_fit(x, labels)
        return model
    grows = [name for name in CONTINUED if name in options]
    if "warm_start" not in options or not grows:
        raise TypeError(
            f"`estimator` must have `partial_fit` or `warm_start` to go on, which {type(estimator).__name__} has not: "
            "take `SGDClassifier(loss='log_loss')`, say."
        )
    trees = "n_estimators" in options or "learning_rate" in options
    more = options[grows[0]] + rounds if trees else rounds
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # few iterations are the purpose
        return model.set_params(warm_start=True, **{grows[0]: more}).fit(x, labels)


def features(encoder: nn.Module, *, batch_size: int = 256) -> Any:
    """Return an encoder as a transformer of scikit-learn, for ``make_pipeline(features(encoder), estimator)``.

    Args:
        encoder: gives ``(n, d)`` features; runs in evaluation mode, without a gradient.
        batch_size: inputs at a time.
    """
    from sklearn.preprocessing import FunctionTransformer

    check(COUNT, batch_size=batch_size)
    return FunctionTransformer(partial(_encoded, encoder, int(batch_size)))


def _encoded(encoder: nn.Module, batch_size: int, x: Any) -> ndarray:
    return encoded(encoder, x, "`x`", batch_size=batch_size).tensors[0].cpu().numpy()


def _joined(source: Any, source_labels: Any, target: Any, target_labels: Any) -> tuple[Any, ndarray, int]:
    """Return the rows of both domains, the labels, and the number of source rows."""
    labels = [np.asarray(source_labels), np.asarray(target_labels)]
    for name, x, y in zip(("source", "target"), (source, target), labels, strict=True):
        if y.ndim != 1 or len(y) != np.shape(x)[0] or not len(y):
            raise ValueError(
                f"`{name}` must be (n, d) rows with one label for each row, got shapes {np.shape(x)} and {y.shape}."
            )
    if np.shape(source)[1:] != np.shape(target)[1:]:
        raise ValueError(
            f"`source` and `target` must have equal columns, got {np.shape(source)} and {np.shape(target)}."
        )
    return _stacked([source, target]), np.concatenate(labels), len(labels[0])


def _stacked(parts: Sequence[Any]) -> Any:
    from scipy import sparse

    return sparse.vstack(parts, format="csr") if sparse.issparse(parts[0]) else np.concatenate(parts)
