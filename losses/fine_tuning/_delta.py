"""Distance of the feature maps from those of the starting point (DELTA)."""

from torch import Tensor

from losses.checks import at_least_float32, check_same_shape
from losses.fine_tuning._feature_distillation import check_maps
from losses.reduce import mean


def delta(
    features: Tensor, start_features: Tensor, *, channel_weights: Tensor | None = None, weights: Tensor | None = None
) -> Tensor:
    r"""Half the squared distance between feature maps and those of the starting network, channel by channel.

    .. math:: \frac1{n} \sum_i \frac12 \sum_c a_c\, \frac1P \sum_{p=1}^{P}
        \bigl( \mathrm{FM}_{icp}(w) - \mathrm{FM}_{icp}(w^0) \bigr)^2

    with P places (h times w; 1 for vectors) and :math:`a` the `channel_weights`.

    Args:
        features: ``(n, c)`` or ``(n, c, ...)`` of the network being trained, one layer.
        start_features: the same shape, of the same rows in the network as it started. They carry no gradient.
        channel_weights: ``(c,)`` numbers :math:`a_c`, not negative; ones where they are left out.
        weights: ``(n,)`` or ``(n, ...)``, one for each row and place, not negative; booleans are a mask.

    Returns:
        A scalar. Per rank: a mean over rows and places. float32 inside, whatever comes in. Add the calls for several
        layers.

    Raises:
        ValueError: shapes that do not fit.

    The paper's attention for a channel is the softmax over channels of how much the loss of the pretrained network
    with a fitted head rises when that channel is set to zero. Written so, with sum one, tllib multiplies it by c:
    give ``channel_weights = c * attention``; it and the authors' code standardise the rises over the channels and
    divide them by 5 before the softmax.

    Definitions differ in scale: tllib sums over rows, so its value with attention is n times this one; without
    attention it also sums over places, n P times this one.

    Related: :func:`losses.feature_distillation` divides by c; :func:`losses.l2_sp` compares parameters.

    Li et al., DELTA: Deep Learning Transfer using Feature Map with Attention for Convolutional Networks, 2019,
    https://arxiv.org/abs/1901.09229

    >>> delta(torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, 1.0]]))
    tensor(2.5000)
    """
    check_maps("features", features, places=0)
    check_same_shape(features=features, start_features=start_features)
    c = features.shape[1]
    squares = (at_least_float32(features) - at_least_float32(start_features).detach()).square()
    if channel_weights is not None:
        if channel_weights.shape != (c,):
            raise ValueError(
                f"`channel_weights` must hold one number for each of the {c} channels, "
                f"got {tuple(channel_weights.shape)}."
            )
        squares = at_least_float32(channel_weights).view(c, *[1] * (features.ndim - 2)) * squares
    return mean(squares.sum(1) / 2, weights)
