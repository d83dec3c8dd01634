"""Prototypes: the means of the support rows, and how near the queries are."""

from typing import Literal

import torch
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_features, check_labels, full_precision, one_hot
from losses.fine_tuning.norm import unit
from losses.options import COUNT, POSITIVE, check
from losses.reduce import mean


def prototypical(
    queries: Tensor,
    query_labels: Tensor,
    support: Tensor,
    support_labels: Tensor,
    *,
    classes: int,
    distance: Literal["squared_euclidean", "cosine"] = "squared_euclidean",
    temperature: float | Tensor = 1.0,
    weights: Tensor | None = None,
    global_batch: bool = True,
) -> Tensor:
    r"""Cross-entropy of queries that are classified by their distance from the classes' prototypes.

    .. math:: -\frac1n \sum_i \log \frac{\exp(-d(q_i, c_{y_i}) / T)}{\sum_k \exp(-d(q_i, c_k) / T)}, \qquad
        c_k = \frac1{|S_k|} \sum_{x \in S_k} x

    Args:
        queries: ``(n, d)`` features :math:`q`.
        query_labels: ``(n,)`` classes :math:`y`.
        support: ``(m, d)`` features :math:`x`.
        support_labels: ``(m,)`` classes. :math:`S_k` are the rows of class k; the numbers of rows may differ.
        classes: how many classes the labels can name.
        distance: ``"squared_euclidean"``, or ``"cosine"``: :math:`d = -\cos(q, c_k)`.
        temperature: :math:`T`; a tensor may be trained. 1 as in the paper, for squared distances. With cosines it
            leaves the predictions almost undecided: start from 0.1 (Gidaris and Komodakis train 1 / T from 10).
        weights: ``(n,)`` of the queries, not negative; booleans are a mask.
        global_batch: gather the support rows of all ranks first. Turn it off where each rank has episodes of its own,
            or the same support as the others.

    Returns:
        A scalar. A mean over the queries, which stay on their rank; with `global_batch` every query sees the support
        rows of all ranks. float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit, labels that are not whole numbers, an unknown distance, a temperature that
            is not positive.

    A class without a support row is never predicted, and its queries are left out of the mean. A label outside
    0 ... classes - 1, such as -1, marks a padding row, in the support or among the queries. A zero vector has
    cosine 0 with everything.

    easyfsl takes the distance where the paper takes its square. Matching with one support row a class and cosines is
    ``distance="cosine"``, as in matching networks without full context embeddings.

    Related: :func:`losses.ridge` fits a linear classifier to the support instead; :func:`losses.prototypes`.

    Snell et al., Prototypical Networks for Few-shot Learning, 2017, https://arxiv.org/abs/1703.05175;
    Gidaris and Komodakis, Dynamic Few-Shot Visual Learning without Forgetting, 2018,
    https://arxiv.org/abs/1804.09458; Chen et al., A Closer Look at Few-shot Classification, 2019,
    https://arxiv.org/abs/1904.04232

    >>> x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([0, 1])
    >>> prototypical(torch.tensor([[1.0]]), y[:1], x, y, classes=2)
    tensor(0.6931)
    """
    check_episode(queries, query_labels, support, support_labels)
    check(COUNT, classes=classes)
    if not isinstance(temperature, Tensor):
        check(POSITIVE, temperature=temperature)
    q, x = at_least_float32(queries), at_least_float32(support)
    if global_batch:
        x, support_labels = gather(x), gather(support_labels)
    q = without_padding(q, query_labels, classes, weights)
    x = without_padding(x, support_labels, classes)
    if distance == "squared_euclidean":
        # around the middle of the support, which changes no distance, sums round less
        centre = (x.sum(0) / one_hot(support_labels, classes, x).sum().clamp_min(1)).detach()
        c, count = prototypes(x - centre, support_labels, classes=classes)
        with full_precision(q):  # |q|^2 is the same for all classes: the softmax drops it
            logits = (2 * (q - centre) @ c.T - c.square().sum(1)) / temperature
    elif distance == "cosine":
        c, count = prototypes(x, support_labels, classes=classes)
        with full_precision(q):
            logits = unit(q) @ unit(c).T / temperature
    else:
        raise ValueError(f'`distance` must be "squared_euclidean" or "cosine", got {distance!r}.')
    return cross_entropy_of_present(logits, query_labels, count, weights)


def prototypes(support: Tensor, support_labels: Tensor, *, classes: int) -> tuple[Tensor, Tensor]:
    r"""Mean of the support rows of each class, and how many there are.

    .. math:: c_k = \frac1{|S_k|} \sum_{x \in S_k} x

    Args:
        support: ``(m, d)`` features.
        support_labels: ``(m,)`` classes; a label outside 0 ... classes - 1 belongs to none.
        classes: how many.

    Returns:
        ``(classes, d)`` means and ``(classes,)`` counts. A class without rows has the mean 0 and the count 0: leave
        it out by its count. float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit, or labels that are not whole numbers.

    Snell et al., Prototypical Networks for Few-shot Learning, 2017, https://arxiv.org/abs/1703.05175

    >>> prototypes(torch.tensor([[1.0], [3.0]]), torch.tensor([0, 0]), classes=2)
    (tensor([[2.],
            [0.]]), tensor([2., 0.]))
    """
    check_features("support", support)
    check_labels(support_labels, support.shape[:1])
    check(COUNT, classes=classes)
    x = without_padding(at_least_float32(support), support_labels, classes)
    Y = one_hot(support_labels, classes, x)
    count = Y.sum(0)
    with full_precision(x):
        return Y.T @ x / count.clamp_min(1)[:, None], count


def without_padding(x: Tensor, labels: Tensor, classes: int, weights: Tensor | None = None) -> Tensor:
    """`x` with 0 in the rows whose label is no class, or whose weight is 0: what stands there is never looked at."""
    out = (labels < 0) | (labels >= classes)
    if weights is not None:
        if weights.shape != labels.shape:
            raise ValueError(
                f"`weights` must hold one number for each row, shape {tuple(labels.shape)}, got {tuple(weights.shape)}."
            )
        out = out | (weights == 0)
    return x.masked_fill(out[:, None], 0)


def check_episode(queries: Tensor, query_labels: Tensor, support: Tensor, support_labels: Tensor) -> None:
    """Raise unless queries and support are features of one size with a label for each row."""
    check_features("queries", queries)
    check_features("support", support)
    check_labels(query_labels, queries.shape[:1])
    check_labels(support_labels, support.shape[:1])
    if queries.shape[1] != support.shape[1]:
        raise ValueError(
            f"`queries` and `support` must have the same feature size, got {queries.shape[1]} and {support.shape[1]}."
        )


def cross_entropy_of_present(logits: Tensor, labels: Tensor, count: Tensor, weights: Tensor | None) -> Tensor:
    """Mean cross-entropy over the classes with support rows; queries of other classes are left out."""
    present = count > 0
    # not -inf: with no class present at all, softmax would be NaN
    log_p = logits.masked_fill(~present, torch.finfo(logits.dtype).min).log_softmax(1)
    hit = (one_hot(labels, count.shape[0], logits) > 0) & present
    known = hit.any(1).to(logits.dtype)
    return mean(-torch.where(hit, log_p, 0).sum(1), known if weights is None else known * weights)
