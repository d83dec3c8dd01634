"""Slow, obvious float64 values, written from the papers' equations with loops; they share no code with `losses`.

A quantity that carries no gradient by definition (a teacher, a starting point) is computed from `frozen`, a copy of the
arguments: finite differences of the reference then give the gradient that the loss must have.
"""

import math

import numpy as np

from tests.losses.arithmetic import softmax


def weighted_mean(values, weights):
    weights = [1.0] * len(values) if weights is None else list(np.ravel(weights))
    return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)


def places(x):
    """One vector over dimension 1 for each row and place: (n, c, ...) as a list."""
    return list(np.moveaxis(np.asarray(x), 1, -1).reshape(-1, np.shape(x)[1]))


def length(v):
    return math.sqrt(sum(a * a for a in v))


def l2_sp(*arguments, importance=False, frozen=None):
    third = len(arguments) // (3 if importance else 2)
    w, start = arguments[:third], arguments[third : 2 * third]
    F = arguments[2 * third :] if importance else [np.ones_like(a) for a in w]
    return sum(
        0.5 * f * (a - b) ** 2
        for W, S, G in zip(w, start, F, strict=True)
        for a, b, f in zip(np.ravel(W), np.ravel(S), np.ravel(G), strict=True)
    )


def delta(features, start, a=None, weights=None, frozen=None):
    values = []
    for f, s in zip(places(features), places(start), strict=True):
        values.append(0.5 * sum((1 if a is None else a[c]) * (f[c] - s[c]) ** 2 for c in range(len(f))))
    return weighted_mean(values, weights)


def batch_spectral_shrinkage(x, *, count=1, frozen=None):
    singular_values = np.linalg.svd(x, compute_uv=False)
    return sum(s**2 for s in sorted(singular_values)[:count])


def co_tuning(z, labels, relationship, weights=None, frozen=None):
    values = []
    for row, y in zip(places(z), np.ravel(labels), strict=True):
        p = softmax(row)
        values.append(-sum(relationship[y][s] * math.log(p[s]) for s in range(len(p))))
    return weighted_mean(values, weights)


def distillation(student, teacher, weights=None, *, temperature=4.0, frozen=None):
    values = []
    for z, t in zip(places(student), places(teacher), strict=True):
        p, q = softmax([v / temperature for v in z]), softmax([v / temperature for v in t])
        values.append(temperature**2 * sum(b * math.log(b / a) for a, b in zip(p, q, strict=True)))
    return weighted_mean(values, weights)


def feature_distillation(student, teacher, weights=None, *, kind="mse", frozen=None):
    values = []
    for s, t in zip(places(student), places(teacher), strict=True):
        if kind == "mse":
            values.append(sum((a - b) ** 2 for a, b in zip(s, t, strict=True)) / len(s))
        else:
            values.append(1 - sum(a * b for a, b in zip(s, t, strict=True)) / (length(s) * length(t)))
    return weighted_mean(values, weights)


def attention_transfer(student, teacher, weights=None, frozen=None):
    def map_of(row):
        channels = np.reshape(row, (len(row), -1))
        Q = [sum(channel[p] ** 2 for channel in channels) for p in range(channels.shape[1])]
        return [v / length(Q) for v in Q]

    values = []
    for s, t in zip(student, teacher, strict=True):
        values.append(sum((a - b) ** 2 for a, b in zip(map_of(s), map_of(t), strict=True)))
    return weighted_mean(values, weights)


def relational_distillation(student, teacher, *, kind="distance", frozen=None):
    n = len(student)

    def huber(a, b):
        return 0.5 * (a - b) ** 2 if abs(a - b) <= 1 else abs(a - b) - 0.5

    def distances(x):
        found = {(i, j): length(x[i] - x[j]) for i in range(n) for j in range(n) if i != j}
        mean = sum(found.values()) / len(found)
        return [v / mean if mean else 0.0 for v in found.values()]

    def angles(x):
        found = []
        for i in range(n):
            for j in range(n):
                for k in range(n):
                    if len({i, j, k}) == 3:
                        a, b = x[i] - x[j], x[k] - x[j]
                        lengths = length(a) * length(b)
                        found.append(sum(p * q for p, q in zip(a, b, strict=True)) / lengths if lengths else 0.0)
        return found

    relations = distances if kind == "distance" else angles
    values = [huber(a, b) for a, b in zip(relations(student), relations(teacher), strict=True)]
    return sum(values) / len(values)


def hard_feature_norm(x, *, radius=25.0, frozen=None):
    return (sum(length(row) for row in x) / len(x) - radius) ** 2


def stepwise_feature_norm(x, weights=None, *, step=1.0, frozen=None):
    before = frozen[0] if frozen else x
    return weighted_mean([(length(a) - (length(b) + step)) ** 2 for a, b in zip(x, before, strict=True)], weights)
