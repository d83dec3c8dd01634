"""Slow, obvious float64 values, written from the papers' equations with loops; they share no code with `losses`.

Arguments are arrays; logits may be ``(n, classes)`` or ``(n, classes, places)``.
"""

import math

import numpy as np

from tests.losses.arithmetic import softmax


def rows_of(z, *others):
    """Places one after the other: a vector of logits and what each of the others holds there."""
    for i in range(len(z)):
        if z.ndim == 2:
            yield (z[i], *(None if o is None else o[i] for o in others))
        else:
            for at in np.ndindex(z.shape[2:]):
                here = [
                    None if o is None else (o[(i, slice(None), *at)] if o.ndim == z.ndim else o[(i, *at)])
                    for o in others
                ]
                yield (z[(i, slice(None), *at)], *here)


def weighted_cross_entropy(z, y, w=None, a=None, *, smoothing=0.0, frozen=None):
    above = below = 0.0
    for row, label, weight in rows_of(z, y, w):
        classes = len(row)
        weight = 1.0 if weight is None else weight
        p = softmax(row)
        truth = [float(c == label) for c in range(classes)] if np.ndim(label) == 0 else label
        for c in range(classes):
            importance = 1.0 if a is None else a[c]
            q = truth[c] - smoothing * truth[c] + smoothing / classes
            above -= weight * importance * q * math.log(p[c])
            below += weight * importance * truth[c]
    return above / below


def logit_adjusted_cross_entropy(z, y, counts, w=None, *, strength=1.0, frozen=None):
    above = below = 0.0
    for row, label, weight in rows_of(z, y, w):
        weight = 1.0 if weight is None else weight
        shares = [n / sum(counts) for n in counts]
        parts = [math.exp(v) * share**strength for v, share in zip(row, shares, strict=True)]
        above -= weight * math.log(parts[label] / sum(parts))
        below += weight
    return above / below


def focal(z, y, w=None, a=None, *, focus=2.0, frozen=None):
    above = below = 0.0
    for row, label, weight in rows_of(z, y, w):
        weight = 1.0 if weight is None else weight
        p = softmax(row)[label]
        above -= weight * (1.0 if a is None else a[label]) * (1 - p) ** focus * math.log(p)
        below += weight
    return above / below


def binary_focal(z, y, w=None, *, focus=2.0, balance=0.25, frozen=None):
    above = below = 0.0
    for at in np.ndindex(z.shape):
        weight = 1.0 if w is None else w[at]
        p = 1 / (1 + math.exp(-z[at]))
        p_t = p if y[at] else 1 - p
        alpha_t = 1.0 if balance is None else balance if y[at] else 1 - balance
        above -= weight * alpha_t * (1 - p_t) ** focus * math.log(p_t)
        below += weight
    return above / below


def mixup_cross_entropy(z, y, other, mixing, w=None, *, frozen=None):
    if np.ndim(mixing) == 0:
        mixing = np.full(len(z), mixing)
    above = below = 0.0
    shares = np.broadcast_to(mixing.reshape(-1, *[1] * (y.ndim - 1)), y.shape)
    for row, one, two, share, weight in rows_of(z, y, other, shares, w):
        weight = 1.0 if weight is None else weight
        p = softmax(row)
        label = [share * (c == one) + (1 - share) * (c == two) for c in range(len(row))]
        above -= weight * sum(q * math.log(v) for q, v in zip(label, p, strict=True))
        below += weight
    return above / below
