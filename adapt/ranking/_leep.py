"""Log expected empirical prediction."""

import torch
from torch import Tensor

from adapt.ranking.sample import Sample, Undefined


def leep(sample: Sample) -> Tensor:
    r"""Compute the log-likelihood of each row's class, predicted through the source classes: LEEP.

    .. math:: \log \sum_z \hat P(y_i \mid z)\, p_{iz}, \qquad
        \hat P(y \mid z) = \frac{\sum_{i: y_i = y} p_{iz}}{\sum_i p_{iz}}

    with :math:`p_{iz}` the probabilities of the source classes by the encoder's own head.

    Args:
        sample: with classes and `source`.

    Returns:
        ``(n,)``, none above 0; the mean is LEEP. Source classes without mass do not matter.

    Raises:
        Undefined: `values`; no `source`, or classes in place of probabilities.

    LEEP is always at least :math:`-H(Y)`, and with probabilities of 0 and 1 equal to :func:`nce`. LEEP looks at the
    head
    and not at the features: another head on the same encoder has another score.

    Nguyen et al., LEEP: A New Measure to Evaluate Transferability of Learned Representations, 2020,
    https://arxiv.org/abs/2002.12462

    >>> leep(Sample([[0.0], [1.0], [2.0]], [0, 0, 1], source=[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    tensor([0., 0., 0.], dtype=torch.float64)
    """
    p, y = sample.need_source("leep"), sample.need_classes("leep")
    if p.ndim == 1:
        raise Undefined(
            "leep needs probabilities and `source` holds predicted classes: give the softmax of the head's logits."
        )
    return log_likelihood(p, y)


def log_likelihood(p: Tensor, y: Tensor) -> Tensor:
    """Return LEEP with any ``(n, z)`` probabilities, in float64.

    Works on parts of the rows: a part stays in the processor's cache, a float64 copy of all probabilities would not.
    """
    total = p.sum(1, dtype=torch.float64)
    joint = torch.zeros(int(y.max()) + 1, p.shape[1]).double()
    for rows, classes, sums in zip(p.split(256), y.split(256), total.split(256), strict=True):
        joint.index_add_(0, classes, rows.double() / sums[:, None])
    conditional = joint / joint.sum(0).clamp_min(1e-300)
    likelihood = torch.empty(len(y)).double()
    by_class = y.argsort(stable=True).split(y.bincount().tolist())
    for rows, given in zip(by_class, conditional, strict=True):
        likelihood[rows] = p[rows].double() @ given / total[rows]
    # a row's own share is in the conditional: a likelihood of 0 is an underflow
    return likelihood.clamp_min(1e-300).log()
