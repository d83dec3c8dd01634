"""Outputs of a head on a whole dataset."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from adapt.engine import runtime
from adapt.engine.step import Step
from adapt.evaluating import evaluating
from adapt.heads import Score
from adapt.protocols import MapStyle, Source, TellsStreamsApart, expect_head, offers
from adapt.randomness import untouched_randomness
from adapt.streams import Batch, Stream
from adapt.streams.items import ItemForm, batches_of
from adapt.streams.tree import concatenate, has_list, map_tensors

UNNAMED = "<dataset>"  # the name of the stream where the caller gives no name


class Predictions(NamedTuple):
    """Outputs, features and labels per row, in the order of the dataset, on the CPU."""

    outputs: Any
    features: Tensor
    labels: Any


@torch.no_grad()
def predict(
    encoder: nn.Module,
    head: nn.Module,
    dataset: MapStyle,
    *,
    stream: str | None = None,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
    autocast: torch.autocast | None = None,
    label: str | None = None,
    collate: Callable[[list[Any]], Any] | None = None,
) -> Predictions:
    """Return features and head outputs of every row, in evaluation mode; each rank computes a share of the rows.

    Args:
        stream: an encoder that treats streams differently takes the rows for rows of this stream.
        label: key of the label in items that are mappings, as in :class:`Stream`.
        collate: from a list of items to a batch, as in :class:`Stream`.

    Raises:
        ValueError: an empty dataset.
    """
    rows, rank, world = len(dataset), runtime.rank(), runtime.world_size()
    if rows == 0:
        raise ValueError("`dataset` is empty: there is nothing to predict.")
    # every rank gets the same number of rows: the last rows come twice where the number of ranks does not divide
    mine = torch.arange(rank, rank + world * -(-rows // world), world).clamp_max(rows - 1)
    name = stream or UNNAMED
    parts: list[tuple[Any, ...]] = []
    announce = offers(encoder, TellsStreamsApart)
    with evaluating(encoder, head):
        for read in batches_of(dataset, mine, batch_size, ItemForm(label, collate), name=name):
            batch = Batch(read.inputs, None, read.index).map(lambda x: x.to(device))
            step = Step({name: batch}, encoder, autocast=autocast, announce=announce)
            outputs = map_tensors(step.output(head, name), Tensor.cpu)
            parts.append((outputs, step[name].features.cpu(), read.labels))
    columns = [concatenate(p) for p in zip(*parts, strict=True)]
    return Predictions(*(_everyone(x, rows, device) for x in columns))


def score(head: nn.Module, predictions: Predictions) -> Score:
    """Return the score of the head, in evaluation mode: a score may call layers of the head."""
    with evaluating(head):
        return expect_head(head).score(predictions.outputs, predictions.labels)


def check_labelled(what: str, dataset: MapStyle, form: ItemForm = ItemForm()) -> None:
    """Raise unless `dataset` has rows with labels."""
    with untouched_randomness():  # a dataset may draw
        labelled = len(dataset) > 0 and form.split(dataset[0])[1] is not None
    if not labelled:
        found = "no rows" if len(dataset) == 0 else "inputs without labels"
        raise ValueError(f"{what} has {found}: a score needs labelled rows. For outputs alone use `Trainer.predict`.")


def form_of(streams: Mapping[str, Source], stream: str | None) -> ItemForm:
    """Return the form of the items of `stream`; without a name, the form of all streams where all agree, else the
    plain form.
    """
    forms = {name: s.form if isinstance(s, Stream) else ItemForm() for name, s in streams.items()}
    if stream is not None:
        return forms.get(stream, ItemForm())
    first = next(iter(forms.values()))
    return first if all(form == first for form in forms.values()) else ItemForm()


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
