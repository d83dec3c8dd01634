"""The Sinkhorn divergence."""

import torch
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_clouds, full_precision
from losses.distances import middle
from losses.options import COUNT, FROM_0, POSITIVE, check, is_number, or_none
from losses.transport.entropic import log_weights, own_kernel, row_plan, solve
from losses.transport.first_order import with_gradient
from losses.transport.weights import row_weights


def sinkhorn_divergence(
    source: Tensor,
    target: Tensor,
    *,
    blur: float | None = None,
    power: int = 2,
    reach: float | None = None,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
    debias: bool = True,
    annealing: int | None = None,
    steps: int = 60,
    global_batch: bool = True,
) -> Tensor:
    r"""Entropic optimal transport between two clouds, less that of each cloud with itself.

    .. math::
        S_\varepsilon(a, b) = \mathrm{OT}_\varepsilon(a, b) - \tfrac12 \mathrm{OT}_\varepsilon(a, a)
            - \tfrac12 \mathrm{OT}_\varepsilon(b, b), \qquad
        \mathrm{OT}_\varepsilon(a, b) = \min_\pi \sum_{ij} \pi_{ij} C_{ij} + \varepsilon\,
        \mathrm{KL}(\pi \,|\, a \otimes b),
        \qquad C_{ij} = \tfrac1p \lVert x_i - y_j \rVert^p

    over plans :math:`\pi` with marginals a and b. With `reach` the marginals are soft: instead of the constraint,
    :math:`\rho\, \mathrm{KL}(\pi 1 | a) + \rho\, \mathrm{KL}(\pi^\top 1 | b)` is added, :math:`\rho = \text{reach}^p`.

    Args:
        source: ``(n, d)`` features :math:`x`.
        target: ``(m, d)`` features :math:`y`; n and m may differ.
        blur: :math:`\varepsilon = \text{blur}^p`, in units of the features. ``None`` takes :math:`\varepsilon` as 5 %
            of the mean cost between source and target, without gradient: then scaling the features scales the value,
            and the default number of steps suffices at any scale.
        power: :math:`p`, 2 or 1.
        reach: the distance beyond which mass is rather given up than moved; ``None`` moves all of it.
        source_weights: ``(n,)`` numbers that are not negative, or a mask; divided by their sum. No gradient.
        target_weights: ``(m,)``, the same for the target.
        debias: take the two own terms off. Without them the value is :math:`\mathrm{OT}_\varepsilon(a, b)`, which is
            not smallest at equal clouds.
        annealing: temperatures that are passed on the way from the largest cost to :math:`\varepsilon`; more of them
            for a `blur` far below the distances. ``None`` is 0 without a `blur` and 6 with one.
        steps: updates at :math:`\varepsilon`; their number is fixed, so that nothing waits for the device.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; a power that is not 1 or 2; numbers that are not positive.

    The value is that of the dual, whose error is of second order in that of the potentials. The gradient is that of the
    cost under the plan found (envelope theorem): exact at convergence, with an error of first order before. The
    iterations are not differentiated, and a second derivative is an error. All weights of a cloud zero gives 0. An
    epsilon below the rounding of the largest cost (1e-7 of that cost in float32) gives finite numbers, which are those
    of a plan without blur, up to that rounding. In float32 an outlier far beyond all other rows costs the others their
    digits, since the rounding of its cost exceeds their costs: hand over float64 features there.

    geomloss.SamplesLoss("sinkhorn", p, blur, reach, debias) is the same value, for weights that sum to one; its `blur`
    is 0.05 unless set, and how far it converges follows from its `scaling`. With `reach` its gradient (0.3.1) is too
    small by the factor (rho + epsilon / 2) / (rho + epsilon). With p = 1 it keeps distances above 1e-4.
    POT's empirical_sinkhorn_divergence has the cost without 1/2 and leaves the entropy out of the value: another
    number.

    Related: :func:`losses.exact_transport` has no entropy and the cost without 1/p; :func:`losses.mmd`: with a large
    `blur` this is half of ``losses.mmd(..., estimator="biased")``, with ``kernel="energy"`` (p = 1) or ``"linear"`` (p
    = 2).

    Feydy et al., Interpolating between Optimal Transport and MMD using Sinkhorn Divergences, 2019,
    https://arxiv.org/abs/1810.08278; soft marginals: Séjourné et al., 2019, https://arxiv.org/abs/1910.12958

    >>> x = torch.tensor([[0.0], [1.0]])
    >>> sinkhorn_divergence(x, x + 2).round(decimals=3)          # a shift by 2 costs 2 ** 2 / 2
    tensor(2.)
    """
    check_clouds(source, target)
    check(("1 or 2", lambda v: is_number(v) and v in (1, 2)), power=power)
    check(or_none(POSITIVE), blur=blur, reach=reach)
    check(or_none(FROM_0), annealing=annealing)
    check(COUNT, steps=steps)
    if annealing is None:
        annealing = 0 if blur is None else 6
    x, y = at_least_float32(source), at_least_float32(target)
    a, a_counts = row_weights("source_weights", source_weights, x, global_batch)
    b, b_counts = row_weights("target_weights", target_weights, y, global_batch)
    if global_batch:
        x, y = gather(x), gather(y)
    with torch.no_grad(), full_precision(x):
        held = x.detach(), y.detach(), a, b
        value, gradient_x, gradient_y = _divergence(*held, blur, power, reach, debias, annealing, steps)
        counts = a_counts * b_counts
    return with_gradient(value * counts, (x, gradient_x * counts), (y, gradient_y * counts))


def _divergence(x, y, a, b, blur, power, reach, debias, annealing, steps):
    # a row that does not count stands where one does: nothing that it holds can matter
    x, y = (torch.where(w[:, None] > 0, z, z.index_select(0, w.argmax(0, keepdim=True))) for z, w in ((x, a), (y, b)))
    origin = middle(x)
    near = x - origin, y - middle(y)  # for the own terms: their digits do not depend on how far apart the clouds are
    x, y, shift = near[0], y - origin, torch.zeros_like(x[0])
    if power == 2 and reach is None:  # moving a cloud then costs |shift|^2 / 2 and changes no plan
        shift = b @ y - a @ x
        x, y = near = near[0] - a @ near[0], near[1] - b @ near[1]
    C = cost(x, y, power)
    own = tuple(cost(z, z, power) for z in near) if debias else None
    if own is not None:  # a row costs nothing with itself: a product would round there
        own = tuple(D - torch.diag_embed(D.diagonal()) for D in own)
    if blur is None:
        epsilon = (0.05 * (a @ C @ b + shift.square().sum() / 2)).clamp_min(torch.finfo(C.dtype).tiny)
    else:
        epsilon = torch.full_like(C[0, 0], blur**power)
    strength = None if reach is None else reach**power
    gamma, potentials = solve(C, a, b, epsilon, annealing=annealing, steps=steps, strength=strength, own=own)

    # between the clouds: the last update of the rows, then the plan
    phi, Q = row_plan(C / epsilon, log_weights(b), gamma)
    if strength is not None:
        given_up = -phi * epsilon / (strength + epsilon)  # the damping, without a difference of large numbers
        phi, Q = phi + given_up, Q * given_up.exp()[:, None]
    value = shift.square().sum() / 2 + dual(phi, gamma, a, b, a @ Q.sum(1), epsilon, strength)
    if power == 1:
        Q = divided(Q, C)
    gradient_x = a[:, None] * (Q.sum(1, keepdim=True) * (x - shift) - Q @ y)
    gradient_y = (a @ Q)[:, None] * (y + shift) - Q.T @ (a[:, None] * x)
    if own is None:
        return value, gradient_x, gradient_y

    within = []
    for z, weights, D, alpha in zip(near, (a, b), own, potentials, strict=True):
        K, u = own_kernel(D, epsilon), weights * alpha.exp()
        value = value - dual(alpha, alpha, weights, weights, u @ (K @ u), epsilon, strength) / 2
        if power == 1:
            K = divided(K, D)
        # the derivative of half the own term: x occurs twice in it
        within.append(u[:, None] * ((K @ u)[:, None] * z - K @ (u[:, None] * z)))
    return value, gradient_x - within[0], gradient_y - within[1]


def cost(x: Tensor, y: Tensor, power: int) -> Tensor:
    """``(n, m)`` costs. For equal clouds the matrices between and within are the same numbers, so that they cancel."""
    if power == 1:
        return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    return ((x.square().sum(1)[:, None] + y.square().sum(1)) / 2 - x @ y.T).clamp_min(0)


def dual(phi, gamma, a, b, mass, epsilon, strength):
    """The dual objective: at most the primal one, and equal to it at the optimum."""
    entropy = epsilon * (1 - mass)
    if strength is None:
        return epsilon * (a @ phi + b @ gamma) + entropy
    soft = lambda w, p: -strength * (w @ torch.expm1(-epsilon * p / strength))  # noqa: E731
    return soft(a, phi) + soft(b, gamma) + entropy


def divided(plan: Tensor, distance: Tensor) -> Tensor:
    """The gradient of a distance is the difference divided by it; 0 where the points are one."""
    positive = distance > 0
    return torch.where(positive, plan / torch.where(positive, distance, torch.ones_like(distance)), 0.0)
