"""Whether the loss of a run was still falling at the end."""

import re
from typing import NamedTuple

import numpy

from adapt.report._logged_values import History, Series, last_third, series_of
from adapt.report.interval import Interval

LEAST = 6  # log points in the last third
SHARE = 0.05  # of the fall so far
SUPERVISED, TOTAL = re.compile(r"^loss/(.*/)?supervised"), re.compile(r"^loss/(.*/)?total$")


class TrainedEnough(NamedTuple):
    """Whether a loss was still falling at the end of a run.

    Attributes:
        falling: True where more training would lower the loss clearly, False where not, None where the log cannot tell.
        slope: change of the loss over the last third of the steps, relative to the fall so far; below 0 where the loss
            falls. NaN where the log cannot tell.
        sentence: the same in words.
    """

    falling: bool | None
    slope: Interval
    sentence: str


def trained_enough(history: History, *, tag: str | None = None) -> TrainedEnough:
    r"""Judge from the logged loss whether a run was long enough.

    .. math:: r = \frac{\hat b \, (t_{end} - t_{2/3})}{\ell_{start} - \ell_{end}}

    with the slope :math:`\hat b` of Theil and Sen (the median of the slopes of all pairs of points) over the last third
    of the log points and Sen's 95 % interval, the first logged loss, and the median loss of the last third. The loss is
    still falling where the interval lies below -0.05: the last third of the steps brought at least 5 % of the fall so
    far. The loss has settled where the interval lies above -0.05.

    Args:
        history: ``trainer.history`` of a run with a `log`, a progress bar or callbacks; or the curves of a record.
        tag: of the loss. None: the mean of the supervised losses, because other terms change their weight along the
            way; the total loss where no term is supervised.

    Returns:
        A :class:`TrainedEnough`. A falling training loss is no promise: the score of unseen rows may have its best
        behind it. A schedule that ends at 0 makes every loss flat: the sentence says so where the learning rate ended
        below a tenth of its highest value.

    Raises:
        KeyError: a `tag` that was not logged.
        TypeError: a `history` of another form.

    Theil, 1950; Sen, 1968, https://doi.org/10.1080/01621459.1968.10480934

    >>> trained_enough([{"step": k, "loss/total": 100 - k} for k in range(60)]).falling
    True
    """
    found = series_of(history)
    losses = _losses(found, tag)
    unknown = Interval(float("nan"), float("nan"), float("nan"))
    if not losses:
        return TrainedEnough(
            None,
            unknown,
            "Nobody can tell whether the run was long enough: no loss was logged. Give the trainer a log.",
        )
    steps, values = _mean_of(losses)
    late = last_third((steps, values)) if len(steps) else (steps, values)
    if len(late[0]) < LEAST:
        return TrainedEnough(
            None, unknown,
            f"Nobody can tell whether the run was long enough: {len(steps)} log points, and {3 * LEAST} are needed. "
            "Give the trainer a `log`, or lower `log_every`.",
        )  # fmt: skip
    fall = values[0] - numpy.median(late[1])
    if fall <= 0:
        return TrainedEnough(None, unknown, "The loss has not fallen from the first to the last third of the run.")
    slope = _slope(late, fall)
    falling = True if slope.high < -SHARE else False if slope.low > -SHARE else None
    brought = Interval(-slope.value, -slope.high, -slope.low).shown(0, scale=100)
    said = {
        True: f"The loss was still falling at the end: the last third of the run brought {brought} % of the fall so "
        "far. Train longer.",
        False: f"The loss has settled: the last third of the run brought {brought} % of the fall so far.",
        None: f"The log cannot tell whether the loss was still falling: the last third brought {brought} % of the fall "
        "so far.",
    }[falling]
    return TrainedEnough(falling, slope, said + _schedule(found))


def _losses(found: dict[str, Series], tag: str | None) -> list[Series]:
    if tag is not None:
        if tag not in found:
            raise KeyError(f"`tag` {tag!r} was not logged; the losses are {[t for t in found if t[:5] == 'loss/']}.")
        return [found[tag]]
    for wanted in (SUPERVISED, TOTAL):
        if named := [points for t, points in found.items() if wanted.search(t)]:
            return named
    return []


def _mean_of(losses: list[Series]) -> Series:
    """Return the mean at the steps that all series share."""
    shared = sorted(set.intersection(*(set(steps) for steps, _ in losses)))
    values = [numpy.array([dict(zip(*one, strict=True))[step] for step in shared]) for one in losses]
    return numpy.array(shared), numpy.mean(values, axis=0)


def _slope(late: Series, fall: float) -> Interval:
    from scipy.stats import theilslopes

    steps, values = late
    found = theilslopes(values, steps)
    width = (steps[-1] - steps[0]) / fall
    return Interval(*(float(b * width) for b in (found.slope, found.low_slope, found.high_slope)))


def _schedule(found: dict[str, Series]) -> str:
    rates = [values for t, (_, values) in found.items() if t.startswith("learning_rate/") and len(values)]
    if rates and all(values[-1] < 0.1 * values.max() for values in rates):
        return " The learning rate had fallen below a tenth of its highest value: a longer run may still gain."
    return ""
