"""The choice without target labels inside of an experiment, and the cost of the choice on the test rows."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy
import torch

from adapt import select
from adapt.engine import Predictions
from adapt.report._outcome import MOST
from adapt.report.interval import Interval
from adapt.report.paired import mean_interval
from adapt.report.records import Data, Record, Rows


class Regret(NamedTuple):
    """The cost of a choice on the test rows.

    Attributes:
        chosen, best: the chosen method; the method with the best mean score on the test rows. Methods with target
            labels do not count.
        regret: the mean of best minus chosen over the seeds, at least 0 by definition.
        gain: the mean of chosen minus baseline over the seeds.
        harmed: whether the chosen method is worse than the baseline.
    """

    chosen: str
    best: str
    regret: Interval
    gain: Interval
    harmed: bool


def choose(
    cells: Mapping[str, Mapping[int, Record]],
    baseline: str,
    oracle: Sequence[str],
    data: Data | None,
    options: Mapping[str, Any],
) -> select.Choice:
    """Return the choice among the methods with kept source and target rows."""
    given = None if data is None else data.test if data.target is None else data.target
    if options.get("audit") is not None and given is not None and len(given) > MOST:
        raise ValueError(
            f"`audit` numbers the target rows, and the experiment kept a draw of {MOST:,} of the {len(given):,} rows: "
            "give `report.Data(target=...)` fewer rows, or call `select.choose` with predictions of all rows."
        )
    kept = {name: of for name, of in cells.items() if all({"source", "target"} <= r.rows.keys() for r in of.values())}
    if not kept.get(baseline):
        raise ValueError(
            f"the baseline {baseline!r} has no kept source and target rows: return a model with a classifier or a "
            "regressor from every method, and give the rows, `data=report.Data(test=..., source=...)`."
        )
    candidates = [_candidate(r) for name, of in kept.items() if name not in (baseline, *oracle) for r in of.values()]
    choice = select.choose(candidates, [_candidate(record) for record in kept[baseline].values()], **options)
    choice.out.update({name: "no source and target rows were kept" for name in cells if name not in (*kept, *oracle)})
    return choice


def _candidate(record: Record) -> select.Candidate:
    source, target = (_predictions(record.rows[part]) for part in ("source", "target"))
    return select.Candidate(record.method, source, target._replace(labels=None), seed=record.seed)


def _predictions(rows: Rows) -> Predictions:
    labels = None if rows.labels is None else torch.from_numpy(rows.labels)
    return Predictions(torch.from_numpy(rows.outputs), torch.from_numpy(rows.features), labels)


def regret(
    choice: select.Choice, scores: Mapping[str, Sequence[float]], baseline: str, oracle: Sequence[str], higher: bool
) -> Regret:
    """Return the cost of a choice.

    Raises:
        ValueError: there is no choice.
    """
    if not choice.chosen:
        raise ValueError(f"there is no choice, so no regret: {'; '.join(choice.reasons)}.")
    sign = 1 if higher else -1
    signed = {name: sign * numpy.asarray(values) for name, values in scores.items() if name not in oracle}
    chosen = choice.chosen[0].method
    best = max(signed, key=lambda name: signed[name].mean())
    lost, won = signed[best] - signed[chosen], signed[chosen] - signed[baseline]
    return Regret(chosen, best, Interval(*mean_interval(lost)), Interval(*mean_interval(won)), bool(won.mean() < 0))
