"""Transport of features and labels together (DeepJDOT)."""

from typing import Literal

import torch
from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_clouds, check_labels, check_logits, full_precision
from losses.distances import centred
from losses.options import AT_LEAST_0, COUNT, check
from losses.transport._exact_transport import exact_plan
from losses.transport.entropic import log_weights, row_plan, solve


def joint_transport(
    source: Tensor,
    target: Tensor,
    source_labels: Tensor,
    target_logits: Tensor,
    *,
    feature_weight: float = 1.0,
    label_weight: float = 1.0,
    plan: Literal["exact", "sinkhorn"] = "exact",
    steps: int = 60,
    global_batch: bool = True,
) -> Tensor:
    r"""The cost of the plan that moves source features and labels together to target features and predictions.

    .. math::
        \sum_{ij} \gamma_{ij} M_{ij}, \qquad
        M_{ij} = \alpha \lVert x_i - y_j \rVert^2 + \lambda\, \mathrm{CE}(l_i, z_j), \qquad
        \gamma = \arg\min_{\gamma 1 = 1/n,\ \gamma^\top 1 = 1/m} \sum_{ij} \gamma_{ij} M_{ij}

    with :math:`\mathrm{CE}(l, z) = -\log \mathrm{softmax}(z)_l`. The plan :math:`\gamma` is held.

    Args:
        source: ``(n, d)`` features :math:`x`.
        target: ``(m, d)`` features :math:`y`; n and m may differ.
        source_labels: ``(n,)`` class indices :math:`l`.
        target_logits: ``(m, classes)`` :math:`z`, predictions for the target rows.
        feature_weight: :math:`\alpha`. 1 here and in skada.
        label_weight: :math:`\lambda`. 1 here and in skada.
        plan: ``"exact"`` by POT on the host: waits for the device, does not compile, takes no transform of torch.func.
            ``"sinkhorn"`` is the entropic plan at a temperature of 5 % of the mean cost, in torch alone; the value is
            the cost under it, without the entropy.
        steps: updates of the entropic plan.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; negative weights; an unknown plan.
        ImportError: ``plan="exact"`` without POT.
        RuntimeError: the solver does not find the best plan.
        IndexError or RuntimeError: a label that is no class.

    The paper adds the classification loss of the source rows: a term of its own here. The authors' code finds the plan
    with the squared distance of one-hot labels and probabilities in place of CE; their digits use `feature_weight`
    0.001 and `label_weight` 0.0001 beside the source loss. skada's deepjdot_loss is the exact value, for n = m only.

    Related: :func:`losses.exact_transport` has no labels.

    Damodaran et al., DeepJDOT, 2018, https://arxiv.org/abs/1803.10081

    >>> x, labels = torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1])
    >>> joint_transport(x, x.flip(0), labels, torch.zeros(2, 2), label_weight=1.0)        # log 2 from the labels
    tensor(0.6931)
    """
    check_clouds(source, target)
    check_labels(source_labels, (source.shape[0],))
    check_logits("target_logits", target_logits)
    if target_logits.shape[0] != target.shape[0]:
        raise ValueError(
            f"`target_logits` must have one row for each row of `target`, {target.shape[0]}, got "
            f"{target_logits.shape[0]}."
        )
    check(AT_LEAST_0, feature_weight=feature_weight, label_weight=label_weight)
    check(COUNT, steps=steps)
    if plan not in ("exact", "sinkhorn"):
        raise ValueError(f'`plan` must be "exact" or "sinkhorn", got {plan!r}.')
    x, y, z = at_least_float32(source), at_least_float32(target), at_least_float32(target_logits)
    if global_batch:
        x, y, z, source_labels = gather(x), gather(y), gather(z), gather(source_labels)
    log_p = z.log_softmax(1)

    x, y = centred(x, y)
    with full_precision(x):
        squared = (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T).clamp_min(0)
    M = feature_weight * squared - label_weight * log_p.T.index_select(0, source_labels.long())
    a, b = torch.full_like(x[:, 0], 1 / x.shape[0]).detach(), torch.full_like(y[:, 0], 1 / y.shape[0]).detach()
    if plan == "exact":
        i, j, mass = exact_plan(M.detach(), a, b)
        pairs = feature_weight * (x[i] - y[j]).square().sum(1) - label_weight * log_p[j, source_labels[i].long()]
        return (mass.to(x.dtype) * pairs).sum()
    C = M.detach()  # `no_grad` alone would leave the tangents of forward mode
    with torch.no_grad(), full_precision(x):
        epsilon = (0.05 * C.mean()).clamp_min(torch.finfo(C.dtype).tiny)
        gamma, _ = solve(C, a, b, epsilon, annealing=0, steps=steps)
        Q = row_plan(C / epsilon, log_weights(b), gamma)[1]
    return (a[:, None] * Q * M).sum()
