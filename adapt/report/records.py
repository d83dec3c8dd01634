"""The words of an experiment: the rows of a task, a cell of the grid, its outcome and its record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from adapt.heads import Score
from adapt.protocols import MapStyle


@dataclass(frozen=True, eq=False)
class Data:
    """The rows of one task on which all methods are compared.

    Args:
        test: labelled rows of the target. The score of each cell is the score on the test rows.
        source: labelled rows of the source outside of training, for the distance of the domains and for a choice
            without target labels.
        target: rows of the target for the same purposes. Labels of target rows are never read. None: the test rows.
        groups: for each kind of group, such as ``"sex"``, the name of the group of each test row.
        names: of the classes. None takes the names of the model.
        more: further data for the functions of the cells, say the training rows: ``cell.data.more``.
    """

    test: MapStyle | None = None
    source: MapStyle | None = None
    target: MapStyle | None = None
    groups: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    names: Sequence[str] | None = None
    more: Any = None


@dataclass(frozen=True, eq=False)
class Cell:
    """One run of the grid, as the function of a method receives the run.

    Attributes:
        method, task, seed: the place in the grid. A grid without tasks has the task ``""``.
        budget: the number of labelled rows, None where the grid has no budgets.
        data: the rows of the task, None where the experiment has no data.
        folder: a folder of this cell alone. ``Trainer(..., log=cell.folder)`` makes the cell resume after a kill.
        quick: whether the run only tries whether everything works.
    """

    method: str
    task: str
    seed: int
    budget: int | None
    data: Data | None
    folder: Path
    quick: bool = False


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the function of a cell may return, where a score or a model does not say enough.

    Args:
        scores: by name; the first score is the score of the experiment. Empty: the score of the model on the test rows.
        model: a :class:`adapt.engine.Model`, evaluated on the rows of the task.
        trainer, head: in place of a model; the history gives curves over the steps.
        rows: outputs and labels of the test rows, where there is no model.
        curves: further curves by name, ``[(x, y), ...]``.
        seen: what read target labels, in words, for what the library cannot know.
    """

    scores: Mapping[str, float | Score] = field(default_factory=dict)
    model: Any = None
    trainer: Any = None
    head: Any = None
    rows: "Rows | None" = None
    curves: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    seen: Sequence[str] = ()


class Rows(NamedTuple):
    """Outputs, labels and features of the same rows, as numpy arrays.

    Attributes:
        outputs: logits ``(n, classes)``, or predicted values ``(n,)`` or ``(n, outputs)``.
        labels: ``(n,)`` or ``(n, outputs)``; None for rows without labels.
        features: ``(n, d)``; None where not kept.
    """

    outputs: numpy.ndarray
    labels: numpy.ndarray | None = None
    features: numpy.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Record:
    """The kept results of one cell.

    Attributes:
        scores: by name; the first score is the score of the experiment. Empty for a failed cell.
        error: the error of a failed cell in words; None for a good cell.
        curves: by name, ``[(x, y), ...]``: watched scores and losses over the steps.
        rows: by part, ``"test"``, ``"source"`` and ``"target"``, the outputs of the model for the rows of the task.
        cost: the numbers of :func:`cost` (seconds, peak_memory, ...; None for what cannot be measured), of a model also
            ``"parameters"``, ``"trainable"`` and ``"flops"``. ``"resumed"``: an earlier process had begun the work, and
            the numbers are the numbers of the rest.
        layers: ``"a_distance"``, by name of the layer the A-distance of source and target after the layer, with the
            interval; or ``"why"`` the layers could not be measured. Empty where the task has no source rows, or the
            encoder no layers.
        provenance: the facts of :func:`provenance`; ``"names"`` of the classes; ``"seen"``, what read target labels by
            the word of the user; the seed, and the settings of the experiment.
    """

    method: str
    task: str
    seed: int
    budget: int | None = None
    scores: Mapping[str, Score] = field(default_factory=dict)
    error: str | None = None
    curves: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    rows: Mapping[str, Rows] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    layers: Mapping[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def score(self) -> Score | None:
        """The score of the experiment; None for a failed cell."""
        return next(iter(self.scores.values()), None)
