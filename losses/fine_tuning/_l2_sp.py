"""Distance of the parameters from where they started (L2-SP, elastic weight consolidation)."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from losses.checks import at_least_float32, check_real

Parameters = Mapping[str, Tensor] | Iterable[Tensor]


def l2_sp(parameters: Parameters, start: Parameters, *, importance: Parameters | None = None) -> Tensor:
    r"""Half the squared distance of the parameters from their starting point.

    .. math:: \tfrac12 \sum_p \lVert w_p - w_p^0 \rVert^2, \qquad
        \text{or} \quad \tfrac12 \sum_p \sum_k F_{pk} (w_{pk} - w_{pk}^0)^2

    with :math:`F` the `importance`: the diagonal of the Fisher information gives L2-SP-Fisher and elastic weight
    consolidation (EWC).

    Args:
        parameters: the tensors :math:`w_p` being trained, a sequence or a dictionary of names.
        start: their values :math:`w_p^0` before training, in the same order or under the same names. They carry no
            gradient. Copies, not views: ``{name: p.detach().clone() for name, p in encoder.named_parameters()}``.
        importance: :math:`F_p`, like `start`; ones where it is left out. It carries no gradient.

    Returns:
        A scalar: a sum, so it grows with the number of parameters. The same on every rank. float32 inside, whatever
        comes in.

    Raises:
        ValueError: no parameters; numbers, names or shapes that do not match (the parameter is named); a start that
            is the parameter itself or shares its memory, as `state_dict()` and `detach()` do.

    Give the pretrained parameters only. The paper adds an ordinary weight decay for the new head: leave that to the
    optimizer. Groups of different strength are two calls, each with its weight.

    tllib has the same value, but holds the start without copying it: with one module on both sides its penalty is
    always zero.

    Related: :func:`losses.delta` compares what the network computes instead of its parameters.

    Li et al., Explicit Inductive Bias for Transfer Learning with Convolutional Networks, 2018,
    https://arxiv.org/abs/1802.01483; Kirkpatrick et al., Overcoming catastrophic forgetting in neural networks, 2017,
    https://arxiv.org/abs/1612.00796

    >>> l2_sp({"weight": torch.tensor([1.0, 3.0])}, {"weight": torch.tensor([0.0, 1.0])})
    tensor(2.5000)
    """
    W = _named(parameters)
    W0 = _matched("start", start, W)
    F = None if importance is None else _matched("importance", importance, W)
    if not W:
        raise ValueError("`parameters` must hold at least one tensor, got none.")
    terms = []
    for name, w in W.items():
        check_real(f"parameters[{name!r}]", w)
        check_real(f"start[{name!r}]", W0[name])
        if _same_memory(w, W0[name]):
            raise ValueError(
                f"`start` holds parameter {name} itself, so the penalty would always be zero; "
                "keep p.detach().clone() before training."
            )
        squares = (at_least_float32(w) - at_least_float32(W0[name].detach())).square()
        terms.append((squares if F is None else at_least_float32(F[name].detach()) * squares).sum())
    return torch.stack(terms).sum() / 2


def _same_memory(w: Tensor, start: Tensor) -> bool:
    if w is start or torch.compiler.is_compiling():  # a traced tensor has no memory to compare
        return w is start
    try:
        return w.is_set_to(start)
    except RuntimeError:  # vmap has no rule for it
        return False


def _named(tensors: Parameters) -> dict[str, Tensor]:
    if isinstance(tensors, Tensor):
        raise ValueError(
            "`parameters`, `start` and `importance` must be sequences or dictionaries of tensors, got one."
        )
    return dict(tensors) if isinstance(tensors, Mapping) else {str(k): t for k, t in enumerate(tensors)}


def _matched(argument: str, tensors: Parameters, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    T = _named(tensors)
    if T.keys() != parameters.keys():
        missing, extra = sorted(parameters.keys() - T.keys()), sorted(T.keys() - parameters.keys())
        raise ValueError(
            f"`{argument}` must hold one tensor for each of the {len(parameters)} parameters, got {len(T)}; "
            f"missing {missing[:3]}, not a parameter {extra[:3]}."
        )
    for name, p in parameters.items():
        if T[name].shape != p.shape:
            raise ValueError(
                f"`{argument}` of parameter {name} must have its shape {tuple(p.shape)}, got {tuple(T[name].shape)}; "
                "give the pretrained parameters only, without the new head."
            )
    return T
