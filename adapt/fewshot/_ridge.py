"""Ridge regression of the labels on the features."""

import torch
from torch import Tensor

from adapt.fewshot.method import Inductive, Rule, centre_like, check_centre, prepared
from losses.episodic._ridge import solve as solve_positive
from losses.options import POSITIVE, TRUTH, check


def ridge(*, penalty: float = 1.0, scale: float = 10.0, centre: Tensor | None = None, unit: bool = True) -> Inductive:
    r"""Return a ridge regression of the labels, 0 and 1 for each class, in closed form.

    .. math:: \log p(q) = \log \mathrm{softmax}(\alpha (W^\top x(q) + b)), \qquad
        W, b = \arg\min_{W, b} \sum_i \lVert W^\top x_i + b - y_i \rVert^2 + \lambda \lVert W \rVert^2

    Args:
        penalty: :math:`\lambda`, 1, for rows of unit length.
        scale: :math:`\alpha`, 10: predictions lie around 0 ... 1, and 1 leaves the softmax almost undecided. The scale
            changes no prediction.
        centre: ``(d,)``, subtracted from the features first; None subtracts nothing.
        unit: whether rows then get unit length.

    The smaller of the systems s x s and d x d is solved by Cholesky in float64.

    Raises:
        ValueError: a penalty or a scale that is not positive; a centre that is not ``(d,)`` finite numbers.

    Related: :func:`losses.ridge` trains an encoder with a ridge regression, without the bias b.

    Bertinetto et al., Meta-learning with Differentiable Closed-form Solvers, 2019, https://arxiv.org/abs/1805.08136

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> ridge()(x, torch.tensor([0, 1]), torch.tensor([[1.0, 1.0]])).exp()
    tensor([[0.5000, 0.5000]])
    """
    check(POSITIVE, penalty=penalty, scale=scale)
    check(TRUTH, unit=unit)
    check_centre(centre)

    def solve(support: Tensor, Y: Tensor) -> Rule:
        m = centre_like(centre, support)
        x = prepared(support, m, unit).double()
        middle, y = x.mean(-2, keepdim=True), Y.double()
        X, R = x - middle, y - y.mean(-2, keepdim=True)
        s, d = X.shape[-2:]
        I = penalty * torch.eye(min(s, d), dtype=X.dtype, device=X.device)  # noqa: E741
        W = X.mT @ solve_positive(X @ X.mT + I, R) if s < d else solve_positive(X.mT @ X + I, X.mT @ R)
        b = y.mean(-2) - (middle @ W).squeeze(-2)
        return Rule((scale * W.mT).to(support), (scale * b).to(support), centre=m, unit=unit)

    return Inductive("ridge", {"penalty": penalty, "scale": scale, "centre": centre, "unit": unit}, solve)
