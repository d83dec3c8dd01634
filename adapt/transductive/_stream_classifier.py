"""A classifier on a stream: predicts, asks for labels, learns, and reacts to drift."""

from collections.abc import Sequence
from typing import Any

import numpy
from numpy import ndarray

from adapt import fewshot
from adapt.randomness import keyed_seed
from adapt.transductive._drift import Alarm, Drift
from losses.options import ABOVE_0, COUNT, FROM_0, check

REACTIONS = ("none", "adapt", "reset", "query")
FORGET = 0.1  # weight of a row before the change, where the reaction is "adapt"
ROWS_OF_A_CLASS = 5  # labelled rows after a change, for each known class, before a new model replaces the old one


class StreamClassifier:
    """A classifier of scikit-learn on a stream whose labels may turn: few labels, an alarm, and a reaction.

    ===========  ===============================================================================================
    ``"none"``   an alarm changes nothing; the classifier goes on learning from all kept rows
    ``"adapt"``  kept rows before the change weigh a tenth
    ``"reset"``  kept rows before the change are forgotten
    ``"query"``  as ``"reset"``, and `budget` further labels are asked for, by :func:`adapt.fewshot.query`
    ===========  ===============================================================================================

    For each batch: :meth:`predict`, then :meth:`ask` which rows should get a label, then :meth:`learn`. A share `audit`
    of the rows is drawn at random, and the drift detector sees the errors of these rows alone: rows that were asked for
    because they are hard would look as drift.

    After a change the old model predicts until five labelled rows for each known class are there.

    Args:
        estimator: a classifier of scikit-learn, fitted or not; cloned. ``"adapt"`` needs `sample_weight` in its `fit`.
        detector: watches the errors; default :class:`Drift`.
        reaction: to an alarm.
        audit: share of the rows that get a label.
        budget: labels that ``"query"`` asks for after an alarm.
        memory: the most labelled rows that are kept; the oldest are forgotten.
        strategy: of :func:`adapt.fewshot.query`, over the rows of a batch.
        seed: of the audit and the strategy.

    State: the object can be pickled, and the copy goes on exactly. The memory is bounded by `memory` rows.

    Raises:
        TypeError: an estimator without `fit`, `predict` and `predict_proba`.
        ValueError: an unknown reaction, an option outside of its range.
    """

    def __init__(
        self,
        estimator: Any,
        detector: Drift | None = None,
        *,
        reaction: str = "query",
        audit: float = 0.1,
        budget: int = 50,
        memory: int = 2000,
        strategy: str = "margin",
        seed: int = 0,
    ):
        from sklearn.base import clone
        from sklearn.utils.validation import has_fit_parameter

        if lacking := [name for name in ("fit", "predict", "predict_proba") if name not in dir(estimator)]:
            raise TypeError(
                f"`estimator` must be a classifier of scikit-learn, got a {type(estimator).__name__} without "
                f"{', '.join(lacking)}: take `LogisticRegression()`, say."
            )
        if reaction not in REACTIONS:
            raise ValueError(f"`reaction` must be one of {', '.join(REACTIONS)}, got {reaction!r}.")
        if reaction == "adapt" and not has_fit_parameter(estimator, "sample_weight"):
            raise ValueError(
                f"`reaction` 'adapt' weighs rows, and the `fit` of {type(estimator).__name__} takes no "
                "`sample_weight`: take another estimator, or 'reset'."
            )
        check(ABOVE_0, audit=audit)
        check(COUNT, budget=budget, memory=memory)
        check(FROM_0, seed=seed)
        self.blank, self.model, self.detector = clone(estimator), None, detector or Drift()
        self.reaction, self.audit, self.budget, self.memory = reaction, float(audit), int(budget), int(memory)
        self.strategy, self.seed = strategy, int(seed)
        self.batches, self.owed, self.audited = 0, 0, numpy.empty(0, dtype=int)
        self.x: ndarray | None = None  # kept rows; their labels, weights, and the row of the detector at their arrival
        self.y, self.weight, self.when = numpy.empty(0), numpy.empty(0), numpy.empty(0, dtype=int)

    def fit(self, x: Any, labels: Any) -> "StreamClassifier":
        """Learn from the first labelled rows, before the stream."""
        self._keep(numpy.asarray(x), numpy.asarray(labels))
        self.model = self._fitted()
        return self

    def predict(self, x: Any) -> ndarray:
        """Return the ``(n,)`` predicted labels."""
        return self._known().predict(numpy.asarray(x))

    def ask(self, x: Any) -> ndarray:
        """Return the numbers of the rows of a batch that should get a label: the audit first, then the query."""
        x = numpy.asarray(x)
        draw = numpy.random.default_rng(keyed_seed(self.seed, "audit", self.batches))
        self.audited = numpy.flatnonzero(draw.random(len(x)) < self.audit)
        more = min(self.owed, len(x) - len(self.audited))
        if more == 0:
            return self.audited
        p = self._known().predict_proba(x)
        rows = fewshot.query(x, p, self.audited, more, self.strategy, seed=self.seed + self.batches)
        return numpy.concatenate([self.audited, rows.numpy()])

    def learn(self, x: Any, rows: Any, labels: Any) -> list[Alarm]:
        """Learn from the labels of the rows that were asked for, and return the alarms of the detector.

        Args:
            x: ``(n, d)`` the batch that :meth:`ask` has seen.
            rows: numbers of the labelled rows: what :meth:`ask` returned, or a part.
            labels: one for each of `rows`.

        Raises:
            ValueError: another number of labels than rows, a number that is no row of the batch.
        """
        x, rows, y = numpy.asarray(x), numpy.asarray(rows, dtype=int), numpy.asarray(labels)
        if rows.ndim != 1 or y.shape != rows.shape:
            raise ValueError(f"`labels` must have one label for each of {rows.size} rows, got shape {y.shape}.")
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(x):
            raise ValueError(
                f"`rows` must be in [0, {len(x)}), the rows of the batch, got {rows.min()} to {rows.max()}."
            )
        drawn = numpy.isin(rows, self.audited)
        self.owed -= min(self.owed, int((~drawn).sum()))
        self.batches += 1
        if not len(rows):
            return []
        alarms = self.detector.update(self._known().predict(x[rows[drawn]]) != y[drawn]) if drawn.any() else []
        self._keep(x[rows], y)
        for alarm in alarms:
            self._react(alarm)
        enough = ROWS_OF_A_CLASS * len(self._known().classes_)
        if len(self.y) >= enough and len(numpy.unique(self.y)) > 1:
            self.model = self._fitted()
        return alarms

    def _known(self) -> Any:
        if self.model is None:
            raise ValueError("the stream has no model yet: call `fit` with the first labelled rows.")
        return self.model

    def _fitted(self) -> Any:
        from sklearn.base import clone

        options = {"sample_weight": self.weight} if self.reaction == "adapt" else {}
        return clone(self.blank).fit(self.x, self.y, **options)

    def _keep(self, x: ndarray, y: ndarray) -> None:
        new = [x, y, numpy.ones(len(y)), numpy.full(len(y), self.detector.rows)]
        old: Sequence[ndarray] = [] if self.x is None else [self.x, self.y, self.weight, self.when]
        both = [numpy.concatenate(pair) for pair in zip(old, new, strict=True)] if old else new
        self.x, self.y, self.weight, self.when = (part[-self.memory :] for part in both)

    def _react(self, alarm: Alarm) -> None:
        before = self.when <= alarm.start  # `when` is counted after the batch of the row
        if self.reaction == "adapt":
            self.weight = numpy.where(before, FORGET * self.weight, self.weight)
        elif self.reaction != "none" and self.x is not None:
            self.x, self.y, self.weight, self.when = (
                part[~before] for part in (self.x, self.y, self.weight, self.when)
            )  # fmt: skip
            self.owed = self.budget if self.reaction == "query" else 0
