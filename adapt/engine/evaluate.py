"""Outputs and measures of a head on a whole dataset."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from adapt.encoders.pooling import pooled
from adapt.engine import runtime
from adapt.engine.step import Step
from adapt.evaluating import evaluating
from adapt.heads import Score
from adapt.protocols import MapStyle, Source, TellsStreamsApart, expect_head, offers
from adapt.randomness import untouched_randomness
from adapt.streams import Stream
from adapt.streams.items import ItemForm, batches_of
from adapt.streams.told import groups_told
from adapt.streams.tree import concatenate, has_list, like_mapping, like_sequence, map_tensors, tensors
from losses.options import COUNT, FROM_0, check

Unit = Sequence[Any] | Tensor  # the unit of each row: numbers, texts, any values that can be compared
UNNAMED = "<dataset>"  # the name of the stream where the caller gives no name


class Predictions(NamedTuple):
    """Outputs, features and labels per row, in the order of the dataset, on the CPU.

    Features are None where the caller did not ask for features.
    """

    outputs: Any
    features: Any
    labels: Any


class Measured(NamedTuple):
    """The measures of every row, and features and labels of the first rows, in the order of the dataset, on the CPU."""

    measures: Any
    features: Any
    labels: Any


@torch.no_grad()
def predict(
    encoder: nn.Module,
    head: nn.Module,
    dataset: MapStyle,
    *,
    features: bool = True,
    stream: str | None = None,
    batch_size: int = 256,
    workers: int = 0,
    device: torch.device | str = "cpu",
    autocast: torch.autocast | None = None,
    label: str | None = None,
    input: str | None = None,
    collate: Callable[[list[Any]], Any] | None = None,
) -> Predictions:
    """Return features and head outputs of every row, in evaluation mode; each rank computes a share of the rows.

    Args:
        features: ``False`` leaves the features out, which may need much more memory than the outputs.
        stream: an encoder that treats streams differently takes the rows for rows of this stream.
        workers: processes that read the dataset. With 0 this process reads.
        label, input: key of the label and of the input in items that are mappings, as in :class:`Stream`.
        collate: from a list of items to a batch, as in :class:`Stream`.

    Raises:
        ValueError: an empty dataset.
    """
    name, form, rows = stream or UNNAMED, ItemForm(label, collate, input), len(dataset)

    def computed(step: Step, labels: Any) -> tuple[Any, Any, Any]:
        z = map_tensors(step[name].features, Tensor.cpu) if features else None
        return map_tensors(step.output(head, name), Tensor.cpu), z, map_tensors(labels, Tensor.cpu)

    with evaluating(encoder, head):
        steps = _steps(encoder, dataset, name, form, batch_size, workers, device, autocast)
        columns = zip(*[computed(*found) for found in steps], strict=True)
        return Predictions(*(_everyone(concatenate(x), rows, device) for x in columns))


@torch.no_grad()
def measure(
    encoder: nn.Module,
    head: nn.Module,
    dataset: MapStyle,
    *,
    first: int = 0,
    labelled: bool = True,
    stream: str | None = None,
    batch_size: int = 256,
    workers: int = 0,
    device: torch.device | str = "cpu",
    autocast: torch.autocast | None = None,
    label: str | None = None,
    input: str | None = None,
    collate: Callable[[list[Any]], Any] | None = None,
) -> Measured:
    """Return the head's measures of every row, batch by batch, in evaluation mode; each rank measures a share.

    Outputs and features of a batch are freed before the next batch is computed.

    Args:
        first: number of first rows whose features and labels are kept.
        labelled: ``False`` takes the observations of the head, which need no labels, in place of measures.

    The other arguments are the arguments of :func:`predict`.

    Raises:
        ValueError: an empty dataset; labels that the head cannot take; outputs with NaN or infinity; measures without
            one entry per row.
        TypeError: a head that lacks a method; measures that are neither tensors nor lists.
    """
    name, form, rows = stream or UNNAMED, ItemForm(label, collate, input), len(dataset)
    check(FROM_0, first=first)
    asked, mine = expect_head(head), -(-first // runtime.world_size())
    told: Any = head  # a watched set without labels was checked at the door
    done = 0

    def computed(step: Step, labels: Any) -> tuple[Any, Any, Any]:
        nonlocal done
        count = len(step[name].index)
        output = step.output(head, name)
        check_finite(output, step[name].index, type(head).__name__)
        measures = asked.measure(output, labels) if labelled else told.observe(output)
        _check_rows(measures, count, type(head).__name__)
        wanted = min(max(mine - done, 0), count)
        done += count
        kept = (row_features(step[name].features)[:wanted], _rows(labels, wanted)) if wanted else (None, None)
        return map_tensors(measures, _own), *(map_tensors(x, _own) for x in kept)

    with evaluating(encoder, head):
        parts = [computed(*s) for s in _steps(encoder, dataset, name, form, batch_size, workers, device, autocast)]
    measures, *others = zip(*parts, strict=True)
    kept = [concatenate(there) if (there := [x for x in column if x is not None]) else None for column in others]
    everyone = runtime.gather_objects((concatenate(measures), *kept))
    if len(everyone) == 1:
        return Measured(*everyone[0])
    counts = (rows, min(first, rows), min(first, rows))
    return Measured(*(_alternate(x, n) for x, n in zip(zip(*everyone, strict=True), counts, strict=True)))


def score(head: nn.Module, measures: Any, unit: Unit | None = None) -> Score:
    """Return the score of measures.

    Args:
        head: with the method ``score``. The head is in evaluation mode for the call.
        measures: of all rows, see :class:`adapt.protocols.Head`.
        unit: the unit of each row, where rows belong together: numbers, texts, or any values that can be compared. The
            interval is then an interval over units. None: each row is a unit.
    """
    asked = expect_head(head)
    with evaluating(head):
        return asked.score(measures) if unit is None else asked.score(measures, units=_numbers(unit))


def check_labelled(what: str, dataset: MapStyle, form: ItemForm = ItemForm(), unit: Unit | None = None) -> None:
    """Raise unless `dataset` has rows with labels, and `unit` has one entry per row."""
    if not has_labels(what, dataset, form):
        raise ValueError(
            f"{what} has inputs without labels: a score needs labelled rows. For outputs alone use `Trainer.predict`."
        )
    if unit is not None and len(unit) != len(dataset):
        raise ValueError(
            f"`unit` must have one entry for each of the {len(dataset)} rows of {what}, got {len(unit)}: give the unit "
            "of every row, say the name of the person."
        )


def unit_of(dataset: MapStyle, unit: Unit | None) -> Unit | None:
    """Return the unit of each row: `unit`, else the groups of a dataset with ``groups``, else None."""
    return groups_told(dataset) if unit is None else unit


def has_labels(what: str, dataset: MapStyle, form: ItemForm = ItemForm()) -> bool:
    """Whether the rows of a dataset have labels.

    Raises:
        ValueError: a dataset without rows.
    """
    if len(dataset) == 0:
        raise ValueError(f"{what} has no rows: expected a dataset with at least one row.")
    with untouched_randomness():  # a dataset may draw
        return form.split(dataset[0])[1] is not None


def form_of(streams: Mapping[str, Source], stream: str | None) -> ItemForm:
    """Return the form of the items of `stream`; without a name, the form of all streams where all agree, else the
    plain form.
    """
    forms = {name: s.form if isinstance(s, Stream) else ItemForm() for name, s in streams.items()}
    if stream is not None:
        return forms.get(stream, ItemForm())
    first = next(iter(forms.values()))
    return first if all(form == first for form in forms.values()) else ItemForm()


def _steps(
    encoder: nn.Module, dataset: MapStyle, name: str, form: ItemForm, batch_size: int, workers: int,
    device: torch.device | str, autocast: torch.autocast | None,
) -> Iterator[tuple[Step, Any]]:  # fmt: skip
    """Yield a step and the labels of each batch of this rank, on the device.

    Nothing here holds a step: a batch is freed before the next batch is computed.
    """
    rows, rank, world = len(dataset), runtime.rank(), runtime.world_size()
    check(COUNT, batch_size=batch_size)
    check(FROM_0, workers=workers)
    if rows == 0:
        raise ValueError("`dataset` is empty: there is nothing to predict.")
    # every rank gets the same number of rows: the last rows come twice where the number of ranks does not divide
    mine = torch.arange(rank, rank + world * -(-rows // world), world).clamp_max(rows - 1)
    announced = [encoder] if offers(encoder, TellsStreamsApart) else []
    for read in batches_of(dataset, mine, batch_size, form, name=name, workers=workers):
        batch = read.map(lambda x: x.to(device))
        yield Step({name: batch}, encoder, autocast=autocast, announced=announced), batch.labels


def check_finite(output: Any, index: Tensor, kind: str) -> None:
    """Raise a ValueError where an output is NaN or infinite, naming the rows. A host synchronisation on a GPU.

    Minus infinity is allowed: a head may close classes with it.

    Args:
        output: any tree of tensors with one entry per row.
        index: the number of each row in the dataset.
        kind: the class of the head, for the message.
    """
    wrong = [t.isnan() | t.isposinf() for t in tensors(output) if t.is_floating_point()]
    if not wrong or not torch.stack([w.any() for w in wrong]).any():
        return
    rows = [w.flatten(1).any(1) if w.ndim > 1 else w for w in wrong if len(w) == len(index)]
    which = index[torch.stack(rows).any(0).cpu()].tolist() if len(rows) == len(wrong) else []
    shown = f" for {len(which)} rows of a batch: {', '.join(map(str, which[:5]))}{', ...' if len(which) > 5 else ''}"
    raise ValueError(
        f"the output of the {kind} must be finite to be scored, found NaN or infinity{shown if which else ''}: look "
        "for NaN in the inputs of these rows and in the weights."
    )


def _numbers(unit: Unit) -> Tensor:
    """Return ``(n,)``, the number of the unit of each row."""
    numbers: dict[Any, int] = {}
    values = unit.tolist() if isinstance(unit, Tensor) else unit
    return torch.tensor([numbers.setdefault(value, len(numbers)) for value in values])


def _check_rows(measures: Any, rows: int, kind: str) -> None:
    """Raise unless every part of a tree of measures has one entry per row."""
    if isinstance(measures, Mapping | tuple):
        for part in measures.values() if isinstance(measures, Mapping) else measures:
            _check_rows(part, rows, kind)
    elif not isinstance(measures, Tensor | list):
        raise TypeError(
            f"`measure` of the {kind} must return tensors and lists with one entry per row, or tuples and mappings of "
            f"such parts, got a {type(measures).__name__}: return a tensor (n, ...)."
        )
    elif (found := None if isinstance(measures, Tensor) and not measures.ndim else len(measures)) != rows:
        shown = "one number" if found is None else f"{found} entries"
        raise ValueError(
            f"`measure` of the {kind} must return one entry for each of the {rows} rows of a batch, got {shown}: "
            "return the value of each row, without a mean over rows."
        )


def _own(value: Tensor) -> Tensor:
    """Return a tensor on the CPU that does not keep the memory of a larger tensor alive."""
    value = value.detach().cpu()
    return value.clone() if value.untyped_storage().nbytes() > value.nbytes else value


def row_features(features: Any) -> Tensor:
    """Return features as they are, and of a pyramid the mean over the places of the coarsest map."""
    return features if isinstance(features, Tensor) else pooled(features)


def _rows(tree: Any, count: int) -> Any:
    """Return the first rows of a batch."""
    if isinstance(tree, Mapping):
        return like_mapping(tree, {k: _rows(v, count) for k, v in tree.items()})
    if isinstance(tree, tuple):
        return like_sequence(tree, [_rows(v, count) for v in tree])
    return tree[:count] if isinstance(tree, Tensor | list) else tree


def _alternate(parts: Sequence[Any], rows: int) -> Any:
    """Return the rows of all ranks in the order of the dataset: rank 0 has the rows 0, W, 2 W, ..."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.stack(list(parts), 1).flatten(0, 1)[:rows]
    if isinstance(first, list):
        return [row for together in zip(*parts, strict=True) for row in together][:rows]
    if isinstance(first, Mapping):
        return like_mapping(first, {k: _alternate([p[k] for p in parts], rows) for k in first})
    if isinstance(first, tuple):
        return like_sequence(first, [_alternate(part, rows) for part in zip(*parts, strict=True)])
    return first


def _everyone(mine: Any, rows: int, device: torch.device | str) -> Any:
    """Return the rows of all ranks of a tree of tensors, in the order of the dataset.

    Raises:
        ValueError: several ranks, and a list with one entry per row: ranks exchange tensors alone.
    """
    if runtime.world_size() > 1 and has_list(mine):
        raise ValueError(
            "rows of unequal size cannot be exchanged between ranks, got a list with one entry per row: predict and "
            "evaluate on a single rank."
        )
    return map_tensors(mine, lambda t: _in_order(t, rows, device))


def _in_order(mine: Tensor, rows: int, device: torch.device | str) -> Tensor:
    """Return the rows of all ranks in the order of the dataset."""
    world = runtime.world_size()
    if world == 1:
        return mine
    everyone = runtime.gather(mine.to(device)).cpu()
    return everyone.view(world, len(mine), *mine.shape[1:]).transpose(0, 1).flatten(0, 1)[:rows]
