"""The domain classifier's loss of DANN."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from losses.checks import counted, one_a_row
from losses.options import BELOW_1, check
from losses.reduce import mean

Kind = Literal["cross_entropy", "least_squares"]


def domain_adversarial(
    source_logits: Tensor,
    target_logits: Tensor,
    *,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
    kind: Kind = "cross_entropy",
) -> Tensor:
    r"""Loss of a domain discriminator, source labelled 1 and target 0, each domain weighing one half.

    .. math::
        \tfrac12 \Bigl( \frac{\sum_i u_i\, \ell(s_i, 1 - \tfrac\varepsilon2)}{\sum_i u_i}
        + \frac{\sum_j v_j\, \ell(t_j, \tfrac\varepsilon2)}{\sum_j v_j} \Bigr), \qquad
        \ell(z, y) = -y \log \sigma(z) - (1 - y) \log (1 - \sigma(z))

    Computed from logits, so it is safe at any size of logit. The discriminator minimises it; the encoder
    maximises it when its features reach the discriminator through :func:`losses.reverse`. A blind discriminator has
    the value log 2.

    Args:
        source_logits: ``(n,)`` or ``(n, 1)``, the discriminator's logit :math:`s` of "this is source".
        target_logits: ``(m,)`` or ``(m, 1)``, :math:`t`.
        source_weights: ``(n,)`` numbers :math:`u`, not negative, or booleans as a mask: CDAN's entropy weights, PADA's
            class weights, IWAN's importance. They are normalised within their domain.
        target_weights: ``(m,)``, :math:`v`.
        label_smoothing: :math:`\varepsilon` in [0, 1): the labels become 1 - eps/2 and eps/2, torch's convention for
            two classes. 0, as in the paper.
        kind: ``"cross_entropy"``; ``"least_squares"`` takes :math:`\ell(z, y) = \tfrac12 (z - y)^2` on the outputs as
            they are (LSGAN, whose discriminator adds the two means: twice this value).

    Returns:
        A scalar. Domains count equally whatever n and m. Per rank: a mean over rows; with weights their sum is gathered
        (one number), so that the mean of the ranks' values is the weighted mean over all rows. float32
        inside, whatever comes in.

    Raises:
        ValueError: a domain without rows, more than one logit a row, weights of another shape, `label_smoothing`
            outside [0, 1), another `kind`.

    A domain whose weights are all zero adds 0. Definitions differ: DANN's paper adds the two means instead of averaging
    them (twice this value); tllib averages, as here, but normalises CDAN's entropy weights over both domains
    together, so that the surer domain weighs more. CDAN's own code normalises within each domain, as here.

    Related: :func:`losses.multi_domain_adversarial` for more than two domains, :func:`losses.inverted_domain` and
    :func:`losses.domain_confusion` for an encoder that is trained in turns instead of through a reversed gradient.

    Ganin et al., Domain-Adversarial Training of Neural Networks, 2016, section 4, https://arxiv.org/abs/1505.07818;
    Mao et al., Least Squares Generative Adversarial Networks, 2017, https://arxiv.org/abs/1611.04076

    >>> domain_adversarial(torch.zeros(4), torch.zeros(3))
    tensor(0.6931)
    """
    s = counted(one_a_row("source_logits", source_logits), source_weights, "source_weights")
    t = counted(one_a_row("target_logits", target_logits), target_weights, "target_weights")
    check(BELOW_1, label_smoothing=label_smoothing)
    loss_s = domain_loss(s, 1 - label_smoothing / 2, kind)
    loss_t = domain_loss(t, label_smoothing / 2, kind)
    return 0.5 * (mean(loss_s, source_weights) + mean(loss_t, target_weights))


def domain_loss(z: Tensor, y: float, kind: Kind) -> Tensor:
    """``(n,)`` losses of the outputs `z` where the label is `y`."""
    if kind == "cross_entropy":
        if y in (0, 1):
            return -F.logsigmoid(z if y else -z)  # an infinite logit times 0 would be NaN
        return -y * F.logsigmoid(z) - (1 - y) * F.logsigmoid(-z)
    if kind == "least_squares":
        return 0.5 * (z - y).square()
    raise ValueError(f'`kind` must be "cross_entropy" or "least_squares", got {kind!r}.')
