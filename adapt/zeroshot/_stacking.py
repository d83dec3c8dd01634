"""Calibrated stacking: a constant that the scores of seen classes lose, chosen on classes held out."""

from typing import Any

import torch
from torch import Tensor

from adapt.randomness import permutation
from adapt.zeroshot.semantic import Semantic

FOLDS, KEPT_BACK = 4, 0.2  # of the classes; share of the rows of the other classes


def calibrated(method: Semantic, x: Tensor, y: Tensor, signatures: Tensor, seed: int) -> tuple[float, dict[str, Any]]:
    """Return the constant with the largest harmonic mean on held-out rows, and what the rows gave, for a card.

    Each class is once in the place of an unseen class, in at most 4 groups of classes, with a fifth of the rows of the
    other classes as rows of seen classes.

    Raises:
        ValueError: fewer than three seen classes.
    """
    C = len(signatures)
    if C < 3:
        raise ValueError(
            f"`calibration='held-out'` holds classes out in turn and needs three seen classes, got {C}: give a number, "
            "0 for none."
        )
    groups = permutation(C, "stacking, classes", seed) % min(FOLDS, C)
    back = permutation(len(x), "stacking, rows", seed) < KEPT_BACK * len(x)
    gaps, rights, unseens, weights = [], [], [], []
    for g in groups.unique().tolist():
        hidden = groups == g
        test = back | hidden[y]
        if len(y[~test].unique()) < 2:
            continue
        W, b = method.fit(x[~test], y[~test], signatures)(signatures)
        s = x[test] @ W.mT + b
        best_seen, best_hidden = s.masked_fill(hidden, -torch.inf).max(1), s.masked_fill(~hidden, -torch.inf).max(1)
        own = hidden[y[test]]
        gaps.append(best_seen.values - best_hidden.values)
        rights.append(torch.where(own, best_hidden.indices, best_seen.indices) == y[test])
        unseens.append(own)
        weights.append(1 / y[test].bincount(minlength=C)[y[test]])
    if not gaps:
        raise ValueError("`support` has too few rows to hold classes out: give `calibration` as a number, 0 for none.")
    gap, right, unseen = torch.cat(gaps), torch.cat(rights), torch.cat(unseens)
    constant, seen, other = best_constant(gap, right, unseen, torch.cat(weights).double())
    return constant, {"held-out accuracy, seen classes": round(seen, 4), "classes held out": round(other, 4)}


def best_constant(gap: Tensor, right: Tensor, unseen: Tensor, weight: Tensor) -> tuple[float, float, float]:
    """Return the constant with the largest harmonic mean, and both accuracies.

    A row is called a seen class where the gap is above the constant.

    Args:
        gap: ``(n,)``, the best score of a seen class minus the best score of an unseen class.
        right: ``(n,)`` whether the best class among the classes of the own kind is right.
        unseen: ``(n,)`` whether the row is of an unseen class.
        weight: ``(n,)`` of the row in the accuracy of the own kind.
    """
    gap, order = gap.sort()
    right, unseen, weight = right[order], unseen[order], weight[order]
    zero = gap.new_zeros(1)
    below = torch.cat([zero, (weight * right * unseen).cumsum(0)])  # the first rows are called unseen
    above = (weight * right * ~unseen).sum() - torch.cat([zero, (weight * right * ~unseen).cumsum(0)])
    u = below / (weight * unseen).sum().clamp_min(1e-12)
    s = above / (weight * ~unseen).sum().clamp_min(1e-12)
    harmonic = 2 * u * s / (u + s).clamp_min(1e-12)
    ends = torch.cat([gap[:1] - 1, (gap[:-1] + gap[1:]) / 2, gap[-1:] + 1])
    harmonic[1:-1] = harmonic[1:-1].where(gap[1:] > gap[:-1], -1)  # no constant lies between equal gaps
    i = int(harmonic.argmax())
    return float(ends[i]), float(s[i]), float(u[i])
