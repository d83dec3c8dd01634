"""Negative conditional entropy."""

import torch
from torch import Tensor

from adapt.ranking.sample import Sample


def nce(sample: Sample) -> Tensor:
    r"""Compute the negative entropy of the target's class, given the answer of the source head: NCE.

    .. math:: -H(Y \mid Z) = \frac1n \sum_i \log \hat P(y_i \mid z_i), \qquad z_i = \arg\max_z p_{iz}

    Args:
        sample: with classes and `source`: probabilities, or the :math:`z_i` themselves, so that no probability is read.

    Returns:
        ``(n,)``, none above 0; the mean is NCE, between :math:`-H(Y)` and 0.

    Raises:
        Undefined: `values`; no `source`.

    With few rows NCE grows towards 0 with the number of source classes in use, also without any relation to the target.

    Tran et al., Transferability and Hardness of Supervised Classification Tasks, 2019, https://arxiv.org/abs/1908.08142

    >>> nce(Sample([[0.0], [1.0], [2.0]], [0, 0, 1], source=[[0.6, 0.4], [0.7, 0.3], [0.1, 0.9]]))
    tensor([0., 0., 0.], dtype=torch.float64)
    """
    y, source = sample.need_classes("nce"), sample.need_source("nce")
    z = source if source.ndim == 1 else source.argmax(1)
    _, z = z.unique(return_inverse=True)  # classes in use alone: the table stays small for any class numbers
    joint = torch.zeros(sample.classes, int(z.max()) + 1).double()
    joint.index_put_((y, z), torch.ones(()).double(), accumulate=True)
    return (joint[y, z] / joint.sum(0)[z]).log()
