"""Exact optimal transport between two mini-batches."""

import warnings

import torch
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_clouds
from losses.options import AT_LEAST_1, check
from losses.transport.weights import row_weights


def exact_transport(
    source: Tensor,
    target: Tensor,
    *,
    power: float = 2,
    source_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
    global_batch: bool = True,
) -> Tensor:
    r"""The Wasserstein distance between two clouds, to its power: the cost of the best plan.

    .. math:: W_p^p = \min_{\pi \ge 0} \sum_{ij} \pi_{ij} \lVert x_i - y_j \rVert^p,
              \qquad \pi 1 = a, \quad \pi^\top 1 = b

    The plan is found by POT's network simplex, on the host: this waits for the device, does not compile and takes no
    transform of torch.func. The plan is held; the gradient is that of the cost under the plan (envelope theorem), exact
    wherever the best plan is unique.

    Args:
        source: ``(n, d)`` features :math:`x`.
        target: ``(m, d)`` features :math:`y`; n and m may differ.
        power: :math:`p \ge 1`.
        source_weights: ``(n,)`` numbers :math:`a` that are not negative, or a mask; divided by their sum. No gradient.
        target_weights: ``(m,)``, the same for the target, :math:`b`.
        global_batch: gather the rows of all ranks first; every rank then solves the same problem.

    Returns:
        A scalar. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in; the plan is found in float64.

    Raises:
        ValueError: shapes that do not fit; a power below 1.
        ImportError: POT is not installed.
        RuntimeError: the solver does not find the best plan.

    All weights of a cloud zero gives 0. A row that counts and is not finite gives NaN. POT's emd2 on its squared
    Euclidean cost is the same value for p = 2.

    Related: :func:`losses.sinkhorn_divergence` needs no solver on the host; with its cost of 1/p times this one.
    :func:`losses.joint_transport` adds the labels to the cost.

    Peyré and Cuturi, Computational Optimal Transport, 2019, section 2.3, https://arxiv.org/abs/1803.00567

    >>> x = torch.tensor([[0.0], [1.0]])
    >>> exact_transport(x, torch.tensor([[3.0], [2.0]]))
    tensor(4.)
    """
    check_clouds(source, target)
    check(AT_LEAST_1, power=power)
    x, y = at_least_float32(source), at_least_float32(target)
    a, some_a = row_weights("source_weights", source_weights, x, global_batch)
    b, some_b = row_weights("target_weights", target_weights, y, global_batch)
    if global_batch:
        x, y = gather(x), gather(y)
    distance = torch.cdist(x.detach().double(), y.detach().double(), compute_mode="donot_use_mm_for_euclid_dist")
    i, j, mass = exact_plan(distance**power, a, b)
    squared = (x[i] - y[j]).square().sum(1)
    if power != 2:
        apart = squared > 0  # the root has no derivative at 0: equal points cost nothing and pull nowhere
        squared = torch.where(apart, torch.where(apart, squared, 1.0) ** (power / 2), 0.0)
    return (mass.to(x.dtype) * squared).sum() * (some_a * some_b)


def exact_plan(cost: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The best plan's pairs ``i``, ``j`` and their mass: at most n + m - 1 of them. Solved on the host, in float64.

    cost: ``(n, m)`` without gradient. a, b: weights that sum to one. Where costs that are not finite leave no plan, one
    pair with a mass of NaN, so that the value says it.
    """
    try:
        import ot
    except ImportError as error:
        raise ImportError("Exact transport needs POT: `pip install POT`.") from error
    a, b = a.double(), b.double()
    a, b = a / a.sum(), b / b.sum()  # to rounding in float64: the solver wants equal sums
    try:
        on_the_host = [t.cpu().numpy() for t in (a, b, cost.double())]
    except RuntimeError as error:
        raise RuntimeError(
            "The exact plan is found on the host: no meta device, no transform of torch.func. Expected tensors with "
            f"data, got a {cost.device.type} tensor without; use losses.sinkhorn_divergence, or "
            'losses.joint_transport(..., plan="sinkhorn").'
        ) from error
    with warnings.catch_warnings(action="ignore"):  # POT only warns, and its plan then moves nothing or too little
        plan, log = ot.emd(*on_the_host, numItermax=10_000_000, log=True)
    if log["warning"] is not None:
        if cost.isfinite().all():
            raise RuntimeError(f"The exact plan was not found: {log['warning']}")
        first = torch.zeros(1, dtype=torch.long, device=cost.device)
        return first, first, torch.full((1,), torch.nan, dtype=torch.float64, device=cost.device)
    plan = torch.from_numpy(plan)
    i, j = plan.nonzero(as_tuple=True)
    return i.to(cost.device), j.to(cost.device), plan[i, j].to(cost.device)
