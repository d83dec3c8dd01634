"""How often the intervals of `adapt.report` hold the truth, and how often a verdict is wrong.

    python tests/coverage_of_intervals.py                          all parts, 1,000 repetitions each
    python tests/coverage_of_intervals.py odds --repetitions 200   one part, faster

The parts are benefit, odds, ece, smooth, groups and verdict. Each line is one case with a known truth. A 95 % interval
must hold the truth in 93 to 97 % of the repetitions, and in at least 93 % where the truth is 0, the border of the
range. Lines marked "told" are measured and not required. Exit 1 where a required line is out of range.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1]))
from adapt import report
from adapt.report._binned import Binned
from adapt.report._extremes import largest_gap, lowest

BUDGETS = np.array([10, 20, 40, 80, 160, 320, 640, 1280])
EXACT = ("jumpstart", "slope_gap", "end_gap", "area_gap", "octaves", "transfer_ratio")
INSIDE, BORDER, TOLD = (0.93, 0.97), (0.93, 1.0), (0.0, 1.0)
Line = tuple[str, float, tuple[float, float]]  # the case, the share of repetitions that are right, the allowed range


def curve(start: float, end: float, rate: float, budgets: np.ndarray = BUDGETS) -> np.ndarray:
    """A learning curve with a known start at 10 labels, asymptote and rate."""
    return end - (end - start) * (budgets / 10.0) ** -rate


SCRATCH = curve(0.3, 0.9, 0.4)
CURVES = {
    "worth one octave": curve(0.3, 0.9, 0.4, 2 * BUDGETS),
    "no transfer": SCRATCH,
    "higher start, lower end": curve(0.5, 0.85, 0.4),
    "higher start, slope and end": curve(0.5, 0.95, 0.5),
}
RATES = {  # true and false positive rates of the groups, positive and negative rows of each group
    "2 groups, no gap": ([0.7, 0.7], [0.2, 0.2], [100, 60], [120, 80]),
    "2 groups, 0.1 in one rate": ([0.8, 0.7], [0.2, 0.2], [150, 100], [150, 100]),
    "2 groups, 0.1 in both rates": ([0.8, 0.7], [0.3, 0.2], [150, 100], [150, 100]),
    "2 small groups, 0.3": ([0.8, 0.5], [0.1, 0.15], [40, 30], [40, 30]),
    "3 groups, no gap": ([0.7] * 3, [0.2] * 3, [100, 60, 40], [120, 80, 40]),
    "3 groups, 0.2": ([0.8, 0.75, 0.6], [0.2, 0.15, 0.1], [200, 150, 100], [200, 150, 100]),
    "5 groups, 0.2": ([0.8, 0.75, 0.75, 0.7, 0.6], [0.2, 0.2, 0.15, 0.15, 0.1], [200, 150, 100, 100, 80],
                      [200, 150, 100, 100, 80]),
    "5 groups, one lower by 0.2": ([0.8] * 4 + [0.6], [0.2] * 5, [200, 150, 100, 100, 80], [200, 150, 100, 100, 80]),
    "5 groups, no gap": ([0.7] * 5, [0.2] * 5, [100] * 5, [100] * 5),
    "10 groups, 0.2": ([0.8] * 5 + [0.75] * 4 + [0.6], [0.2] * 10, [100] * 10, [100] * 10),
}  # fmt: skip
MODELS: dict[str, tuple[float, float, Callable, int, int]] = {  # confidence from Beta(a, b), accuracy at c, rows, bins
    "calibrated, 500 rows": (4, 2, lambda c: c, 500, 15),
    "calibrated and sure, 1000 rows": (6, 0.5, lambda c: c, 1000, 15),
    "calibrated, 200 rows in 20 bins": (8, 2, lambda c: c, 200, 20),
    "calibrated, 20000 rows": (3, 1, lambda c: c, 20000, 15),
    "slightly overconfident, 500 rows": (4, 2, lambda c: c**1.2, 500, 15),
    "overconfident, 500 rows": (4, 2, lambda c: c**1.5, 500, 15),
    "overconfident, 5000 rows": (4, 2, lambda c: c**1.5, 5000, 15),
    "very overconfident, 2000 rows": (4, 2, lambda c: c**2, 2000, 15),
    "overconfident, 200 rows in 20 bins": (8, 2, lambda c: c**2, 200, 20),
    "a temperature of 2, 1000 rows": (3, 3, lambda c: 1 / (1 + ((1 - c) / c) ** 0.5), 1000, 15),
    "a temperature of 1.1, 5000 rows": (4, 2, lambda c: 1 / (1 + ((1 - c) / c) ** (1 / 1.1)), 5000, 15),
    "a temperature of 0.7, 500 rows in 10 bins": (7, 1, lambda c: 1 / (1 + ((1 - c) / c) ** (1 / 0.7)), 500, 10),
    "sure and overconfident, 1000 rows": (6, 0.5, lambda c: 0.95 * c, 1000, 15),
    "wrong above 0.8 alone, 1000 rows": (4, 2, lambda c: np.where(c > 0.8, c - 0.15, c), 1000, 15),
    "wrong in one of 20 bins, 400 rows": (4, 2, lambda c: np.where((c > 0.8) & (c <= 0.85), c - 0.3, c), 400, 20),
    "wrong in one of 15 bins, 20000 rows": (3, 1, lambda c: np.where((c > 0.8) & (c < 13 / 15), c - 0.1, c), 20000, 15),
    "too high and too low in turn, 1000 rows": (5, 5, lambda c: c + np.where((20 * c).astype(int) % 2, 0.03, -0.03),
                                                1000, 20),
    "a wave around the diagonal, 2000 rows": (2, 2, lambda c: (c + 0.04 * np.sin(9 * c)).clip(0, 1), 2000, 15),
    "lower by 0.01, 10000 rows in 5 bins": (4, 2, lambda c: (c - 0.01).clip(0, 1), 10000, 5),
    "nearly all right, 1000 rows in 5 bins": (30, 1, lambda c: (c + 0.015).clip(0, 1), 1000, 5),
}  # fmt: skip


def share_of(repetitions: int, holds: Callable[[int], bool]) -> float:
    return float(np.mean([holds(i) for i in range(repetitions)]))


def holds(interval, truth: float) -> bool:
    return interval.low - 1e-9 <= truth <= interval.high + 1e-9


def benefit(repetitions: int, rng: np.random.Generator) -> Iterator[Line]:
    """Curves with noise that falls with the budget, and a part that both curves of a seed share."""
    noise = np.linspace(0.04, 0.012, len(BUDGETS))
    for name, transfer in CURVES.items():
        for seeds in (5, 10):
            truth = numbers(report.benefit([transfer] * 2, [SCRATCH] * 2, BUDGETS, threshold=0.75))
            kept: dict[str, list[bool]] = {key: [] for key in truth}
            for _ in range(repetitions):
                shared = rng.normal(0, 0.02, (seeds, 1))
                f, g = (true + shared + rng.normal(0, noise, (seeds, len(noise))) for true in (transfer, SCRATCH))
                found = numbers(report.benefit(f, g, BUDGETS, threshold=0.75))
                for key in truth.keys() & found.keys():  # a crossing is not seen in each repetition
                    kept[key].append(holds(found[key], truth[key].value))
            for key, values in kept.items():
                yield f"{name}, {seeds} seeds: {key}", float(np.mean(values)), INSIDE if key in EXACT else TOLD


def numbers(found) -> dict:
    times = dict(zip(("time of the transfer", "time of scratch"), found.time_to_threshold, strict=True))
    named = {key: getattr(found, key) for key in (*EXACT, "speed_up", "crossing")}
    return {key: value for key, value in (named | times).items() if value is not None}


def odds(repetitions: int, rng: np.random.Generator) -> Iterator[Line]:
    for name, (tpr, fpr, positive, negative) in RATES.items():
        rates, counts = np.array([tpr, fpr]), np.array([positive, negative])
        truth = np.ptp(rates, axis=1).max()
        share = share_of(repetitions, gap_holds(rates, counts, truth, rng))
        yield f"equalized odds, {name}", share, INSIDE if truth else BORDER


def gap_holds(rates: np.ndarray, counts: np.ndarray, truth: float, rng: np.random.Generator) -> Callable[[int], bool]:
    return lambda i: holds(largest_gap(rng.binomial(counts, rates), counts, i), truth)


def ece(repetitions: int, rng: np.random.Generator, names: Iterable[str] | None = None) -> Iterator[Line]:
    for name in names or MODELS:
        a, b, accuracy, n, bins = MODELS[name]
        many = stats.beta.ppf((np.arange(500_000) + 0.5) / 500_000, a, b)
        truth = np.abs(np.bincount((many * bins).astype(int), accuracy(many) - many)).sum() / len(many)

        def one(_: int, a=a, b=b, accuracy=accuracy, n=n, bins=bins, truth=truth) -> bool:
            c = rng.beta(a, b, n)
            y = (rng.random(n) < accuracy(c)).astype(float)
            return holds(Binned(c, y, bins).error(), truth)

        yield f"ECE, {name}: {truth:.3f}", share_of(repetitions, one), INSIDE if truth else BORDER


def smooth(repetitions: int, rng: np.random.Generator) -> Iterator[Line]:
    """A fifth of the repetitions: each takes a second."""
    from adapt.report._calibration import smooth_error

    for name in ("calibrated, 500 rows", "overconfident, 500 rows", "a temperature of 2, 1000 rows"):
        a, b, accuracy, n, _ = MODELS[name]
        many = rng.beta(a, b, 1_000_000)
        truth = smooth_error(many, accuracy(many) - many)

        def one(i: int, a=a, b=b, accuracy=accuracy, n=n, truth=truth) -> bool:
            c = rng.beta(a, b, n)
            found = report.calibration(c, (rng.random(n) < accuracy(c)).astype(int), seed=i).smooth_ece
            return found.low - 1e-3 <= truth <= found.high + 1e-3

        yield f"smooth ECE, {name}: {truth:.3f}", share_of(max(1, repetitions // 5), one), TOLD


def groups(repetitions: int, rng: np.random.Generator) -> Iterator[Line]:
    """The worst group, the gap of accuracies, and the change of a group."""
    for rates in ([0.8, 0.8, 0.8, 0.6], [0.8, 0.75, 0.72, 0.7], [0.8] * 4, [0.8] * 10):
        shares, n = np.array(rates), np.array([200, 150, 100, 80, 80, 80, 80, 80, 80, 80][: len(rates)])
        low, gap = shares.min(), np.ptp(shares)
        worst = share_of(repetitions, lambda i, n=n, s=shares, t=low: holds(lowest(rng.binomial(n, s), n, i), t))
        yield f"worst of {rates}", worst, TOLD
        wide = share_of(repetitions, gap_holds(shares[None], n[None], gap, rng))
        yield f"gap of {rates}", wide, INSIDE if gap else BORDER
    for n, up, down in ((40, 0.1, 0.1), (100, 0.2, 0.1), (400, 0.05, 0.1)):

        def one(i: int, n=n, up=up, down=down) -> bool:
            u = rng.random(n)
            now = (u < up) | (u > 0.6)
            before = ((u >= up) & (u < up + down)) | (u > 0.6)
            found = report.groups(now.astype(int), np.ones(n, int), np.zeros(n, int), before=before.astype(int))
            return holds(found.rows[0].change, up - down)

        yield f"change of a group of {n}, {up} better and {down} worse", share_of(repetitions, one), TOLD
    for n, seeds, spread in ((40, 5, 0.0), (40, 5, 0.3), (200, 3, 0.3), (200, 5, 0.6), (200, 10, 0.3)):

        def over_seeds(_: int, n=n, seeds=seeds, spread=spread) -> bool:
            """No change: the difficulty belongs to the row; the models of a seed are better or worse on all rows."""
            logit = 1 + 2 * rng.normal(size=n) + spread * rng.normal(size=(2, seeds, 1))
            now, before = rng.random((2, seeds, n)) < 1 / (1 + np.exp(-logit))
            found = report.groups(now.astype(int), np.ones(n, int), np.zeros(n, int), before=before.astype(int))
            return holds(found.rows[0].change, 0.0)

        share = share_of(repetitions, over_seeds)
        yield f"no change of a group of {n}, {seeds} seeds that differ by {spread}", share, TOLD


def verdict(repetitions: int, rng: np.random.Generator) -> Iterator[Line]:
    """The share of experiments without any false verdict: four methods on three tasks, without any effect; and how many
    of the true effects of 1, 2 and 4 standard deviations are seen."""

    def draws(kind: str, seeds: int) -> np.ndarray:
        if kind == "normal":
            return rng.normal(0, 0.02, seeds)
        if kind == "heavy tails":
            return 0.02 * rng.standard_t(3, seeds)
        return rng.binomial(200, 0.9, seeds) / 200

    least = 0.95 - 2.6 * (0.05 * 0.95 / repetitions) ** 0.5  # a true 95 % is below in one of 200 runs
    for kind in ("normal", "heavy tails", "200 test rows"):
        for seeds in (3, 5, 10):

            def silent(_: int, kind=kind, seeds=seeds) -> bool:
                scores = {t: {m: 0.8 + draws(kind, seeds) for m in "bcdef"} for t in "123"}
                return all(r.verdict in ("baseline", "undecided") for r in report.compare(scores, "b"))

            yield f"no false verdict, {kind}, {seeds} seeds", share_of(repetitions, silent), (least, 1.0)
    for effect in (1, 2, 4):
        for seeds in (5, 10, 20):

            def seen(_: int, effect=effect, seeds=seeds) -> float:
                scores = {t: {m: draws("normal", seeds) for m in "bcdef"} for t in "123"}
                scores = {t: {m: v + 0.02 * effect * (m == "c") for m, v in of.items()} for t, of in scores.items()}
                rows = [r for r in report.compare(scores, "b") if r.method == "c"]
                return float(np.mean([r.verdict == "helped" for r in rows]))

            power = float(np.mean([seen(i) for i in range(repetitions)]))
            yield f"power, an effect of {effect} standard deviations of a run, {seeds} seeds", power, TOLD


PARTS = {f.__name__: f for f in (benefit, odds, ece, smooth, groups, verdict)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    failed = 0
    for part in arguments.parts or PARTS:
        start = time.time()
        for case, share, (low, high) in PARTS[part](arguments.repetitions, np.random.default_rng(arguments.seed)):
            mark = "told" if (low, high) == TOLD else "ok" if low <= share <= high else "OUT OF RANGE"
            failed += mark == "OUT OF RANGE"
            print(f"{100 * share:6.1f} %  {mark:12s}  {case}  ({time.time() - start:.0f} s)", flush=True)
    print(f"{failed} lines out of range")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
