"""How far a call of `fit` trains, and how long the run is that its schedules follow."""

import warnings
from collections.abc import Mapping
from typing import NamedTuple

from adapt.engine.description import plain
from adapt.protocols import Source
from adapt.streams import Stream
from losses.options import COUNT, check, or_none


class Plan(NamedTuple):
    """Numbers of steps, counted from the start of the run.

    Args:
        until: where this call of `fit` ends.
        planned: the length of the whole run, which schedules follow.
    """

    until: int
    planned: int


def plan_of(
    steps: int | None, epochs: int | None, planned: int | None, streams: Mapping[str, Source], accumulate: int
) -> Plan:
    """Return the plan of a call of `fit`.

    Args:
        steps: the end of the call, or None.
        epochs: of the stream with the most batches, or None.
        planned: length of the whole run, in steps or in epochs as the other argument; None means the end of the call.
        streams: of the trainer.
        accumulate: micro-batches per step; the last step may reach into the next epoch.

    Raises:
        ValueError: both `steps` and `epochs`, or neither; numbers below 1; a plan that ends before the call; a source
            of batches without epochs.
    """
    if (steps is None) == (epochs is None):
        raise ValueError(f"`fit` takes either `steps` or `epochs`, got steps={steps} and epochs={epochs}.")
    name, asked = ("steps", steps) if epochs is None else ("epochs", epochs)
    check(
        COUNT,
        "for less give `steps`" if epochs is not None else "count steps of the run",
        **{name: asked},
    )
    check(or_none(COUNT), planned=planned)
    until, whole_run = plain((asked, asked if planned is None else planned))  # a checkpoint holds plain numbers
    if whole_run < until:
        raise ValueError(
            f"`planned` is the length of the whole run and must be at least `{name}`, got {whole_run} and {until}."
        )
    if epochs is None:
        return Plan(until, whole_run)
    if other := [name for name, s in streams.items() if not isinstance(s, Stream)]:
        raise ValueError(f"stream `{other[0]}` is no `Stream` and has no epochs: give `steps`.")
    most = max(s.per_epoch for s in streams.values() if isinstance(s, Stream))
    return Plan(*(-(-number * most // accumulate) for number in (until, whole_run)))


def say_what_changes(plan: Plan, done: int, planned: int, *, follows_progress: bool, resumed: bool) -> None:
    """Warn where a call of `fit` trains nothing, or gives schedules another plan than before.

    Args:
        plan: of the call.
        done: steps that the run has done.
        planned: the plan so far; 0 means none.
        follows_progress: whether anything in the run depends on the progress.
        resumed: whether the steps were done by another process: a script that runs again asks for steps already done.
    """
    if done >= plan.until:
        if not resumed or plan.planned != planned:
            warnings.warn(
                f"nothing to train: the run has done {done} steps, and `fit({plan.until})` counts from the start of "
                f"the run. For {plan.until} more steps give `fit({done + plan.until})`.",
                stacklevel=4,
            )
    elif done and planned and plan.planned != planned and follows_progress:
        warnings.warn(
            f"the run was planned for {planned} steps, of which {done} are done; schedules now follow "
            f"{plan.planned}, so the run is not the run of one `fit({plan.planned})`. Give every part the whole plan: "
            f"`fit({done}, planned={plan.planned})`.",
            stacklevel=4,
        )
