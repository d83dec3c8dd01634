"""The trust in the probabilities: calibration before and after."""

from collections.abc import Sequence

import numpy
from matplotlib.figure import Figure

from adapt.report._calibration import Calibration, calibration
from adapt.report.figures import reliability
from adapt.report.page._document import Block, Picture
from adapt.report.page._pairs import Pair, Part, on
from adapt.report.page._units import around, several
from adapt.report.page._view import View

MOST = 16  # models, a second each; of more models, those whose confidence is furthest from the accuracy
WRONG = 0.05  # a model is named where the whole interval of the error is above 5 points
MOST_LINES = 4


def of_trust(view: View, pairs: Sequence[Pair]) -> Part:
    """Return the calibration error of each model with intervals, and the reliability picture."""
    known = [pair for pair in pairs if (pair.labels >= 0).any()]
    kept = sorted(known, key=lambda p: (p.method != view.baseline, -abs(_excess(p))))[:MOST]
    found = {id(p): calibration(_probabilities(p.after), p.labels) for p in known if p in kept}
    named, rows, facts = [], [], []
    for pair in (p for p in known if id(p) in found):
        c = found[id(pair)]
        wrong = c.ece.low > WRONG
        direction = "overconfident" if c.confidence > c.accuracy else "underconfident"
        errors = [around(error, scale=100) for error in (c.ece, c.smooth_ece)]
        means = [f"{100 * c.confidence:.1f}", f"{100 * c.accuracy:.1f}"]
        said = f"miscalibrated: {direction}" if wrong else "no large error shown"
        rows.append([pair.target.name, view.shown(pair.method), *errors, *means, said])
        facts.append({"target": pair.target.name, "method": pair.method, "calibration": c})
        if wrong:
            said = f" is miscalibrated{on(view, pair.target)}, {direction}: calibration error"
            named.append((pair.method, f"{said} {around(c.ece, scale=100)} points."))
    if not rows:
        return Part([], ["No model has labelled test rows."], [])
    columns = ["target", "method", "calibration error, points", "smooth error, points", "mean confidence %",
               "accuracy %", "result"]  # fmt: skip
    caption = (
        f"Debiased error of 15 bins and smooth error, with 95 % intervals; above {100 * WRONG:.0f} points is named."
    )
    blocks: list[Block] = [view.table(columns, rows, wordy=("result",), caption=caption)]
    if len(known) > len(kept):
        blocks.append(f"{len(kept)} of {len(known)} models: those whose confidence is furthest from the accuracy.")
    first = [p for p in known if id(p) in found and p.target is known[0].target]
    shown = {p.method: found[id(p)] for p in _told_most(view, first, found)}
    return Part(named, [*blocks, _picture(shown, on(view, first[0].target))], facts)


def _picture(shown: dict[str, Calibration], where: str) -> Picture:
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    reliability(figure.subplots(), shown)
    alt = f"Accuracy over confidence{where}: {several(shown)}. The table has the numbers."
    return Picture(
        figure, alt, f"Reliability{where}. On the dotted line a confidence of 80 % is right in 80 % of rows."
    )


def _told_most(view: View, pairs: Sequence[Pair], found: dict[int, Calibration]) -> list[Pair]:
    """Return the baseline, the best method, and the models with the largest error."""
    first = (view.baseline, view.best(pairs[0].target))
    ordered = sorted(pairs, key=lambda p: (p.method not in first, -found[id(p)].ece.value))[:MOST_LINES]
    return [p for p in pairs if p in ordered]


def _probabilities(outputs: numpy.ndarray) -> numpy.ndarray:
    z = outputs.astype(float)
    z = numpy.exp(z - z.max(1, keepdims=True))
    return z / z.sum(1, keepdims=True)


def _excess(pair: Pair) -> float:
    """Return mean confidence minus accuracy."""
    known = pair.labels >= 0
    p = _probabilities(pair.after)[known]
    return float(p.max(1).mean() - (p.argmax(1) == pair.labels[known]).mean())
