"""Paired differences between methods and a baseline, with intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy


@dataclass(frozen=True)
class Comparison:
    """One method over seeds: the mean, and the mean paired `difference` to the baseline from `low` to `high` (95 %)."""

    method: str
    mean: float
    difference: float
    low: float
    high: float
    seeds: int


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


def compare(scores: Mapping[str, Sequence[float]], baseline: str) -> list[Comparison]:
    """Compare each method with `baseline`, seed by seed.

    Args:
        scores: by method, one value per seed, with the same seeds in the same order.
        baseline: the name of the baseline method.

    Raises:
        ValueError: an unknown baseline, or methods with different numbers of seeds.
    """
    if baseline not in scores:
        raise ValueError(f"`baseline` must be one of {', '.join(scores)}, got {baseline!r}.")
    counts = {method: len(values) for method, values in scores.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(
            f"`scores` must have the same seeds for every method, got {counts} values: leave unpaired seeds out."
        )
    rows = []
    for method, values in scores.items():
        difference, low, high = mean_interval(numpy.subtract(values, scores[baseline]).tolist())
        rows.append(Comparison(method, float(numpy.mean(values)), difference, low, high, len(values)))
    return rows


def table(rows: Sequence[Comparison], baseline: str, *, metric: str = "accuracy") -> str:
    """Return the comparisons as a Markdown table: percentages, and differences in points."""
    lines = [
        f"| method | {metric} % | difference to {baseline}, points | 95 % interval | seeds | verdict |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for r in rows:
        if r.method == baseline:
            lines.append(f"| {r.method} | {100 * r.mean:.1f} | | | {r.seeds} | baseline |")
            continue
        interval = f"{100 * r.low:+.1f} to {100 * r.high:+.1f}" if math.isfinite(r.low) else "one seed: none"
        verdict = "helps" if r.low > 0 else "harms" if r.high < 0 else "no evidence"
        lines.append(
            f"| {r.method} | {100 * r.mean:.1f} | {100 * r.difference:+.1f} | {interval} | {r.seeds} | {verdict} |"
        )
    return "\n".join(lines)


def as_dicts(rows: Sequence[Comparison]) -> list[dict]:
    """Return dicts for ``json.dump``; an infinite end of an interval becomes None."""
    return [
        {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(r).items()} for r in rows
    ]
