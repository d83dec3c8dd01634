"""Cost of each method, and the price of a point."""

from typing import Any

import numpy

from adapt.report.page._document import Block, Section, Table
from adapt.report.page._units import NONE, number, several
from adapt.report.page._view import View
from adapt.report.paired import Comparison
from adapt.report.records import Record

GIGA = 1e9
MOST_PRICES = 40  # rows; a longer table keeps the methods that gained
UNPAID = ("no gain", "gain undecided")
# the key in the costs of a cell, the heading, the divisor
COLUMNS = (
    ("seconds", "wall time, s", 1.0),
    ("processor_seconds", "processor time, s", 1.0),
    ("samples_per_second", "samples per second", 1.0),
    ("peak_memory", "peak memory, GB", GIGA),
    ("device_memory", "GPU memory, GB", GIGA),
    ("trainable", "trainable parameters", 1.0),
    ("parameters", "parameters", 1.0),
    ("forward_flops", "GFLOPs forward, per row", GIGA),
    ("training_flops", "GFLOPs training, per row", GIGA),
    ("energy", "energy, J", 1.0),
)


def cost_section(view: View) -> Section:
    """Return the section with the means over all cells of each method."""
    means = {method: _means(view, method) for method in view.experiment.methods}
    kept = [c for c in COLUMNS if any(found.get(c[0]) is not None for found in means.values())]
    if not kept:
        line = "No cell kept a cost. The experiment measures the cost of cells that return a model or a trainer."
        return Section("cost", "Cost", [line], {"methods": {}})
    rows = [[m, *(_shown(found.get(key), size) for key, _, size in kept)] for m, found in means.items()]
    blocks: list[Block] = [
        Table(["method", *(heading for _, heading, _ in kept)], rows, caption="Means over all cells of a method."),
    ]
    unit = "a point" if view.units.percent else f"one unit of {view.units.metric}"
    prices = [
        [target.name, *price]
        for target in view.targets
        for row in target.comparisons
        if row.method != view.baseline and (price := _price(view, row, means))
    ]
    if len(prices) > MOST_PRICES:
        prices = [price for price in prices if price[-1] not in UNPAID]
    if prices:
        columns = ["target", "method", "extra seconds", f"gained{view.units.comma_points}", f"seconds for {unit}"]
        caption = f"The price of {unit}, against {view.baseline}."
        blocks.append(view.table(columns, prices, wordy=columns[-1:], caption=caption))
    blocks += [uncounted] if (uncounted := _uncounted(view)) else []
    why = _reasons(view)
    missing = [column[1] for column in COLUMNS if column not in kept]
    if missing:
        blocks.append(f"Not measured: {'; '.join(missing)}.{''.join(f' {reason}' for reason in why)}")
    return Section("cost", "Cost", blocks, {"methods": means})


def _means(view: View, method: str) -> dict[str, float | None]:
    costs = [_numbers(r) for r in view.records if r.method == method and r.error is None]
    found: dict[str, float | None] = {}
    for key, _, _ in COLUMNS:
        values = [c[key] for c in costs if c.get(key) is not None]
        found[key] = float(numpy.mean(values)) if values else None
    return found


def _numbers(record: Record) -> dict[str, Any]:
    """Return the costs of a cell on one level."""
    flops = record.cost.get("flops") or {}
    speeds = [speed for _, speed in record.curves.get("speed/samples_per_second", ())]
    return {
        "samples_per_second": float(numpy.mean(speeds)) if speeds else record.cost.get("rows_per_second"),
        "forward_flops": flops.get("forward") or None,  # 0: nothing was counted
        "training_flops": flops.get("training") or None,
        **record.cost,
    }


def _uncounted(view: View) -> str:
    """Return the operators without a count of FLOPs, in a sentence."""
    found = sorted({str(name) for r in view.records for name in (r.cost.get("flops") or {}).get("not_counted", ())})
    return f"Operators without a count of FLOPs: {several(found)}." if found else ""


def _price(view: View, row: Comparison, means: dict[str, dict[str, float | None]]) -> list[str]:
    """Return method, extra seconds, gain and price of one method; empty where the time is not known."""
    mine, plain = means[row.method]["seconds"], means[view.baseline]["seconds"]
    if mine is None or plain is None:
        return []
    gain = (row.difference if view.units.higher_is_better else -row.difference) * (100 if view.units.percent else 1)
    gained = f"{gain:+.1f}" if view.units.percent else number(gain, "+")
    if gain <= 0:
        price = UNPAID[0]
    elif row.low <= 0 <= row.high:
        price = UNPAID[1]
    else:
        price = "no extra time" if mine <= plain else number((mine - plain) / gain)
    return [row.method, number(mine - plain, "+"), gained, price]


def _reasons(view: View) -> list[str]:
    """Return the kept reasons for missing numbers, each reason once."""
    whys: list[dict[str, Any]] = [r.cost.get("why") or {} for r in view.records]
    given = dict.fromkeys(reason.rstrip(".") for why in whys for reason in why.values() if reason)
    return [f"{reason[0].upper()}{reason[1:]}." for reason in given]


def _shown(value: float | None, size: float) -> str:
    return NONE if value is None else number(value / size)
