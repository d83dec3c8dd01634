"""SAE: a linear autoencoder whose code is the signature."""

import torch
from torch import Tensor

from adapt.zeroshot.semantic import Classify, Semantic
from losses.fine_tuning.norm import unit
from losses.options import POSITIVE, check


def sae(*, tradeoff: float = 1.0) -> Semantic:
    r"""Return the method of attributes by a linear autoencoder in closed form: one Sylvester equation.

    .. math:: s_z(x) = x^\top \frac{W^\top s_z}{\lVert W^\top s_z \rVert}, \qquad
        W = \arg\min_W \lVert X - S_y W \rVert^2 + \lambda \lVert X W^\top - S_y \rVert^2

    with features X in rows and the signature of the class of each row in the rows of :math:`S_y`. W solves
    :math:`S_y^\top S_y W + \lambda W X^\top X = (1 + \lambda) S_y^\top X`. The score is the cosine of the features with
    the decoded signature, times the length of the features.

    Args:
        tradeoff: :math:`\lambda`, 1: the weight of the encoder against the decoder, for signatures with lengths like
            the lengths of the features. The authors' code has 500,000 for AwA and 0.2 for CUB.

    The equation is solved by two eigendecompositions. Where features and signatures do not reach a direction of W, the
    direction is 0.

    Raises:
        ValueError: a tradeoff that is not positive.

    The paper classifies in the space of the features, as here, or in the space of the signatures.

    Related: :func:`eszsl`, :func:`dap`; :func:`adapt.zeroshot.fit_signatures` makes a model.

    Kodirov, Xiang, Gong, Semantic Autoencoder for Zero-Shot Learning, 2017, https://arxiv.org/abs/1704.08345

    >>> x, y = torch.eye(2), torch.tensor([0, 1])
    >>> sae()(x, y, torch.eye(2), x, torch.eye(2)).argmax(1)
    tensor([0, 1])
    """
    check(POSITIVE, tradeoff=tradeoff)

    def solve(X: Tensor, Y: Tensor, S: Tensor) -> Classify:
        Sy = Y @ S
        W = sylvester(Sy.mT @ Sy, tradeoff * X.mT @ X, (1 + tradeoff) * Sy.mT @ X)
        return lambda Z: (unit(Z @ W, 1), Z.new_zeros(len(Z)))

    return Semantic("sae", {"tradeoff": tradeoff}, solve)


def sylvester(A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """Return W with ``A W + W B = C``, for symmetric A and B without negative eigenvalues.

    A direction in which both eigenvalues vanish, relative to the largest, is 0.
    """
    (a, U), (b, V) = torch.linalg.eigh(A), torch.linalg.eigh(B)
    sums = a[:, None] + b
    there = sums > 1e-12 * sums.max()
    return U @ torch.where(there, U.mT @ C @ V / torch.where(there, sums, 1), 0) @ V.mT
