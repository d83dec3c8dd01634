"""Log expected empirical prediction."""

import torch
from torch import Tensor

from adapt.select.models.sample import Sample


def leep(sample: Sample) -> Tensor:
    r"""Log-likelihood of a row's class, guessed through the source classes: LEEP.

    .. math:: \log \sum_z \hat P(y_i \mid z)\, p_{iz}, \qquad
        \hat P(y \mid z) = \frac{\sum_{i: y_i = y} p_{iz}}{\sum_i p_{iz}}

    with :math:`p_{iz}` the probabilities that the encoder's own head gives its source classes.

    Args:
        sample: with classes and `source`.

    Returns:
        ``(n,)``, none above 0; the mean is LEEP. Source classes without mass do not matter.

    Raises:
        Undefined: `values`; no `source`.

    Always :math:`\ge` :math:`-H(Y)`, and with probabilities of 0 and 1 equal to :func:`nce`. It looks at the head and not at the features:
    another head on the same encoder, another score.

    Nguyen et al., LEEP: A New Measure to Evaluate Transferability of Learned Representations, 2020,
    https://arxiv.org/abs/2002.12462

    >>> leep(Sample([[0.0], [1.0], [2.0]], [0, 0, 1], source=[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    tensor([0., 0., 0.], dtype=torch.float64)
    """
    return through(sample.need_source("leep"), sample.need_classes("leep"))


def through(p: Tensor, y: Tensor) -> Tensor:
    """LEEP with any ``(n, z)`` probabilities; class by class, which stays in the cache where a product of all would not."""
    by_class = y.argsort(stable=True).split(y.bincount().tolist())
    joint = torch.stack([p[rows].sum(0) for rows in by_class])
    conditional = joint / joint.sum(0).clamp_min(1e-300)
    likelihood = p.new_empty(len(y))
    for rows, given in zip(by_class, conditional, strict=True):
        likelihood[rows] = p[rows] @ given
    # a row's own share is in the conditional: never 0 but by underflow
    return likelihood.clamp_min(1e-300).log()
