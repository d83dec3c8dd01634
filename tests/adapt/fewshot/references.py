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
    episodes = zip(S.numpy(), y.tolist(), Q.numpy(), strict=True)
    return torch.stack([torch.from_numpy(reference(*episode, **plain)) for episode in episodes])


def centroids(S, y):
    return numpy.array([numpy.mean([x for x, label in zip(S, y, strict=True) if label == k], 0) for k in classes(y)])


def slow_bd_cspn(S, y, Q, sharpness=10.0, temperature=0.1, shift=True):
    K = classes(y)
    if shift and len(Q) > 1:
        Q = Q + S.mean(0) - Q.mean(0)
    c = centroids(S, y)
    pseudo = [int(numpy.argmax([unit(q) @ unit(v) for v in c])) for q in Q]
    rectified = []
    for k, v in enumerate(c):
        members = [x for x, label in zip(S, y, strict=True) if K.index(label) == k]
        members += [q for q, guess in zip(Q, pseudo, strict=True) if guess == k]
        weight = numpy.exp([sharpness * unit(x) @ unit(v) for x in members])
        rectified.append((weight[:, None] * members).sum(0) / weight.sum())
    return numpy.array([log_softmax(numpy.array([unit(q) @ unit(v) for v in rectified]) / temperature) for q in Q])


def slow_pt_map(S, y, Q, prior, power=0.5, unit_length=True, sharpness=10.0, steps=10, rate=0.2):
    """Sinkhorn's scaling in the space of probabilities, 5,000 times."""
    if power is not None:
        S, Q = ((numpy.maximum(x, 0) + 1e-6) ** power for x in (S, Q))
    if unit_length:
        S, Q = (numpy.array([unit(x) for x in rows]) for rows in (S, Q))
    K = classes(y)
    prior = numpy.full(len(K), 1 / len(K)) if isinstance(prior, str) else numpy.asarray(prior) / sum(prior)
    c, Y = centroids(S, y), numpy.array([[float(label == k) for k in K] for label in y])

    def assigned():
        cost = numpy.array([[((q - v) ** 2).sum() for v in c] for q in Q])
        P = numpy.exp(-sharpness * (cost - cost.min()))
        for _ in range(5000):
            P *= len(Q) * prior / P.sum(0)
            P /= P.sum(1, keepdims=True)
        return P

    for _ in range(steps):
        P = assigned()
        new = (Y.T @ S + P.T @ Q) / (Y.sum(0) + P.sum(0))[:, None]
        c = c + rate * (new - c)
    return numpy.log(assigned())


def slow_alpha_tim(S, y, Q, alpha=2.0, steps=50, rate=1e-3, temperature=15.0, metric="squared_euclidean",
                   marginal=1.0, conditional=1.0):  # fmt: skip
    """One episode by autograd and `torch.optim.Adam`, the entropies row by row."""
    K = classes(y)
    if metric == "squared_euclidean":
        S, Q = (numpy.array([unit(x) for x in rows]) for rows in (S, Q))
    W = torch.tensor(centroids(S, y), requires_grad=True)
    S, Q = torch.tensor(S), torch.tensor(Q)

    def log_p(x):
        if metric == "cosine":
            cosines = torch.stack([torch.cosine_similarity(x, w[None]) for w in W], 1)
            return (temperature * cosines).log_softmax(1)
        return torch.stack([-temperature / 2 * ((x - w) ** 2).sum(1) for w in W], 1).log_softmax(1)

    def entropy(p):
        return -(p * p.log()).sum() if alpha == 1 else (1 - (p**alpha).sum()) / (alpha - 1)

    optimizer = torch.optim.Adam([W], lr=rate)
    for _ in range(steps):
        p = log_p(Q).exp()
        fits = -torch.stack([row[K.index(label)] for row, label in zip(log_p(S), y, strict=True)]).mean()
        unsure = torch.stack([entropy(row) for row in p]).mean()
        optimizer.zero_grad()
        (fits - marginal * entropy(p.mean(0)) + conditional * unsure).backward()
        optimizer.step()
    return log_p(Q).detach().numpy()


def slow_label_propagation(S, y, Q, neighbours=5, share=0.8):
    x, K = numpy.array([unit(v) for v in [*S, *Q]]), classes(y)
    n, k = len(x), min(neighbours, len(x) - 1)
    D = numpy.array([[((a - b) ** 2).sum() for b in x] for a in x])
    near = [sorted(set(range(n)) - {i}, key=lambda j, i=i: D[i, j])[:k] for i in range(n)]
    scale = numpy.mean([D[i, j] for i in range(n) for j in near[i]])
    W = numpy.zeros((n, n))
    for i in range(n):
        for j in near[i]:
            W[i, j] = W[j, i] = numpy.exp(-D[i, j] / scale)
    d = W.sum(1)
    flow = numpy.array([[W[i, j] / numpy.sqrt(d[i] * d[j]) for j in range(n)] for i in range(n)])
    Y = numpy.zeros((n, len(K)))
    for i, label in enumerate(y):
        Y[i, K.index(label)] = 1 / list(y).count(label)
    F = Y.copy()
    for _ in range(3000):
        F = share * flow @ F + (1 - share) * Y
    F = F[len(S) :] + 1e-12
    return numpy.log(F / F.sum(1, keepdims=True))


def slow_laplacian_shot(S, y, Q, neighbours=3, smoothing=0.3, steps=20):
    m = S.mean(0)
    S, Q = (numpy.array([unit(x - m) for x in rows]) for rows in (S, Q))
    c = centroids(S, y)
    a = numpy.array([[((q - v) ** 2).sum() for v in c] for q in Q])
    k = min(neighbours, len(Q) - 1)
    D = numpy.array([[((p - q) ** 2).sum() for q in Q] for p in Q])
    near = [sorted(set(range(len(Q))) - {i}, key=lambda j, i=i: D[i, j])[:k] for i in range(len(Q))]
    z = numpy.array([numpy.exp(log_softmax(-row)) for row in a])
    for _ in range(steps):
        pulled = [smoothing * sum((z[j] for j in near[i]), numpy.zeros(len(c))) for i in range(len(Q))]
        z = numpy.array([numpy.exp(log_softmax(pull - row)) for pull, row in zip(pulled, a, strict=True)])
    return numpy.log(z)
