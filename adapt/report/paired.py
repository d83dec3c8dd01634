"""Paired differences between methods and a baseline, with intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy

from adapt.heads import Score


@dataclass(frozen=True)
class Comparison:
    """One method over seeds: the mean, and the mean paired `difference` to the baseline from `low` to `high` (95 %).

    Attributes:
        better: whether the interval of the difference lies on the better side of 0; None where 0 is inside.
    """

    method: str
    mean: float
    difference: float
    low: float
    high: float
    seeds: int
    higher_is_better: bool = True

    @property
    def better(self) -> bool | None:
        if self.low <= 0 <= self.high:
            return None
        return (self.low > 0) == self.higher_is_better


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    r"""Return the mean and Student's 95 % interval; the interval of one value is infinite.

    .. math:: \bar x \pm t_{0.975,\,n-1} \, s / \sqrt n

    Raises:
        ValueError: no values.
    """
    from scipy.stats import t

    n = len(values)
    if n == 0:
        raise ValueError("`values` must hold at least one seed, got none: an interval needs a value.")
    mean = float(numpy.mean(values))
    half = float(t.ppf(0.975, n - 1) * numpy.std(values, ddof=1) / math.sqrt(n)) if n > 1 else math.inf
    return mean, mean - half, mean + half


def compare(
    scores: Mapping[str, Sequence[float | Score]],
    baseline: str,
    *,
    score: str | None = None,
    higher_is_better: bool = True,
) -> list[Comparison]:
    """Compare each method with `baseline`, seed by seed.

    Args:
        scores: by method, one value or one :class:`adapt.heads.Score` per seed, with the same seeds in the same order.
        baseline: the name of the baseline method.
        score: the value of the scores to compare, such as ``"macro F1"``; None takes the metric of the head.
        higher_is_better: of plain values. A score knows the direction.

    Raises:
        ValueError: an unknown baseline, methods with different numbers of seeds, a value that a score does not have.
    """
    if baseline not in scores:
        raise ValueError(f"`baseline` must be one of {', '.join(scores)}, got {baseline!r}.")
    counts = {method: len(values) for method, values in scores.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(
            f"`scores` must have the same seeds for every method, got {counts} values: leave unpaired seeds out."
        )
    rows, plain = [], {}
    for method, given in scores.items():
        found = [s.named(score) if isinstance(s, Score) else (float(s), higher_is_better) for s in given]
        plain[method] = [value for value, _ in found]
        higher_is_better = found[0][1] if found else higher_is_better
    for method, values in plain.items():
        difference, low, high = mean_interval(numpy.subtract(values, plain[baseline]).tolist())
        mean = float(numpy.mean(values))
        rows.append(Comparison(method, mean, difference, low, high, len(values), higher_is_better))
    return rows


def table(rows: Sequence[Comparison], baseline: str, *, metric: str = "accuracy", percent: bool = True) -> str:
    """Return the comparisons as a Markdown table.

    Args:
        metric: the name in the heading.
        percent: values in percent, and differences in points. False shows values as they are, as a regression needs.
    """
    unit, points = (" %", ", points") if percent else ("", "")
    lines = [
        f"| method | {metric}{unit} | difference to {baseline}{points} | 95 % interval | seeds | verdict |",
        "|---|---:|---:|---:|---:|---|",
    ]

    def shown(value: float, sign: str = "") -> str:
        return f"{100 * value:{sign}.1f}" if percent else f"{value:{sign}.3g}"

    for r in rows:
        if r.method == baseline:
            lines.append(f"| {r.method} | {shown(r.mean)} | | | {r.seeds} | baseline |")
            continue
        interval = f"{shown(r.low, '+')} to {shown(r.high, '+')}" if math.isfinite(r.low) else "one seed: none"
        verdict = {True: "helps", False: "harms", None: "no evidence"}[r.better]
        lines.append(
            f"| {r.method} | {shown(r.mean)} | {shown(r.difference, '+')} | {interval} | {r.seeds} | {verdict} |"
        )
    return "\n".join(lines)


def as_dicts(rows: Sequence[Comparison]) -> list[dict]:
    """Return dicts for ``json.dump``; an infinite end of an interval becomes None."""
    return [
        {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(r).items()} for r in rows
    ]
