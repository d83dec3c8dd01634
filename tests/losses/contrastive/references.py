"""Slow, obvious float64 values, written from the papers' equations with loops; they share no code with `losses`.

A quantity that carries no gradient by definition (a target, an assignment) is computed from `frozen`, a copy of the
arguments: finite differences of the reference then give the gradient that the loss must have.
"""

import cmath
import math

import numpy as np

from tests.losses.arithmetic import softmax


def dot(a, b):
    return sum(u * v for u, v in zip(a, b, strict=True))


def cos(a, b):
    return dot(a, b) / (math.sqrt(dot(a, a)) * math.sqrt(dot(b, b)))


def squared_distance(a, b):
    return sum((u - v) ** 2 for u, v in zip(a, b, strict=True))


def distance(a, b):
    return math.sqrt(squared_distance(a, b))


def unit(a):
    return [v / math.sqrt(dot(a, a)) for v in a]


def cross_entropy(logits, right):
    return -math.log(softmax(logits)[right])


def info_nce(q, k, bank=(), *, temperature=0.07, symmetric=False, similarity=cos, frozen=None):
    n = len(q)
    rows = [[similarity(q[i], other) / temperature for other in [*k, *bank]] for i in range(n)]
    found = sum(cross_entropy(rows[i], i) for i in range(n)) / n
    if not symmetric:
        return found
    columns = [[similarity(q[i], k[j]) / temperature for i in range(n)] for j in range(n)]
    return (found + sum(cross_entropy(columns[j], j) for j in range(n)) / n) / 2


def nt_xent(first, second, *, temperature=0.5, frozen=None):
    n, z = len(first), [*first, *second]
    total = 0.0
    for i in range(2 * n):
        own = math.exp(cos(z[i], z[(i + n) % (2 * n)]) / temperature)
        total -= math.log(own / sum(math.exp(cos(z[i], z[j]) / temperature) for j in range(2 * n) if j != i))
    return total / (2 * n)


def supervised_contrastive(x, y, *, temperature=0.1, frozen=None):
    n, rows = len(x), []
    for i in range(n):
        others = [j for j in range(n) if j != i]
        positives = [j for j in others if y[j] == y[i]]
        if positives:
            denominator = sum(math.exp(cos(x[i], x[a]) / temperature) for a in others)
            logs = [math.log(math.exp(cos(x[i], x[p]) / temperature) / denominator) for p in positives]
            rows.append(-sum(logs) / len(positives))
    return sum(rows) / len(rows) if rows else 0.0


def neighbourhood_components(x, y, *, temperature=1.0, frozen=None):
    n, rows = len(x), []
    for i in range(n):
        near = {j: math.exp(-squared_distance(x[i], x[j]) / temperature) for j in range(n) if j != i}
        right = [near[j] for j in near if y[j] == y[i]]
        if right:
            rows.append(-math.log(sum(right) / sum(near.values())))
    return sum(rows) / len(rows) if rows else 0.0


def triplet(x, y, *, margin=0.2, mining="all", squared=False, average="active", frozen=None):
    n = len(x)
    D = [[(squared_distance if squared else distance)(a, b) for b in x] for a in x]
    mined = []
    for a in range(n):
        positives = [D[a][p] for p in range(n) if p != a and y[p] == y[a]]
        negatives = [D[a][q] for q in range(n) if y[q] != y[a]]
        if mining == "hard":
            if positives and negatives:
                mined.append((max(positives), min(negatives)))
        else:
            pairs = [(p, q) for p in positives for q in negatives]
            mined += [(p, q) for p, q in pairs if mining == "all" or p < q < p + margin]
    values = [math.log(1 + math.exp(p - q)) if margin is None else max(0.0, p - q + margin) for p, q in mined]
    if average == "active" and margin is not None:
        values = [v for v in values if v > 0]
    return sum(values) / len(values) if values else 0.0


def semantic_alignment(x, y, a, b, *, margin=1.0, frozen=None):
    total = 0.0
    for i in range(len(x)):
        for j in range(len(y)):
            d = distance(x[i], y[j])
            total += 0.5 * d**2 if a[i] == b[j] else 0.5 * max(0.0, margin - d) ** 2
    return total / (len(x) * len(y))


def vicreg(x, y, *, invariance=25.0, variance=25.0, covariance=1.0, epsilon=1e-4, frozen=None):
    n, d = x.shape
    s = sum(squared_distance(x[i], y[i]) for i in range(n)) / (n * d)
    v = c = 0.0
    for z in (x, y):
        C = np.cov(z, rowvar=False)
        v += sum(max(0.0, 1 - math.sqrt(C[k, k] + epsilon)) for k in range(d)) / d / 2
        c += sum(C[k, m] ** 2 for k in range(d) for m in range(d) if k != m) / d
    return invariance * s + variance * v + covariance * c


def barlow_twins(x, y, *, redundancy=0.0051, epsilon=1e-5, frozen=None):
    n, d = x.shape
    mean = lambda values: sum(values) / n  # noqa: E731
    total = 0.0
    for k in range(d):
        for m in range(d):
            a, b = x[:, k], y[:, m]
            covariance = mean([(a[i] - mean(a)) * (b[i] - mean(b)) for i in range(n)])
            spread = [mean([(v - mean(z)) ** 2 for v in z]) + epsilon for z in (a, b)]
            C = covariance / math.sqrt(spread[0]) / math.sqrt(spread[1])
            total += (1 - C) ** 2 if k == m else redundancy * C**2
    return total


def sigreg(x, *, directions, knots=17, reach=3.0, frozen=None):
    """The integral from -reach to reach on all places, negative places too, with complex exponentials."""
    n, places = len(x), np.linspace(-reach, reach, 2 * knots - 1)
    total = 0.0
    for direction in directions:
        heights = []
        for t in places:
            found = sum(cmath.exp(1j * t * dot(direction, row)) for row in x) / n
            heights.append(abs(found - math.exp(-t * t / 2)) ** 2 * math.exp(-t * t / 2))
        total += n * sum((a + b) / 2 * (places[1] - places[0]) for a, b in zip(heights, heights[1:], strict=False))
    return total / len(directions)


def weighted_mean(values, w):
    w = [1.0] * len(values) if w is None else w
    return sum(a * v for a, v in zip(w, values, strict=True)) / sum(w)


def byol(q, z, w=None, *, frozen=None):
    return weighted_mean([squared_distance(unit(a), unit(b)) for a, b in zip(q, z, strict=True)], w)


def sinkhorn(scores, *, temperature=0.05, iterations=3):
    """The alternation of SwAV's appendix, on the joint distribution of rows and prototypes."""
    n, K = len(scores), len(scores[0])
    Q = np.exp((np.asarray(scores) - np.max(scores)) / temperature)
    Q /= Q.sum()
    for _ in range(iterations):
        for k in range(K):
            Q[:, k] /= sum(Q[:, k]) * K
        for i in range(n):
            Q[i] /= sum(Q[i]) * n
    return Q * n


def swapped_prediction(
    first, second, *, temperature=0.1, assignment_temperature=0.05, iterations=3, global_batch=True, frozen=None
):
    still = frozen if frozen else (first, second)
    q1, q2 = (sinkhorn(s, temperature=assignment_temperature, iterations=iterations) for s in still[:2])
    total = 0.0
    for i in range(len(first)):
        p1, p2 = (softmax([v / temperature for v in s[i]]) for s in (first, second))
        total -= sum(q2[i][k] * math.log(p1[k]) + q1[i][k] * math.log(p2[k]) for k in range(len(p1)))
    return total / len(first) / 2


def self_distillation(s, t, c, w=None, *, student_temperature=0.1, teacher_temperature=0.04, frozen=None):
    values = []
    for i in range(len(s)):
        q = softmax([(a - b) / teacher_temperature for a, b in zip(t[i], c, strict=True)])
        p = softmax([v / student_temperature for v in s[i]])
        values.append(-sum(a * math.log(b) for a, b in zip(q, p, strict=True) if a > 0))
    return weighted_mean(values, w)


def alignment(x, y, w=None, *, power=2.0, frozen=None):
    return weighted_mean([distance(unit(a), unit(b)) ** power for a, b in zip(x, y, strict=True)], w)


def uniformity(x, *, scale=2.0, frozen=None):
    z, n = [unit(row) for row in x], len(x)
    kernels = [math.exp(-scale * squared_distance(z[i], z[j])) for i in range(n) for j in range(i + 1, n)]
    return math.log(sum(kernels) / len(kernels))
