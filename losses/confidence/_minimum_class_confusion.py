"""Minimum class confusion (MCC)."""

import torch
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_logits
from losses.options import POSITIVE, check


def minimum_class_confusion(logits: Tensor, *, temperature: float = 2.5, global_batch: bool = True) -> Tensor:
    r"""How much the predicted classes of a batch are confused with each other.

    .. math::
        P = \mathrm{softmax}(Z / T), \qquad w_i = \frac{n\,(1 + e^{-H(p_i)})}{\sum_k (1 + e^{-H(p_k)})}, \qquad
        C = P^\top \mathrm{diag}(w)\, P, \qquad
        \frac{1}{|C|} \sum_{c \ne c'} \frac{C_{cc'}}{\sum_{c''} C_{cc''}}

    A row of the normalised matrix sums to one, so the off-diagonal sum is :math:`|C|` minus the trace, and
    :math:`C_{cc} / \sum_{c'} C_{cc'} = \sum_i a_{ic} p_{ic}` with :math:`a_{ic}` the softmax over i of
    :math:`\log w_i + \log p_{ic}`. That is what is computed: no classes x classes matrix, and a class that underflows
    in every row has its right limit instead of 0 / 0.

    Args:
        logits: ``(n, classes)`` of unlabelled rows.
        temperature: :math:`T`, 2.5 as in the paper's experiments.
        global_batch: gather the rows of all ranks first: the normalisation sees all rows.

    Returns:
        A scalar in [0, 1), up to rounding. Sees the global batch; gradient accumulation does not enlarge that batch.
        The weights :math:`w` carry no gradient, as in the authors' code. float32 inside, whatever comes in.

    Raises:
        ValueError: logits that are not ``(n, classes)``, or a temperature that is not positive.

    Logits must be finite. pytorch-adapt has the same value at equal temperature; its default is 1; skada lets the
    gradient into the weights.

    Jin et al., Minimum Class Confusion for Versatile Domain Adaptation, 2020, section 3,
    https://arxiv.org/abs/1912.03699

    >>> minimum_class_confusion(torch.zeros(3, 2))
    tensor(0.5000)
    """
    check_logits("logits", logits)
    check(POSITIVE, temperature=temperature)
    z = at_least_float32(logits)
    log_p = ((gather(z) if global_batch else z) / temperature).log_softmax(1)
    p = log_p.exp()
    # up to a constant, which the softmax removes
    log_w = torch.log1p(torch.exp((p * log_p).detach().sum(1, keepdim=True)))
    a = (log_w + log_p).softmax(0)
    return 1 - (a * p).sum() / p.shape[1]
