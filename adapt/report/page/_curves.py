"""Learning curves of all methods and seeds, over the steps or over the labelled rows."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy

from adapt.report.page._view import Target, View

Points = Mapping[float, float]  # one curve of one seed


@dataclass(frozen=True)
class Curves:
    """The curves of a score on a target: ``lines[method][seed]``."""

    where: str
    over: str
    name: str
    lines: Mapping[str, Mapping[int, Points]]

    def line(self, method: str) -> tuple[list[float], numpy.ndarray]:
        """Return the positions ``(k,)`` in the curves of all seeds, and the values ``(seeds, k)``."""
        at = _shared(self.lines[method].values())
        return at, _values(self.lines[method].values(), at)

    def pair(self, method: str, baseline: str) -> tuple[list[float], numpy.ndarray, numpy.ndarray] | None:
        """Return shared positions and the values of both methods, paired by seed; None where too little is shared."""
        mine, plain = self.lines.get(method, {}), self.lines.get(baseline, {})
        seeds = sorted(mine.keys() & plain.keys())
        both = [mine[s] for s in seeds], [plain[s] for s in seeds]
        at = _shared(both[0] + both[1])
        return (at, _values(both[0], at), _values(both[1], at)) if sum(x > 0 for x in at) > 1 else None


def over_steps(view: View, target: Target, tag: str) -> Curves:
    """Return the kept curves with a name, such as ``"accuracy/target"``."""
    lines = {m: {r.seed: dict(r.curves[tag]) for r in view.kept(target, m) if tag in r.curves}
             for m in view.experiment.methods}  # fmt: skip
    return Curves("" if view.one else target.name, "steps", tag, {m: found for m, found in lines.items() if found})


def over_rows(view: View, task: str) -> Curves:
    """Return the scores over the numbers of labelled rows."""
    lines: dict[str, dict[int, dict[float, float]]] = {}
    for r in view.records:
        if r.task == task and r.budget is not None and r.score is not None:
            lines.setdefault(r.method, {}).setdefault(r.seed, {})[r.budget] = r.score.value
    ordered = {m: lines[m] for m in view.experiment.methods if m in lines}
    return Curves(task, "labelled rows", view.units.metric, ordered)


def tags(view: View, first: str) -> list[str]:
    """Return the names of kept curves with a first part, such as ``"accuracy"``; curves of the target stand first."""
    found = dict.fromkeys(tag for r in view.records for tag in r.curves if tag.split("/")[0] == first)
    return sorted(found, key=lambda tag: not tag.endswith("target"))


def _shared(curves: Iterable[Points]) -> list[float]:
    sets = [set(curve) for curve in curves]
    return sorted(set.intersection(*sets)) if sets else []


def _values(curves: Collection[Points], at: Sequence[float]) -> numpy.ndarray:
    return numpy.array([[curve[x] for x in at] for curve in curves], float).reshape(len(curves), len(at))
