"""CDAN's weights of rows: the surer the prediction, the larger."""

import torch
from torch import Tensor

from losses.checks import at_least_float32, check_logits
from losses.confidence._entropy import row_entropy


def entropy_weights(logits: Tensor, *, detach: bool = True) -> Tensor:
    r"""Weight of each row from the entropy of its prediction (CDAN+E).

    .. math:: w_i = 1 + e^{-H(p_i)}, \qquad p_i = \mathrm{softmax}(z_i)

    For :func:`losses.domain_adversarial`, which normalises them within each domain: easy rows count more.

    Args:
        logits: ``(n, classes)``, :math:`z`.
        detach: no gradient, as in tllib. The authors' code lets it through, reversed, and holds the sum that normalises
            the weights. ``entropy_weights(losses.reverse(logits, strength), detach=False)`` comes near it, but
            :func:`losses.domain_adversarial` differentiates that sum too: another direction, not only another size.

    Returns:
        ``(n,)`` in [1 + 1 / classes, 2]. Per rank: row by row. float32 inside, whatever comes in.

    Raises:
        ValueError: logits that are not ``(n, classes)``, or without a class.

    A class of logit -inf takes no part. pytorch-adapt's ``EntropyWeights`` divides by their sum. The authors add 1e-5
    to p inside the logarithm.

    Long et al., Conditional Adversarial Domain Adaptation, 2018, https://arxiv.org/abs/1705.10667

    >>> entropy_weights(torch.tensor([[0.0, 0.0], [99.0, 0.0]]))
    tensor([1.5000, 2.0000])
    """
    check_logits("logits", logits)
    if logits.shape[1] == 0:
        raise ValueError("`logits` must be (n, classes) with at least one class, got 0.")
    z = at_least_float32(logits.detach() if detach else logits)
    return 1 + torch.exp(-row_entropy(z.log_softmax(1)))
