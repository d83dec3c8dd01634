"""Agreement on the target between models that were trained independently."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from adapt.ranking import arrays
from losses.options import AT_LEAST_0, FROM_0, check, each


def ensemble_agreement(target_logits: Sequence[Any]) -> list[float]:
    r"""Compute the accuracy of each of several models against their joint vote: EnsV.

    .. math:: a_k = \frac1n \sum_i \mathbb 1[\hat y_{ki} = \bar y_i], \qquad
        \bar y_i = \arg\max_c \sum_k p_{kic}, \qquad \hat y_{ki} = \arg\max_c z_{kic}

    Args:
        target_logits: ``(n, classes)`` logits of each model, on the same rows.

    Returns:
        A number in [0, 1] for each model; higher is better.

    Raises:
        ValueError: no model, different shapes, logits that are not finite.

    Where mistakes differ, the vote is at least as good as the average voter, so the worst model is not picked. The
    score fails where most candidates share a mistake, and is unfair to a model that is right where all others are
    wrong.

    Related: :func:`weighted_vote` can give methods equal weight, and gives good voters more weight.

    Hu et al., Towards Reliable Model Selection for Unsupervised Domain Adaptation: An Empirical Study and A Certified
    Baseline, 2024, https://openreview.net/forum?id=rI7kbFTSpr

    >>> ensemble_agreement([[[2.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]])
    [1.0, 1.0, 0.0]
    """
    models = checked_logits(target_logits)
    vote = torch.stack([z.softmax(1) for z in models]).mean(0).argmax(1)
    return [(z.argmax(1) == vote).double().mean().item() for z in models]


def weighted_vote(target_logits: Sequence[Any], shares: Sequence[float] | None = None, *, rounds: int = 5) -> Tensor:
    r"""Return the class that several models vote for, row by row; models that agree with the vote count more.

    .. math:: \bar y_i = \arg\max_c \sum_k s_k w_k\, p_{kic}, \qquad
        w_k = \Bigl[ \log \frac{(|C| - 1)\, a_k}{1 - a_k} \Bigr]_+, \qquad
        a_k = \frac1n \sum_i \mathbb 1[\hat y_{ki} = \bar y_i]

    The first round has :math:`w_k = 1`; a few rounds follow. The weights are the weights of the optimal vote of
    independent voters, with the vote in place of the truth.

    Args:
        target_logits: ``(n, classes)`` logits of each model, on the same rows.
        shares: :math:`s_k`, for example less for each of many checkpoints of one method; default all 1.
        rounds: 5; the vote does not change after 5 rounds.

    Returns:
        ``(n,)`` classes. An agreement counts as at most 0.99, so that no model decides alone. Where no model agrees
        better than chance, the first vote stands.

    Raises:
        ValueError: no model, different shapes, logits that are not finite.

    Dawid and Skene, Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm, 1979,
    https://doi.org/10.2307/2346806

    >>> weighted_vote([[[2.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]])
    tensor([0])
    """
    models = checked_logits(target_logits)
    if shares is not None:
        check(each(AT_LEAST_0), shares=shares)
    p, predicted = torch.stack([z.softmax(1) for z in models]), torch.stack([z.argmax(1) for z in models])
    share = torch.ones(len(models)).double() if shares is None else torch.as_tensor(shares).double()
    if share.shape != (len(models),) or share.max() <= 0:
        raise ValueError(f"`shares` must be {len(models)} numbers, none negative and not all 0, got {shares}.")
    check(FROM_0, rounds=rounds)
    vote = torch.einsum("k,knc->nc", share, p).argmax(1)
    for _ in range(rounds):
        agreed = (predicted == vote).double().mean(1).clamp(1e-3, 0.99)
        weight = share * (agreed * (p.shape[2] - 1) / (1 - agreed)).log().clamp_min(0)
        if weight.max() == 0:
            break
        vote = torch.einsum("k,knc->nc", weight, p).argmax(1)
    return vote


def seed_agreement(target_logits: Sequence[Any]) -> float:
    r"""Compute the share of target rows on which two models with different seeds agree, mean over all pairs.

    .. math:: \frac{2}{K (K - 1)} \sum_{k < l} \frac1n \sum_i \mathbb 1[\hat y_{ki} = \hat y_{li}]

    Args:
        target_logits: ``(n, classes)`` logits for each of at least two seeds, on the same rows.

    Returns:
        A number in [0, 1]; higher is better.

    Raises:
        ValueError: fewer than two models, different shapes, logits that are not finite.

    Without shift the agreement is an estimate of the accuracy itself. The agreement fails on a collapse (all seeds
    predict a single class) and where a method makes the same mistake with every seed.

    Jiang et al., Assessing Generalization of SGD via Disagreement, 2022, https://arxiv.org/abs/2106.13799

    >>> seed_agreement([[[2.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]])
    0.5
    """
    predicted = torch.stack([z.argmax(1) for z in checked_logits(target_logits)])
    k = len(predicted)
    if k < 2:
        raise ValueError(f"`target_logits` needs at least two seeds, got {k}: train with another seed.")
    pairs = [(predicted[a] == predicted[b]).double().mean().item() for a in range(k) for b in range(a)]
    return sum(pairs) / len(pairs)


def checked_logits(target_logits: Sequence[Any]) -> list[Tensor]:
    models = [arrays.logits(f"target_logits[{k}]", z) for k, z in enumerate(target_logits)]
    if not models or len({z.shape for z in models}) > 1:
        found = [tuple(z.shape) for z in models]
        raise ValueError(f"`target_logits` must be models' outputs on the same target rows, got shapes {found}.")
    return models
