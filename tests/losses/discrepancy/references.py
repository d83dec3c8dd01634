"""Slow, obvious float64 values, written from the papers' equations with loops; they share no code with `losses`.

A quantity that carries no gradient by definition (a bandwidth, a weight) is computed from `frozen`, a copy of the
arguments: finite differences of the reference then give the gradient that the loss must have.
"""

import math

import numpy as np


def squared(a, b):
    return sum((u - v) ** 2 for u, v in zip(a, b, strict=True))


def bandwidth_by(rule, x, y):
    rows = [*x, *y]
    if rule == "mean":
        return sum(squared(a, b) for a in rows for b in rows) / len(rows) ** 2
    if rule == "median":
        found = sorted(squared(a, b) for i, a in enumerate(rows) for b in rows[:i])
    elif rule == "source median":
        found = sorted(squared(a, b) for a in x for b in x)
    else:
        return rule
    return found[(len(found) - 1) // 2]


def kernel(a, b, name, scales, h):
    if name == "linear":
        return sum(u * v for u, v in zip(a, b, strict=True))
    if name == "energy":
        return -math.sqrt(squared(a, b))
    if name == "laplacian":
        return sum(math.exp(-math.sqrt(squared(a, b)) / (c * math.sqrt(h))) for c in scales) / len(scales)
    return sum(math.exp(-squared(a, b) / (c * h)) for c in scales) / len(scales)


def mean_embedding_distance(k, n, m, estimator):
    """From functions k("xx", i, j), k("yy", i, j), k("xy", i, j)."""
    if estimator == "biased":
        xx = sum(k("xx", i, j) for i in range(n) for j in range(n)) / n**2
        yy = sum(k("yy", i, j) for i in range(m) for j in range(m)) / m**2
    elif estimator == "unbiased":
        xx = sum(k("xx", i, j) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
        yy = sum(k("yy", i, j) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    else:
        xx = sum(k("xx", 2 * i, 2 * i + 1) for i in range(n // 2)) / (n // 2)
        yy = sum(k("yy", 2 * i, 2 * i + 1) for i in range(m // 2)) / (m // 2)
        pairs = min(n // 2, m // 2)
        return xx + yy - sum(k("xy", 2 * i, 2 * i + 1) + k("xy", 2 * i + 1, 2 * i) for i in range(pairs)) / pairs
    return xx + yy - 2 * sum(k("xy", i, j) for i in range(n) for j in range(m)) / (n * m)


def mmd(x, y, *, kernel="gaussian", scales=(0.25, 0.5, 1, 2, 4), bandwidth="mean", estimator="unbiased", frozen=None):
    h = bandwidth_by(bandwidth, *(frozen or (x, y)))
    clouds = {"x": x, "y": y}
    k = lambda which, i, j: KERNEL(clouds[which[0]][i], clouds[which[1]][j], kernel, scales, h)  # noqa: E731
    return mean_embedding_distance(k, len(x), len(y), estimator)


KERNEL = kernel


def joint_mmd(
    x1, x2, y1, y2, *, scales=((0.25, 0.5, 1, 2, 4),) * 2, bandwidths=("mean",) * 2, estimator="unbiased", frozen=None
):
    f1, f2, g1, g2 = frozen or (x1, x2, y1, y2)
    hs = [bandwidth_by(bandwidths[0], f1, g1), bandwidth_by(bandwidths[1], f2, g2)]
    clouds = {"x": (x1, x2), "y": (y1, y2)}

    def k(which, i, j):
        left, right = clouds[which[0]], clouds[which[1]]
        return math.prod(
            KERNEL(left[layer][i], right[layer][j], "gaussian", scales[layer], hs[layer]) for layer in (0, 1)
        )

    return mean_embedding_distance(k, len(x1), len(y1), estimator)


def coral(x, y, *, scaling="deep_coral", frozen=None):
    n, m, d = len(x), len(y), len(x[0])
    Cx, Cy = np.cov(x, rowvar=False).reshape(d, d), np.cov(y, rowvar=False).reshape(d, d)
    if scaling == "adatime":
        Cx, Cy = (n - 1) * Cx, (m - 1) * Cy
    between = sum((Cx[i, j] - Cy[i, j]) ** 2 for i in range(d) for j in range(d))
    if scaling == "deep_coral":
        return between / (4 * d**2)
    if scaling == "adatime":
        return between / (4 * d**4)
    means = sum((np.mean(x[:, i]) - np.mean(y[:, i])) ** 2 for i in range(d)) / d
    return between / d**2 + means
