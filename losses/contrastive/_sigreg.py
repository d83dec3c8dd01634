"""Sketched isotropic Gaussian regularisation (SIGReg), the batch statistic of LeJEPA."""

import torch
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_features, full_precision
from losses.options import POSITIVE, check, whole
from losses.transport._sliced_wasserstein import unit_directions


def sigreg(
    features: Tensor,
    *,
    directions: int | Tensor = 256,
    generator: torch.Generator | None = None,
    knots: int = 17,
    reach: float = 3.0,
    global_batch: bool = True,
) -> Tensor:
    r"""Distance of the rows from a standard normal distribution: the test of Epps and Pulley along random directions.

    .. math::
        \frac1K \sum_{k=1}^{K} n \int_{-r}^{r} \bigl| \hat\varphi_k(t) - \varphi(t) \bigr|^2 \varphi(t) \, dt, \qquad
        \hat\varphi_k(t) = \frac1n \sum_{i=1}^{n} e^{\mathrm{i} t\, \theta_k^\top x_i}, \qquad
        \varphi(t) = e^{-t^2 / 2}

    The integrand is even, so the integral is twice the trapezoid rule on `knots` places from 0 to r.

    Args:
        features: ``(n, d)`` rows :math:`x`.
        directions: the number of directions to draw, uniformly on the sphere; or ``(K, d)`` unit vectors
            :math:`\theta`, taken as given. 256 as in the authors' minimal code; their large runs have 1,024.
        generator: draws the directions (in float32, on the device of the generator); needed where `directions` is a
            number. On several ranks the generator must be in the same state on each.
        knots: places of the trapezoid rule; 17 as in the authors' code.
        reach: :math:`r`, 3 as in the authors' code. The paper's listing has 17 places on [-5, 5].
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar, not negative. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; a number of directions without a generator; fewer than two knots; a reach
            that is not positive.

    Rows of a standard normal distribution have an expectation of :math:`\int (1 - \varphi^2) \varphi \, dt`, about
    1.05, for every n; collapsed rows grow with n. Drawing from a generator is not compiled.

    Related: :func:`losses.vicreg` matches the diagonal of the covariance and its other entries alone;
    :func:`losses.sliced_wasserstein` compares two clouds along directions.

    Balestriero and LeCun, LeJEPA: Provable and Scalable Self-Supervised Learning Without the Heuristics, 2025,
    https://arxiv.org/abs/2511.08544; https://github.com/rbalestr-lab/lejepa; Epps and Pulley, A Test for Normality
    Based on the Empirical Characteristic Function, 1983, https://doi.org/10.1093/biomet/70.3.723

    >>> sigreg(torch.zeros(4, 2), directions=torch.eye(2))  # collapsed
    tensor(1.6082)
    """
    check_features("features", features)
    check(whole(2), knots=knots)
    check(POSITIVE, reach=reach)
    x = at_least_float32(features)
    if global_batch:
        x = gather(x)
    theta = unit_directions(directions, generator, x)
    t = torch.linspace(0, reach, knots, dtype=x.dtype, device=x.device)
    phi = (-t.square() / 2).exp()
    with full_precision(x):
        angles = (x @ theta.T)[..., None] * t  # (n, K, knots)
    error = (angles.cos().mean(0) - phi).square() + angles.sin().mean(0).square()
    return 2 * x.shape[0] * torch.trapezoid(error * phi, t, dim=1).mean()
