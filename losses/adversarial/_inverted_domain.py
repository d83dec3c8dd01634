"""The encoder's loss where encoder and discriminator are trained in turns."""

from torch import Tensor

from losses.adversarial._domain_adversarial import Kind, domain_loss
from losses.checks import counted, one_a_row
from losses.reduce import mean


def inverted_domain(target_logits: Tensor, *, weights: Tensor | None = None, kind: Kind = "cross_entropy") -> Tensor:
    r"""What the encoder minimises on target rows so that a discriminator takes them for source: inverted labels.

    .. math:: \frac1m \sum_j -\log \sigma(t_j)

    the non-saturating form: while the discriminator is sure that a row is target, the gradient is largest; that of
    the reversed loss, :math:`\log(1 - \sigma(t))`, is then close to zero. The discriminator stands still
    meanwhile; its own loss is :func:`losses.domain_adversarial` of the same `kind`, on features without gradient.

    Args:
        target_logits: ``(m,)`` or ``(m, 1)``, the discriminator's logit :math:`t` of "this is source" on target rows.
        weights: ``(m,)`` numbers, not negative, or booleans as a mask.
        kind: ``"cross_entropy"``, as in ADDA; ``"least_squares"`` is LSGAN's :math:`\tfrac12 (t_j - 1)^2`.

    Returns:
        A scalar. Per rank: a mean over rows; with weights their sum is gathered (one number), so
        that the mean of the ranks' values is the weighted mean over all rows. float32
        inside, whatever comes in.

    Raises:
        ValueError: no rows, more than one logit a row, weights of another shape, another `kind`.

    Where one encoder serves both domains, the source rows can be pushed to the other side as well: add
    ``inverted_domain(-source_logits)`` (for the cross-entropy; ADDA moves the target's encoder only).

    Related: :func:`losses.domain_confusion`, :func:`losses.reverse`.

    Tzeng et al., Adversarial Discriminative Domain Adaptation (ADDA), 2017, https://arxiv.org/abs/1702.05464;
    Mao et al., Least Squares Generative Adversarial Networks, 2017, https://arxiv.org/abs/1611.04076

    >>> inverted_domain(torch.zeros(3)), inverted_domain(torch.zeros(3), kind="least_squares")
    (tensor(0.6931), tensor(0.5000))
    """
    t = counted(one_a_row("target_logits", target_logits), weights)
    return mean(domain_loss(t, 1, kind), weights)
