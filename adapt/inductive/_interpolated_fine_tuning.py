"""As much fine-tuning as the labels allow."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset, TensorDataset

from adapt.encoders import Encoder, interpolate
from adapt.engine import Predictions
from adapt.heads import Score
from adapt.inductive._probe import folds_of
from adapt.inductive._transfer import Model, transfer
from adapt.streams.stream import split

Rung = str | int | Sequence[str]


@dataclass
class Chosen(Model):
    """A model, the strategy `learn` that made it and the `share` of its way that was gone, and what every rung, a strategy and a
    share, scored on held-out training rows."""

    learn: Rung = "probe"
    share: float = 0.0
    held_out: dict[tuple[str, float], Score] = field(default_factory=dict)


def interpolated_fine_tuning(
    encoder: Encoder,
    train: Dataset,
    learn: Sequence[Rung] = ("full",),
    *,
    classes: int | Sequence[str],
    shares: Sequence[float] = (0.25, 0.5, 0.75, 1.0),
    folds: int = 3,
    seed: int = 0,
    **options: Any,
) -> Chosen:
    r"""From the probe to the fine-tuned encoder, as far as held-out training rows say.

    .. math:: \theta_a = (1 - a)\, \theta_{\text{probe}} + a\, \theta_{\text{tuned}}

    LP-FT begins at the probe, so every point of the line between the two is a model: one fine-tuning makes all the rungs.

    Args:
        encoder: pretrained; it is copied and stays as it is.
        train: labelled rows of the target.
        learn: strategies of :func:`inductive.transfer`, each with a line of its own from the probe; ``"full"``.
        classes: how many, or their names.
        shares: a, in (0, 1]; four quarters. The probe, a = 0, is always among the rungs.
        folds: of the cross-validation, each with its share of every class; 3. Each strategy is trained `folds` times, the chosen
            one once more on all rows.
        seed: of folds and training.
        options: more for :func:`inductive.transfer`. A folder `log` gets the training of the chosen strategy on all rows.

    Returns:
        The rung with the best score on held-out rows; of equal ones the one nearest to the probe. ``model.held_out`` was used to choose, so it
        flatters the choice a little: report the score on rows of their own.

    Raises:
        ValueError: no strategy, fewer than two folds, shares outside (0, 1], a start that is not the probe, rows too few to
            hold any out.

    Kumar et al., Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution (LP-FT), 2022,
    https://arxiv.org/abs/2202.10054; Wortsman et al., Robust Fine-Tuning of Zero-Shot Models (WiSE-FT), 2022,
    https://arxiv.org/abs/2109.01903
    """
    if not learn or isinstance(learn, str) or folds < 2:
        raise ValueError(
            f"`learn` must be a sequence of at least one strategy and `folds` at least 2, got {learn!r} and {folds}."
        )
    if not shares or min(shares) <= 0 or max(shares) > 1 or options.get("start", "probe") != "probe":
        raise ValueError(
            f'`shares` must lie in (0, 1] and `start` be "probe", where the line begins; got {list(shares)} and '
            f"{options.get('start', 'probe')!r}."
        )
    fold = folds_of(_labels(train).numpy(), folds, seed)
    parts = [torch.from_numpy(fold == f) for f in range(folds) if (fold == f).any()]
    if not parts:
        raise ValueError("`train` has no class with two rows, so none can be held out: take the probe.")
    settings = {"classes": classes, "seed": seed} | options
    found: dict[tuple[str, float], list[Predictions]] = {}
    unseen = settings | {"log": None}  # a folder holds one run
    for out in parts:
        for strategy, share, model in _rungs(encoder, _rows(train, ~out), learn, shares, unseen):
            found.setdefault((str(strategy), share), []).append(model.predict(_rows(train, out)))
    scores = {
        rung: model.head.score(torch.cat([p.outputs for p in some]), torch.cat([p.labels for p in some]))  # type: ignore[operator, misc]
        for rung, some in found.items()
    }
    best = max(sorted(scores, key=lambda rung: rung[1]), key=lambda rung: scores[rung].value)  # the first of equal ones
    chosen = [strategy for strategy in learn if str(strategy) == best[0]]
    *_, (strategy, share, model) = _rungs(encoder, train, chosen, [best[1]], settings)
    return Chosen(model.encoder, model.head, model.device, strategy, share, scores)


def _rungs(
    encoder: Encoder, train: Dataset, learn: Sequence[Rung], shares: Sequence[float], settings: dict[str, Any]
) -> Iterator[tuple[Rung, float, Model]]:
    """The probe, and the points of the line from it to each strategy's model."""
    probe = transfer(encoder, train, "probe", **settings)
    yield "probe", 0.0, probe
    for strategy in learn:
        tuned = transfer(encoder, train, strategy, **settings)
        start, end = deepcopy(probe), deepcopy(tuned)
        for share in shares:
            for model, a, b in zip(*(_modules(m) for m in (tuned, start, end)), strict=True):
                model.load_state_dict(interpolate(a.state_dict(), b.state_dict(), share))
            yield strategy, share, tuned


def _modules(model: Model) -> tuple[nn.Module, nn.Module]:
    return model.encoder, model.head


def _labels(dataset: Dataset) -> Tensor:
    if isinstance(dataset, TensorDataset):
        return dataset.tensors[1]
    return torch.tensor([int(split(dataset[i])[1]) for i in range(len(dataset))])  # type: ignore[arg-type]


def _rows(dataset: Dataset, keep: Tensor) -> Dataset:
    if isinstance(dataset, TensorDataset):
        return TensorDataset(*(part[keep] for part in dataset.tensors))
    return Subset(dataset, keep.nonzero().flatten().tolist())
