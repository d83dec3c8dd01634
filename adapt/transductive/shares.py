"""Shares of the classes in rows without labels: BBSE, RLLS and EM, with the spread of each estimate."""

import numpy
from numpy import ndarray

EVALUATIONS = 1000  # of the EM map, at most; most estimates need 20 to 60
TOLERANCE = 1e-10  # sum of the absolute changes of the shares in one round of EM
ALPHA, DELTA = 0.01, 0.05  # of RLLS, as in the authors' code


def means_by_class(rows: ndarray, labels: ndarray, classes: int) -> ndarray:
    r"""Return the ``(d, classes)`` mean row of each class, :math:`A_{\cdot k} = \overline{f(x)}_{y = k}`."""
    return rows.T @ (numpy.eye(classes)[labels] / numpy.bincount(labels, minlength=classes))


def bbse(A: ndarray, mean: ndarray) -> ndarray:
    r"""Solve :math:`A q = \bar f(x^t)` for the shares q. Entries below 0 become 0, and the sum becomes 1."""
    q = numpy.linalg.solve(A, mean).clip(0)
    return q / q.sum()


def rlls(A: ndarray, mean: ndarray, source: ndarray, n: int) -> ndarray:
    r"""Return the shares by regularised weights :math:`w = 1 + \theta`.

    .. math:: \theta = \arg\min_\theta \lVert C \theta - b \rVert_2 + \rho \lVert \theta \rVert_2, \qquad
        C = A \, \mathrm{diag}(p), \quad b = \bar f(x^t) - C 1

    Where the penalty leaves the exact solution, the minimiser is that solution; else a ridge regression with the
    penalty :math:`\lambda = \rho \lVert C\theta - b \rVert / \lVert \theta \rVert`.

    Args:
        source: p, the shares of the source.
        n: number of labelled rows of the source.
    """
    K = len(source)
    log = numpy.log(2 * K / DELTA)
    rho = ALPHA * 3 * (2 * log / (3 * n) + numpy.sqrt(2 * log / n))
    C = A * source
    u, s, vt = numpy.linalg.svd(C)
    b = u.T @ (mean - C.sum(1))

    def theta(penalty: float) -> ndarray:
        return s * b / (s**2 + penalty)

    low, high = -40.0, 10.0  # of the logarithm of the penalty: the excess below grows with the penalty
    for _ in range(60):
        middle = (low + high) / 2
        t = theta(numpy.exp(middle))
        excess = numpy.exp(middle) * numpy.linalg.norm(t) - rho * numpy.linalg.norm(s * t - b)
        low, high = (middle, high) if excess < 0 else (low, middle)
    q = (source * (1 + vt.T @ theta(numpy.exp(low)))).clip(0)
    return q / q.sum()


def em(probabilities: ndarray, source: ndarray) -> ndarray:
    r"""Return the shares of largest likelihood, by EM in steps of SQUAREM.

    .. math:: q_k \leftarrow \frac1m \sum_i \frac{q_k \, p(k \mid x_i) / p_k}{\sum_j q_j \, p(j \mid x_i) / p_j}

    SQUAREM (Varadhan, Roland, 2008) takes two rounds, extrapolates, and takes a third round. The fixed point is the
    same as without the extrapolation.
    """
    ratio = probabilities / source

    def update(q: ndarray) -> ndarray:
        return q * (ratio.T @ (1 / (ratio @ q))) / len(ratio)

    q = source
    for _ in range(EVALUATIONS // 3):
        first = update(q)
        second = update(first)
        r, v = first - q, second - 2 * first + q
        if numpy.abs(r).sum() < TOLERANCE:
            return first
        length = numpy.linalg.norm(v)
        step = max(1.0, float(numpy.linalg.norm(r) / length)) if length > 0 else 1.0
        far = q + 2 * step * r + step**2 * v
        q = update(second if far.min() < 0 else far)
    return q


def spread(source: ndarray, labels: ndarray, target: ndarray, q: ndarray) -> ndarray:
    r"""Return the covariance of the shares that solve :math:`A q = \bar f(x^t)` (delta method).

    .. math:: A^{-1} \Bigl(\frac{\Sigma_t}{m} + \sum_k q_k^2 \frac{\Sigma_k}{n_k}\Bigr) A^{-\top}

    The covariance holds for EM too: EM solves the same equation for :math:`f_k(x) = \frac{p(k \mid x) / p_k}{\sum_j q_j
    p(j \mid x) / p_j}`.

    Args:
        source: ``(n, K)`` values f of the labelled source rows.
        labels: ``(n,)``; each class has at least two rows.
        target: ``(m, K)`` values f of the target rows.
        q: the shares.

    Raises:
        numpy.linalg.LinAlgError: the values do not tell the classes apart.
    """
    A = means_by_class(source, labels, len(q))
    counts = numpy.bincount(labels, minlength=len(q))
    weights = q[labels] / numpy.sqrt(counts * (counts - 1.0))[labels]
    left = weights[:, None] * (source - A[:, labels].T)
    noise = numpy.cov(target, rowvar=False) / len(target) + left.T @ left
    inverse = numpy.linalg.inv(A)
    return inverse @ noise @ inverse.T
