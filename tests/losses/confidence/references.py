"""Slow, obvious float64 values, written from the papers' equations with loops; they share no code with `losses`.

A quantity that carries no gradient by definition (a bandwidth, a weight) is computed from `frozen`, a copy of the
arguments: finite differences of the reference then give the gradient that the loss must have.
"""

import math

import numpy as np

from tests.losses.arithmetic import shannon, softmax


def places(*tensors):
    """``(n, classes, ...)`` as a list of distributions, ``(n, ...)`` as a list of numbers, in the same order."""
    out = []
    for t in map(np.asarray, tensors):
        at = [(i, *rest) for i in range(t.shape[0]) for rest in np.ndindex(t.shape[2:])]
        out.append([[t[i, c, *rest] for c in range(t.shape[1])] for i, *rest in at])
    return out


def weighted(values, weights=None):
    w = [1.0] * len(values) if weights is None else list(np.asarray(weights).reshape(-1))
    return sum(a * v for a, v in zip(w, values, strict=True)) / sum(w)


def entropy(z, weights=None, frozen=None):
    (rows,) = places(z)
    return weighted([shannon(softmax(row)) for row in rows], weights)


def mean_prediction(z):
    p = [softmax(row) for row in z]
    return [sum(row[c] for row in p) / len(p) for c in range(len(p[0]))]


def diversity(z, frozen=None):
    return sum(v * math.log(v) for v in mean_prediction(z))


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


def predictions(z):
    return np.array([softmax(row) for row in z])


def batch_nuclear_norm(z, frozen=None):
    return -float(np.linalg.svd(predictions(z), compute_uv=False).sum()) / len(z)


def batch_frobenius_norm(z, frozen=None):
    return -math.sqrt(sum(v * v for row in z for v in softmax(row))) / len(z)


def fast_batch_nuclear_norm(z, frozen=None):
    p = predictions(z)
    lengths = sorted((math.sqrt(sum(v * v for v in column)) for column in p.T), reverse=True)
    return -sum(lengths[: min(p.shape)]) / len(z)


def consistency(z, teacher, weights=None, *, kind="mse", temperature=1.0, held=True, frozen=None):
    if held and frozen:
        teacher = frozen[1]
    values = []
    for a, b in zip(*places(z, teacher), strict=True):
        p, q = (softmax([v / temperature for v in row]) for row in (a, b))
        if kind == "mse":
            values.append(sum((u - v) ** 2 for u, v in zip(p, q, strict=True)) / len(p))
        else:
            values.append(sum(v * math.log(v / u) for u, v in zip(p, q, strict=True)))
    return weighted(values, weights)


def pseudo_label(z, target, weights=None, *, threshold=0.0, temperature=None, frozen=None):
    values = []
    for row, other in zip(*places(z, frozen[1] if frozen else target), strict=True):
        p, q = softmax(row), softmax(other)
        best = max(range(len(q)), key=q.__getitem__)
        least = threshold if np.ndim(threshold) == 0 else threshold[best]
        label = [float(c == best) for c in range(len(q))]
        if temperature is not None:
            sharp = [v ** (1 / temperature) for v in q]
            label = [v / sum(sharp) for v in sharp]
        values.append(-sum(v * math.log(u) for u, v in zip(p, label, strict=True)) if q[best] >= least else 0.0)
    return weighted(values, weights)


def self_training(z, weights=None, *, frozen=None, **options):
    return pseudo_label(z, z, weights, frozen=frozen and [None, frozen[0]], **options)


def fixmatch(strong, weak, weights=None, *, threshold=0.95, temperature=None, frozen=None):
    return pseudo_label(strong, weak, weights, threshold=threshold, temperature=temperature)


def flexmatch_thresholds(selected, classes, threshold):
    learnt = [sum(1 for s in selected if s == c) for c in range(classes)]
    beta = [v / max(max(learnt), len(selected) - sum(learnt)) for v in learnt]
    return [threshold * b / (2 - b) for b in beta]


def cosine(a, b):
    dot = sum(u * v for u, v in zip(a, b, strict=True))
    return dot / math.sqrt(sum(u * u for u in a) * sum(v * v for v in b))


def neighbourhood_aggregation(x, z, bank, q, index=None, weights=None, *, neighbours=5, frozen=None):
    values, confidences = [], []
    for i in range(len(z)):
        others = [j for j in range(len(bank)) if (index is None or j != index[i]) and sum(q[j]) > 0]
        nearest = sorted(others, key=lambda j: -cosine(x[i], bank[j]))[:neighbours]
        mean = [sum(q[j][c] for j in nearest) / len(nearest) for c in range(len(q[0]))]
        best = max(range(len(mean)), key=mean.__getitem__)
        values.append(-math.log(softmax(z[i])[best]))
        confidences.append(mean[best] * (1 if weights is None else weights[i]))
    return weighted(values, confidences)


def sharpened(z, *, temperature, balanced):
    powers = [[v ** (1 / temperature) for v in softmax(row)] for row in z]
    total = [sum(row[c] for row in powers) for c in range(len(powers[0]))]
    return [[v / (total[c] if balanced else sum(row)) for c, v in enumerate(row)] for row in powers]


def virtual_adversarial(x, V, W, direction, weights=None, *, radius, xi, iterations, frozen=None):
    """For the model tanh(x V) W, whose Jacobian is written out."""

    def model(x, V, W):
        return [
            sum(math.tanh(sum(x[k] * V[k][h] for k in range(len(x)))) * W[h][c] for h in range(len(W)))
            for c in range(len(W[0]))
        ]

    values = []
    for i in range(len(x)):
        y, A, B = (frozen[0][i], frozen[1], frozen[2]) if frozen else (x[i], V, W)
        D, H, C = range(len(y)), range(len(B)), range(len(B[0]))
        p, d = softmax(model(y, A, B)), list(direction[i])
        for _ in range(iterations):
            length = math.sqrt(sum(v * v for v in d))
            near = [y[k] + xi * d[k] / length for k in D]
            q = softmax(model(near, A, B))
            slope = [1 - math.tanh(sum(near[k] * A[k][h] for k in D)) ** 2 for h in H]
            # d KL(p || q) / d logits = q - p
            d = [sum((q[c] - p[c]) * A[k][h] * slope[h] * B[h][c] for h in H for c in C) for k in D]
        length = math.sqrt(sum(v * v for v in d))
        q = softmax(model([x[i][k] + radius * d[k] / length for k in D], V, W))
        values.append(sum(p[c] * math.log(p[c] / q[c]) for c in C))
    return weighted(values, weights)
