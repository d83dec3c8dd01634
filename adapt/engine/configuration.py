"""The configuration of a run by values, for the comparison with a resumed run and between ranks."""

import math
from collections.abc import Callable, Iterator, Mapping
from types import CellType, FunctionType
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from adapt.engine import rows, runtime
from adapt.engine.description import in_any_process
from adapt.streams import Stream

if TYPE_CHECKING:
    from adapt.engine._trainer import Trainer
    from adapt.engine.plan import Plan

CAPTURED = "value in term"  # may be the number of the rank
GRID = [k / 20 for k in range(21)]  # of the progress


def configuration(trainer: "Trainer") -> dict[str, Any]:
    """Return the configuration as plain values: settings, values of schedules on a grid, structure, and a few rows.

    Costs milliseconds: see :func:`adapt.engine.rows.look` for the rows.
    """
    parameters = {p: name for name, p in trainer.network.named_parameters()}
    settings = {name: value for name, value in trainer.settings.items() if name != "schedule"}
    return {
        **settings,
        "schedule": by_value(trainer.schedule),
        "weight of term": {term.name: by_value(term.weight) for term in trainer.terms},
        "rate of": {
            f"{update.phase.name}, {group.get('name', number)}": by_value(scale)
            for update in trainer.updates
            for number, (group, scale) in enumerate(zip(update.optimizer.param_groups, update.scales, strict=True))
        },
        "option": {
            f"{path}.{name}": by_value(value)
            for path, module in trainer.network.named_modules()
            for name, value in vars(module).items()
            if name[0] != "_" and _of_progress(value) is not None
        },
        CAPTURED: {term.name: _captured(term.loss) for term in trainer.terms},
        "module": {path: _text(module) for path, module in trainer.network.named_modules()},
        "learning in phase": {u.phase.name: [parameters[p] for p in u.parameters] for u in trainer.updates},
        "data": {
            name: rows.look(name, stream, trainer.seed)
            for name, stream in trainer.streams.items()
            if isinstance(stream, Stream)
        },
    }


def by_value(value: Any) -> Any:
    """Return a number, or the values of a function of the progress on a grid."""
    found = _of_progress(value)
    if found is not None:
        return found
    return float(value) if isinstance(value, int | float) else str(value)


def _of_progress(value: Any) -> dict[str, float] | None:
    """Return the values of a function of the progress on a grid; None for other values."""
    if not callable(value) or isinstance(value, nn.Module | type):
        return None
    try:
        return {f"at progress {p}": float(value(p)) for p in GRID}
    except Exception:  # a function of something else; its name is in the settings
        return None


def _captured(function: Any) -> dict[str, Any]:
    """Return the captured numbers, texts and functions of the progress of a function."""
    if not isinstance(function, FunctionType):
        return {}
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    found = {name: cell.cell_contents for name, cell in cells if cell != CellType()}
    plain = {k: v for k, v in found.items() if isinstance(v, int | float | str) or _of_progress(v) is not None}
    return {name: by_value(value) for name, value in plain.items()}


def _text(module: nn.Module) -> str:
    """Return the class and the options of a module, the same text in every process.

    BatchNorm over all ranks counts as BatchNorm.
    """
    kind = "BatchNorm" if isinstance(module, _BatchNorm) else type(module).__name__
    return f"{kind}({in_any_process(module.extra_repr())})"


def differences(one: Mapping[str, Any], other: Mapping[str, Any], say: Callable[[Any, Any], str]) -> Iterator[str]:
    """Yield a text for each difference between two configurations.

    A row of a single configuration does not count: a slow dataset gives fewer rows.
    """
    for name in {**one, **other}:
        a, b = one.get(name), other.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            for found in differences(a, b, say):
                yield f"{name} {found}"
        elif name.startswith("row") or name == "labels":
            if a is not None and b is not None and not (rows.close(a, b) if isinstance(a, list) else a == b):
                yield f"{name} of other values"
        elif isinstance(a, float) and isinstance(b, float):
            if not math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12):
                yield f"{name}: {say(a, b)}"
        elif isinstance(a, list) and isinstance(b, list):
            if a != b:
                yield f"{name}: {say(*(_only(one, two) for one, two in ((a, b), (b, a))))}"
        elif a != b:
            yield f"{name}: {say(a, b)}"


def _only(names: list[str], others: list[str]) -> str:
    """Return the first three names without an equal among `others`."""
    found = sorted(set(names) - set(others))
    return ", ".join(found[:3]) + f" and {len(found) - 3} more" * (len(found) > 3) if found else "none of these"


def agree(trainer: "Trainer", plan: "Plan") -> None:
    """Raise on every rank unless all ranks have the same configuration, data, plan and number of steps.

    Raises:
        ValueError: with the first values that differ.
    """
    shared = {name: value for name, value in (trainer.configured or {}).items() if name != CAPTURED}
    own = {**shared, "steps": plan.until, "planned steps": plan.planned, "steps done": trainer.step}
    everyone = runtime.gather_objects(own)
    for rank, other in enumerate(everyone):
        found = list(differences(everyone[0], other, lambda a, b: f"{a} on rank 0, {b} on rank {rank}"))  # noqa: B023
        if found:
            raise ValueError(
                f"all ranks must train the same run, and rank {rank} differs from rank 0: {'; '.join(found[:3])}. "
                "Give every rank the same blocks, data and options: a stream takes the share of each rank by itself."
            )
