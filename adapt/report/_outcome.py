"""From the result of the function of a cell to the record of the cell."""

from collections.abc import Callable, Mapping
from functools import partial
from numbers import Real
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor, nn
from torch.utils.data import Subset

from adapt import heads
from adapt.encoders import Encoder
from adapt.encoders.pooling import pooled
from adapt.engine import Model, Predictions, Trainer, predict
from adapt.engine.answers import names_of_head
from adapt.engine.evaluate import form_of
from adapt.engine.export import Together
from adapt.engine.flops import flops, parameters
from adapt.engine.model_data import first_inputs
from adapt.heads import Score
from adapt.protocols import TellsStreamsApart, offers
from adapt.randomness import permutation
from adapt.report._discrepancy import layers
from adapt.report._provenance import provenance
from adapt.report.records import Cell, Data, Outcome, Record, Rows
from adapt.streams.items import ItemForm, batches_of
from adapt.streams.tree import concatenate, map_tensors
from losses.options import is_number

LAYER_ROWS, PERMUTATIONS, FEWEST = 200, 10, 10  # of each domain, for the distances after each layer
MOST = 2_000  # kept source and target rows, and test rows with features: a choice looks at no more
ALLOWED = "a number, a Score, a mapping of them by name, a Model, (trainer, head), or a report.Outcome"


def record_of(cell: Cell, returned: Any, *, higher_is_better: bool) -> Record:
    """Return the record of a cell from the result of the function of the cell.

    Raises:
        TypeError, ValueError: a result of another kind; a score with NaN or infinity; a model without test rows; rows
            that do not fit together.
    """
    found = _outcome(returned)
    data, scores, rows = cell.data or Data(), dict(found.scores), dict[str, Rows]()
    cost, distances = dict[str, Any](), dict[str, Any]()
    origin = provenance(found.model or found.trainer, data) | {
        "seen": list(found.seen),
        "names": list(data.names or ()),
    }
    curves = dict(found.curves) if found.trainer is None else _curves(found.trainer.history) | dict(found.curves)
    if found.rows is not None:
        rows["test"] = _given(found.rows)
    if found.model is not None or found.trainer is not None:
        if data.test is None:
            raise ValueError(
                "the cell returned a trained model, and the task has no test rows: give the rows to the experiment, "
                "`data=report.Data(test=...)`, or return scores."
            )
        measures = _measures(found)
        if not scores:
            score = measures.evaluate(data.test)
            scores[score.metric] = score
        if isinstance(measures.head, heads.Classifier | heads.Regressor):
            rows = _rows(measures.predict, data) | rows
            cost["flops"] = _flops(measures, data.test)
            distances = _layers(measures, data)
        origin["names"] = origin["names"] or names_of_head(measures.head) or []
        cost["trainable"], cost["parameters"] = parameters(found.model or found.trainer)
    if not scores:
        raise ValueError(f"the cell returned no score: return {ALLOWED}.")
    checked = {name: _score(name, value, higher_is_better) for name, value in scores.items()}
    return Record(
        cell.method, cell.task, cell.seed, cell.budget,
        scores=checked, curves=curves, rows=rows, cost=cost, layers=distances, provenance=origin,
    )  # fmt: skip


def _outcome(returned: Any) -> Outcome:
    match returned:
        case Outcome():
            if (returned.trainer is None) != (returned.head is None):
                raise ValueError("an outcome with a trainer needs the head too: `Outcome(trainer=..., head=...)`.")
            return returned
        case Model():
            return Outcome(model=returned)
        case (Trainer() as trainer, nn.Module() as head):
            return Outcome(trainer=trainer, head=head)
        case Score():
            return Outcome({returned.metric: returned})
        case Mapping():
            return Outcome(returned)
    if isinstance(returned, Real) or (isinstance(returned, Tensor | numpy.ndarray) and returned.ndim == 0):
        return Outcome({"score": returned.item() if isinstance(returned, Tensor | numpy.ndarray) else float(returned)})
    raise TypeError(f"the cell must return {ALLOWED}, got a {type(returned).__name__}.")


def _given(rows: Rows) -> Rows:
    """Return the rows of an outcome as arrays of numbers, after the checks."""
    made = Rows(**{name: _array(x) for name, x in rows._asdict().items() if x is not None})
    parts = {name: x for name, x in made._asdict().items() if x is not None}
    if len({x.shape[:1] for x in parts.values()}) > 1 or not made.outputs.size or made.outputs.ndim == 0:
        shapes = ", ".join(f"{name} {x.shape}" for name, x in parts.items())
        raise ValueError(
            f"`rows` of an outcome must have outputs, labels and features of the same rows, got the shapes {shapes}: "
            "give one entry for each test row."
        )
    if words := [f"{name} of {x.dtype}" for name, x in parts.items() if x.dtype.kind not in "biuf"]:
        raise ValueError(f"`rows` of an outcome must hold numbers, got {', '.join(words)}: number the classes.")
    labels, classes = made.labels, made.outputs.shape[-1]
    if labels is not None and labels.dtype.kind in "iu" and (labels.ndim, made.outputs.ndim) == (1, 2) and classes > 1:
        low, high = int(labels.min()), int(labels.max())
        if low < -1 or high >= classes:
            raise ValueError(
                f"`labels` in the rows of an outcome must be classes from 0 to {classes - 1}, or -1 where missing, got "
                f"{low} to {high}: renumber the labels."
            )
    return made


def _score(name: str, value: Any, higher_is_better: bool) -> Score:
    """Return a value as a score; the interval of a plain number is infinite."""
    if isinstance(value, Tensor | numpy.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, Score) and is_number(value.value):
        return value
    if not isinstance(name, str) or not is_number(value):
        shown = value if isinstance(value, Score | float | int | None) else f"a {type(value).__name__}"
        raise ValueError(f"the score {name!r} of a cell must be a finite number or a Score with a name, got {shown}.")
    return Score(name, float(value), -float("inf"), float("inf"), 1, higher_is_better)


class _Measures(NamedTuple):
    """A trained encoder and head, and two functions of a data set: the score, and the outputs with features."""

    encoder: nn.Module
    head: nn.Module
    form: ItemForm
    device: torch.device
    evaluate: Callable[[Any], Score]
    predict: Callable[[Any], Predictions]


def _measures(found: Outcome) -> _Measures:
    if found.model is None:
        made, head = found.trainer, found.head
        form = form_of(made.streams, None)
        network = made.network if made.ema is None else made.ema.module
        encoder, outputs = network.get_submodule("encoder"), partial(made.predict, head)
        return _Measures(encoder, head, form, made.device, partial(made.evaluate, head), outputs)
    model = found.model
    autocast = torch.autocast(model.device.type, dtype=torch.bfloat16) if model.precision == "bf16" else None
    how = {"stream": model.stream, "device": model.device, "autocast": autocast, **vars(model.form)}
    outputs = partial(predict, model.encoder, model.head, **how)
    return _Measures(model.encoder, model.head, model.form, model.device, model.evaluate, outputs)


def _flops(measures: _Measures, dataset: Any) -> dict[str, Any] | None:
    """Return the floating-point operations per row; None where the first rows make no batch."""
    inputs = first_inputs(dataset, measures.form)
    if inputs is None:
        return None
    inputs = map_tensors(inputs, lambda t: t.to(measures.device))
    return flops(Together(measures.encoder, measures.head), inputs)._asdict()


def _layers(measures: _Measures, data: Data) -> dict[str, Any]:
    """Return the A-distance of the domains after each layer; empty without source rows, layers, or tensors as inputs.

    An encoder that treats streams differently is left out: the rows of the two domains would need the names.
    """
    encoder, target = measures.encoder, data.test if data.target is None else data.target
    if data.source is None or not isinstance(encoder, Encoder) or not encoder.layers:
        return {}
    inputs = [_inputs(part, measures.form) for part in (data.source, target)]
    if offers(encoder, TellsStreamsApart) or not all(isinstance(x, Tensor) and len(x) >= FEWEST for x in inputs):
        return {}
    try:
        found = layers(encoder, *inputs, rows=LAYER_ROWS, permutations=PERMUTATIONS)
    except Exception as error:  # layers of the user: the score of the cell is not lost for a distance
        return {"why": f"{type(error).__name__}: {error}"}
    return {"a_distance": {name: list(distance.a_distance) for name, distance in found.items()}}


def _inputs(dataset: Any, form: ItemForm) -> Any:
    index = permutation(len(dataset), "rows of layers")[:LAYER_ROWS]
    return concatenate([batch.inputs for batch in batches_of(dataset, index, LAYER_ROWS, form, name="layers")])


def _rows(outputs: Callable[[Any], Predictions], data: Data) -> dict[str, Rows]:
    """Return outputs, labels and features of the rows of a task."""
    test = outputs(data.test)
    kept = {"test": _kept(test, features=len(test.outputs) <= MOST)}
    if data.source is not None:
        kept["source"] = _kept(outputs(_some(data.source)))
    if data.target is not None:
        kept["target"] = _kept(outputs(_some(data.target)))._replace(labels=None)
    else:
        index = _drawn(len(test.outputs))
        kept["target"] = _kept(Predictions(test.outputs[index], pooled(test.features)[index], None))
    return kept


def _drawn(rows: int) -> Tensor:
    """Return the numbers of the kept rows, the same for every cell."""
    return permutation(rows, "kept rows")[:MOST].sort().values


def _some(dataset: Any) -> Any:
    return dataset if len(dataset) <= MOST else Subset(dataset, _drawn(len(dataset)).tolist())


def _kept(found: Predictions, features: bool = True) -> Rows:
    labels = None if found.labels is None else _array(found.labels)
    return Rows(_array(found.outputs), labels, _array(pooled(found.features)) if features else None)


def _array(values: Any) -> numpy.ndarray:
    """Return numbers as an array, floating numbers as float32."""
    floating = isinstance(values, Tensor) and values.is_floating_point()
    array = values.float().numpy() if floating else numpy.asarray(values)  # numpy knows no bfloat16
    return array.astype(numpy.float32) if array.dtype.kind == "f" else array


def _curves(history: list[dict[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """Return the logged values of a trainer by tag, over the steps."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in history:
        for tag, value in row.items():
            if tag != "step":
                curves.setdefault(tag, []).append((row["step"], value))
    return curves
