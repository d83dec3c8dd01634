"""Watched sets along the way: scores of labelled sets, and the outputs of unlabelled sets in numbers."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import nn

from adapt.engine.evaluate import Measured, form_of, has_labels, measure, score, unit_of
from adapt.engine.log import PROJECTED
from adapt.heads import Score
from adapt.protocols import Head, MapStyle, Source, TellsOutputs, expect, expect_head, offers
from adapt.streams.told import labels_told

if TYPE_CHECKING:
    from adapt.engine._trainer import Trainer


class Watched(NamedTuple):
    """A watched set at a step.

    Args:
        head: of the set.
        measured: measures of all rows, or observations of an unlabelled set; features and labels of the first rows.
        score: None without labels.
        values: numbers by the tags of the log.
    """

    head: nn.Module
    measured: Measured
    score: Score | None
    values: dict[str, float]


def unlabelled(watch: Mapping[str, Any], streams: Mapping[str, Source]) -> frozenset[str]:
    """Return the names of the watched sets without labels.

    Raises:
        TypeError: a head that cannot describe its outputs without labels.
        ValueError: a dataset without rows; labels in memory that the head cannot take.
    """
    found = set()
    for name, (head, dataset, *stream) in watch.items():
        what, form = f"`watch[{name!r}]`", form_of(streams, stream[0] if stream else None)
        if has_labels(what, dataset, form):
            if (labels := labels_told(dataset, form)) is not None:
                _check(what, expect_head(head), labels)
        else:
            remedy = "give a dataset with labels, or a head with both methods, as heads.Classifier and heads.Regressor"
            expect(head, TellsOutputs, f"the head of {what}, whose dataset has inputs without labels,", remedy)
            found.add(name)
    return frozenset(found)


def _check(what: str, head: Head, labels: Any) -> None:
    """Raise where the head cannot take the labels of a watched set: before the first step, not after the last."""
    try:
        head.check(labels)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error


def look(trainer: "Trainer", *, final: bool = False) -> dict[str, Watched]:
    """Measure every watched set; on several ranks, scores and values are on rank 0 alone.

    Args:
        final: keep the features of the first rows for the projector.
    """
    found = {}
    for name, (head, dataset, *stream) in trainer.watch.items():
        found[name] = _look_at(trainer, name, head, dataset, stream[0] if stream else None, PROJECTED if final else 0)
    return found


def _look_at(
    trainer: "Trainer", name: str, head: nn.Module, dataset: MapStyle, stream: str | None, first: int
) -> Watched:
    labelled = name not in trainer.unlabelled
    measured = measure(dataset=dataset, first=first, labelled=labelled, **trainer._of(head, stream))
    if trainer.rank:
        return Watched(head, measured, None, {})
    if labelled:
        found = score(head, measured.measures, unit_of(dataset, None))
        several = {k: v for k, v in found.further.items() if " of " not in k}  # the values of a single class stay out
        values = {f"{k.replace(' ', '_')}/{name}": v for k, v in {found.metric: found.value, **several}.items()}
        return Watched(head, measured, found, values)
    values = head.summary(measured.measures) if offers(head, TellsOutputs) else {}
    return Watched(head, measured, None, {_tag(value, name): number for value, number in values.items()})


def _tag(value: str, name: str) -> str:
    """Return ``"predicted/<name>/cat"`` for ``"predicted/cat"``, and ``"entropy/<name>"`` for ``"entropy"``."""
    kind, *rest = value.split("/", 1)
    return "/".join([kind, name, *rest])
