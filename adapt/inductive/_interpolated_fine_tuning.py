"""A model between the probe and full fine-tuning, as far from the probe as the labels allow."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Subset

from adapt.encoders import Encoder, interpolate
from adapt.engine import Model, measure, score
from adapt.heads import Score
from adapt.inductive._doors import expect_adaptable, labels_in
from adapt.inductive._probe import expect_one_kind, folds_of
from adapt.inductive._transfer import transfer
from adapt.protocols import MapStyle
from adapt.streams.tree import concatenate
from losses.options import ABOVE_0, FROM_0, check, each, whole

Strategy = str | int | Sequence[str]


@dataclass(frozen=True)
class Interpolated:
    """A model on the line from the probe to a fine-tuned model.

    Attributes:
        model: encoder and head, to predict and to save.
        learn: the strategy of the fine-tuned model.
        share: position on the line: 0 is the probe, 1 the fine-tuned model.
        held_out: score on held-out training rows of every candidate, by strategy and share.
    """

    model: Model
    learn: Strategy
    share: float
    held_out: dict[tuple[str, float], Score]


def interpolated_fine_tuning(
    encoder: Encoder,
    train: MapStyle,
    learn: Sequence[Strategy] = ("full",),
    *,
    classes: int | Sequence[str] | None = None,
    outputs: int | None = None,
    score: str | None = None,
    shares: Sequence[float] = (0.25, 0.5, 0.75, 1.0),
    folds: int = 3,
    seed: int = 0,
    **options: Any,
) -> Interpolated:
    r"""Return the best model on the line from the probe to the fine-tuned encoder, chosen on held-out training rows.

    .. math:: \theta_a = (1 - a)\, \theta_{\text{probe}} + a\, \theta_{\text{tuned}}

    LP-FT begins at the probe, so every point of the line between probe and result is a model: a single fine-tuning
    makes all candidates.

    Args:
        encoder: pretrained; copied and left as it was.
        train: labelled rows of the target.
        learn: strategies of :func:`inductive.transfer`, each with a line from the probe; ``"full"``.
        classes: number of classes, or their names.
        outputs: in place of `classes`: how many numbers per row.
        score: the value that chooses the candidate, and the penalty and weights of the probe: a metric or a further
            value of the head, such as ``"macro F1"``. None is the metric: accuracy, or mean absolute error.
        shares: values of a, in (0, 1]; four quarters. The probe, a = 0, is always a candidate.
        folds: of the cross-validation, each with a share of every class; 3. Each strategy is trained `folds` times, and
            the chosen strategy once more on all rows.
        seed: of folds and training.
        options: more for :func:`inductive.transfer`. A folder `log` gets the training of the chosen strategy on all
            rows.

    Returns:
        The candidate with the best `score` on held-out rows; among equal scores the nearest to the probe. The choice
        was made on ``found.held_out``, which is therefore a little too good for the chosen candidate: report the score
        on other rows.

    Raises:
        TypeError: a module that is no encoder.
        ValueError: no strategy, fewer than two folds, shares outside (0, 1], another start than the probe, too few rows
            to hold any out.

    Kumar et al., Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution (LP-FT), 2022,
    https://arxiv.org/abs/2202.10054; Wortsman et al., Robust Fine-Tuning of Zero-Shot Models (WiSE-FT), 2022,
    https://arxiv.org/abs/2109.01903
    """
    expect_adaptable(encoder)
    check(each(ABOVE_0), shares=shares)
    check(whole(2), folds=folds)
    check(FROM_0, seed=seed)
    if not isinstance(learn, list | tuple) or not learn:
        raise ValueError(f"`learn` must be a list of at least one strategy, got {learn!r}: write `[{learn!r}]`.")
    if options.get("start", "probe") != "probe":
        raise ValueError(
            f'`start` must be "probe", where the line begins, got {options["start"]!r}: leave `start` out.'
        )
    expect_one_kind(classes, outputs)
    labels = labels_in(train, "`train`")
    fold = folds_of((labels if outputs is None else labels.double()).numpy(), folds, seed)
    parts = [torch.from_numpy(fold == f) for f in range(folds) if (fold == f).any()]
    if not parts:
        raise ValueError("`train` has too few rows of each class, so none can be held out: take the probe.")
    settings = {"classes": classes, "outputs": outputs, "score": score, "seed": seed} | options
    scores = _held_out_scores(encoder, train, learn, shares, parts, settings | {"log": None})  # a folder holds one run
    best = max(sorted(scores, key=lambda candidate: candidate[1]), key=lambda c: _worth(scores[c], score))
    chosen = [strategy for strategy in learn if str(strategy) == best[0]]
    *_, (strategy, share, model) = _candidates(encoder, train, chosen, [best[1]], settings)
    return Interpolated(model, strategy, share, scores)


def _held_out_scores(
    encoder: Encoder,
    train: MapStyle,
    learn: Sequence[Strategy],
    shares: Sequence[float],
    parts: Sequence[Tensor],
    settings: dict[str, Any],
) -> dict[tuple[str, float], Score]:
    """Return the cross-validated score of every candidate, by strategy and share."""
    found: dict[tuple[str, float], list[Any]] = {}
    for held_out in parts:
        for strategy, share, model in _candidates(encoder, _rows(train, ~held_out), learn, shares, settings):
            found.setdefault((str(strategy), share), []).append(_measures(model, _rows(train, held_out)))
    # the head of any candidate: a score depends on the measures alone
    return {candidate: score(model.head, concatenate(some)) for candidate, some in found.items()}


def _worth(found: Score, name: str | None) -> float:
    """Return the named value of a score, with the sign that makes higher better."""
    value, higher = found.named(name)
    return value if higher else -value


def _measures(model: Model, dataset: MapStyle) -> Any:
    return measure(model.encoder, model.head, dataset, device=model.device).measures


def _candidates(
    encoder: Encoder, train: MapStyle, learn: Sequence[Strategy], shares: Sequence[float], settings: dict[str, Any]
) -> Iterator[tuple[Strategy, float, Model]]:
    """Yield the probe, and the points of the line from the probe to each strategy's model."""
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


def _rows(dataset: MapStyle, keep: Tensor) -> MapStyle:
    return Subset(dataset, keep.nonzero().flatten().tolist())  # type: ignore[arg-type]  # torch asks for its own base class
