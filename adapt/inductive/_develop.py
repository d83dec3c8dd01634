"""Develop a source model, and make sure that it is one."""

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset, default_collate

from adapt.engine import Trainer, score
from adapt.engine._supervised import supervised
from adapt.heads import Score, average
from adapt.inductive._transfer import Model, take_average
from adapt.streams import Stream
from adapt.streams.stream import split


@dataclass
class SourceModel(Model):
    """A model trained on a source, and whether it has learned anything.

    Attributes:
        score: on the held-out rows.
        naive: by how much it is better than each naive model on the same rows, with a 95 % interval.
        better: the interval lies above zero for all of them.
    """

    score: Score | None = None
    naive: dict[str, Score] | None = None

    @property
    def better(self) -> bool:
        return all(score.low > 0 for score in (self.naive or {}).values())

    def __str__(self) -> str:
        word = "yes" if self.better else "no"
        parts = [
            f"{n} by {s.value:.3g} (95 % interval {s.low:.3g} to {s.high:.3g})" for n, s in (self.naive or {}).items()
        ]
        return f"{word}: {self.score}; better than {', than '.join(parts)}"


def develop(
    encoder: nn.Module,
    head: nn.Module,
    source: Dataset,
    held_out: Dataset,
    *,
    steps: int = 1000,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
    **options: Any,
) -> SourceModel:
    """Train encoder and head on a related labelled source, and compare them with the naive models on held-out source rows.

    Where no pretrained model fits, one is developed on a source with many labels and then transferred. That only helps if the source
    model has learned something: it must beat the naive models, whose intervals of the paired difference are given.

    Args:
        encoder: trained in place, random or pretrained.
        head: classifier or regressor of the source's labels.
        source: labelled rows to train on.
        held_out: labelled rows of the source, apart from `source`. Never rows of the target.
        steps, batch_size: of the training.
        device: where it is computed.
        options: more for :class:`Trainer`.

    Returns:
        A :class:`SourceModel`. Print it; ``model.better`` is the verdict. Where it is no, a warning says so: transfer from such a
        model is transfer from noise.

    Naive models: for classes the most frequent one of `source`, and the nearest class mean of the raw inputs, where these are
    numbers of one shape; for numbers the mean of `source`. Compared are hits or squared errors, row by row, with a normal interval.

    Raises:
        ValueError: rows without labels, and what the trainer raises.

    Pan and Yang, A Survey on Transfer Learning, 2010, https://doi.org/10.1109/TKDE.2009.191
    """
    stream = Stream(source, min(batch_size, len(source)))  # type: ignore[arg-type]
    trainer = Trainer(
        encoder, [supervised(head, on="source")], {"source": stream}, device=device, **{"progress": False} | options
    )
    trainer.fit(steps=steps)
    take_average(trainer)
    found = trainer.predict(head, held_out)
    outputs, labels = found.outputs, found.labels
    if labels is None:
        raise ValueError("`held_out` has no labels: a comparison needs labelled rows.")
    gains = {name: _gain(outputs, guess, labels) for name, guess in _naive(source, held_out).items()}
    model = SourceModel(encoder.eval(), head.eval(), device, score(head, found), gains)
    if not model.better:
        warnings.warn(f"the source model does not beat every naive model; {model}.", stacklevel=2)
    return model


def _gain(outputs: Tensor, guess: Tensor, labels: Tensor) -> Score:
    """By how much the outputs are better than the guess, row by row."""
    if labels.is_floating_point():
        saved = (guess - labels).square() - (outputs.view_as(labels) - labels).square()
        return average("squared error saved", saved.reshape(len(labels), -1).mean(1), higher_is_better=True)
    hits = (outputs.argmax(1) == labels).double() - (guess == labels).double()
    return average("accuracy gained", hits, higher_is_better=True)


def _naive(source: Dataset, held_out: Dataset) -> dict[str, Tensor]:
    """What the naive models answer on the held-out rows."""
    (x, y), (new, _) = _columns(source), _columns(held_out)
    rows = len(held_out)  # type: ignore[arg-type]
    if y.is_floating_point():
        return {"the mean": y.mean(0, keepdim=True).expand(rows, *y.shape[1:])}
    classes, counts = y.unique(return_counts=True)
    guesses = {"the majority": classes[counts.argmax()].expand(rows)}
    if isinstance(x, Tensor) and isinstance(new, Tensor) and x.shape[1:] == new.shape[1:]:
        flat = x.flatten(1).double()
        means = torch.stack([flat[y == c].mean(0) for c in classes])
        guesses["the nearest class mean"] = classes[torch.cdist(new.flatten(1).double(), means).argmin(1)]
    return guesses


def _columns(dataset: Dataset) -> tuple[Any, Tensor]:
    """All inputs and labels; inputs that cannot be put side by side are None."""
    if isinstance(dataset, TensorDataset):
        return dataset.tensors[0], dataset.tensors[1]
    items = [split(dataset[i]) for i in range(len(dataset))]  # type: ignore[arg-type]
    together = all(isinstance(x, Tensor) and x.shape == items[0][0].shape for x, _ in items)
    return default_collate([x for x, _ in items]) if together else None, default_collate([y for _, y in items])
