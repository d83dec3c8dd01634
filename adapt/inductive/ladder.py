"""As much fine-tuning as the labels allow."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset, TensorDataset

from adapt.encoders import Encoder
from adapt.heads import Score
from adapt.inductive.probe import folds_of
from adapt.inductive.transfer import Model, transfer
from adapt.streams.stream import split

Rung = str | int | Sequence[str]


@dataclass
class Chosen(Model):
    """A model, the strategy `learn` that made it, and what every rung scored on held-out training rows."""

    learn: Rung = "probe"
    held_out: dict[str, Score] = field(default_factory=dict)


def ladder(
    encoder: Encoder,
    train: Dataset,
    rungs: Sequence[Rung] = ("probe", 1, "full"),
    *,
    classes: int | Sequence[str],
    folds: int = 3,
    seed: int = 0,
    **options: Any,
) -> Chosen:
    """Try strategies from little to much movement, and keep the one that predicts held-out training rows best.

    Args:
        encoder: pretrained; it is copied and stays as it is.
        train: labelled rows of the target.
        rungs: strategies of :func:`inductive.transfer`, the most careful first: a solved probe, LP-FT of the last layer, LP-FT of all.
            Of equal ones the earlier is kept.
        classes: how many, or their names.
        folds: of the cross-validation, each with its share of every class; 3. Each rung is trained `folds` times, the chosen one
            once more on all rows.
        seed: of folds and training.
        options: more for :func:`inductive.transfer`.

    Returns:
        The chosen rung's model. ``model.held_out`` was used to choose, so it flatters the choice a little: report the score on rows
        of their own.

    Raises:
        ValueError: no rungs, fewer than two folds, rows too few to hold any out.

    Kumar et al., Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution, 2022,
    https://arxiv.org/abs/2202.10054
    """
    if not rungs or folds < 2:
        raise ValueError(f"`rungs` must name at least one strategy and `folds` be at least 2, got {rungs} and {folds}.")
    fold = folds_of(_labels(train).numpy(), folds, seed)
    parts = [torch.from_numpy(fold == f) for f in range(folds) if (fold == f).any()]
    if not parts:
        raise ValueError("`train` has no class with two rows, so none can be held out: take the probe.")
    scores: dict[str, Score] = {}
    for learn in rungs:
        outputs, labels = [], []
        for out in parts:
            model = transfer(encoder, _rows(train, ~out), learn, classes=classes, seed=seed, **options)
            found = model.predict(_rows(train, out))
            outputs.append(found.outputs)
            labels.append(found.labels)
        scores[str(learn)] = model.head.score(torch.cat(outputs), torch.cat(labels))  # type: ignore[operator, arg-type]
    best = max(rungs, key=lambda learn: scores[str(learn)].value)  # the first of equal ones
    model = transfer(encoder, train, best, classes=classes, seed=seed, **options)
    return Chosen(model.encoder, model.head, model.device, best, scores)


def _labels(dataset: Dataset) -> Tensor:
    if isinstance(dataset, TensorDataset):
        return dataset.tensors[1]
    return torch.tensor([int(split(dataset[i])[1]) for i in range(len(dataset))])  # type: ignore[arg-type]


def _rows(dataset: Dataset, keep: Tensor) -> Dataset:
    if isinstance(dataset, TensorDataset):
        return TensorDataset(*(part[keep] for part in dataset.tensors))
    return Subset(dataset, keep.nonzero().flatten().tolist())
