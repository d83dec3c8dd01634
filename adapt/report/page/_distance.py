"""How far the domains lie apart, before and after, and which kind of shift the difference looks like."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy
from matplotlib.figure import Figure

from adapt.report._adversary import TAG, adversary
from adapt.report._discrepancy import Discrepancy, discrepancy
from adapt.report.figures import feature_map
from adapt.report.interval import Interval
from adapt.report.page._document import Block, Heading, Items, Picture, Section, Table
from adapt.report.page._pairs import on
from adapt.report.page._units import around, chance, number
from adapt.report.page._view import Target, View
from adapt.report.paired import mean_interval
from adapt.report.records import Record

ROWS = 300  # of each domain; the time grows with the cube
FEWEST = 10
DRAWN = 200  # rows of each domain in a picture
MOST = 12  # methods and targets in the table
MOST_LAYERS = 16
NO_FEATURES = (
    "Distances need features of source rows and target rows. Let the function of a method return a model, and give the "
    "rows: `data=report.Data(test=..., source=..., target=...)`. The layers of an encoder are then measured too."
)


def distance_section(view: View) -> Section:
    """Return the section with the distances of the domains in the features of the baseline and of the methods."""
    places = [(target, m) for target in view.ends for m in view.by_mean(target) if rows_of_both(view, target, m)]
    if not places:
        return Section("discrepancy", "Discrepancy", [NO_FEATURES], {"distances": [], "layers": []})
    measured = [(target, m, _measured(rows_of_both(view, target, m))) for target, m in places[:MOST]]
    said: list[str | tuple[str, str]] = [
        (f"Features of {m}{on(view, target)}: ", d.sentence) for target, m, d in measured if m == view.baseline
    ]
    rows = [
        [target.name, view.shown(m), around(d.a_distance, 2), number(d.mmd), chance(d.mmd_p), number(d.coral), d.kind]
        for target, m, d in measured
    ]
    columns = ["target", "features of", "A-distance, 0 to 2", "MMD", "p (permutations)", "CORAL", "looks like"]
    caption = f"Source rows against target rows, at most {ROWS} of each, one seed. Small is near."
    blocks: list[Block] = [Items(said), view.table(columns, rows, wordy=("looks like",), caption=caption)]
    for target, m, d in measured:
        curves = view.kept(target, m)[0].curves
        if any(tag.startswith(TAG) for tag in curves):
            said.append((f"Discriminator of {m}{on(view, target)}: ", adversary(curves, a_distance=d.a_distance)))
    if len(places) > len(measured):
        blocks.append(f"{len(places) - len(measured)} more models were not measured.")
    facts = [{"target": target.name, "method": m, "found": d} for target, m, d in measured]
    layers, layer_facts = by_layer(view, places[0][0])
    blocks += [*layers, *_maps(view, places[0][0])]
    return Section("discrepancy", "Discrepancy", blocks, {"distances": facts, "layers": layer_facts})


def rows_of_both(view: View, target: Target, method: str) -> Mapping[str, Any]:
    """Return the rows of the first seed; empty where features of both domains were not kept."""
    kept = view.kept(target, method)
    rows: Mapping[str, Any] = kept[0].rows if kept else {}
    for part in ("source", "target"):
        found = rows[part] if part in rows else None
        if found is None or found.features is None or len(found.features) < FEWEST:
            return {}
        if not (numpy.isfinite(found.features).all() and numpy.isfinite(found.outputs).all()):
            return {}  # the section about harm names the method
    return rows


def _measured(rows: Mapping[str, Any]) -> Discrepancy:
    source, target = rows["source"], rows["target"]
    return discrepancy(
        source.features, target.features, source_labels=source.labels, source_outputs=source.outputs,
        target_outputs=target.outputs, rows=ROWS,
    )  # fmt: skip


def by_layer(view: View, target: Target) -> tuple[list[Block], list[dict[str, Any]]]:
    """Return the A-distance after each layer, of the baseline and of the best method with the same layers."""
    measured = {m: _mean_distances(view.kept(target, m)) for m in view.by_mean(target)}
    facts = [{"target": target.name, "method": m, "a_distance": found} for m, found in measured.items() if found]
    failed = [r for m in measured for r in view.kept(target, m) if "why" in r.layers]
    blocks: list[Block] = [f"The layers of {r.method} were not measured: {r.layers['why']}" for r in failed[:1]]
    names = list(measured[view.baseline])
    shown = [m for m in measured if m not in view.oracle and names and list(measured[m]) == names][:2]
    if not shown:
        return blocks, facts
    kept = sorted({round(k) for k in numpy.linspace(0, len(names) - 1, min(len(names), MOST_LAYERS))})
    rows = [[names[k], *(around(measured[m][names[k]], 2) for m in shown)] for k in kept]
    columns = ["layer", *(f"{word}: {m}" for word, m in zip(("before", "after"), shown, strict=False))]
    caption = f"A-distance after each layer{on(view, target)}, from the input on: mean over the seeds, 95 % interval."
    if len(kept) < len(names):
        caption += f" {len(names) - len(kept)} layers in between are left out."
    return [*blocks, Heading("Layer by layer"), Table(columns, rows, caption=caption)], facts


def _mean_distances(records: Sequence[Record]) -> dict[str, Interval]:
    """Return the mean A-distance after each layer with the interval over the seeds; of one seed, the interval kept."""
    found = [r.layers["a_distance"] for r in records if "a_distance" in r.layers]
    if len(found) == 1:
        return {name: Interval(*values) for name, values in found[0].items()}
    spread = {name: mean_interval([one[name][0] for one in found]) for name in (found[0] if found else {})}
    return {name: Interval(value, max(low, 0.0), min(high, 2.0)) for name, (value, low, high) in spread.items()}


def _maps(view: View, target: Target) -> list[Block]:
    """Return the features of both domains in two dimensions: of the baseline, and of the best method."""
    found: list[Block] = []
    for word, method in (("before", view.baseline), ("after", view.best(target))):
        rows = rows_of_both(view, target, method) if method is not None else {}
        if not rows:
            continue
        figure = Figure(figsize=(4.6, 4.0), layout="constrained")
        feature_map(figure.subplots(), clouds(rows), title=f"{word}: {method}")
        where = f"{word}: {method}{on(view, target)}"
        alt = f"Features of source and target in two dimensions, {where}. The table has the distances."
        found.append(Picture(figure, alt, f"Features {where}; t-SNE of at most {DRAWN} rows of each domain."))
    return found


def clouds(rows: Mapping[str, Any]) -> dict[str, tuple[numpy.ndarray, numpy.ndarray]]:
    """Return features and labels of both domains for a picture; labels of the target from the test rows."""
    test = rows["test"] if "test" in rows else None
    target = test if test is not None and test.features is not None else rows["target"]
    return {name: _drawn(part) for name, part in (("source", rows["source"]), ("target", target))}


def _drawn(rows: Any) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return some rows, evenly spaced; labels that are no single digit are dots."""
    some = numpy.linspace(0, len(rows.features) - 1, min(DRAWN, len(rows.features))).astype(int)
    digits = rows.labels is not None and rows.labels.ndim == 1 and rows.labels.dtype.kind in "iu"
    labels = rows.labels[some] if digits else numpy.full(len(some), -1)
    return rows.features[some], labels if labels.max() < 10 else numpy.full(len(some), -1)
