"""Alignment: how far the two views of a row are apart on the sphere."""

import torch
from torch import Tensor

from losses.checks import at_least_float32, check_features, check_same_shape
from losses.contrastive.pairs import unit_rows
from losses.options import POSITIVE, check
from losses.reduce import mean


def alignment(first: Tensor, second: Tensor, *, power: float = 2.0, weights: Tensor | None = None) -> Tensor:
    r"""Mean distance between two views, each of length one, to a power.

    .. math:: \frac1n \sum_i \Bigl\lVert \frac{x_i}{\lVert x_i \rVert}
              - \frac{y_i}{\lVert y_i \rVert} \Bigr\rVert^\alpha

    Args:
        first: ``(n, d)`` features :math:`x` of one view; they are brought to length one here.
        second: ``(n, d)`` features :math:`y` of the other view, in the same order.
        weights: ``(n,)`` one number a row, or a mask; none counts every row once.
        power: :math:`\alpha`, 2 as in the paper's experiments.

    Returns:
        A scalar in [0, :math:`2^\alpha`]. Per rank: a mean over rows. float32 inside, whatever comes in.

    Raises:
        ValueError: views that differ in shape, weights that do not fit, or a power that is not positive.

    Equal rows have the value 0 and no gradient, at any power. A row of zeros stays zero and gets no gradient.

    Related: :func:`losses.uniformity`, without which everything collapses into one point; the paper adds the two.
    :func:`losses.byol` is this at power 2 with the second view held.

    Wang and Isola, Understanding Contrastive Representation Learning through Alignment and Uniformity on the
    Hypersphere, 2020, section 4.1, https://arxiv.org/abs/2005.10242

    >>> alignment(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 3.0]]))
    tensor(2.)
    """
    check_features("first", first)
    check_same_shape(first=first, second=second)
    check(POSITIVE, power=power)
    x, y = unit_rows(at_least_float32(first)), unit_rows(at_least_float32(second))
    D = (x - y).square().sum(1)
    apart = D != 0
    return mean(torch.where(apart, D, 1).pow(power / 2) * apart, weights)
