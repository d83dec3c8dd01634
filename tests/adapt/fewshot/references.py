"""Slow references of the few-shot methods, in float64: one episode, loops over classes and rows, from the papers.

Each takes lists of rows and returns ``(q, classes)`` log-probabilities, the classes in sorted order.
"""

import numpy
import torch
from scipy.optimize import minimize


def log_softmax(z):
    return z - z.max() - numpy.log(numpy.exp(z - z.max()).sum())


def unit(f):
    return f / numpy.linalg.norm(f)


def classes(y):
    return sorted({int(c) for c in y})


def slow_centroid(S, y, Q, metric="squared_euclidean", temperature=1.0):
    out = []
    for q in Q:
        scores = []
        for k in classes(y):
            c = sum(x for x, label in zip(S, y, strict=True) if label == k) / sum(label == k for label in y)
            scores.append(unit(q) @ unit(c) if metric == "cosine" else -((q - c) ** 2).sum())
        out.append(log_softmax(numpy.array(scores) / temperature))
    return numpy.array(out)


def slow_cl2n(S, y, Q, centre=None, temperature=0.1):
    m = S.mean(0) if centre is None else centre
    S, Q = (numpy.array([unit(f - m) for f in rows]) for rows in (S, Q))
    return slow_centroid(S, y, Q, temperature=temperature)


def slow_ridge(S, y, Q, penalty=1.0, scale=10.0):
    """The bias is a column of ones with penalty 0."""
    S, Q = (numpy.array([[*unit(f), 1.0] for f in rows]) for rows in (S, Q))
    Y = numpy.array([[float(label == k) for k in classes(y)] for label in y])
    pull = penalty * numpy.eye(S.shape[1])
    pull[-1, -1] = 0
    W = numpy.linalg.solve(S.T @ S + pull, S.T @ Y)
    return numpy.array([log_softmax(scale * (q @ W)) for q in Q])


def slow_logistic(S, y, Q, penalty=1.0):
    S, Q = (numpy.array([unit(f) for f in rows]) for rows in (S, Q))
    K = classes(y)

    def loss(flat):
        W = flat.reshape(len(K), -1)
        total = 0.5 * penalty * (W[:, :-1] ** 2).sum()
        for x, label in zip(S, y, strict=True):
            total -= log_softmax(W[:, :-1] @ x + W[:, -1])[K.index(label)]
        return total

    W = minimised(loss, numpy.zeros(len(K) * (S.shape[1] + 1))).reshape(len(K), -1)
    return numpy.array([log_softmax(W[:, :-1] @ q + W[:, -1]) for q in Q])


def minimised(loss, start):
    return minimize(loss, start, method="BFGS", options={"gtol": 1e-7, "maxiter": 5000}).x


def slow_lda(S, y, Q, shrinkage=0.5, covariance=None):
    K, d = classes(y), S.shape[1]
    c = {k: numpy.mean([x for x, label in zip(S, y, strict=True) if label == k], 0) for k in K}
    within = sum(numpy.outer(x - c[k], x - c[k]) for x, k in zip(S, y, strict=True)) / len(S)
    within = within if covariance is None else covariance
    level = numpy.trace(within) / d
    if level == 0:  # one row in every class
        level = ((S - S.mean(0)) ** 2).mean()
    inverse = numpy.linalg.inv((1 - shrinkage) * within + shrinkage * level * numpy.eye(d))
    return numpy.array([log_softmax(numpy.array([-0.5 * (q - c[k]) @ inverse @ (q - c[k]) for k in K])) for q in Q])


def slow_text_probe(S, y, Q, vectors, scale=100.0, pull=1.0, weighting="clap"):
    S, Q, t = (numpy.array([unit(f) for f in rows]) for rows in (S, Q, vectors))
    weight = numpy.ones(len(t))
    for k in classes(y) if weighting == "clap" else ():
        right = [numpy.exp(log_softmax(scale * t @ x)[k]) for x, label in zip(S, y, strict=True) if label == k]
        weight[k] = max(numpy.mean(right), 1 / len(t))

    def loss(flat):  # of v = scale (w - t)
        v = flat.reshape(t.shape)
        total = 0.5 * pull * (weight[:, None] * v**2).sum()
        for x, label in zip(S, y, strict=True):
            total -= log_softmax((scale * t + v) @ x)[label]
        return total

    v = minimised(loss, numpy.zeros(t.size)).reshape(t.shape)
    return numpy.array([log_softmax((scale * t + v) @ q) for q in Q])


def in_loop(reference, S, y, Q, **options):
    """A reference on each episode in turn."""
    plain = {k: v.double().numpy() if isinstance(v, torch.Tensor) else v for k, v in options.items()}
    return torch.stack(
        [
            torch.from_numpy(reference(s, l, q, **plain))
            for s, l, q in zip(S.numpy(), y.tolist(), Q.numpy(), strict=True)
        ]
    )
