"""Slow, obvious float64 values, written from the papers' equations with loops; they share no code with `losses`.

A quantity that carries no gradient by definition (a bandwidth, a weight) is computed from `frozen`, a copy of the
arguments: finite differences of the reference then give the gradient that the loss must have.
"""

import math

import numpy as np

from tests.losses.arithmetic import shannon, softmax


def sigmoid(v):
    return 1 / (1 + math.exp(-v))


def weighted(values, w=None):
    w = [1.0] * len(values) if w is None else w
    return sum(a * b for a, b in zip(w, values, strict=True)) / sum(w)


def binary(probability, label):
    return -label * math.log(probability) - (1 - label) * math.log(1 - probability)


def domain_adversarial(s, t, u=None, v=None, frozen=None, smoothing=0.0):
    loss_s = [binary(sigmoid(z), 1 - smoothing / 2) for z in s]
    loss_t = [binary(sigmoid(z), smoothing / 2) for z in t]
    return (weighted(loss_s, u) + weighted(loss_t, v)) / 2


def domain_least_squares(s, t, u=None, v=None, frozen=None, smoothing=0.0):
    loss_s = [0.5 * (z - (1 - smoothing / 2)) ** 2 for z in s]
    loss_t = [0.5 * (z - smoothing / 2) ** 2 for z in t]
    return (weighted(loss_s, u) + weighted(loss_t, v)) / 2


def multi_domain_adversarial(logits, domains, w=None, frozen=None, smoothing=0.0):
    K, w = len(logits[0]), np.ones(len(logits)) if w is None else w
    of_domain = []
    for k in range(K):
        rows = [i for i in range(len(logits)) if domains[i] == k]
        if sum(w[i] for i in rows) == 0:
            continue
        losses = []
        for i in rows:
            q = softmax(logits[i])
            wanted = [smoothing / K + (1 - smoothing) * (c == k) for c in range(K)]
            losses.append(-sum(y * math.log(p) for y, p in zip(wanted, q, strict=True)))
        of_domain.append(weighted(losses, [w[i] for i in rows]))
    return sum(of_domain) / len(of_domain) if of_domain else 0.0


def domain_confusion(logits, w=None, frozen=None):
    rows = [softmax(z) for z in logits] if logits.ndim == 2 else [(sigmoid(z), sigmoid(-z)) for z in logits]
    return weighted([-sum(math.log(q) / len(row) for q in row) for row in rows], w)


def inverted_domain(t, w=None, frozen=None):
    return weighted([-math.log(sigmoid(z)) for z in t], w)


def inverted_least_squares(t, w=None, frozen=None):
    return weighted([(z - 1) ** 2 / 2 for z in t], w)


def conditional(f_s, z_s, f_t, z_t, discriminator, frozen=None, matrices=None, detach=True):
    """A linear discriminator on features and class probabilities."""

    def scores(features, logits):
        out = []
        for f, z in zip(features, logits, strict=True):
            p = softmax(z)
            if matrices is None:
                joint = [p[c] * f[k] for c in range(len(p)) for k in range(len(f))]
            else:
                R_f, R_g = matrices
                D = R_f.shape[1]
                first = [sum(R_f[k, j] * f[k] for k in range(len(f))) for j in range(D)]
                second = [sum(R_g[c, j] * p[c] for c in range(len(p))) for j in range(D)]
                joint = [a * b / math.sqrt(D) for a, b in zip(first, second, strict=True)]
            out.append(sum(a * b for a, b in zip(joint, discriminator, strict=True)))
        return out

    if detach and frozen is not None:
        z_s, z_t = frozen[1], frozen[3]
    return domain_adversarial(scores(f_s, z_s), scores(f_t, z_t))


def entropy_weighted(s, z_s, t, z_t, frozen=None, detach=True):
    if detach and frozen is not None:
        z_s, z_t = frozen[1], frozen[3]
    u, v = ([1 + math.exp(-shannon(softmax(z))) for z in logits] for logits in (z_s, z_t))
    return domain_adversarial(s[:, 0], t[:, 0], u, v)


def places(logits):
    """(n, classes, ...) as a list of rows of classes, and the order of the places."""
    return np.moveaxis(logits, 1, -1).reshape(-1, logits.shape[1])


def margin_disparity(f_s, a_s, f_t, a_t, u=None, v=None, frozen=None, margin=4.0):
    source, target = [], []
    for f, a in zip(places(f_s), places(a_s), strict=True):
        source.append(-math.log(softmax(a)[int(np.argmax(f))]))
    for f, a in zip(places(f_t), places(a_t), strict=True):
        target.append(-math.log(1 - softmax(a)[int(np.argmax(f))]))
    u, v = (None if w is None else w.reshape(-1) for w in (u, v))
    return margin * weighted(source, u) + weighted(target, v)


def regression_disparity(f_s, a_s, f_t, a_t, u=None, v=None, frozen=None, margin=1.0):
    f_s, f_t = (f_s, f_t) if frozen is None else (frozen[0], frozen[2])

    def gap(a, f):
        rows = zip(a, f, strict=True)
        return [sum(abs(p - q) for p, q in zip(x, y, strict=True)) / len(x) for x, y in rows]

    return margin * weighted(gap(a_s, f_s), u) - weighted(gap(a_t, f_t), v)


def classifier_discrepancy(first, second, w=None, frozen=None):
    rows = []
    for z, y in zip(places(first), places(second), strict=True):
        rows.append(sum(abs(p - q) for p, q in zip(softmax(z), softmax(y), strict=True)) / len(z))
    return weighted(rows, None if w is None else w.reshape(-1))


def symmetric_kl(first, second, w=None, frozen=None):
    def divergence(p, q):
        return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))

    rows = []
    for z, y in zip(places(first), places(second), strict=True):
        p, q = softmax(z), softmax(y)
        rows.append((divergence(p, q) + divergence(q, p)) / 2)
    return weighted(rows, None if w is None else w.reshape(-1))


def sliced_wasserstein_discrepancy(first, second, directions, frozen=None):
    P, Q = [softmax(z) for z in first], [softmax(z) for z in second]
    total = 0.0
    for theta in directions:
        a = sorted(sum(x * y for x, y in zip(p, theta, strict=True)) for p in P)
        b = sorted(sum(x * y for x, y in zip(q, theta, strict=True)) for q in Q)
        total += sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / len(a)
    return total / len(directions)


def wasserstein_critic(s, t, u=None, v=None, frozen=None):
    return weighted(s, u) - weighted(t, v)


def gradient_penalty(source, target, mix, W, v, frozen=None, ends=False):
    """The critic is sum_j v_j tanh(x . W_j); its gradient is written out."""
    N, points = max(len(source), len(target)), []
    for i in range(N):
        x, y = source[i % len(source)], target[i % len(target)]
        points.append([mix[i] * a + (1 - mix[i]) * b for a, b in zip(x, y, strict=True)])
    if ends:
        points += [list(x) for x in source] + [list(y) for y in target]
    total = 0.0
    for x in points:
        slopes = [v[j] * (1 - math.tanh(sum(x[k] * W[k, j] for k in range(len(x)))) ** 2) for j in range(len(v))]
        gradient = [sum(slopes[j] * W[k, j] for j in range(len(v))) for k in range(len(x))]
        total += (math.sqrt(sum(g * g for g in gradient)) - 1) ** 2
    return total / len(points)
