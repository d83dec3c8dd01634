"""Sliced Wasserstein discrepancy between two classifiers (SWD)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from losses.checks import at_least_float32, check_logits, check_same_shape
from losses.gather import gather


def sliced_wasserstein_discrepancy(
    first_logits: Tensor,
    second_logits: Tensor,
    *,
    directions: Tensor | None = None,
    generator: torch.Generator | None = None,
    projections: int = 128,
    global_batch: bool = True,
) -> Tensor:
    r"""Squared 2-Wasserstein distance between two batches of predictions, averaged over one-dimensional projections.

    .. math:: \frac1M \sum_{m=1}^M \frac1n \sum_{i=1}^n \bigl( (P\theta_m)_{(i)} - (Q\theta_m)_{(i)} \bigr)^2

    with :math:`P, Q` the softmax of the logits, :math:`\theta_m` unit directions and :math:`v_{(i)}` the i-th smallest entry.
    On target rows the two heads maximise it and the encoder minimises it, as in :func:`losses.classifier_discrepancy`.

    Args:
        first_logits: ``(n, classes)``.
        second_logits: the same shape.
        directions: ``(classes, M)``, one in each column, brought to unit length here. Give these or `generator`.
        generator: draws `projections` directions, uniform on the sphere. Ranks need equal ones: give equal seeds.
        projections: :math:`M` where they are drawn; 128, as in the authors' code.
        global_batch: gather the rows of all ranks first: sorting sees all rows.

    Returns:
        A scalar, not negative. Sees the global batch; gradient accumulation does not enlarge that batch. It depends on
        the rows of either batch but not on which belong together. float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; both or neither of `directions` and `generator`; `projections` below 1.

    The directions carry no gradient of their own unless they ask for it; a column of zeros adds zero. pytorch-adapt's
    ``SlicedWasserstein`` takes probabilities and draws from the global generator; its argument `m` is ignored (always 128).

    Lee et al., Sliced Wasserstein Discrepancy for Unsupervised Domain Adaptation, 2019,
    https://arxiv.org/abs/1903.04064

    >>> p, q = torch.tensor([[50.0, 0.0], [0.0, 50.0]]), torch.tensor([[50.0, 0.0], [50.0, 0.0]])
    >>> sliced_wasserstein_discrepancy(p, q, directions=torch.tensor([[1.0], [0.0]]))
    tensor(0.5000)
    """
    check_logits("first_logits", first_logits)
    check_same_shape(first_logits=first_logits, second_logits=second_logits)
    p, q = (at_least_float32(z).softmax(1) for z in (first_logits, second_logits))
    theta = _directions(directions, generator, p.shape[1], projections).to(p)
    if global_batch:
        p, q = gather(p), gather(q)
    with torch.autocast(p.device.type, enabled=False):  # a caller's autocast would multiply in half precision
        p, q = (p @ theta).sort(0).values, (q @ theta).sort(0).values
    return (p - q).square().mean()


def _directions(directions: Tensor | None, generator: torch.Generator | None, classes: int, projections: int) -> Tensor:
    if (directions is None) == (generator is None):
        raise ValueError(
            "Give either `directions` or `generator`, got " + ("neither." if generator is None else "both.")
        )
    if generator is not None:
        if projections < 1:
            raise ValueError(f"`projections` must be at least 1, got {projections}.")
        directions = torch.randn(classes, projections, generator=generator, device=generator.device)
    assert directions is not None
    if directions.ndim != 2 or directions.shape[0] != classes or directions.shape[1] == 0:
        raise ValueError(f"`directions` must be ({classes}, M), one in each column, got {tuple(directions.shape)}.")
    return F.normalize(at_least_float32(directions), dim=0)
