"""Outputs of a head on a whole dataset."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset, default_collate

from adapt.engine import runtime
from adapt.engine.step import Step
from adapt.evaluating import evaluating
from adapt.heads import Score
from adapt.protocols import MapStyle, TellsStreamsApart, expect_head, offers
from adapt.streams import Batch
from adapt.streams.stream import split

UNNAMED = "<dataset>"  # the name of the stream where the caller gives no name


class Predictions(NamedTuple):
    """Outputs, features and labels per row, in the order of the dataset, on the CPU."""

    outputs: Tensor
    features: Tensor
    labels: Tensor | None


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
) -> Predictions:
    """Return features and head outputs of every row, in evaluation mode; each rank computes a share of the rows.

    Args:
        stream: an encoder that treats streams differently takes the rows for rows of this stream.

    Raises:
        ValueError: an empty dataset.
    """
    rows, rank, world = len(dataset), runtime.rank(), runtime.world_size()
    if rows == 0:
        raise ValueError("`dataset` is empty: there is nothing to predict.")
    # every rank gets the same number of rows: the last rows come twice where the number of ranks does not divide
    mine = torch.arange(rank, rank + world * -(-rows // world), world).clamp_max(rows - 1)
    name = stream or UNNAMED
    parts: list[tuple[Tensor, ...]] = []
    announce = offers(encoder, TellsStreamsApart)
    with evaluating(encoder, head):
        for index, inputs, labels in _read(dataset, mine, batch_size):
            batch = Batch(inputs, None, index).map(lambda x: x.to(device))
            step = Step({name: batch}, encoder, autocast=autocast, announce=announce)
            parts.append((step.output(head, name).cpu(), step[name].features.cpu(), labels))
    columns = [torch.cat(p) if p[0] is not None else None for p in zip(*parts, strict=True)]
    return Predictions(*(None if x is None else _in_order(x, rows, device) for x in columns))  # type: ignore[arg-type]


def score(head: nn.Module, predictions: Predictions) -> Score:
    """Return the score of the head, in evaluation mode: a score may call layers of the head."""
    with evaluating(head):
        return expect_head(head).score(predictions.outputs, predictions.labels)


def check_labelled(what: str, dataset: MapStyle) -> None:
    """Raise unless `dataset` has rows with labels."""
    if len(dataset) == 0 or split(dataset[0])[1] is None:
        found = "no rows" if len(dataset) == 0 else "inputs without labels"
        raise ValueError(f"{what} has {found}: a score needs labelled rows. For outputs alone use `Trainer.predict`.")


def _in_order(mine: Tensor, rows: int, device: torch.device | str) -> Tensor:
    """Return the rows of all ranks in the order of the dataset."""
    world = runtime.world_size()
    if world == 1:
        return mine
    everyone = runtime.gather(mine.to(device)).cpu()
    return everyone.view(world, len(mine), *mine.shape[1:]).transpose(0, 1).flatten(0, 1)[:rows]


def _read(dataset: MapStyle, rows: Tensor, batch_size: int) -> Iterator[tuple[Tensor, Any, Any]]:
    for index in rows.split(batch_size):
        if isinstance(dataset, TensorDataset):
            inputs, *rest = dataset.tensors
            yield index, inputs[index], rest[0][index] if rest else None
        else:
            items = [split(dataset[int(i)]) for i in index]
            labels = None if items[0][1] is None else default_collate([label for _, label in items])
            yield index, default_collate([x for x, _ in items]), labels
