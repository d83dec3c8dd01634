"""Longer features transfer better: adaptive feature norm (AFN)."""

from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_features
from losses.fine_tuning.norm import norm
from losses.options import POSITIVE, check
from losses.reduce import mean


def hard_feature_norm(features: Tensor, *, radius: float = 25.0, global_batch: bool = True) -> Tensor:
    r"""Squared difference between the mean length of the features and a radius (HAFN).

    .. math:: \Bigl( \frac1n \sum_i \lVert f_i \rVert - R \Bigr)^2

    Call it once for the source and once for the target and add the two.

    Args:
        features: ``(n, d)`` of one domain.
        radius: :math:`R`, 25 as in the authors' code.
        global_batch: gather the lengths of all ranks first: the square is taken of a mean.

    Returns:
        A scalar. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: features that are not ``(n, d)``.

    A zero row has length 0 and gradient 0. The authors' code gives it the weight 0.05.

    Related: :func:`losses.stepwise_feature_norm`.

    Xu et al., Larger Norm More Transferable, 2019, equation 4, https://arxiv.org/abs/1811.07456

    >>> import torch
    >>> hard_feature_norm(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), radius=3.5)
    tensor(1.)
    """
    check_features("features", features)
    check(POSITIVE, radius=radius)
    lengths = norm(at_least_float32(features))
    return ((gather(lengths) if global_batch else lengths).mean() - radius).square()


def stepwise_feature_norm(features: Tensor, *, step: float = 1.0, weights: Tensor | None = None) -> Tensor:
    r"""Asks each row to become longer by a step than it is (SAFN).

    .. math:: \frac1n \sum_i \bigl( \lVert f_i \rVert - (\lVert f_i \rVert_{\text{held}} + \Delta) \bigr)^2

    The value is always :math:`\Delta^2`. What acts is the gradient: it pulls every row outwards with the same force
    :math:`2 \Delta / n`, whatever its length.

    Args:
        features: ``(n, d)`` of one domain.
        step: :math:`\Delta`, 1 as in the authors' code.
        weights: ``(n,)``, not negative; booleans are a mask.

    Returns:
        A scalar. Per rank: a mean over rows. float32 inside, whatever comes in.

    Raises:
        ValueError: features that are not ``(n, d)``.

    A zero row has no direction to grow in: gradient 0. Watch the mean length, not this value, while training. The
    authors' code gives it the weight 0.05. pytorch-adapt has the same value and gradient.

    Related: :func:`losses.hard_feature_norm`.

    Xu et al., Larger Norm More Transferable, 2019, equation 5, https://arxiv.org/abs/1811.07456

    >>> import torch
    >>> stepwise_feature_norm(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), step=2.0)
    tensor(4.)
    """
    check_features("features", features)
    check(POSITIVE, step=step)
    lengths = norm(at_least_float32(features))
    return mean((lengths - lengths.detach() - step).square(), weights)  # the difference first: exact at any length
