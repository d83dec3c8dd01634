"""NT-Xent, the contrastive loss of SimCLR."""

import torch
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_features, check_same_shape
from losses.contrastive.pairs import similarities, unit_rows, without_self
from losses.options import POSITIVE, check


def nt_xent(first: Tensor, second: Tensor, *, temperature: float = 0.5, global_batch: bool = True) -> Tensor:
    r"""Cross-entropy of finding each view's other view among all other views, by cosine.

    .. math::
        \frac{1}{2n} \sum_{i=1}^{2n}
        -\log \frac{\exp(\cos(z_i, z_{i'}) / T)}{\sum_{j \ne i} \exp(\cos(z_i, z_j) / T)}

    with :math:`z` the 2n rows of both views and :math:`i'` the other view of i.

    Args:
        first: ``(n, d)`` features of one view.
        second: ``(n, d)`` features of the other view, in the same order.
        temperature: :math:`T`, 0.5, the paper's best on CIFAR-10; its ImageNet runs have 0.1.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar, not negative. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: views that differ in shape, or a temperature that is not positive.

    One row a view has the value 0: there is nothing to confuse it with. A row of zeros has cosine 0 with everything,
    and no gradient. pytorch-metric-learning has the same value for ``torch.cat([first, second])`` and labels 0..n-1
    twice.

    Related: :func:`losses.supervised_contrastive` with a class for each row is the same; :func:`losses.info_nce`
    compares one view with the other alone.

    Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, 2020, equation 1 and algorithm
    1, https://arxiv.org/abs/2002.05709

    >>> nt_xent(torch.eye(2), torch.eye(2), temperature=1.0)
    tensor(0.5514)
    """
    check_features("first", first)
    check_same_shape(first=first, second=second)
    check(POSITIVE, temperature=temperature)
    x, y = at_least_float32(first), at_least_float32(second)
    if global_batch:
        x, y = gather(x), gather(y)
    n, z = x.shape[0], unit_rows(torch.cat([x, y]))
    log_p = without_self(similarities(z, z) / temperature).log_softmax(1)
    return -(log_p[:n, n:].diagonal().mean() + log_p[n:, :n].diagonal().mean()) / 2
