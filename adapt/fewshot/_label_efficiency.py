"""The accuracy over the number of labels, for strategies that choose the labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Tensor

from adapt.datasets.labels import to_labels
from adapt.fewshot._logistic import logistic
from adapt.fewshot._query import Strategy, chosen, function_of
from adapt.fewshot.method import classes_of
from adapt.fewshot.pool import NoProbabilities, finite_rows, pool_of
from adapt.fewshot.strategies import random
from adapt.heads.score import Score, student
from adapt.randomness import keyed_seed, permutation
from losses.options import ABOVE_0, COUNT, check

Learner = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class LabelEfficiency:
    """The accuracy of each strategy, seed and number of labels.

    ``report.curves(axes, result.lines, x="labelled rows", percent=True)`` draws the curves.

    Attributes:
        labels: ``(k,)`` numbers of labelled rows; the first is 0 with zero-shot probabilities.
        accuracy: by strategy, ``(seeds, k)`` on the test rows.
    """

    labels: tuple[int, ...]
    accuracy: Mapping[str, numpy.ndarray]

    @property
    def lines(self) -> dict[str, tuple[tuple[int, ...], numpy.ndarray]]:
        """The curves, as :func:`adapt.report.curves` takes curves."""
        return {name: (self.labels, values) for name, values in self.accuracy.items()}

    def area(self, strategy: str, baseline: str | None = None) -> Score:
        r"""Return the mean area under the curve with Student's 95 % interval over seeds.

        .. math:: A = \frac1{m_k - m_1} \int_{m_1}^{m_k} a(m) \, dm

        The curve a is straight between two numbers of labels m. The area is a mean accuracy, between 0 and 1.

        Args:
            baseline: a strategy whose area is subtracted, seed by seed.
        """
        values = self.areas(strategy) - (0 if baseline is None else self.areas(baseline))
        return Score("area under the curve", *student(values), n=len(values))

    def at(self, labels: int, strategy: str, baseline: str | None = None) -> Score:
        """Return the mean accuracy at a number of labels with the interval over seeds, or the difference as above."""
        if labels not in self.labels:
            raise ValueError(f"`labels` must be one of {', '.join(map(str, self.labels))}, got {labels!r}.")
        place = self.labels.index(labels)
        values = self._values(strategy)[:, place] - (0 if baseline is None else self._values(baseline)[:, place])
        return Score("accuracy", *student(values), n=len(values))

    def _values(self, strategy: str) -> numpy.ndarray:
        if strategy not in self.accuracy:
            raise ValueError(f"`strategy` must be one of {', '.join(self.accuracy)}, got {strategy!r}.")
        return self.accuracy[strategy]

    def areas(self, strategy: str) -> numpy.ndarray:
        """Return ``(seeds,)`` areas under the curves, as in :meth:`area`."""
        values = self._values(strategy)
        if len(self.labels) == 1:
            return values[:, 0]
        steps = numpy.diff(self.labels)
        return (values[:, 1:] + values[:, :-1]) / 2 @ steps / steps.sum()

    def table(self, baseline: str = "random") -> str:
        """Return a Markdown table: a row per strategy, with the paired difference of the areas to a baseline."""
        shown = sorted({self.labels[0], self.labels[len(self.labels) // 2], self.labels[-1]})
        titles = ["strategy", *(f"{m} labels %" for m in shown), "area %", f"difference to {baseline}, points"]
        lines = [f"| {' | '.join(titles)} |", f"|---|{'---:|' * (len(titles) - 1)}"]
        for name in sorted(self.accuracy, key=lambda name: -self.area(name).value):
            cells = [f"{100 * self.at(m, name).value:.1f}" for m in shown] + [f"{100 * self.area(name).value:.1f}"]
            d = self.area(name, baseline)
            cells.append(
                "" if name == baseline else f"{100 * d.value:+.1f} ({100 * d.low:+.1f} to {100 * d.high:+.1f})"
            )
            lines.append(f"| {name} | {' | '.join(cells)} |")
        return "\n".join(lines)


def label_efficiency(
    features: Any,
    labels: Any,
    test_features: Any,
    test_labels: Any,
    strategies: Sequence[str | Strategy] | Mapping[str, str | Strategy] = ("random", "margin", "max_herding"),
    *,
    budget: int = 10,
    rounds: int = 10,
    seeds: int = 5,
    share: float = 0.5,
    learner: Learner | None = None,
    zero_shot: tuple[Any, Any] | None = None,
) -> LabelEfficiency:
    """Return the accuracy on test rows over the number of labels, for strategies that choose which rows get labels.

    Each seed draws a pool from the rows, the same pool for all strategies. In each round a strategy chooses `budget`
    rows of the pool, the labels of these rows become known, and a classifier is fitted to all known labels. A strategy
    that needs probabilities before the first classifier begins with rows by chance: with the rows of ``"random"``.

    Args:
        features: ``(n, d)`` of rows whose labels can be asked for.
        labels: ``(n,)`` classes, whole numbers from 0 on or names: an array, a tensor, a list or a column of pandas.
        test_features: ``(m, d)`` of other rows.
        test_labels: ``(m,)`` classes.
        strategies: names of :mod:`adapt.fewshot.strategies` or functions, as :func:`adapt.fewshot.query` takes
            strategies; or these by names of your own.
        budget: rows for each round.
        rounds: number of rounds.
        seeds: number of pools; the differences between strategies are paired over the pools.
        share: of the rows in the pool of each seed. With 1 all pools are equal: a strategy without chance then has the
            same curve for each seed, and no interval.
        learner: from ``(s, d)`` rows, ``(s,)`` numbers of classes and ``(q, d)`` rows to ``(q, classes)``
            log-probabilities, with a column for each class among the ``(s,)`` numbers in order, or for each class at
            all. None is :func:`adapt.fewshot.logistic` on features minus their mean; every inductive method of this
            room is a learner.
        zero_shot: ``(n, classes)`` and ``(m, classes)`` probabilities before the first label, of `features` and of
            `test_features`: the point of 0 labels, and the probabilities of the first choice. The columns are the
            sorted classes.

    The intervals are over pools, with the test rows fixed. The same arguments give the same curves.

    Raises:
        ValueError: rows and labels that do not fit, more labels to ask for than rows in a pool, zero-shot
            probabilities without a column for each class, two strategies with one name, a learner that returns
            another shape or NaN; as :func:`adapt.fewshot.query`.

    >>> x = torch.cat([torch.randn(40, 2) + 3, torch.randn(40, 2) - 3])
    >>> y = ["up"] * 40 + ["down"] * 40
    >>> label_efficiency(x, y, x, y, ["typiclust"], budget=2, rounds=1).area("typiclust").value
    1.0
    """
    check(COUNT, budget=budget, rounds=rounds, seeds=seeds)
    check(ABOVE_0, share=share)
    x, test_x = finite_rows("features", features, "d")[0], finite_rows("test_features", test_features, "d")[0]
    classes, y, test_y = _numbers(labels, len(x), test_labels, len(test_x))
    if x.shape[1] != test_x.shape[1]:
        raise ValueError(
            f"`features` and `test_features` must have the same columns, got {x.shape[1]} and {test_x.shape[1]}."
        )
    size = round(share * len(x))
    if budget * rounds > size:
        raise ValueError(
            f"`budget` times `rounds` must be at most the rows of a pool, got {budget * rounds} for {size} of {len(x)} "
            "rows: ask for fewer labels or take a larger `share`."
        )
    if learner is not None and not callable(learner):
        raise ValueError(f"`learner` must be a function or a method such as `fewshot.ridge()`, got {learner!r}.")
    start = None if zero_shot is None else _zero_shot(zero_shot, len(x), len(test_x), classes)
    named = _named(strategies)
    task = _Task(x, y, test_x, test_y, classes, learner or logistic(centre=x.mean(0)), start)
    pools = [permutation(len(x), s, "pool of labels")[:size] for s in range(seeds)]
    accuracy = {
        name: numpy.array(
            [task.curve(function_of(s), pool, int(budget), int(rounds), seed) for seed, pool in enumerate(pools)]
        )
        for name, s in named.items()
    }
    asked = tuple(int(budget) * r for r in range(0 if start is not None else 1, int(rounds) + 1))
    return LabelEfficiency(asked, accuracy)


@dataclass(frozen=True)
class _Task:
    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor
    classes: int
    learner: Learner
    start: tuple[Tensor, Tensor] | None

    def curve(self, strategy: Strategy, rows: Tensor, budget: int, rounds: int, seed: int) -> list[float]:
        """Return the accuracies of one strategy on one pool."""
        x, y, known = self.x[rows], self.y[rows], torch.zeros(0, dtype=torch.long)
        p = None if self.start is None else self.start[0][rows]
        found = [] if self.start is None else [self._accuracy(self.start[1])]
        for turn in range(rounds):
            pool = pool_of(x, p, known, budget, keyed_seed(seed, turn))
            try:
                new = chosen(pool, strategy)
            except NoProbabilities:
                new = chosen(pool, random)
            known = torch.cat([known, new])
            p, test_p = self._probabilities(x[known], y[known], torch.cat([x, self.test_x])).split(
                [len(x), len(self.test_x)]
            )
            found.append(self._accuracy(test_p))
        return found

    def _probabilities(self, support: Tensor, labels: Tensor, query: Tensor) -> Tensor:
        with torch.no_grad():
            log_p = self.learner(support, labels, query)
        seen = classes_of(labels)
        right = isinstance(log_p, Tensor) and log_p.shape in ((len(query), len(seen)), (len(query), self.classes))
        if not right or log_p.isnan().any():
            found = (
                f"shape {tuple(log_p.shape)}{' with NaN' if right else ''}"
                if isinstance(log_p, Tensor)
                else type(log_p).__name__
            )
            raise ValueError(
                f"`learner` must return log-probabilities of {len(query)} rows and {len(seen)} or {self.classes} "
                f"classes, got {found}: take a method such as `fewshot.ridge()`."
            )
        p, seen = log_p.exp(), torch.arange(self.classes) if log_p.shape[1] == self.classes else seen
        full = p.new_zeros(len(query), self.classes)
        full[:, seen] = p  # a class without a label has probability 0
        return full

    def _accuracy(self, p: Tensor) -> float:
        return float((p.argmax(1) == self.test_y).double().mean())


def _named(strategies: Any) -> dict[str, str | Strategy]:
    one = isinstance(strategies, str) or callable(strategies)
    named = {} if one else dict(strategies) if isinstance(strategies, Mapping) else {_name(s): s for s in strategies}
    if not named or len(named) < len(strategies):
        raise ValueError(
            f"`strategies` must be strategies with different names, got {strategies!r}: give a list, or a dict with "
            "names of your own."
        )
    return named


def _name(strategy: str | Strategy) -> str:
    return strategy if isinstance(strategy, str) else getattr(strategy, "__name__", repr(strategy))  # partial has none


def _numbers(labels: Any, n: int, test_labels: Any, m: int) -> tuple[int, Tensor, Tensor]:
    """Return the number of classes, and the numbers of the classes of both sets."""
    given: list[Any] = []
    for name, values, rows in (("labels", labels, n), ("test_labels", test_labels, m)):
        found = values.tolist() if isinstance(values, Tensor | numpy.ndarray) else list(values)
        if len(found) != rows:
            raise ValueError(f"`{name}` must be ({rows},) classes, one for each row, got {len(found)}.")
        given += found
    what = "`labels` and `test_labels`"
    y = to_labels(given, what=what).values
    if y.ndim != 1 or y.is_floating_point() or int(y.min()) < 0:
        raise ValueError(
            f"{what} must be names or whole numbers from 0 on, one for each row, found {tuple(y.shape)} labels of "
            f"{y.dtype} from {y.min():g} on: leave rows without a label out."
        )
    names, y = y.unique(return_inverse=True)
    if len(names) < 2:
        raise ValueError("`labels` hold one class: give rows of two classes or more.")
    return len(names), *y.split([n, m])


def _zero_shot(zero_shot: tuple[Any, Any], n: int, m: int, classes: int) -> tuple[Tensor, Tensor]:
    rows, test_rows = (finite_rows("zero_shot", p, "classes")[0] for p in zero_shot)
    if rows.shape != (n, classes) or test_rows.shape != (m, classes):
        raise ValueError(
            f"`zero_shot` must be two sets of probabilities, ({n}, {classes}) and ({m}, {classes}), got "
            f"{tuple(rows.shape)} and {tuple(test_rows.shape)}."
        )
    return rows, test_rows
