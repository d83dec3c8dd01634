"""Entropic optimal transport between weighted rows: the solver, without gradient and without host synchronisation.

Potentials are kept in units of the temperature, ``phi = f / epsilon`` and ``gamma = g / epsilon``, and ``E = C /
epsilon``. The plan is ``pi_ij = a_i b_j exp(phi_i + gamma_j - E_ij)``.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Update = Callable[[Tensor], Tensor]
Shift = Callable[[Tensor, Tensor], Tensor]

ABSORB_EVERY = 10  # products between two exponentials of the whole matrix
STEPS_OF_A_LEVEL = 4  # at each temperature of the annealing


def solve(
    C: Tensor,
    a: Tensor,
    b: Tensor,
    epsilon: Tensor,
    *,
    annealing: int,
    steps: int,
    strength: float | None = None,
    own: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    r"""``gamma`` at the temperature `epsilon`, and the clouds' own potentials there.

    C: ``(n, m)`` cost. a, b: weights that sum to one; zeros are allowed. epsilon: the final temperature, a scalar
    tensor. strength: of soft marginals, ``None`` for exact ones. own: the ``(n, n)`` and ``(m, m)`` costs within the
    clouds; with them the iteration starts from the potentials of each cloud with itself, the solution for equal clouds.

    The temperature falls geometrically from the largest cost to `epsilon` in `annealing` levels. What is carried from
    one level to the next is the difference to the own potentials: it depends little on the temperature. Then come
    `steps` alternating updates, over-relaxed with the factor that is best for the rate that the last ones showed
    (Lehmann et al., 2021, https://doi.org/10.1007/s11590-021-01830-0). Soft marginals are shifted after each update.
    """
    log_a, log_b = log_weights(a), log_weights(b)
    top = torch.maximum(C.amax(), epsilon)
    alpha, beta = torch.zeros_like(a), torch.zeros_like(b)
    f, g = torch.zeros_like(a), torch.zeros_like(b)  # differences to the own potentials, in units of the cost
    plain = torch.ones_like(epsilon)

    def relaxed(updates, phi, gamma, omega, t, count):
        shift = None if strength is None else best_shift(log_a, log_b, t, strength)
        return relax(*updates, phi, gamma, omega, count, shift)

    for k in range(annealing):
        t = top * (epsilon / top) ** (k / annealing)
        if own is not None:
            alpha, beta = (
                own_potential(own[0], a, t, alpha, strength, 5),
                own_potential(own[1], b, t, beta, strength, 5),
            )
        phi, gamma = alpha + f / t, beta + g / t
        updates = in_the_log_domain(C / t, log_a, log_b, damping(t, strength))
        phi, gamma, *_ = relaxed(updates, phi, gamma, plain, t, 1)
        if strength is None:
            phi, updates = by_products(C / t, a, b, log_b, gamma)
        phi, gamma, *_ = relaxed(updates, phi, gamma, plain, t, STEPS_OF_A_LEVEL)
        f, g = t * (phi - alpha), t * (gamma - beta)

    E = C / epsilon
    if own is not None:
        enough = 16 if C.dtype == torch.float32 else 34  # the error falls threefold a step: to a rounding
        alpha = own_potential(own[0], a, epsilon, alpha, strength, enough)
        beta = own_potential(own[1], b, epsilon, beta, strength, enough)
    phi, gamma = alpha + f / epsilon, beta + g / epsilon
    updates = in_the_log_domain(E, log_a, log_b, damping(epsilon, strength))
    phi, gamma, *_ = relaxed(updates, phi, gamma, plain, epsilon, 1)
    omega = plain
    for done in range(0, steps, ABSORB_EVERY):
        if strength is None:
            phi, updates = by_products(E, a, b, log_b, gamma)
        count = min(ABSORB_EVERY, steps - done)
        phi, gamma, first, last = relaxed(updates, phi, gamma, omega, epsilon, count)
        omega = relaxation(omega, first, last, count)
    return gamma, (alpha, beta)


def log_weights(a: Tensor) -> Tensor:
    """log a, and a large negative number where a is zero."""
    return torch.where(a > 0, a, torch.ones_like(a)).log().masked_fill(a <= 0, -1e4)


def damping(epsilon: Tensor, strength: float | None) -> Tensor | float:
    """The factor by which soft marginals shorten each update of a potential."""
    return 1.0 if strength is None else strength / (strength + epsilon)


def best_shift(log_a: Tensor, log_b: Tensor, epsilon: Tensor, strength: float) -> Shift:
    r"""The constant that, added to `phi` and taken from `gamma`, is best for the dual of soft marginals.

    .. math:: \frac{\rho}{2 \varepsilon} \log
        \frac{\sum_i a_i \exp(-\varepsilon \phi_i / \rho)}{\sum_j b_j \exp(-\varepsilon \gamma_j / \rho)}

    The updates alone damp an error of this kind by :math:`\rho / (\rho + \varepsilon)` each: for a large reach and a
    small blur thousands of updates would be needed (Séjourné et al., Faster Unbalanced Optimal Transport, 2022, section
    3, https://arxiv.org/abs/2201.00730).
    """
    r = epsilon / strength

    def shift(phi: Tensor, gamma: Tensor) -> Tensor:
        return ((log_a - r * phi).logsumexp(0) - (log_b - r * gamma).logsumexp(0)) / (2 * r)

    return shift


def own_kernel(C: Tensor, epsilon: Tensor) -> Tensor:
    """Its diagonal is one, so that no row underflows and no absorption is needed."""
    return torch.exp(C / -epsilon)


def own_potential(C: Tensor, a: Tensor, epsilon: Tensor, phi: Tensor, strength: float | None, steps: int) -> Tensor:
    """Potential of a cloud with itself. An update keeps a third of the old value: the error falls threefold a step."""
    K, factor = own_kernel(C, epsilon), damping(epsilon, strength)
    tiny = torch.finfo(a.dtype).tiny
    for _ in range(steps):
        phi = torch.lerp(phi, -factor * (K @ (a * phi.exp())).clamp_min(tiny).log(), 2 / 3)
    return phi


def in_the_log_domain(E: Tensor, log_a: Tensor, log_b: Tensor, factor: Tensor | float) -> tuple[Update, Update]:
    """The two updates, safe everywhere; each costs an exponential of the whole matrix."""

    def rows(gamma: Tensor) -> Tensor:
        return -factor * torch.logsumexp(gamma + log_b - E, 1)

    def columns(phi: Tensor) -> Tensor:
        return -factor * torch.logsumexp((phi + log_a)[:, None] - E, 0)

    return rows, columns


def by_products(E: Tensor, a: Tensor, b: Tensor, log_b: Tensor, gamma0: Tensor) -> tuple[Tensor, tuple[Update, Update]]:
    """The two updates (exact marginals) as products with the plan at `gamma0`: one exponential for many steps."""
    phi0, Q = row_plan(E, log_b, gamma0)
    counts = b > 0  # an empty column underflows: its potential would grow with every absorption, and come alive
    b = torch.where(counts, b, torch.ones_like(b))
    most = 60.0 if E.dtype == torch.float32 else 500.0  # what would overflow waits for the next absorption

    def rows(gamma: Tensor) -> Tensor:
        return phi0 - log_within(Q @ (gamma - gamma0).clamp(-most, most).exp(), most)

    def columns(phi: Tensor) -> Tensor:
        mass = (a * (phi - phi0).clamp(-most, most).exp()) @ Q
        return torch.where(counts, gamma0 - log_within(mass / b, most), gamma0)

    return phi0, (rows, columns)


def log_within(x: Tensor, most: float) -> Tensor:
    return x.log().clamp(-most, most)


def row_plan(E: Tensor, log_b: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
    """``phi`` that makes the row marginals exact for `gamma`, and the plan over the row weights: rows sum to one."""
    Z = gamma + log_b - E
    phi = -torch.logsumexp(Z, 1)
    return phi, (Z + phi[:, None]).exp_()


def relax(
    rows: Update, columns: Update, phi: Tensor, gamma: Tensor, omega: Tensor, steps: int, shift: Shift | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`steps` updates in turn with relaxation `omega`, and the largest change of a row in the first and the last.

    `shift` moves both potentials against each other after each pair of updates; ``None`` for exact marginals.
    """
    first = last = torch.zeros_like(omega)
    for k in range(steps):
        gamma = torch.lerp(gamma, columns(phi), omega)
        new = rows(gamma)
        if k in (0, steps - 1):
            first, last = last if k else (new - phi).abs().amax(), (new - phi).abs().amax()
        phi = torch.lerp(phi, new, omega)
        if shift is not None:
            best = shift(phi, gamma)
            phi, gamma = phi + best, gamma - best
    return phi, gamma, first, last


def relaxation(omega: Tensor, first: Tensor, last: Tensor, steps: int) -> Tensor:
    r"""The relaxation that is best for the rate between the residuals of the first and the last of `steps` steps.

    At relaxation :math:`\omega` the rate :math:`r` that is seen and the rate :math:`s` of the plain iteration obey
    :math:`(r + \omega - 1)^2 = r\, \omega^2 s` as long as :math:`r > \omega - 1`; the best relaxation is
    :math:`2 / (1 + \sqrt{1 - s})`. Beyond the best, r is :math:`\omega - 1` and
    says no more; after a jump of the relaxation the residual may grow for a while. Then it goes back by a third.
    """
    rounding = 100 * torch.finfo(omega.dtype).eps
    rate = (last / first.clamp_min(rounding)).clamp_min(rounding) ** (1 / max(steps - 1, 1))
    plain = ((rate + omega - 1).square() / (rate * omega.square())).clamp(0.0, 0.9995)
    telling = (rate > omega - 1) & (rate < 1)
    best = torch.where(telling, 2 / (1 + (1 - plain).sqrt()), 1 + (omega - 1) * 2 / 3)
    return torch.where(last > rounding, best, omega)
