"""What each method cost, and the price of a point."""

from typing import Any

import numpy

from adapt.report.page._document import Block, Section, Table
from adapt.report.page._units import NONE, number
from adapt.report.page._view import View
from adapt.report.paired import Comparison

GIGA = 1e9
# the key in the costs of a cell, the heading, the divisor
COLUMNS = (
    ("seconds", "wall time, s", 1.0),
    ("processor_seconds", "processor time, s", 1.0),
    ("rows_per_second", "rows per second", 1.0),
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
    if prices:
        columns = ["target", "method", "extra seconds", f"gained{view.units.comma_points}", f"seconds for {unit}"]
        caption = f"The price of {unit}, against {view.baseline}."
        blocks.append(view.table(columns, prices, wordy=columns[-1:], caption=caption))
    why = _reasons(view)
    missing = [heading for key, heading, _ in COLUMNS if (key, heading) not in [k[:2] for k in kept]]
    if missing:
        blocks.append(f"Not measured: {'; '.join(missing)}.{''.join(f' {reason}' for reason in why)}")
    return Section("cost", "Cost", blocks, {"methods": means})


def _means(view: View, method: str) -> dict[str, float | None]:
    costs = [r.cost for r in view.records if r.method == method and r.error is None]
    found: dict[str, float | None] = {}
    for key, _, _ in COLUMNS:
        values = [c[key] for c in costs if c.get(key) is not None]
        found[key] = float(numpy.mean(values)) if values else None
    return found


def _price(view: View, row: Comparison, means: dict[str, dict[str, float | None]]) -> list[str]:
    """Return method, extra seconds, gain and price of one method; empty where the time is not known."""
    mine, plain = means[row.method]["seconds"], means[view.baseline]["seconds"]
    if mine is None or plain is None:
        return []
    gain = (row.difference if view.units.higher_is_better else -row.difference) * (100 if view.units.percent else 1)
    gained = f"{gain:+.1f}" if view.units.percent else number(gain, "+")
    if gain <= 0:
        price = "no gain"
    elif row.low <= 0 <= row.high:
        price = "gain undecided"
    else:
        price = "no extra time" if mine <= plain else number((mine - plain) / gain)
    return [row.method, number(mine - plain, "+"), gained, price]


def _reasons(view: View) -> list[str]:
    """Return the reasons that the cells kept for what the machine does not tell, each once."""
    whys: list[dict[str, Any]] = [r.cost.get("why") or {} for r in view.records]
    return list(dict.fromkeys(f"{reason.rstrip('.')}." for why in whys for reason in why.values() if reason))


def _shown(value: float | None, size: float) -> str:
    return NONE if value is None else number(value / size)
