"""The trust in the probabilities: calibration before and after."""

from collections.abc import Sequence
from dataclasses import replace

import numpy
from matplotlib.figure import Figure

from adapt.report._binned import Binned
from adapt.report._calibration import Calibration, calibration, confidences
from adapt.report.figures import reliability
from adapt.report.interval import Interval
from adapt.report.page._document import Block, Picture
from adapt.report.page._pairs import Pair, Part, on
from adapt.report.page._units import around, several
from adapt.report.page._view import View

MOST = 16  # models, a second each; of more models, those whose confidence is furthest from the accuracy
WRONG = 0.05  # a model is named where the whole interval of the error is above 5 points
MOST_LINES = 4


def of_trust(view: View, pairs: Sequence[Pair]) -> Part:
    """Return the calibration error of each model with intervals, and the reliability picture."""
    kept = sorted(pairs, key=lambda p: (p.method != view.baseline, -abs(_excess(p))))[:MOST]
    found = {id(p): _over_seeds(p) for p in pairs if p in kept}
    named, rows, facts = [], [], []
    for pair in (p for p in pairs if id(p) in found):
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
    columns = ["target", "method", "calibration error, points", "smooth error, points", "mean confidence %",
               "accuracy %", "result"]  # fmt: skip
    caption = (
        "Debiased error of 15 bins: the median over the seeds of the error and of both ends of its 95 % interval. An "
        f"interval above {100 * WRONG:.0f} points is named. Smooth error: first seed. Confidence and accuracy: mean "
        "over the seeds."
    )
    blocks: list[Block] = [view.table(columns, rows, wordy=("result",), caption=caption)]
    if len(pairs) > len(kept):
        blocks.append(f"{len(kept)} of {len(pairs)} models: those whose confidence is furthest from the accuracy.")
    first = [p for p in pairs if id(p) in found and p.target is pairs[0].target]
    shown = {p.method: found[id(p)] for p in _told_most(view, first, found)}
    return Part(named, [*blocks, _picture(shown, on(view, first[0].target))], facts)


def _over_seeds(pair: Pair) -> Calibration:
    """Return the calibration of the first seed with the error of bins, the confidence and the accuracy of all seeds.

    The median of the intervals is an interval of a typical seed. The mean is not: no low end is below 0, so that one
    low end above 0 would lift the mean above 0.
    """
    rows = [confidences(_probabilities(z), pair.labels) for z in pair.after]
    ece = numpy.median([Binned(c, y).error() for c, y in rows], axis=0)
    c, y = numpy.mean(rows, axis=(0, 2))
    return replace(calibration(_probabilities(pair.after[0]), pair.labels), ece=Interval(*map(float, ece)),
                   confidence=float(c), accuracy=float(y))  # fmt: skip


def _picture(shown: dict[str, Calibration], where: str) -> Picture:
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    reliability(figure.subplots(), shown)
    alt = f"Accuracy over confidence{where}: {several(shown)}. The table has the numbers."
    told = f"Reliability{where}, first seed. On the dotted line a confidence of 80 % is right in 80 % of the rows."
    return Picture(figure, alt, told)


def _told_most(view: View, pairs: Sequence[Pair], found: dict[int, Calibration]) -> list[Pair]:
    """Return the baseline, the best method, and the models with the largest error."""
    first = (view.baseline, view.best(pairs[0].target))
    ordered = sorted(pairs, key=lambda p: (p.method not in first, -found[id(p)].ece.value))[:MOST_LINES]
    return [p for p in pairs if p in ordered]


def _probabilities(outputs: numpy.ndarray) -> numpy.ndarray:
    z = outputs.astype(float)
    z = numpy.exp(z - z.max(-1, keepdims=True))
    return z / z.sum(-1, keepdims=True)


def _excess(pair: Pair) -> float:
    """Return mean confidence minus accuracy."""
    known = pair.labels >= 0
    p = _probabilities(pair.after)[:, known]
    return float(p.max(2).mean() - (p.argmax(2) == pair.labels[known]).mean())
