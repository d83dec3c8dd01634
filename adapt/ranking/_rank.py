"""Rank pretrained encoders for a target set before any training."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from adapt.encoders import WordVectors
from adapt.encoders._word_vectors import split_words
from adapt.heads import Score
from adapt.protocols import MapStyle
from adapt.ranking._baseline_features import baseline_features
from adapt.ranking._cost import Cost
from adapt.ranking._h_score import h_score
from adapt.ranking._knn import knn
from adapt.ranking._leep import leep
from adapt.ranking._logme import logme
from adapt.ranking._nce import nce
from adapt.ranking._ridge import ridge
from adapt.ranking.sample import Sample, Undefined
from adapt.ranking.table import Ranking, Row
from losses.options import FROM_0, check

Scorer = Callable[[Sample], Tensor]
NO_ENCODER = "no encoder"


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A candidate: the features of the target rows by one encoder.

    Args:
        features: ``(n, d)``.
        source: ``(n, z)`` probabilities by the encoder's own head, for LEEP and NCE; or ``(n,)`` predicted classes, for
            NCE alone.
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
    texts: Sequence[str] | None = None,
    scores: Sequence[Scorer] | None = None,
    by: Scorer | None = None,
    baseline: MapStyle | None = None,
    resamples: int = 1000,
    halves: int = 20,
    seed: int = 0,
) -> Ranking:
    r"""Rank encoders by how well the target's labels can be read from their features.

    Args:
        candidates: by name, ``(n, d)`` features of the same rows in the same order, or :class:`Pretrained`; where
            `texts` are given also tables of word vectors, :class:`adapt.encoders.WordVectors`.
        labels: ``(n,)`` classes of rows to train on, never of a test set; or
        values: ``(n,)`` or ``(n, t)`` numbers to predict.
        texts: the rows as n texts, for tables of word vectors: the features of a text are the mean of the vectors of
            its words. A word without a vector is treated as the table says (``oov``).
        scores: functions of a :class:`Sample`, from this package or your own. A function returns ``(n,)`` numbers with
            the score as their mean, or ``()``. Default: :func:`knn`, :func:`ridge`, :func:`logme`, :func:`h_score`, and
            where a candidate has `source` :func:`leep` and :func:`nce`; for values :func:`ridge` and :func:`logme`.
        by: the score in `scores` that decides; default the first.
        baseline: the data set of the rows. The table then has the row ``"no encoder"``, with
            :func:`baseline_features`: an encoder below this row is not worth its cost.
        resamples: number of bootstrap draws of the rows, for scores that are means over rows. The interval goes from
            the 2.5 to the 97.5 percentile. The fit of the score is not repeated.
        halves: number of draws for the other scores: a draw is half of the rows of each class, without replacement, and
            the score is computed again. The interval is the value ± 1.96 standard deviations of the halves: a half
            differs from the whole as the whole differs from the population. A bootstrap draws rows twice, and these
            scores take a double row for evidence. 0 leaves the intervals out, which take most of the time.
        seed: of both kinds of draws. All candidates have the same draws: differences are paired.

    Returns:
        A :class:`Ranking`. All scores grow with transferability. Where a score is undefined, the table says why.

    Raises:
        TypeError: a candidate that is a module in place of features; a table of word vectors without `texts`.
        ValueError: no candidate, other rows than labels, features that are not finite, `by` undefined for all.

    Intervals are about a draw of other rows. A rank that looks clear may still differ from the rank by fine-tuned
    accuracy.

    >>> good, poor = [[0.0], [0.1], [0.2], [1.0], [1.1], [1.2]], [[0.0], [1.0], [0.1], [1.1], [0.2], [1.2]]
    >>> rank({"poor": poor, "good": good}, list("aaabbb"), by=ridge).best
    'good'
    """
    given = _given(candidates, texts)
    if baseline is not None:
        if NO_ENCODER in given:
            raise ValueError(f"`candidates` has the name {NO_ENCODER!r} already: rename, or leave `baseline` out.")
        given[NO_ENCODER] = Pretrained(baseline_features(baseline))
    check(FROM_0, resamples=resamples, halves=halves, seed=seed)
    scorers = _named(
        scores or _defaults(values is not None, [c.source for c in given.values() if c.source is not None])
    )
    decides = next(iter(scorers)) if by is None else name_of(by)
    if decides not in scorers:
        raise ValueError(f"`by` must be one of `scores`, {', '.join(scorers)}, got {decides}.")

    scored = {name: _score_candidate(name, c, labels, values, scorers) for name, c in given.items()}
    if not any(decides in s.outcome for s in scored.values()):
        raise ValueError(f"no candidate can be ranked: {next(iter(scored.values())).refused[decides]}")
    draws = _bootstrap(scored, resamples, seed) | _halves(scored, scorers, halves, seed)
    first = _share_first({name: draws[name, decides] for name, s in scored.items() if decides in s.outcome})
    rows = [
        Row(
            name, {score: _with_interval(score, value, draws[name, score]) for score, value in s.outcome.items()},
            first.get(name, 0.0), given[name].cost, s.refused,
        )
        for name, s in scored.items()
    ]  # fmt: skip
    rows.sort(key=lambda row: -row.scores[decides].value if decides in row.scores else math.inf)
    return Ranking(decides, rows)


def _given(candidates: Mapping[str, Any], texts: Sequence[str] | None) -> dict[str, Pretrained]:
    """Return every candidate as :class:`Pretrained`."""
    if not candidates:
        raise ValueError("`candidates` is empty: give at least one encoder's features, by name.")
    if isinstance(texts, str):
        raise ValueError("`texts` must be a sequence of str, got one str.")
    tables = {name for name, c in candidates.items() if isinstance(c, WordVectors)}
    if tables and texts is None:
        raise TypeError(f"candidates {', '.join(sorted(tables))} are tables of word vectors: give the rows as `texts`.")
    candidates = {name: _means(c, texts or []) if name in tables else c for name, c in candidates.items()}
    given = {name: c if isinstance(c, Pretrained) else Pretrained(c) for name, c in candidates.items()}
    for name, c in given.items():
        if isinstance(c.features, nn.Module):
            raise TypeError(
                f"candidate `{name}` must be (n, d) features, got a {type(c.features).__name__}: compute the features "
                "with `engine.features(encoder, rows).tensors[0]`."
            )
    return given


def _means(table: WordVectors, texts: Sequence[str]) -> Tensor:
    """Return the mean of the word vectors of each text, ``(n, dim)``."""
    encoder, parts = table.encoder(), [texts[start : start + 256] for start in range(0, len(texts), 256)]
    longest = [max(1, *(len(split_words(text)) for text in part)) for part in parts]
    return torch.cat([encoder(table.ids(part, most)) for part, most in zip(parts, longest, strict=True)])


@dataclass(eq=False)
class _Scored:
    """The sample of a candidate, the outcome of each score, and the reasons of undefined scores."""

    sample: Sample | None
    outcome: dict[str, Tensor]
    refused: dict[str, str]


def _score_candidate(name: str, c: Pretrained, labels: Any, values: Any, scorers: Mapping[str, Scorer]) -> _Scored:
    try:
        sample = Sample(c.features, labels, values=values, source=c.source)
    except Undefined as error:
        return _Scored(None, {}, dict.fromkeys(scorers, str(error)))
    except ValueError as error:
        raise ValueError(f"candidate `{name}`: {error}") from error
    scored = _Scored(sample, {}, {})
    for score, scorer in scorers.items():
        try:
            scored.outcome[score] = scorer(sample)
        except Undefined as error:
            scored.refused[score] = str(error)
    return scored


def _bootstrap(scored: Mapping[str, _Scored], resamples: int, seed: int) -> dict[tuple[str, str], Tensor]:
    """Return draws of the scores that are means over rows, with the same rows for all candidates."""
    by_row = {(name, score): v for name, s in scored.items() for score, v in s.outcome.items() if v.ndim}
    if not by_row or not resamples:
        return dict.fromkeys(by_row, torch.empty(0))
    generator, table = torch.Generator().manual_seed(int(seed)), torch.stack(list(by_row.values()), 1)
    n = len(table)
    means = [table[torch.randint(n, (n,), generator=generator)].mean(0) for _ in range(resamples)]
    return dict(zip(by_row, torch.stack(means, 1), strict=True))


def _halves(
    scored: Mapping[str, _Scored], scorers: Mapping[str, Scorer], halves: int, seed: int
) -> dict[tuple[str, str], Tensor]:
    """Return the other scores on halves of the rows, the same for all; NaN where a half leaves a score undefined."""
    draws: dict[tuple[str, str], list[float]] = {
        (name, score): [] for name, s in scored.items() for score, v in s.outcome.items() if not v.ndim
    }
    samples = {name: s.sample for name, s in scored.items() if s.sample is not None}
    generator = torch.Generator().manual_seed(int(seed))
    for _ in range(halves if draws else 0):
        rows = half_of_rows(next(iter(samples.values())), generator)
        for name in dict.fromkeys(name for name, _ in draws):
            part = _subset(samples[name], rows)
            for score in [s for candidate, s in draws if candidate == name]:
                draws[name, score].append(_score_or_nan(scorers[score], part))
    return {key: torch.tensor(drawn).double() for key, drawn in draws.items()}


def half_of_rows(sample: Sample, generator: torch.Generator) -> Tensor:
    """Draw half of the rows without replacement: half of each class, up to one row."""
    rows = torch.randperm(len(sample), generator=generator)
    if sample.y is not None:
        rows = rows[sample.y[rows].argsort(stable=True)]
    return rows[int(torch.randint(2, (), generator=generator)) :: 2]


def _subset(sample: Sample, rows: Tensor) -> Sample | None:
    try:
        return sample.take(rows)
    except Undefined:
        return None


def _score_or_nan(scorer: Scorer, part: Sample | None) -> float:
    """Return the score, or NaN where half of the rows are too few."""
    try:
        return math.nan if part is None else scorer(part).item()
    except Undefined:
        return math.nan


def _share_first(draws: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the share of the draws in which each candidate is first. Candidates with equal scores share a draw. NaN
    without draws."""
    table = torch.stack(list(draws.values()))
    top = (table == table.amax(0) if table.shape[1] else table).double()
    return dict(zip(draws, (top / top.sum(0)).mean(1).tolist(), strict=True))


def _with_interval(name: str, value: Tensor, draws: Tensor) -> Score:
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
    """Return the name of a function, also inside of a ``functools.partial``; else the name of the class."""
    function = scorer.func if isinstance(scorer, partial) else scorer
    named = isinstance(function, FunctionType | MethodType | BuiltinFunctionType)
    return function.__name__ if named else type(function).__name__


def _named(scores: Sequence[Scorer]) -> dict[str, Scorer]:
    named = {name_of(s): s for s in scores}
    if len(named) < len(scores):
        raise ValueError(f"`scores` must have different names, got {[name_of(s) for s in scores]}: define a function.")
    return named
