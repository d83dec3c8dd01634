"""Rank pretrained encoders for a target set before any training."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Tensor

from adapt.heads import Score
from adapt.ranking._cost import Cost
from adapt.ranking._h_score import h_score
from adapt.ranking._knn import knn
from adapt.ranking._leep import leep
from adapt.ranking._logme import logme
from adapt.ranking._nce import nce
from adapt.ranking._ridge import ridge
from adapt.ranking.sample import Sample, Undefined
from adapt.ranking.table import Ranking, Row

Scorer = Callable[[Sample], Tensor]


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A candidate: what its encoder says of the target rows.

    Args:
        features: ``(n, d)``.
        source: ``(n, z)`` probabilities of its own head, for LEEP and NCE; or its ``(n,)`` predicted classes, for NCE alone.
        cost: of :func:`cost`, for the table and the figure.
    """

    features: Any
    source: Any = None
    cost: Cost | None = None


def rank(
    candidates: Mapping[str, Any],
    labels: Any = None,
    *,
    values: Any = None,
    scores: Sequence[Scorer] | None = None,
    by: Scorer | None = None,
    resamples: int = 1000,
    halves: int = 20,
    seed: int = 0,
) -> Ranking:
    r"""Rank encoders by how well the target's labels can be read from their features.

    Args:
        candidates: by name, ``(n, d)`` features of the same rows in the same order, or :class:`Pretrained`.
        labels: ``(n,)`` classes of the rows that may be trained on, never of a test set; or
        values: ``(n,)`` or ``(n, t)`` numbers to predict.
        scores: functions of a :class:`Sample`, ours or yours, that give ``(n,)`` numbers, one a row, whose mean is the
            score, or ``()``. Default: :func:`knn`, :func:`ridge`, :func:`logme`, :func:`h_score`, and where a candidate has
            `source` :func:`leep` and :func:`nce`; for values :func:`ridge` and :func:`logme`.
        by: the one of `scores` that decides; the first.
        resamples: bootstrap draws of the rows for scores that are means over rows: the 2.5 and 97.5 percentiles. The fit
            of the score is not repeated.
        halves: for the other scores, half of the rows of each class is drawn so many times without replacement, and the score computed
            again: value ± 1.96 standard deviations of the halves (a half differs from the whole as the whole does
            from the population). A bootstrap would put a row in twice, which these scores take for evidence.
            0 leaves their intervals out: they are most of the time.
        seed: of both draws, which are the same for all candidates: differences are paired.

    Returns:
        A :class:`Ranking`. All scores grow with transferability. Where one is undefined, the table says why.

    Raises:
        ValueError: no candidate, other rows than labels, features that are not finite, `by` undefined for all.

    Intervals are about these rows being other rows; a rank that looks clear may still not be that of the fine-tuned
    accuracies.

    >>> good, poor = [[0.0], [0.1], [0.2], [1.0], [1.1], [1.2]], [[0.0], [1.0], [0.1], [1.1], [0.2], [1.2]]
    >>> rank({"poor": poor, "good": good}, list("aaabbb"), by=ridge).best
    'good'
    """
    if not candidates:
        raise ValueError("`candidates` is empty: give at least one encoder's features, by name.")
    given = {name: c if isinstance(c, Pretrained) else Pretrained(c) for name, c in candidates.items()}
    scorers = _named(
        scores or _defaults(values is not None, [c.source for c in given.values() if c.source is not None])
    )
    decides = next(iter(scorers)) if by is None else name_of(by)
    if decides not in scorers:
        raise ValueError(f"`by` must be one of `scores`, {', '.join(scorers)}, got {decides}.")

    judged = {name: _judge(name, c, labels, values, scorers) for name, c in given.items()}
    if not any(decides in j.outcome for j in judged.values()):
        raise ValueError(f"no candidate can be ranked: {next(iter(judged.values())).refused[decides]}")
    draws = _bootstrap(judged, resamples, seed) | _halves(judged, scorers, halves, seed)
    first = _first({name: draws[name, decides] for name, j in judged.items() if decides in j.outcome})
    rows = [
        Row(
            name, {s: _score(s, value, draws[name, s]) for s, value in j.outcome.items()}, first.get(name, 0.0),
            given[name].cost, j.refused,
        )
        for name, j in judged.items()
    ]  # fmt: skip
    rows.sort(key=lambda row: -row.scores[decides].value if decides in row.scores else math.inf)
    return Ranking(decides, rows)


@dataclass(eq=False)
class _Judged:
    """A candidate's rows, what the scores gave, and why the others did not."""

    sample: Sample | None
    outcome: dict[str, Tensor]
    refused: dict[str, str]


def _judge(name: str, c: Pretrained, labels: Any, values: Any, scorers: Mapping[str, Scorer]) -> _Judged:
    try:
        judged = _Judged(Sample(c.features, labels, values=values, source=c.source), {}, {})
    except Undefined as error:
        return _Judged(None, {}, dict.fromkeys(scorers, str(error)))
    except ValueError as error:
        raise ValueError(f"candidate `{name}`: {error}") from error
    for score, scorer in scorers.items():
        try:
            judged.outcome[score] = scorer(judged.sample)  # type: ignore[arg-type]
        except Undefined as error:
            judged.refused[score] = str(error)
    return judged


def _bootstrap(judged: Mapping[str, _Judged], resamples: int, seed: int) -> dict[tuple[str, str], Tensor]:
    """Draws of the scores that are means over rows, the same rows for all."""
    by_row = {(name, s): v for name, j in judged.items() for s, v in j.outcome.items() if v.ndim}
    if not by_row or not resamples:
        return dict.fromkeys(by_row, torch.empty(0))
    generator, table = torch.Generator().manual_seed(seed), torch.stack(list(by_row.values()), 1)
    n = len(table)
    means = [table[torch.randint(n, (n,), generator=generator)].mean(0) for _ in range(resamples)]
    return dict(zip(by_row, torch.stack(means, 1), strict=True))


def _halves(
    judged: Mapping[str, _Judged], scorers: Mapping[str, Scorer], halves: int, seed: int
) -> dict[tuple[str, str], Tensor]:
    """The other scores on halves of the rows, the same for all; none where a half leaves a score undefined."""
    draws: dict[tuple[str, str], list[float]] = {
        (name, s): [] for name, j in judged.items() for s, v in j.outcome.items() if not v.ndim
    }
    generator = torch.Generator().manual_seed(seed)
    whole = next(j.sample for j in judged.values() if j.sample)
    for _ in range(halves if draws else 0):
        rows = half(whole, generator)
        for name in dict.fromkeys(name for name, _ in draws):
            part = _part(judged[name].sample, rows)  # type: ignore[arg-type]
            for score in [s for candidate, s in draws if candidate == name]:
                draws[name, score].append(_attempt(scorers[score], part))
    return {key: torch.tensor(drawn).double() for key, drawn in draws.items()}


def half(sample: Sample, generator: torch.Generator) -> Tensor:
    """Half of the rows, without replacement; of each class half, give or take one row."""
    rows = torch.randperm(len(sample), generator=generator)
    if sample.y is not None:
        rows = rows[sample.y[rows].argsort(stable=True)]
    return rows[int(torch.randint(2, (), generator=generator)) :: 2]


def _part(sample: Sample, rows: Tensor) -> Sample | None:
    try:
        return sample.take(rows)
    except Undefined:
        return None


def _attempt(scorer: Scorer, part: Sample | None) -> float:
    """NaN where half of the rows are too few."""
    try:
        return math.nan if part is None else scorer(part).item()
    except Undefined:
        return math.nan


def _first(draws: Mapping[str, Tensor]) -> dict[str, float]:
    """Share of the draws in which each is first; those that tie share one. NaN without draws."""
    table = torch.stack(list(draws.values()))
    top = (table == table.amax(0) if table.shape[1] else table).double()
    return dict(zip(draws, (top / top.sum(0)).mean(1).tolist(), strict=True))


def _score(name: str, value: Tensor, draws: Tensor) -> Score:
    middle = value.mean().item()
    low, high = -math.inf, math.inf
    if len(draws) and draws.isfinite().all():
        if value.ndim:
            low, high = draws.quantile(torch.tensor([0.025, 0.975]).double()).tolist()
        else:
            spread = 1.959964 * draws.std().item()
            low, high = middle - spread, middle + spread
    return Score(name, middle, low, high, len(value) if value.ndim else 0)


def _defaults(regression: bool, heads: Sequence[Any]) -> tuple[Scorer, ...]:
    if regression:
        return ridge, logme
    probabilities = any(numpy.ndim(source) > 1 for source in heads)
    return (knn, ridge, logme, h_score, *([leep] if probabilities else []), *([nce] if heads else []))


def name_of(scorer: Any) -> str:
    """The name of a function, or of that of a ``functools.partial``."""
    return getattr(getattr(scorer, "func", scorer), "__name__", type(scorer).__name__)


def _named(scores: Sequence[Scorer]) -> dict[str, Scorer]:
    named = {name_of(s): s for s in scores}
    if len(named) < len(scores):
        raise ValueError(f"`scores` must have different names, got {[name_of(s) for s in scores]}: define a function.")
    return named
