"""Slow, obvious float64 values, written from the papers' equations with loops; they share no code with `losses`.

A quantity that carries no gradient by definition (a bandwidth, a weight) is computed from `frozen`, a copy of the
arguments: finite differences of the reference then give the gradient that the loss must have.
"""

import itertools
import math

import numpy as np

from tests.losses.arithmetic import softmax


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


def mean_squared_distance(x, y):
    rows = [*x, *y]
    return sum(sum((a - b) ** 2) for a in rows for b in rows) / len(rows) ** 2


def local_mmd(
    x,
    y,
    labels,
    logits,
    *,
    scales=(0.25, 0.5, 1, 2, 4),
    bandwidth=None,
    present="source",
    frozen=None,
):
    h = bandwidth or mean_squared_distance(*(frozen or [x, y])[:2])
    p = [softmax(z) for z in logits]
    chosen = [c for c in range(len(logits[0])) if c in labels]
    if present == "both":
        chosen = [c for c in chosen if any(max(q) == q[c] for q in p)]
    total = 0.0
    for c in chosen:
        signed = [(a, 1 / sum(k == c for k in labels)) for a, k in zip(x, labels, strict=True) if k == c]
        signed += [(b, -q[c] / sum(r[c] for r in p)) for b, q in zip(y, p, strict=True)]
        total += sum(u * v * kernel(a, b, "gaussian", scales, h) for a, u in signed for b, v in signed)
    return total / max(len(chosen), 1)


def contrastive_domain_discrepancy(
    x, y, labels, guessed, *, classes, scales=(0.25, 0.5, 1, 2, 4), bandwidth=None, frozen=None
):
    h = bandwidth or mean_squared_distance(*(frozen or [x, y])[:2])
    k = lambda A, B: sum(kernel(a, b, "gaussian", scales, h) for a in A for b in B) / (len(A) * len(B))  # noqa: E731
    here = [c for c in range(classes) if c in labels and c in guessed]
    S, T = {c: x[labels == c] for c in here}, {c: y[guessed == c] for c in here}
    D = lambda c, e: k(S[c], S[c]) + k(T[e], T[e]) - 2 * k(S[c], T[e])  # noqa: E731
    same = [D(c, c) for c in here]
    different = [D(c, e) for c in here for e in here if c != e]
    return sum(same) / max(len(same), 1) - sum(different) / max(len(different), 1)


def central_moment_discrepancy(x, y, *, moments=5, interval=(0, 1), frozen=None):
    n, m, d, width = len(x), len(y), len(x[0]), interval[1] - interval[0]
    mean_x = [math.fsum(a[f] for a in x) / n for f in range(d)]
    mean_y = [math.fsum(b[f] for b in y) / m for f in range(d)]
    total = math.dist(mean_x, mean_y) / width
    for k in range(2, moments + 1):
        c_x = [math.fsum((a[f] - mean_x[f]) ** k for a in x) / n for f in range(d)]
        c_y = [math.fsum((b[f] - mean_y[f]) ** k for b in y) / m for f in range(d)]
        total += math.dist(c_x, c_y) / width**k
    return total


def higher_order_moment_matching(x, y, *, order=3, centred=False, frozen=None):
    if centred:
        x, y = x - x.mean(0), y - y.mean(0)
    total = 0.0
    for entry in itertools.product(range(len(x[0])), repeat=order):  # each entry of the moment tensor
        moment_x = math.fsum(math.prod(a[f] for f in entry) for a in x) / len(x)
        moment_y = math.fsum(math.prod(b[f] for f in entry) for b in y) / len(y)
        total += (moment_x - moment_y) ** 2
    return total / len(x[0]) ** order


def batch_spectral_penalization(x, y, *, count=1, frozen=None):
    return sum(s**2 for z in (x, y) for s in np.linalg.svd(z, compute_uv=False)[:count])


def representation_subspace_distance(x, y, *, tradeoff=0.1, frozen=None):
    U, _, _ = np.linalg.svd(x.T, full_matrices=False)
    V, _, _ = np.linalg.svd(y.T, full_matrices=False)
    P, cosine, Qt = np.linalg.svd(U.T @ V, full_matrices=False)
    distance = sum(math.sqrt(max(1 - c * c, 0)) if c < 1 - 1e-14 else 0 for c in cosine)
    rows = max(len(P), Qt.shape[1])
    mismatch = 0.0
    for i in range(rows):
        for j in range(len(cosine)):
            p = abs(P[i, j]) if i < len(P) else 0
            q = abs(Qt[j, i]) if i < Qt.shape[1] else 0
            mismatch += (p - q) ** 2
    return distance + tradeoff * mismatch
