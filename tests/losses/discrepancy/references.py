"""Slow, obvious float64 values, written from the papers' equations with loops; they share no code with `losses`.

A quantity that carries no gradient by definition (a bandwidth, a weight) is computed from `frozen`, a copy of the
arguments: finite differences of the reference then give the gradient that the loss must have.
"""

import math

import numpy as np


def kernel(x, y, scales, h):
    squared = sum((a - b) ** 2 for a, b in zip(x, y, strict=True))
    return sum(math.exp(-squared / (c * h)) for c in scales) / len(scales)


def mmd(x, y, *, scales=(0.25, 0.5, 1, 2, 4), bandwidth=None, estimator="unbiased", frozen=None):
    n, m = len(x), len(y)
    if bandwidth is None:
        rows = [*(frozen[0] if frozen else x), *(frozen[1] if frozen else y)]
        bandwidth = sum(sum((a - b) ** 2) for a in rows for b in rows) / len(rows) ** 2
    k = lambda a, b: kernel(a, b, scales, bandwidth)  # noqa: E731
    if estimator == "biased":
        xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n)) / n**2
        yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m)) / m**2
    else:
        xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
        yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return xx + yy - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


def coral(x, y, frozen=None):
    d = len(x[0])
    difference = np.cov(x, rowvar=False).reshape(d, d) - np.cov(y, rowvar=False).reshape(d, d)
    return sum(difference[i, j] ** 2 for i in range(d) for j in range(d)) / (4 * d**2)
