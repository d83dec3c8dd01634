"""Slow, obvious float64 values, written from the papers' equations with loops; they share no code with `losses`.

A quantity that carries no gradient by definition (a bandwidth, a weight) is computed from `frozen`, a copy of the
arguments: finite differences of the reference then give the gradient that the loss must have.
"""

import math


def domain_adversarial(s, t, frozen=None):
    sigma = lambda v: 1 / (1 + math.exp(-v))  # noqa: E731
    loss_s = sum(-math.log(sigma(v)) for v in s) / len(s)
    loss_t = sum(-math.log(1 - sigma(v)) for v in t) / len(t)
    return (loss_s + loss_t) / 2
