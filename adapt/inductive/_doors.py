"""Checks before anything is computed: encoders, pretrained heads, labels and options."""

from collections.abc import Iterable, Mapping, Sized
from typing import Protocol

import torch
from torch import Tensor, nn

from adapt import protocols
from adapt.engine import Predictions
from adapt.engine.evaluate import check_labelled
from adapt.protocols import MapStyle
from adapt.streams import Stream
from adapt.streams.items import ItemForm
from adapt.streams.memory import columns

WRAP = "wrap the module with `encoders.wrap(module, dim)`"


class AdaptableEncoder(protocols.Encoder, Protocol):
    """An encoder with parts that a strategy can freeze, as :class:`adapt.encoders.Encoder` has."""

    body: nn.Module

    def layer_of(self) -> Mapping[str, str]:
        """Return the layer of each module inside of `body`."""
        ...

    def keep_in_eval(self, modules: Iterable[str]) -> None:
        """Keep modules inside of `body` in evaluation mode."""
        ...


class PretrainedEncoder(Protocol):
    """An encoder that may have kept the head of the pretrained task."""

    head: nn.Linear | None


def expect_encoder(encoder: object) -> None:
    """Raise a TypeError unless `encoder` offers everything that a trainer uses."""
    protocols.expect(encoder, protocols.Encoder, "`encoder`", WRAP)


def expect_adaptable(encoder: object) -> None:
    """Raise a TypeError unless a strategy can freeze parts of `encoder`."""
    protocols.expect(encoder, AdaptableEncoder, "`encoder`", WRAP)


def pretrained_head(encoder: object) -> nn.Linear:
    """Return the head of the pretrained task, or raise an error with the line that keeps the head."""
    head = protocols.expect(encoder, PretrainedEncoder, "`encoder`", WRAP).head
    if head is None:
        raise ValueError("this encoder came without its own head: make it with `Encoder(..., head=linear)`.")
    return head


def expect_labels(streams: Mapping[str, Stream], on: str, term: str) -> None:
    """Raise a ValueError unless the stream has labels."""
    if not streams[on].labels:
        raise ValueError(
            f"`{term}` learns from the labels of stream `{on}`, which was made with `labels=False`: name a labelled "
            "stream."
        )


def number_of_rows(dataset: MapStyle, what: str) -> int:
    """Return the length of a map-style dataset."""
    if not isinstance(dataset, Sized):
        raise TypeError(
            f"{what} must be a dataset with a length, got a {type(dataset).__name__}: read its rows into a "
            "`TensorDataset` or a list first."
        )
    return len(dataset)


def labels_in(dataset: MapStyle, what: str, form: ItemForm = ItemForm()) -> Tensor:
    """Return the labels of all rows. Labels outside of memory are read row by row."""
    check_labelled(what, dataset, form)
    if (memory := columns(dataset)) is not None:
        return memory.take(1, torch.arange(len(dataset)))
    labels = [torch.as_tensor(form.split(dataset[i])[1]) for i in range(number_of_rows(dataset, what))]
    return torch.stack(labels)


def labels_of(predictions: Predictions, what: str) -> Tensor:
    """Return the labels of predicted rows, or raise a ValueError."""
    if predictions.labels is None:
        raise ValueError(f"{what} has no labels: give a dataset of (input, label) rows.")
    return predictions.labels
