"""Slow, obvious float64 values, written from the papers' equations with loops; they share no code with `losses`."""

import math

import numpy as np


def cross_entropy(scores, labels, weights):
    """Weighted mean over the rows whose class has a score; `scores` are dictionaries of classes."""
    total = weight = 0.0
    for k, (row, y) in enumerate(zip(scores, labels, strict=True)):
        if y in row:
            w = 1.0 if weights is None else weights[k]
            high = max(row.values())
            total += w * (high + math.log(sum(math.exp(v - high) for v in row.values())) - row[y])
            weight += w
    return total / weight if weight else 0.0


def prototypical(
    queries,
    labels,
    support,
    support_labels,
    weights=None,
    *,
    distance="squared_euclidean",
    temperature=1.0,
    frozen=None,
):
    present = sorted(set(support_labels.tolist()))
    members = {k: [x for x, y in zip(support, support_labels, strict=True) if y == k] for k in present}
    c = {k: [sum(x[d] for x in rows) / len(rows) for d in range(len(rows[0]))] for k, rows in members.items()}

    def score(q, p):
        if distance == "squared_euclidean":
            return -sum((a - b) ** 2 for a, b in zip(q, p, strict=True)) / temperature
        lengths = math.sqrt(sum(a * a for a in q) * sum(b * b for b in p))
        return sum(a * b for a, b in zip(q, p, strict=True)) / lengths / temperature

    return cross_entropy([{k: score(q, c[k]) for k in present} for q in queries], labels, weights)


def ridge(queries, labels, support, support_labels, weights=None, *, classes=4, penalty=1.0, scale=1.0, frozen=None):
    # the minimum of ||XW - Y||² + penalty ||W||² as ordinary least squares with d more rows
    d = support.shape[1]
    X = np.concatenate([support, math.sqrt(penalty) * np.eye(d)])
    present = sorted(set(support_labels.tolist()))
    W = {}
    for k in present:
        y = np.concatenate([(support_labels == k).astype(float), np.zeros(d)])
        W[k] = np.linalg.lstsq(X, y, rcond=None)[0]
    return cross_entropy([{k: scale * float(q @ W[k]) for k in present} for q in queries], labels, weights)
