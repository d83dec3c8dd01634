"""A ridge regression fitted to the support, differentiated through (R2-D2)."""

import torch
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_features, check_labels, full_precision, one_hot
from losses.episodic._prototypical import check_episode, cross_entropy_of_present, without_padding
from losses.options import COUNT, POSITIVE, check


def ridge(
    queries: Tensor,
    query_labels: Tensor,
    support: Tensor,
    support_labels: Tensor,
    *,
    classes: int,
    penalty: float | Tensor = 1.0,
    scale: float | Tensor = 1.0,
    weights: Tensor | None = None,
    global_batch: bool = True,
) -> Tensor:
    r"""Cross-entropy of queries under a ridge regression that is fitted to the support in closed form.

    .. math:: -\frac1n \sum_i \log \mathrm{softmax}(\alpha\, W^\top q_i)_{y_i}, \qquad
        W = \arg\min_W \lVert X W - Y \rVert^2 + \lambda \lVert W \rVert^2

    with X the support rows and Y their labels as rows of 0 and 1. The gradient goes through the solution.

    Args:
        queries: ``(n, d)`` features :math:`q`.
        query_labels: ``(n,)`` classes :math:`y`.
        support: ``(m, d)`` features.
        support_labels: ``(m,)`` classes.
        classes: how many classes the labels can name.
        penalty: :math:`\lambda`; a tensor may be trained. The authors' code takes 50 m, with m the
            support rows, and does not train it. Below the rounding of X'X the system is singular.
        scale: :math:`\alpha`; a tensor may be trained, as the paper does. Predictions lie around 0 ... 1, so 1 leaves
            the softmax almost undecided.
        weights: ``(n,)`` of the queries, not negative; booleans are a mask.
        global_batch: gather the support rows of all ranks first. Turn it off where each rank has episodes of its own,
            or the same support as the others.

    Returns:
        A scalar. A mean over the queries, which stay on their rank; with `global_batch` every query sees the support
        rows of all ranks. float32 inside, whatever comes in, and float64 where the regression is solved.

    Raises:
        ValueError: shapes that do not fit, labels that are not whole numbers, a penalty that is not positive.

    A class without a support row is never predicted, and its queries are left out of the mean. A label outside
    0 ... classes - 1, such as -1, marks a padding row, in the support or among the queries.

    The paper's added bias, one number for all classes, changes no softmax and is left out. An intercept for each
    class is a column of ones in `queries` and `support`, penalised like the rest: so does the authors' code. That
    code also divides X and Y by the square root of m: its penalty is this one divided by m.

    Related: :func:`losses.prototypical`; :func:`losses.ridge_weights`.

    Bertinetto et al., Meta-learning with Differentiable Closed-form Solvers, 2019, https://arxiv.org/abs/1805.08136

    >>> x, y = torch.eye(2), torch.tensor([0, 1])
    >>> ridge(x, y, x, y, classes=2, scale=2.0)  # log(1 + 1 / e)
    tensor(0.3133)
    """
    check_episode(queries, query_labels, support, support_labels)
    check(COUNT, classes=classes)
    if not isinstance(scale, Tensor):
        check(POSITIVE, scale=scale)
    q, x = at_least_float32(queries), at_least_float32(support)
    if global_batch:
        x, support_labels = gather(x), gather(support_labels)
    q = without_padding(q, query_labels, classes, weights)
    W = ridge_weights(x, support_labels, classes=classes, penalty=penalty)
    with full_precision(q):
        logits = scale * (q @ W)
    return cross_entropy_of_present(logits, query_labels, one_hot(support_labels, classes, q).sum(0), weights)


def ridge_weights(support: Tensor, support_labels: Tensor, *, classes: int, penalty: float | Tensor = 1.0) -> Tensor:
    r"""Ridge regression of labels on features, without intercept, in closed form.

    .. math:: W = (X^\top X + \lambda I)^{-1} X^\top Y = X^\top (X X^\top + \lambda I)^{-1} Y

    Args:
        support: ``(m, d)`` features X.
        support_labels: ``(m,)`` classes; Y holds them as rows of 0 and 1. A row whose label is outside
            0 ... classes - 1 is left out.
        classes: how many.
        penalty: :math:`\lambda`, of the sum over rows.

    Returns:
        ``(d, classes)`` weights: ``queries @ W`` are the predictions. The smaller of the two systems is solved, d x d
        or m x m, by Cholesky in float64 (it holds the squares of X beside the penalty); rounded to the precision of
        the support, float32 at least.

    Raises:
        ValueError: shapes that do not fit, labels that are not whole numbers, a penalty that is not positive.

    Equal to ``sklearn.linear_model.Ridge(alpha=penalty, fit_intercept=False)`` on Y.

    Bertinetto et al., Meta-learning with Differentiable Closed-form Solvers, 2019, https://arxiv.org/abs/1805.08136

    >>> ridge_weights(torch.tensor([[1.0], [2.0]]), torch.tensor([0, 1]), classes=2)
    tensor([[0.1667, 0.3333]])
    """
    check_features("support", support)
    check_labels(support_labels, support.shape[:1])
    check(COUNT, classes=classes)
    if not isinstance(penalty, Tensor):
        check(POSITIVE, penalty=penalty)
    X = without_padding(support.double(), support_labels, classes)  # such a row would pull towards 0
    Y = one_hot(support_labels, classes, X)
    m, d = X.shape
    I = torch.eye(min(m, d), dtype=X.dtype, device=X.device)  # noqa: E741
    with full_precision(X):
        if m < d:
            W = X.T @ solve(X @ X.T + penalty * I, Y)
        else:
            W = solve(X.T @ X + penalty * I, X.T @ Y)
    return W.to(at_least_float32(support).dtype)


def solve(A: Tensor, B: Tensor) -> Tensor:
    """Solution of A x = B for a positive definite A."""
    L = torch.linalg.cholesky_ex(A).L  # cholesky() would wait for the device to look for an error
    return torch.cholesky_solve(B, L)
