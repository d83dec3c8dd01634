"""DAP: a classifier for each attribute, and the classes by their attributes."""

import torch
from torch import Tensor

from adapt.zeroshot.semantic import Classify, Semantic, eye
from losses.options import ABOVE_0, check


def dap(*, shrinkage: float = 0.1) -> Semantic:
    r"""Return direct attribute prediction with a linear discriminant for each attribute, in closed form.

    .. math:: s_z(x) = \sum_m \log \frac{p(a_m = s_{zm} \mid x)}{p(a_m = s_{zm})}
        = \sum_m s_{zm} \Big(w_m^\top x - \tfrac12 w_m^\top (\mu_{m1} + \mu_{m0})\Big) + \text{the same for all } z,
        \qquad w_m = \Sigma_m^{-1} (\mu_{m1} - \mu_{m0})

    :math:`\mu_{m1}` and :math:`\mu_{m0}` are the means of the rows with and without attribute m, and
    :math:`\Sigma_m = (1 - \rho) (T - \pi_m (1 - \pi_m) \delta_m \delta_m^\top) + \rho \sigma^2 I` is the covariance
    around both means, shrunk to the mean variance :math:`\sigma^2`: T is the covariance of all rows, :math:`\pi_m` the
    share of rows with the attribute, and :math:`\delta_m` the difference of both means.

    Args:
        shrinkage: :math:`\rho`, 0.1.

    Signatures are in [0, 1]: 1 where the class has the attribute, and a share where some members have the attribute.
    An attribute that all seen classes have, or no seen class has, has no classifier and no part in the score.

    Raises:
        ValueError: a shrinkage outside of (0, 1]; signatures outside of [0, 1]; rows that are all equal.

    The paper has support vector machines with probabilities in place of linear discriminants.

    Related: :func:`eszsl`, :func:`sae`; :func:`adapt.zeroshot.fit_signatures` makes a model.

    Lampert, Nickisch, Harmeling, Attribute-Based Classification for Zero-Shot Visual Object Categorization, 2014,
    https://doi.org/10.1109/TPAMI.2013.140

    >>> x, y = torch.eye(2), torch.tensor([0, 1])
    >>> dap()(x, y, torch.eye(2), x, torch.eye(2)).argmax(1)
    tensor([0, 1])
    """
    check(ABOVE_0, shrinkage=shrinkage)

    def solve(X: Tensor, Y: Tensor, S: Tensor) -> Classify:
        check_shares("signatures", S)
        middle = X.mean(0)
        x, A = X - middle, Y @ S
        n, share = len(x), A.mean(0)
        T = x.mT @ x / n
        variance = T.trace() / x.shape[1]
        if variance <= 0:
            raise ValueError(f"`features` must differ, got {n} equal rows: label rows of several classes.")
        T = (1 - shrinkage) * T + shrinkage * variance * eye(x.shape[1], x)
        varies = (share > 1e-9) & (share < 1 - 1e-9)
        P = torch.where(varies, share, 0.5)
        up, down = (A.mT @ x) / (n * P[:, None]), ((1 - A).mT @ x) / (n * (1 - P)[:, None])
        D = (up - down) * varies[:, None]
        W = torch.linalg.solve(T, D.mT).mT
        between = (1 - shrinkage) * P * (1 - P)  # Sherman and Morrison: T without the spread of both means
        W = W / (1 - between * (W * D).sum(1))[:, None]
        b = -(W * (up + down)).sum(1) / 2 - W @ middle

        def classify(Z: Tensor) -> tuple[Tensor, Tensor]:
            check_shares("others", Z)
            return Z @ W, Z @ b

        return classify

    return Semantic("dap", {"shrinkage": shrinkage}, solve)


def check_shares(name: str, S: Tensor) -> None:
    """Raise unless all numbers are in [0, 1]."""
    if S.min() < 0 or S.max() > 1:
        raise ValueError(
            f"`{name}` of `zeroshot.dap` must be in [0, 1], found {S.min():.3g} to {S.max():.3g}: give shares of "
            "attributes, or take `zeroshot.eszsl` for encoded texts."
        )
