"""Paired differences between methods and a baseline, with intervals and a verdict."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy

from adapt.heads import Score
from adapt.heads.score import student
from adapt.report._significance import LEVEL, detectable_effect, holm, seeds_that_decide, spread_of, t_test
from adapt.report.interval import Interval

Scores = Mapping[str, Sequence[float | Score]]


@dataclass(frozen=True)
class Comparison:
    """One method over seeds: the mean, and the mean paired `difference` to the baseline from `low` to `high` (95 %).

    Attributes:
        task: the name of the task, ``""`` where the scores have no tasks.
        p: of Student's paired t test; 1 for one seed and for the baseline.
        adjusted: p after Holm's correction over all comparisons of the call.
        verdict: ``"helped"`` or ``"harmed"`` where `adjusted` is at most 0.05, else ``"undecided"``; ``"baseline"`` for
            the baseline.
        seeds_needed: the number of seeds with which a difference as large as the measured difference is decided with a
            power of 80 %. None for one seed, no difference, equal differences, or more than 100,000 seeds.
        detectable: the smallest true difference that these seeds decide with a power of 80 %. None for one seed and for
            equal differences.
    """

    method: str
    mean: float
    difference: float
    low: float
    high: float
    seeds: int
    higher_is_better: bool = True
    task: str = ""
    p: float = 1.0
    adjusted: float = 1.0
    verdict: str = "undecided"
    seeds_needed: int | None = None
    detectable: float | None = None


def mean_interval(values: Sequence[float] | numpy.ndarray) -> Interval:
    r"""Return the mean and Student's 95 % interval; the interval of one value is infinite.

    .. math:: \bar x \pm t_{0.975,\,n-1} \, s / \sqrt n

    Raises:
        ValueError: no values.
    """
    if len(values) == 0:
        raise ValueError("`values` must hold at least one seed, got none: an interval needs a value.")
    return Interval(*student(values))


def compare(
    scores: Scores | Mapping[str, Scores], baseline: str, *, score: str | None = None, higher_is_better: bool = True
) -> list[Comparison]:
    r"""Compare each method with `baseline`, seed by seed, and give a verdict on each method and task.

    .. math:: d_i = x_i - b_i, \qquad t = \bar d \sqrt n / s_d, \qquad
        \bar d \pm t_{0.975,\,n-1} \, s_d / \sqrt n

    The verdict reads the p-value of t after Holm's correction over all methods and tasks of the call. Without any true
    effect the chance of one or more false verdicts is at most 5 %. The interval of a difference is not corrected: the
    interval can exclude 0 where the verdict is ``"undecided"``.

    `seeds_needed` and `detectable` use the noncentral distribution of t at the level :math:`0.05 / m`, for m
    comparisons. Both rest on the standard deviation of few seeds, and say the order of magnitude only.

    Where all differences are equal, t has no value: p is :math:`2^{1 - n}`, as in a sign test, so that at least six
    seeds decide.

    The seeds are the sample: the verdict speaks of the method on these test rows, not of other test rows.

    Args:
        scores: by method, one value or one :class:`adapt.heads.Score` per seed, with the same seeds in the same order;
            or such scores by task.
        baseline: the name of the baseline method.
        score: the value of the scores to compare, such as ``"macro F1"``; None takes the metric of the head.
        higher_is_better: of plain values. A score knows the direction.

    Raises:
        ValueError: an unknown baseline, methods with different numbers of seeds, a value that a score does not have.

    Student, The probable error of a mean, 1908; Holm, A simple sequentially rejective multiple test procedure, 1979,
    https://www.jstor.org/stable/4615733

    >>> rows = compare({"base": [0.5, 0.6, 0.55], "new": [0.61, 0.70, 0.66]}, "base")
    >>> rows[1].verdict, rows[1].seeds
    ('helped', 3)
    """
    tasks: Mapping = scores if scores and all(isinstance(s, Mapping) for s in scores.values()) else {"": scores}
    level = LEVEL / max(1, sum(len(methods) - 1 for methods in tasks.values()))
    rows = [row for task in tasks for row in one_task(task, tasks[task], baseline, score, higher_is_better, level)]
    adjusted = iter(holm([r.p for r in rows if r.verdict != "baseline"]))
    return [r if r.verdict == "baseline" else judged(r, next(adjusted)) for r in rows]


def one_task(
    task: str, scores: Scores, baseline: str, score: str | None, higher_is_better: bool, level: float
) -> list[Comparison]:
    """The comparisons of one task, before the correction."""
    where = f" of the task {task!r}" if task else ""
    if baseline not in scores:
        raise ValueError(f"`baseline` must be one of {', '.join(scores)}{where}, got {baseline!r}.")
    counts = {method: len(values) for method, values in scores.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(
            f"`scores`{where} must have the same seeds for every method, got {counts} values: leave unpaired seeds out."
        )
    rows, plain = [], {}
    for method, given in scores.items():
        found = [s.named(score) if isinstance(s, Score) else (float(s), higher_is_better) for s in given]
        plain[method] = [value for value, _ in found]
        higher_is_better = found[0][1] if found else higher_is_better
    for method, values in plain.items():
        differences = numpy.subtract(values, plain[baseline])
        row = Comparison(
            method, mean_interval(values).value, *mean_interval(differences), len(values), higher_is_better, task,
            verdict="baseline" if method == baseline else "undecided",
        )  # fmt: skip
        rows.append(row if method == baseline or len(values) == 1 else tested(row, differences, level))
    return rows


def tested(row: Comparison, differences: numpy.ndarray, level: float) -> Comparison:
    n, spread = len(differences), spread_of(differences)
    if not spread:
        return replace(row, p=t_test(differences))
    needed = seeds_that_decide(abs(row.difference) / spread, level) if row.difference else None
    return replace(row, p=t_test(differences), seeds_needed=needed, detectable=spread * detectable_effect(n, level))


def judged(row: Comparison, adjusted: float) -> Comparison:
    """The comparison with the corrected p-value and the verdict."""
    better = (row.difference > 0) == row.higher_is_better
    verdict = "undecided" if adjusted > LEVEL else "helped" if better else "harmed"
    return replace(row, adjusted=adjusted, verdict=verdict)


def table(rows: Sequence[Comparison], baseline: str, *, metric: str = "accuracy", percent: bool = True) -> str:
    """Return the comparisons as a Markdown table. A row that is undecided says how many seeds would decide.

    Args:
        metric: the name in the heading.
        percent: values in percent, and differences in points. False shows values as they are, as a regression needs.
    """
    unit, points = (" %", ", points") if percent else ("", "")
    tasks = any(r.task for r in rows)
    lines = [
        f"|{' task |' * tasks} method | {metric}{unit} | difference to {baseline}{points} | 95 % interval | seeds "
        "| verdict |",
        f"|{'---|' * tasks}---|---:|---:|---:|---:|---|",
    ]

    def shown(value: float, sign: str = "") -> str:
        return f"{100 * value:{sign}.1f}" if percent else f"{value:{sign}.3g}"

    for r in rows:
        start = f"| {r.task} | {r.method}" if tasks else f"| {r.method}"
        if r.verdict == "baseline":
            lines.append(f"{start} | {shown(r.mean)} | | | {r.seeds} | baseline |")
            continue
        interval = f"{shown(r.low, '+')} to {shown(r.high, '+')}" if math.isfinite(r.low) else "one seed: none"
        lines.append(f"{start} | {shown(r.mean)} | {shown(r.difference, '+')} | {interval} | {r.seeds} | {words(r)} |")
    return "\n".join(lines)


def words(row: Comparison) -> str:
    """The verdict, and what an undecided row needs."""
    more = row.verdict == "undecided" and row.seeds_needed is not None and row.seeds_needed > row.seeds
    return f"undecided ({row.seeds_needed} seeds would decide)" if more else row.verdict


def as_dicts(rows: Sequence[Comparison]) -> list[dict]:
    """Return dicts for ``json.dump``; an infinite end of an interval becomes None."""
    return [
        {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(r).items()} for r in rows
    ]
