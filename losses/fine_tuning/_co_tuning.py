"""Keeping the pretrained head: co-tuning, and the relationship of the classes that it needs."""

import torch
from torch import Tensor

from losses.checks import at_least_float32, check_dense_logits, check_labels, check_logits, full_precision, one_hot
from losses.options import COUNT, POSITIVE, check, is_number
from losses.reduce import mean


def co_tuning(source_logits: Tensor, labels: Tensor, relationship: Tensor, *, weights: Tensor | None = None) -> Tensor:
    r"""Cross-entropy of the pretrained head against the source classes that go with each row's label.

    .. math:: -\frac1n \sum_i \sum_s p(s \mid y_i)\, \log \mathrm{softmax}(z_i)_s

    Args:
        source_logits: ``(n, source classes)`` or ``(n, source classes, ...)``, the pretrained head on the features
            being trained.
        labels: ``(n,)`` or ``(n, ...)`` target classes.
        relationship: ``(target classes, source classes)``, the rows :math:`p(\cdot \mid y)`; see
            :func:`losses.learn_relationship`.
        weights: like `labels`, not negative; booleans are a mask. A row of weight zero needs a valid label all the
            same.

    Returns:
        A scalar. Per rank: a mean over rows. float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit, or labels that are not whole numbers.

    The method adds this to the cross-entropy of the new head on the same features, with weight 2.3 in the
    authors' code. Logits must be finite.

    Related: :func:`losses.distillation` asks each row for the pretrained head's own first answer instead.

    You et al., Co-Tuning for Transfer Learning, 2020,
    https://papers.nips.cc/paper/2020/hash/c8067ad1937f728f51288b3eb986afaa-Abstract.html

    >>> co_tuning(torch.zeros(3, 4), torch.tensor([0, 1, 1]), torch.eye(2, 4))
    tensor(1.3863)
    """
    check_dense_logits("source_logits", source_logits)
    check_labels(labels, (source_logits.shape[0], *source_logits.shape[2:]))
    if relationship.ndim != 2 or relationship.shape[1] != source_logits.shape[1]:
        raise ValueError(
            f"`relationship` must be (target classes, {source_logits.shape[1]}), one column for each source class, "
            f"got {tuple(relationship.shape)}."
        )
    p = at_least_float32(relationship)[labels.long()].movedim(-1, 1)
    return mean(-(p * at_least_float32(source_logits).log_softmax(1)).sum(1), weights)


def learn_relationship(
    source_logits: Tensor, labels: Tensor, *, classes: int, temperature: float | Tensor = 1.0
) -> Tensor:
    r"""How the pretrained head answers to each target class: the matrix that co-tuning needs.

    .. math:: p(s \mid y) = \frac{1}{n_y} \sum_{i : y_i = y} \mathrm{softmax}(z_i / T)_s

    Args:
        source_logits: ``(n, source classes)`` of the pretrained head on all labelled target rows, before training.
        labels: ``(n,)`` target classes; rows with another label, such as -1, are left out.
        classes: how many target classes there are.
        temperature: :math:`T` that calibrates the pretrained head, see :func:`losses.calibrate_temperature`.

    Returns:
        ``(classes, source classes)`` without gradient. Each row sums to one; the row of a class without labelled rows
        is zero, so that co-tuning asks nothing of it. Not a loss: it looks at the rows it is given, on one rank.

    Raises:
        ValueError: shapes that do not fit, or a temperature that is not positive.

    This is the paper's direct approach. Its reverse approach fits a logistic regression from the head's probabilities
    to the labels, calibrates it, and turns it round by Bayes' rule with the mean of the probabilities as
    :math:`p(s)`; it is not offered here. The authors' code divides ImageNet logits by 1.131 (times 0.884).

    You et al., Co-Tuning for Transfer Learning, 2020,
    https://papers.nips.cc/paper/2020/hash/c8067ad1937f728f51288b3eb986afaa-Abstract.html

    >>> learn_relationship(torch.tensor([[9.0, 9.0], [99.0, 0.0]]), torch.tensor([1, 1]), classes=2)
    tensor([[0.0000, 0.0000],
            [0.7500, 0.2500]])
    """
    check_logits("source_logits", source_logits)
    check_labels(labels, source_logits.shape[:1])
    check(COUNT, classes=classes)
    if not isinstance(temperature, Tensor):
        check(POSITIVE, temperature=temperature)
    p = (at_least_float32(source_logits).detach() / temperature).softmax(1)
    Y = one_hot(labels, classes, p)
    with full_precision(p):
        return (Y.T @ p) / Y.sum(0).clamp_min(1)[:, None]


def calibrate_temperature(logits: Tensor, labels: Tensor, *, limit: float = 1e3) -> Tensor:
    r"""The temperature at which the cross-entropy on held-out rows is smallest.

    .. math:: T = \arg\min_T\; -\frac1n \sum_i \log \mathrm{softmax}(z_i / T)_{y_i}

    The cross-entropy is convex in :math:`\beta = 1 / T`, with derivative
    :math:`\frac1n \sum_i (\mathbb{E}_{p_i}[z_i] - z_{i y_i})`; its zero is found by bisection of :math:`\log \beta`. No
    optimizer, no step size, no state.

    Args:
        logits: ``(n, classes)`` on rows that were not trained on.
        labels: ``(n,)`` classes; rows with another label, such as -1, are left out.
        limit: T is looked for in [1 / limit, limit]. Rows that are all classified rightly have the lower end, rows
            that are best ignored the upper.

    Returns:
        A scalar without gradient, 1 / limit where all temperatures are equally good: divide logits by it. Not a loss:
        it looks at the rows it is given, on one rank. float64 inside.

    Raises:
        ValueError: shapes that do not fit, or a limit that is not above 1.

    Guo et al., On Calibration of Modern Neural Networks, 2017, https://arxiv.org/abs/1706.04599

    >>> calibrate_temperature(torch.tensor([[4.0, 0.0]]).repeat(4, 1), torch.tensor([0, 0, 0, 1]))  # 4 / log 3
    tensor(3.6410)
    """
    check_logits("logits", logits)
    check_labels(labels, logits.shape[:1])
    check(("a number above 1", lambda v: is_number(v) and v > 1), limit=limit)
    z = logits.detach().double()
    Y = one_hot(labels, z.shape[1], z)
    given, known = (Y * z).sum(1), Y.sum(1)
    low, high = z.new_tensor(limit).reciprocal().log(), z.new_tensor(limit).log()  # of log beta
    for _ in range(60):
        middle = (low + high) / 2
        expected = ((z * middle.exp()).softmax(1) * z).sum(1)
        too_sharp = (known * (expected - given)).mean() > 0
        low, high = torch.where(too_sharp, low, middle), torch.where(too_sharp, middle, high)
    return ((low + high) / 2).neg().exp().to(at_least_float32(logits).dtype)
