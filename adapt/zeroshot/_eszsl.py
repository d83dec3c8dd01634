"""ESZSL: a bilinear score of features and signatures by two ridge regressions."""

import torch
from torch import Tensor

from adapt.zeroshot.semantic import Classify, Semantic, eye
from losses.options import POSITIVE, check


def eszsl(*, feature_penalty: float = 1.0, signature_penalty: float = 1.0) -> Semantic:
    r"""Return the method of attributes by a bilinear score in closed form.

    .. math:: s_z(x) = x^\top V s_z, \qquad
        V = (X^\top X + \gamma I)^{-1} X^\top Y S (S^\top S + \lambda I)^{-1}

    with features X in rows, labels Y of -1 and 1, and signatures S of the seen classes in rows. V minimises
    :math:`\lVert X V S^\top - Y \rVert^2 + \gamma \lVert V S^\top \rVert^2 + \lambda \lVert X V \rVert^2
    + \gamma \lambda \lVert V \rVert^2`.

    Args:
        feature_penalty: :math:`\gamma`, 1, in the units of squared features, summed over the rows.
        signature_penalty: :math:`\lambda`, 1, in the units of squared signatures, summed over the classes.

    The paper chooses both penalties among powers of ten by classes held out.

    Raises:
        ValueError: a penalty that is not positive.

    Related: :func:`sae`, :func:`dap`; :func:`adapt.zeroshot.fit_signatures` makes a model.

    Romera-Paredes and Torr, An embarrassingly simple approach to zero-shot learning, 2015,
    https://proceedings.mlr.press/v37/romera-paredes15.html

    >>> x, y = torch.eye(2), torch.tensor([0, 1])
    >>> eszsl()(x, y, torch.eye(2), x, torch.eye(2)).argmax(1)
    tensor([0, 1])
    """
    check(POSITIVE, feature_penalty=feature_penalty, signature_penalty=signature_penalty)

    def solve(X: Tensor, Y: Tensor, S: Tensor) -> Classify:
        A = X.mT @ X + feature_penalty * eye(X.shape[1], X)
        B = S.mT @ S + signature_penalty * eye(S.shape[1], S)
        V = torch.linalg.solve(A, X.mT @ (2 * Y - 1) @ S)
        V = torch.linalg.solve(B, V.mT).mT
        return lambda Z: (Z @ V.mT, Z.new_zeros(len(Z)))

    options = {"feature_penalty": feature_penalty, "signature_penalty": signature_penalty}
    return Semantic("eszsl", options, solve)
