"""Class-balanced self-training around any classifier of scikit-learn."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy
import torch

from adapt.datasets.labels import from_package
from adapt.transductive._cbst import confident_labels
from adapt.transductive.options import check_options
from adapt.transductive.signs import harm
from losses.options import COUNT, check


@dataclass(frozen=True, eq=False)
class SelfTrained:
    """A classifier after self-training.

    Attributes:
        estimator: the classifier to use: self-trained, or trained on the source alone where signs of harm were found.
        source: the same kind of classifier, trained on the source alone.
        labels: ``(m,)`` class of each target row in the last round; None where the row was left out.
        adapted: whether `estimator` is self-trained.
        signs: sentences of :func:`harm`.
    """

    estimator: Any
    source: Any
    labels: numpy.ndarray
    adapted: bool
    signs: list[str]

    def predict(self, X: Any) -> numpy.ndarray:
        """Return the class of each row."""
        return self.estimator.predict(X)

    def predict_proba(self, X: Any) -> numpy.ndarray:
        """Return the probability of each class, in the order of ``estimator.classes_``."""
        return self.estimator.predict_proba(X)


def self_training(
    estimator: Any,
    X: Any,
    y: Any,
    target: Any,
    *,
    rounds: int = 7,
    first: float = 0.2,
    more: float = 0.05,
    last: float = 0.5,
    guard: bool = True,
) -> SelfTrained:
    """Train a classifier on labelled source rows and on its own most confident predictions of each class on the target.

    ``self_training(make_pipeline(TfidfVectorizer(), LogisticRegression()), texts, names, new).predict(new)``

    Args:
        estimator: any classifier of scikit-learn with `predict_proba`, a pipeline too. The estimator is cloned in each
            round and left as it was.
        X, y: n labelled rows of the source: arrays, sparse matrices, data frames, lists of texts. Whole numbers of -1
            in `y` are missing labels, and their rows are left out.
        target: m rows of the same kind, without labels.
        rounds: of labels and training; 7 rounds reach `last`.
        first, more, last: share of each predicted class with a label: `first` in the first round, `more` in each
            further round, at most `last`; 0.2, 0.05 and 0.5 as in the paper.
        guard: whether a classifier with a sign of :func:`harm` is replaced by the classifier of the source, with a
            warning.

    The labels of a round are new in each round (:func:`confident_labels`): a row can lose or change its label, unlike
    in ``sklearn.semi_supervised.SelfTrainingClassifier``, whose labels stay and whose classes are not balanced. The
    shares of the classes among the labels are the predicted shares. No random number is drawn here.

    Raises:
        TypeError: an estimator without `fit` or `predict_proba`.
        ValueError: an option with a wrong value; unequal numbers of rows; fewer than two classes; no target row.

    Zou et al., 2018, https://arxiv.org/abs/1810.07911; Yarowsky, 1995, https://aclanthology.org/P95-1026
    """
    from sklearn.base import clone

    if not (callable(getattr(estimator, "fit", None)) and callable(getattr(estimator, "predict_proba", None))):
        raise TypeError(  # scikit-learn's own way of asking: `predict_proba` may depend on an option
            f"`estimator` must have `fit` and `predict_proba`, got a {type(estimator).__name__}: take a classifier "
            "with probabilities, or wrap the classifier in `sklearn.calibration.CalibratedClassifierCV`."
        )
    check(COUNT, rounds=rounds)
    check_options(first=first, more=more, last=last, guard=guard)
    X, target, y = rows_of(X), rows_of(target), numpy.asarray(y)
    n, m = X.shape[0], target.shape[0]
    if y.shape != (n,) or m == 0:
        raise ValueError(
            f"`y` must hold one class for each of the {n} rows of `X`, and `target` at least one row, got shape "
            f"{y.shape} and {m} rows."
        )
    if y.dtype.kind in "if" and (y == -1).any():
        if set(numpy.unique(y)) == {-1, 1}:
            raise ValueError("`y` is -1 and 1, and -1 says that a label is missing: number the classes 0 and 1.")
        X, y = taken(X, numpy.flatnonzero(y != -1)), y[y != -1]
    if len(set(y.tolist())) < 2:
        raise ValueError(f"`y` must have at least 2 classes, got {sorted(set(y.tolist()))}.")
    source = clone(estimator).fit(X, y)
    before = found = probabilities(source, target)
    for number in range(rounds):
        numbers = confident_labels(torch.from_numpy(found), min(first + more * number, max(first, last))).numpy()
        there = numpy.flatnonzero(numbers >= 0)
        trained = clone(estimator).fit(
            stacked(X, taken(target, there)), numpy.concatenate([y, source.classes_[numbers[there]]])
        )
        found = probabilities(trained, target)
    labels = source.classes_.astype(object)[numbers]
    labels[numbers < 0] = None
    signs = harm(log(found), log(before)) if guard else []
    if signs:
        warnings.warn(f"self-training does harm, the source classifier is kept: {'; '.join(signs)}.", stacklevel=2)
    return SelfTrained(source if signs else trained, source, labels, not signs, signs)


def probabilities(estimator: Any, rows: Any) -> numpy.ndarray:
    """Return ``(m, classes)`` probabilities in float64."""
    p = numpy.asarray(estimator.predict_proba(rows), dtype=numpy.float64)
    if not numpy.isfinite(p).all():
        raise ValueError(f"the probabilities of {type(estimator).__name__} must be finite, found NaN or infinity.")
    return p


def log(p: numpy.ndarray) -> numpy.ndarray:
    """Return logits of probabilities; 0 becomes the logarithm of the smallest number."""
    return numpy.log(numpy.maximum(p, numpy.finfo(float).tiny))


def rows_of(x: Any) -> Any:
    """Return rows with a `shape`: a sparse matrix as CSR, a frame as it is, anything else as an array."""
    if from_package(x, "scipy"):
        return x.tocsr()
    if from_package(x, "pandas"):
        return x
    if isinstance(x, list | tuple) and x and isinstance(x[0], str):
        return numpy.array(x, dtype=object)
    return numpy.asarray(x)


def taken(x: Any, index: numpy.ndarray) -> Any:
    """Return the rows `index`."""
    return x.iloc[index] if from_package(x, "pandas") else x[index]


def stacked(first: Any, second: Any) -> Any:
    """Return the rows of both."""
    if from_package(first, "pandas"):
        import pandas

        return pandas.concat([first, second], ignore_index=True)
    if from_package(first, "scipy"):
        from scipy import sparse

        return sparse.vstack([first, second]).tocsr()
    return numpy.concatenate([first, second])
