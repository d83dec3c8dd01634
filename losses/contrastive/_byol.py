"""BYOL's regression of one view's features from the other's, by cosine; SimSiam's up to two constants."""

from torch import Tensor

from losses.checks import at_least_float32, check_features, check_same_shape
from losses.contrastive.pairs import unit_rows
from losses.reduce import mean


def byol(predictions: Tensor, targets: Tensor, *, weights: Tensor | None = None) -> Tensor:
    r"""Mean squared distance between predictions and targets, both of length one; the targets are held.

    .. math:: \frac1n \sum_i \bigl( 2 - 2 \cos(q_i, z_i) \bigr)

    Args:
        predictions: ``(n, d)`` outputs :math:`q` of the predictor.
        targets: ``(n, d)`` outputs :math:`z` of the other view; they get no gradient.
        weights: ``(n,)`` one number a row, or a mask; none counts every row once.

    Returns:
        A scalar in [0, 4]. Per rank: a mean over rows. float32 inside, whatever comes in.

    Raises:
        ValueError: predictions and targets that differ in shape, or weights that do not fit.

    A row of zeros has cosine 0, so the value 2, and no gradient. Both papers use both directions: BYOL the sum
    ``byol(q1, z2) + byol(q2, z1)``, SimSiam half of the sum, of :math:`-\cos`, which is ``byol(q, z) / 2 - 1``.

    Grill et al., Bootstrap Your Own Latent, 2020, equation 2, https://arxiv.org/abs/2006.07733;
    Chen and He, Exploring Simple Siamese Representation Learning, 2021, equations 1 and 4,
    https://arxiv.org/abs/2011.10566

    >>> byol(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 3.0]]))
    tensor(2.)
    """
    check_features("predictions", predictions)
    check_same_shape(predictions=predictions, targets=targets)
    q, z = unit_rows(at_least_float32(predictions)), unit_rows(at_least_float32(targets.detach()))
    return mean(2 - 2 * (q * z).sum(1), weights)
