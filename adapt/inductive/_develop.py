"""A source model is developed, and must beat the naive models."""

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from adapt.engine import Model, Trainer
from adapt.engine._supervised import supervised
from adapt.engine.evaluate import check_labelled
from adapt.evaluating import evaluating
from adapt.heads import Score, average
from adapt.inductive._doors import expect_encoder, labels_of, number_of_rows
from adapt.protocols import MapStyle, expect_head
from adapt.streams import Stream
from adapt.streams.items import split
from adapt.streams.memory import columns
from losses.options import COUNT, check


@dataclass(frozen=True)
class Developed:
    """A model trained on a source, and whether the model has learned anything.

    Attributes:
        model: encoder and head, to predict and to save.
        score: on the held-out rows.
        naive: for each naive model, the gain of the source model on the same rows, with a 95 % interval.
        better: whether every interval of a gain lies above zero.
    """

    model: Model
    score: Score
    naive: dict[str, Score]

    @property
    def better(self) -> bool:
        return all(gain.low > 0 for gain in self.naive.values())

    def __str__(self) -> str:
        word = "yes" if self.better else "no"
        parts = [f"{n} by {s.value:.3g} (95 % interval {s.low:.3g} to {s.high:.3g})" for n, s in self.naive.items()]
        return f"{word}: {self.score}; better than {', than '.join(parts)}"


def develop(
    encoder: nn.Module,
    head: nn.Module,
    source: MapStyle,
    held_out: MapStyle,
    *,
    steps: int = 1000,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
    **options: Any,
) -> Developed:
    """Train encoder and head on a related labelled source, and compare them with naive models on held-out source rows.

    Where no pretrained model fits, a model is developed on a source with many labels and then transferred. The transfer
    only helps if the source model has learned something: the source model must beat the naive models. The result has
    the interval of the paired difference to each naive model.

    Args:
        encoder: trained in place, random or pretrained.
        head: classifier or regressor of the source's labels.
        source: labelled rows to train on.
        held_out: labelled rows of the source, apart from `source`. Never rows of the target.
        steps: training steps.
        batch_size: rows per step, at most all rows.
        device: where the model is trained.
        options: more for :class:`Trainer`.

    Returns:
        A :class:`Developed`. Print it; ``found.better`` is the verdict, ``found.model`` the model. After a "no", a
        warning says so: transfer from a model without success is transfer from noise.

    For classes there are two naive models: the most frequent class of `source`, and the nearest class mean of the raw
    inputs, where all inputs are numbers of one shape. For numbers the naive model is the mean of `source`. Hits or
    squared errors are compared row by row, with a normal interval.

    Raises:
        TypeError: an encoder or a head that lacks a method; the message has the remedy.
        ValueError: rows without labels, and the errors of the trainer.

    Pan and Yang, A Survey on Transfer Learning, 2010, https://doi.org/10.1109/TKDE.2009.191
    """
    expect_encoder(encoder)
    asked = expect_head(head)
    check(COUNT, steps=steps, batch_size=batch_size)
    check_labelled("`held_out`", held_out)
    stream = Stream(source, min(batch_size, number_of_rows(source, "`source`")))
    trainer = Trainer(
        encoder, [supervised(head, on="source")], {"source": stream}, device=device, **{"progress": False} | options
    )
    trainer.fit(steps=steps)
    if trainer.ema is not None:  # the encoder of the caller gets the weights of the evaluation
        trainer.network.load_state_dict(trainer.ema.module.state_dict())
    found = trainer.predict(head, held_out)
    labels = labels_of(found, "`held_out`")
    guesses = _naive_predictions(source, held_out)
    gains = {name: _gain(found.outputs, guess, labels) for name, guess in guesses.items()}
    with evaluating(head):
        reached = asked.score(asked.measure(found.outputs, labels))
    encoder.eval()
    head.eval()
    developed = Developed(trainer.model(head), reached, gains)
    if not developed.better:
        warnings.warn(f"the source model does not beat every naive model; {developed}.", stacklevel=2)
    return developed


def _gain(outputs: Tensor, guess: Tensor, labels: Tensor) -> Score:
    """Return the mean difference between the outputs and the guess, row by row, with its interval."""
    if labels.is_floating_point():
        saved = (guess - labels).square() - (outputs.view_as(labels) - labels).square()
        return average("squared error saved", saved.reshape(len(labels), -1).mean(1), higher_is_better=True)
    hits = (outputs.argmax(1) == labels).double() - (guess == labels).double()
    return average("accuracy gained", hits, higher_is_better=True)


def _naive_predictions(source: MapStyle, held_out: MapStyle) -> dict[str, Tensor]:
    """Return the predictions of each naive model on the held-out rows."""
    (x, y), (new, _) = _inputs_and_labels(source), _inputs_and_labels(held_out)
    rows = number_of_rows(held_out, "`held_out`")
    if y.is_floating_point():
        return {"the mean": y.mean(0, keepdim=True).expand(rows, *y.shape[1:])}
    classes, counts = y.unique(return_counts=True)
    guesses = {"the majority": classes[counts.argmax()].expand(rows)}
    if isinstance(x, Tensor) and isinstance(new, Tensor) and x.shape[1:] == new.shape[1:]:
        flat = x.flatten(1).double()
        means = torch.stack([flat[y == c].mean(0) for c in classes])
        guesses["the nearest class mean"] = classes[torch.cdist(new.flatten(1).double(), means).argmin(1)]
    return guesses


def _inputs_and_labels(dataset: MapStyle) -> tuple[Any, Tensor]:
    """Return all inputs and all labels. The inputs are None where they cannot be stacked."""
    if (memory := columns(dataset)) is not None:
        rows = torch.arange(len(dataset))
        return memory.take(0, rows), memory.take(1, rows)
    items = [split(dataset[i]) for i in range(number_of_rows(dataset, "the dataset"))]
    together = all(isinstance(x, Tensor) and x.shape == items[0][0].shape for x, _ in items)
    return default_collate([x for x, _ in items]) if together else None, default_collate([y for _, y in items])
