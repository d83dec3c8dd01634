"""Sliced Wasserstein discrepancy between two classifiers (SWD)."""

import torch
from torch import Tensor

from losses.checks import at_least_float32, check_logits, check_same_shape
from losses.transport._sliced_wasserstein import sliced_wasserstein


def sliced_wasserstein_discrepancy(
    first_logits: Tensor,
    second_logits: Tensor,
    *,
    directions: int | Tensor = 128,
    generator: torch.Generator | None = None,
    global_batch: bool = True,
) -> Tensor:
    r"""Squared 2-Wasserstein distance between two batches of predictions, averaged over one-dimensional projections.

    .. math:: \frac1M \sum_{m=1}^M \frac1n \sum_{i=1}^n \bigl( (P\theta_m)_{(i)} - (Q\theta_m)_{(i)} \bigr)^2

    with :math:`P, Q` the softmax of the logits, :math:`\theta_m` unit directions and :math:`v_{(i)}` the i-th smallest
    entry. On target rows the two heads maximise it and the encoder minimises it, as in
    :func:`losses.classifier_discrepancy`.

    Args:
        first_logits: ``(n, classes)``.
        second_logits: the same shape.
        directions: how many to draw, :math:`M`; 128, as in the authors' code. Or ``(M, classes)`` unit vectors.
        generator: draws the directions; needed where `directions` is a number. On several ranks it must be in the same
            state on each.
        global_batch: gather the rows of all ranks first: sorting sees all rows.

    Returns:
        A scalar, not negative. Sees the global batch; gradient accumulation does not enlarge that batch. It depends on
        the rows of either batch but not on which belong together. float32 inside, whatever comes in.

    Raises:
        ValueError: shapes that do not fit; a number of directions without a generator.

    It is :func:`losses.sliced_wasserstein` of the predictions. pytorch-adapt's
    ``SlicedWasserstein`` takes probabilities and draws from the global generator; its argument `m` is ignored (always
    128).

    Lee et al., Sliced Wasserstein Discrepancy for Unsupervised Domain Adaptation, 2019,
    https://arxiv.org/abs/1903.04064

    >>> p, q = torch.tensor([[50.0, 0.0], [0.0, 50.0]]), torch.tensor([[50.0, 0.0], [50.0, 0.0]])
    >>> sliced_wasserstein_discrepancy(p, q, directions=torch.tensor([[1.0, 0.0]]))
    tensor(0.5000)
    """
    check_logits("first_logits", first_logits)
    check_same_shape(first_logits=first_logits, second_logits=second_logits)
    p, q = (at_least_float32(z).softmax(1) for z in (first_logits, second_logits))
    return sliced_wasserstein(p, q, directions=directions, generator=generator, global_batch=global_batch)
