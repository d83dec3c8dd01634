"""Gradient reversal."""

from torch import Tensor

from losses.options import AT_LEAST_0, check


def reverse(x: Tensor, strength: float | Tensor = 1.0) -> Tensor:
    r"""The identity whose gradient is multiplied by :math:`-\lambda`.

    .. math:: R_\lambda(x) = x, \qquad \frac{\partial R_\lambda}{\partial x} = -\lambda I

    written as :math:`x_0 + \lambda (x_0 - x)` with :math:`x_0` the detached `x`: exact forward in every precision (-0
    becomes 0), and differentiable any number of times.

    Args:
        x: any shape.
        strength: :math:`\lambda`, a number or a 0-d tensor. 1 is plain reversal; Ganin's schedule is
            ``2 / (1 + exp(-10 * progress)) - 1``.

    Per rank. An infinity in `x` becomes NaN.

    Ganin and Lempitsky, Unsupervised Domain Adaptation by Backpropagation, 2015, https://arxiv.org/abs/1409.7495

    >>> x = torch.ones(2, requires_grad=True)
    >>> reverse(x, 0.5).sum().backward(); x.grad
    tensor([-0.5000, -0.5000])
    """
    if not isinstance(strength, Tensor):
        check(AT_LEAST_0, strength=strength)
    x0 = x.detach()
    return x0 + strength * (x0 - x)
