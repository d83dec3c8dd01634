"""Linear discriminant analysis with a shrunk covariance: the distance of Mahalanobis."""

import torch
from torch import Tensor

from adapt.fewshot._centroid import means
from adapt.fewshot.method import Inductive, Rule, centre_like, check_centre, prepared
from adapt.fewshot.solver import principal
from losses.checks import check_real
from losses.options import ABOVE_0, POSITIVE, TRUTH, check


def lda(
    *, shrinkage: float = 0.5, covariance: Tensor | None = None, temperature: float = 1.0,
    centre: Tensor | None = None, unit: bool = True,
) -> Inductive:  # fmt: skip
    r"""Return the classifier by the distance of Mahalanobis from the class means, with one shrunk covariance.

    .. math:: \log p_k(q) \propto -\frac1{2T} (x(q) - c_k)^\top \Sigma^{-1} (x(q) - c_k), \qquad
        \Sigma = (1 - \gamma) S + \gamma \frac{\mathrm{tr}\, S}{d} I, \qquad
        S = \frac1s \sum_i (x_i - c_{y_i})(x_i - c_{y_i})^\top

    Args:
        shrinkage: :math:`\gamma` in (0, 1], 0.5.
        covariance: ``(d, d)`` in place of S: within the classes of features that the encoder was trained on, say,
            prepared alike.
        temperature: :math:`T`, 1 as for normal distributions. Few rows and many features make overconfident
            distances: a larger number makes softer probabilities and changes no prediction.
        centre: ``(d,)``, subtracted from the features first; None subtracts nothing.
        unit: whether rows then get unit length.

    Where every class has one row, S is 0: the distance is then Euclid's, in units of the variance of the support rows.

    Raises:
        ValueError: a shrinkage outside of (0, 1], a temperature that is not positive, a covariance that is not
            ``(d, d)``, a centre that is not ``(d,)`` finite numbers.

    Equal to ``sklearn.discriminant_analysis.LinearDiscriminantAnalysis(solver="lsqr", shrinkage=gamma)`` where all
    classes have the same number of rows. Simple CNAPS has a covariance for each class; the covariance here is shared.

    Bateni et al., Improved Few-Shot Visual Classification (Simple CNAPS), 2020, https://arxiv.org/abs/1912.03432

    >>> x, y = torch.tensor([[0.0, 0.0], [0.0, 2.0], [4.0, 0.0], [4.0, 2.0]]), torch.tensor([0, 0, 1, 1])
    >>> lda(unit=False)(x, y, torch.tensor([[2.0, 9.0]])).exp()
    tensor([[0.5000, 0.5000]])
    """
    check(ABOVE_0, shrinkage=shrinkage)
    check(POSITIVE, temperature=temperature)
    check(TRUTH, unit=unit)
    check_centre(centre)
    if covariance is not None:
        check_real("covariance", covariance)
        if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1] or not covariance.isfinite().all():
            raise ValueError(
                f"`covariance` must be (d, d) finite numbers, got {tuple(covariance.shape)}: take `features.T.cov()`."
            )

    def solve(support: Tensor, Y: Tensor) -> Rule:
        m = centre_like(centre, support)
        m = support.mean(-2, keepdim=True) if m is None and not unit else m  # changes no distance
        x = prepared(support, m, unit)
        c = means(x, Y)
        values, axes = spread(x, Y, c) if covariance is None else given(covariance, x)
        d = x.shape[-1]
        level = values.sum(-1) / d
        total = (x - x.mean(-2, keepdim=True)).square().mean((-2, -1))
        level = torch.where(level > 1e-12 * total, level, torch.where(total > 0, total, 1))
        a = shrinkage * level  # the eigenvalue outside of the axes
        # the inverse of the covariance is (I - P'P) / a
        shares = 1 - a.unsqueeze(-1) / (a.unsqueeze(-1) + (1 - shrinkage) * values)
        P = (axes * shares.clamp_min(0).sqrt().unsqueeze(-2)).mT
        W = (c - c @ P.mT @ P) / (a * temperature)[..., None, None]
        return Rule(W, -(W * c).sum(-1) / 2, 1 / (2 * a * temperature), P, m, unit)

    options = {"shrinkage": shrinkage, "covariance": covariance, "temperature": temperature, "centre": centre}
    return Inductive("lda", options | {"unit": unit}, solve)


def spread(x: Tensor, Y: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Return the eigenvalues ``(..., r)`` of the covariance within the classes, and the axes ``(..., d, r)``."""
    Z, axes = principal(x - Y @ c)
    return Z.square().mean(-2), axes


def given(covariance: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the eigenvalues and axes of a covariance, for the episodes of x."""
    if len(covariance) != x.shape[-1]:
        raise ValueError(
            f"`covariance` must have the size of the features, got {len(covariance)} and {x.shape[-1]}: take features "
            "of the same encoder."
        )
    values, axes = torch.linalg.eigh(covariance.double())
    return values.clamp_min(0).to(x).expand(*x.shape[:-2], -1), axes.to(x)
