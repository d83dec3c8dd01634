"""Slow, obvious float64 values, written from the papers' equations with loops; they share no code with `losses`.

A quantity that carries no gradient by definition (a bandwidth, a weight) is computed from `frozen`, a copy of the
arguments: finite differences of the reference then give the gradient that the loss must have.
"""

import math

from tests.losses.arithmetic import shannon, softmax


def entropy(z, frozen=None):
    return sum(shannon(softmax(row)) for row in z) / len(z)


def information_maximization(z, frozen=None):
    p = [softmax(row) for row in z]
    mean = [sum(row[c] for row in p) / len(p) for c in range(len(p[0]))]
    return sum(shannon(row) for row in p) / len(p) - shannon(mean)


def minimum_class_confusion(z, *, temperature=2.5, frozen=None):
    n, classes = len(z), len(z[0])
    p = [softmax([v / temperature for v in row]) for row in z]
    still = [softmax([v / temperature for v in row]) for row in (frozen[0] if frozen else z)]
    raw = [1 + math.exp(-shannon(row)) for row in still]
    w = [n * v / sum(raw) for v in raw]
    C = [[sum(w[i] * p[i][a] * p[i][b] for i in range(n)) for b in range(classes)] for a in range(classes)]
    return sum(C[a][b] / sum(C[a]) for a in range(classes) for b in range(classes) if a != b) / classes
