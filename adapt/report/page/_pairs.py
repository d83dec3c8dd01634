"""Pairs of models, before and after, on the same test rows."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy

from adapt.report.page._document import Block
from adapt.report.page._view import Target, View
from adapt.report.records import Rows

MOST_ROWS = 40  # of a table; a longer table keeps the rows with a verdict


class Pair(NamedTuple):
    """Logits of the baseline and of a method for the same test rows ``(seeds, n, classes)``, of the shared seeds."""

    target: Target
    method: str
    seeds: list[int]
    before: numpy.ndarray
    after: numpy.ndarray
    labels: numpy.ndarray


class Part(NamedTuple):
    """A part of a section: harm to name, the blocks, the facts."""

    named: list[tuple[str, str]]
    blocks: list[Block]
    facts: list[dict[str, Any]]


def pairs(view: View) -> list[Pair]:
    """Return the pairs of classifiers with kept test rows. The pair of the baseline holds the baseline twice.

    A pair has all seeds with the test rows of the first seed. Other seeds are left out, such as seeds with a split of
    their own, or with outputs that are not finite (named by `broken`).
    """
    found = []
    for target in view.ends:
        for method in view.experiment.methods:
            kept: dict[int, list[Rows]] = {}
            for records in view.pairs(target, method):
                tests = [test for r in records if (test := _of_classes(r.rows)) is not None]
                first = next(iter(kept.values()), tests)
                if len(tests) == 2 and all(_alike(first[0], test) for test in tests):
                    kept[records[0].seed] = tests
            if kept:
                before, after = (numpy.stack([tests[k].outputs for tests in kept.values()]) for k in (0, 1))
                labels = numpy.asarray(next(iter(kept.values()))[0].labels)
                found.append(Pair(target, method, list(kept), before, after, labels))
    return found


def _alike(first: Rows, test: Rows) -> bool:
    """Return whether the rows equal the rows of the first seed, and all outputs are finite."""
    same = numpy.array_equal(numpy.asarray(test.labels), numpy.asarray(first.labels))
    return same and test.outputs.shape == first.outputs.shape and bool(numpy.isfinite(test.outputs).all())


def broken(view: View) -> list[tuple[str, str]]:
    """Return a sentence for each method with kept outputs or features that are not finite."""
    found = []
    for target in view.ends:
        for method in view.experiment.methods:
            rows = [part for r in view.kept(target, method) for part in r.rows.values()]
            arrays = [array for part in rows for array in (part.outputs, part.features) if array is not None]
            if not all(numpy.isfinite(array).all() for array in arrays):
                found.append((method, f" gave outputs or features that are not finite{on(view, target)}."))
    return found


def names(view: View, pair: Pair) -> list[str] | None:
    """Return the names of the classes, where the user or the model has names for all classes."""
    data = view.experiment.data.get(pair.target.task)
    given: Sequence[Any] | None = data.names if data is not None else None
    kept = [r.provenance.get("names") for r in view.kept(pair.target, pair.method)]
    given = given or next(filter(None, kept), None)
    return [str(name) for name in given] if given and len(given) == pair.after.shape[2] else None


def on(view: View, target: Target) -> str:
    """Return where, for a sentence."""
    return "" if view.one else f" on {target.name}"


def _of_classes(rows: Mapping[str, Rows]) -> Rows | None:
    """Return the test rows of a classifier with a label, None for anything else."""
    test = rows["test"] if "test" in rows else None
    if test is None or test.labels is None or test.outputs.ndim != 2 or test.labels.ndim != 1:
        return None
    classes = test.labels.dtype.kind in "iu" and test.outputs.shape[1] > 1
    return test if classes and (test.labels >= 0).any() else None
