"""Which shift is it: none, other shares of the classes, other inputs, or other labels for the same inputs."""

from dataclasses import dataclass
from typing import Any

import numpy
import torch
from numpy import ndarray

from adapt.fewshot.pool import finite_rows
from adapt.transductive._label_shift import LabelShift
from adapt.transductive.calibrate import FLOOR
from adapt.transductive.rows import class_numbers, probability_rows
from adapt.transductive.shares import means_by_class
from adapt.transductive.two_samples import mmd_test
from losses.options import BETWEEN, COUNT, FROM_0, check, whole

KINDS = ("none", "label", "covariate", "concept")
LEAST = 10  # rows of a domain, and labelled rows of the target
MORE = 10  # principal components beyond the number of classes
PART = 0.8  # of the rows in a repeat


@dataclass(frozen=True)
class Shift:
    """The kind of shift between two domains.

    Attributes:
        kind: ``"none"``; ``"label"``, other shares of the classes; ``"covariate"``, other inputs; ``"concept"``, other
            labels for the same inputs.
        confidence: share of the repeats on 80 % of the rows that gave the same kind.
        p_inputs: of the test of equal features (MMD).
        p_shares: of the test of equal shares of the classes (:class:`LabelShift`).
        p_rest: of the test that label shift explains the features; None where the shares do not differ; 1 where the
            features are too few for a test.
        p_concept: of the test that the labels of the target are no more surprising than the labels of the source; None
            without labels of the target.
    """

    kind: str
    confidence: float
    p_inputs: float
    p_shares: float
    p_rest: float | None
    p_concept: float | None

    def __str__(self) -> str:
        told = [f"{name[2:]} {p:.2g}" for name, p in vars(self).items() if name.startswith("p_") and p is not None]
        blind = "" if self.p_concept is not None else "; concept shift cannot be seen without labels of the target"
        return f"{self.kind} shift (confidence {self.confidence:.0%}; p of {', '.join(told)}){blind}"


def which_shift(
    source: Any,
    target: Any,
    source_probabilities: Any,
    source_labels: Any,
    target_probabilities: Any,
    *,
    target_labels: Any = None,
    level: float = 0.02,
    rows: int = 300,
    permutations: int = 200,
    repeats: int = 10,
    seed: int = 0,
) -> Shift:
    r"""Return which kind of shift the rows of a target show, with the stability of the answer.

    Three questions, each with a test at the level :math:`\alpha / 3`:

    1. **Concept**, with some labels of the target: are the labels more surprising than the model says? The surprise of
       a row is :math:`-\log p(y \mid x) - H(p(\cdot \mid x))`, with mean 0 for a calibrated model. Welch's test
       compares the mean of the target with the mean of the source. Where the shares of the classes differ, p is
       corrected for the shares first. A second test weighs the source rows to the shares of the known labels of the
       target: under label shift the surprise of a class stays. Both tests must refuse.
    2. **Shares of the classes**: Hotelling's test of :class:`LabelShift`.
    3. **Inputs**: the permutation test of the MMD on the features.

    The kind is ``"concept"`` where the first test refuses. Where the shares differ, a fourth test asks whether label
    shift explains the features: the mean of the target must be a mixture of the means of the source's classes, for the
    first K + 10 principal components and their squares (generalised least squares, F test). The kind is ``"label"`` or
    ``"covariate"`` by the fourth test. Where the shares do not differ, the kind is ``"covariate"`` or ``"none"`` by
    the third test.

    Args:
        source: ``(n, d)`` features of source rows that the model was not trained on. Scale the columns before.
        target: ``(m, d)`` features.
        source_probabilities, target_probabilities: ``(n, K)`` and ``(m, K)`` of one model.
        source_labels: ``(n,)`` classes.
        target_labels: ``(m,)`` classes, -1 where missing; 50 to 100 labels of rows drawn at random serve. None: concept
            shift cannot be seen.
        level: :math:`\alpha`, the probability to name a shift where none is. With 500 target rows in a call, 0.02 is
            0.4 false alarms in 10,000 rows, and 0.05 is one.
        rows: the most rows of a domain in an MMD.
        permutations: of the MMD.
        repeats: subsamples of 80 % of the rows for the confidence.
        seed: of the drawn rows.

    Computed in float64 on the CPU, in about a second; the global random states stay untouched.

    Raises:
        ValueError: shapes, numbers that are not finite, rows that are no probabilities, fewer than 10 rows of a domain.

    Covariate shift that mostly changes the shares of the classes looks as label shift: half of the constructed ones
    (docs/drift.md). Related: :func:`adapt.report.discrepancy` says how far two domains lie apart and which methods fit.

    Gretton et al., A Kernel Two-Sample Test, 2012, https://jmlr.org/papers/v13/gretton12a.html; Rabanser, Günnemann,
    Lipton, Failing Loudly, 2019, https://arxiv.org/abs/1810.11953
    """
    check(BETWEEN, level=level)
    check(whole(LEAST), rows=rows)
    check(COUNT, permutations=permutations, repeats=repeats)
    check(FROM_0, seed=seed)
    x, t = (finite_rows(name, given, "d")[0].cpu().double() for name, given in (("source", source), ("target", target)))
    p = probability_rows("source_probabilities", source_probabilities)
    pt = probability_rows("target_probabilities", target_probabilities, p.shape[1])
    if x.shape[1] != t.shape[1] or (len(p), len(pt)) != (len(x), len(t)) or min(len(x), len(t)) < LEAST:
        raise ValueError(
            "`source` and `target` must have equal columns, at least 10 rows, and a row of probabilities for each row, "
            f"got features {tuple(x.shape)} and {tuple(t.shape)}, probabilities {p.shape} and {pt.shape}."
        )
    y = class_numbers("source_labels", source_labels, len(x), p.shape[1])
    given = numpy.full(len(t), -1) if target_labels is None else target_labels
    yt = class_numbers("target_labels", given, len(t), p.shape[1])
    draw = numpy.random.default_rng(int(seed))
    whole_source, whole_target = numpy.flatnonzero(y >= 0), numpy.arange(len(t))

    def tests(s: ndarray, u: ndarray) -> tuple[str, float, float, float | None, float | None]:
        shares = LabelShift(p[s], y[s], guard=False, level=level).estimate(pt[u])
        differ = shares.p < level / 3
        inputs = _mmd(x[s], t[u], rows, permutations, draw)
        rest = None
        if differ:
            counted = numpy.bincount(y[s], minlength=p.shape[1]).min() > 1
            rest = _rest(x[s].numpy(), y[s], t[u].numpy(), shares.estimate) if counted else 1.0
        known, concept = yt[u] >= 0, None
        if known.sum() >= LEAST:
            corrected = shares.correct(pt[u]) if differ else shares.calibrator(pt[u])
            concept = _concept(
                shares.calibrator(p[s]), y[s], shares.calibrator(pt[u])[known], corrected[known], yt[u][known]
            )
        if concept is not None and concept < level / 3:
            kind = "concept"
        elif rest is not None:
            kind = "label" if rest >= level / 3 else "covariate"
        else:
            kind = "covariate" if inputs < level / 3 else "none"
        return kind, inputs, shares.p, rest, concept

    kind, inputs, shares, rest, concept = tests(whole_source, whole_target)
    same = [
        tests(*(draw.permutation(part)[: int(PART * len(part))] for part in (whole_source, whole_target)))[0] == kind
        for _ in range(repeats)
    ]
    return Shift(kind, float(numpy.mean(same)), inputs, shares, rest, concept)


def _mmd(x: torch.Tensor, t: torch.Tensor, rows: int, permutations: int, draw: numpy.random.Generator) -> float:
    k = min(len(x), len(t), rows)
    first, second = (part[draw.permutation(len(part))[:k]] for part in (x, t))
    return mmd_test(first, second, permutations, draw)[1]


def _rest(x: ndarray, labels: ndarray, t: ndarray, q: ndarray) -> float:
    r"""Return p of the test that the target's means are a mixture of the means of the source's classes."""
    from scipy.special import fdtrc

    K = len(q)
    both = numpy.concatenate([x, t])
    both = both - both.mean(0)
    axes = numpy.linalg.svd(both, full_matrices=False)[2][: K + MORE]
    c = both @ axes.T
    c = c / numpy.where(c.std(0) > 1e-9 * (1e-300 + c.std()), c.std(0), 1)
    f = numpy.concatenate([c, c**2], 1)
    f, g = f[: len(x)], f[len(x) :]
    A = means_by_class(f, labels, K)
    counts = numpy.bincount(labels, minlength=K)
    left = (q[labels] / numpy.sqrt(counts * (counts - 1.0))[labels])[:, None] * (f - A[:, labels].T)
    V = numpy.cov(g, rowvar=False) / len(g) + left.T @ left
    values, vectors = numpy.linalg.eigh(V)
    kept = values > 1e-9 * values[-1]
    white = vectors[:, kept] / numpy.sqrt(values[kept])
    D, r = white.T @ (A[:, :-1] - A[:, -1:]), white.T @ (g.mean(0) - A[:, -1])
    best, _, rank, _ = numpy.linalg.lstsq(D, r, rcond=None)
    freedom, rows = int(kept.sum() - rank), min(len(x), len(t))
    if freedom < 1 or rows <= freedom:
        return 1.0
    return float(fdtrc(freedom, rows - freedom, ((r - D @ best) ** 2).sum() / freedom * (rows - freedom) / rows))


def _concept(p: ndarray, labels: ndarray, plain: ndarray, corrected: ndarray, known: ndarray) -> float:
    """Return the larger p of two tests: neither other inputs nor other shares may explain the surprise."""
    before = _surprise(p, labels)
    as_covariate = _larger(_surprise(corrected, known), before)
    counts, wanted = (numpy.bincount(part, minlength=p.shape[1]) for part in (labels, known))
    if (counts[wanted > 0] == 0).any():
        return as_covariate
    weights = numpy.divide(wanted, counts, out=numpy.zeros(len(counts)), where=counts > 0)[labels] * (
        len(labels) / len(known)
    )
    return max(as_covariate, _larger(_surprise(plain, known), before, weights))


def _surprise(p: ndarray, labels: ndarray) -> ndarray:
    log = numpy.log(p.clip(FLOOR))
    return -log[numpy.arange(len(labels)), labels] + (p * log).sum(1)


def _larger(a: ndarray, b: ndarray, weights: ndarray | None = None) -> float:
    """Return p of Welch's test that the mean of a is not larger than the weighted mean of b."""
    from scipy.special import stdtr

    w = numpy.ones(len(b)) if weights is None else weights
    mean = (w * b).mean()
    va, vb = a.var(ddof=1) / len(a), (w**2 * (b - mean) ** 2).sum() / (len(b) - 1) / len(b)
    if va + vb == 0:
        return float(a.mean() <= mean)
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    return float(stdtr(freedom, -(a.mean() - mean) / numpy.sqrt(va + vb)))
