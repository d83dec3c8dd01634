"""Slow references of the scores, written from the papers."""

import math

import numpy
import torch
from scipy.optimize import minimize
from scipy.stats import spearmanr
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.metrics import mutual_info_score
from sklearn.mixture import GaussianMixture

from tests.adapt.ranking.rows import entropy


def slow_knn(F, y, k):
    F = F.numpy()
    hits = []
    for i, f in enumerate(F):
        cosines = [(-(f @ g) / numpy.linalg.norm(f) / numpy.linalg.norm(g), j) for j, g in enumerate(F) if j != i]
        nearest = [int(y[j]) for _, j in sorted(cosines)[:k]]
        votes = {c: nearest.count(c) for c in nearest}
        winner = next(c for c in nearest if votes[c] == max(votes.values()))  # the nearest of those that tie
        hits.append(float(winner == y[i]))
    return numpy.mean(hits)


def slow_ridge(F, Y, y=None):
    """Refit without each row."""
    F, Y = F.numpy(), Y.numpy()
    n = len(F)
    eigenvalues = numpy.linalg.svd(F - F.mean(0), compute_uv=False) ** 2
    level = eigenvalues[eigenvalues > 1e-10 * eigenvalues[0]].mean()
    others = [[j for j in range(n) if j != i] for i in range(n)]
    plain = numpy.array([Y[i] - Y[o].mean(0) for i, o in enumerate(others)])
    scale = 1 if y is not None else numpy.sqrt((plain**2).mean(0))
    best = None
    for power in range(-6, 4):
        guesses = []
        for i, o in enumerate(others):
            X, T = F[o] - F[o].mean(0), Y[o] - Y[o].mean(0)
            dual = numpy.linalg.solve(X @ X.T + level * 10.0**power * numpy.eye(n - 1), T)
            guesses.append((F[i] - F[o].mean(0)) @ X.T @ dual + Y[o].mean(0))
        guesses = numpy.array(guesses)
        loss = (((Y - guesses) / scale) ** 2).mean()
        if best is None or loss < best[0]:
            best = loss, guesses
    if y is None:
        return 1 - best[0]
    means = numpy.array([Y[o].mean(0) for o in others])
    return ((best[1] - means + Y.mean(0)).argmax(1) == y.numpy()).mean()


def slow_evidence(F, t, noise=0.0):
    """max over alpha and beta of log N(t; 0, I / beta + F F' / alpha) / n: a grid, then Nelder and Mead."""
    F, t = numpy.asarray(F, dtype=numpy.float64), numpy.asarray(t, dtype=numpy.float64)
    n = len(F)
    K = F @ F.T
    weight, variance = numpy.trace(K) / n, (t**2).mean()

    def loss(x):
        prior, error = numpy.exp(x[0]) / weight, max(numpy.exp(x[1]), noise) * variance
        sign, log_det = numpy.linalg.slogdet(prior * K + error * numpy.eye(n))
        if sign <= 0:
            return numpy.inf
        return (
            0.5
            * (n * math.log(2 * math.pi) + log_det + t @ numpy.linalg.solve(prior * K + error * numpy.eye(n), t))
            / n
        )

    start = min(((a, b) for a in range(-14, 8, 3) for b in range(-14, 2, 3)), key=loss)
    found = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10, "maxiter": 400})
    return -min(found.fun, loss(start))


def slow_logme(F, y, noise=0.0):
    return numpy.mean([slow_evidence(F, (y == c).double(), noise) for c in y.unique()])


def slow_h_score(F, y):
    F = F.numpy()
    cov = LedoitWolf().fit(F)
    G = numpy.stack([F[(y == c).numpy()].mean(0) for c in y])
    between = numpy.cov(G, rowvar=False, bias=True)
    return (1 - cov.shrinkage_) * numpy.trace(numpy.linalg.pinv(cov.covariance_) @ between)


def slow_leep(p, y):
    p, y = p.tolist(), y.tolist()
    total = 0.0
    for row, c in zip(p, y, strict=True):
        likelihood = 0.0
        for z, share in enumerate(row):
            mass = sum(other[z] for other in p)
            if mass > 0:
                likelihood += share * sum(other[z] for other, d in zip(p, y, strict=True) if d == c) / mass
        total += math.log(likelihood)
    return total / len(p)


def slow_nce(p, y):
    return mutual_info_score(y, p.argmax(1)) - entropy(y)


def slow_n_leep(F, y, per_class):
    x = PCA(0.8, svd_solver="full").fit_transform((F - F.mean(0)).numpy())
    mixture = GaussianMixture(
        per_class * len(y.unique()), covariance_type="diag", reg_covar=1e-6 * x.var(0).mean(), random_state=0
    )
    return slow_leep(mixture.fit(x).predict_proba(x), y)


def slow_transrate(F, y):
    F = F - F.mean(0)
    F = F * (len(F) / F.square().sum()).sqrt()

    def rate(part):
        return 0.5 * torch.linalg.slogdet(torch.eye(F.shape[1]).double() + part.T @ part / (1e-4 * len(part)))[1].item()

    return rate(F) - sum((y == c).double().mean().item() * rate(F[y == c]) for c in y.unique())


def slow_gbc(F, y):
    x = PCA(min(64, *F.shape), svd_solver="full").fit_transform(F.numpy())
    total = 0.0
    for a in y.unique():
        for b in y.unique():
            if a == b:
                continue
            p, q = x[(y == a).numpy()], x[(y == b).numpy()]
            u, v = p.var(0), q.var(0)
            middle = (u + v) / 2
            distance = ((p.mean(0) - q.mean(0)) ** 2 / middle).sum() / 8
            distance += 0.5 * numpy.log(middle.prod() / math.sqrt(u.prod() * v.prod()))
            total += math.exp(-distance)
    return -math.log(total)


def slow_parc(F, y):
    F = ((F - F.mean(0)) / F.std(0, correction=0)).numpy()
    one_hot = numpy.eye(int(y.max()) + 1)[y.numpy()]
    upper = numpy.triu_indices(len(F), 1)
    return 100 * spearmanr((1 - numpy.corrcoef(F))[upper], (1 - numpy.corrcoef(one_hot))[upper].round(9)).statistic
