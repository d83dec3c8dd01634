"""Soft neighbourhood density: the number of similar rows of each target row."""

from typing import Any

import torch
import torch.nn.functional as F

from adapt.ranking import arrays
from losses.options import COUNT, POSITIVE, check


def soft_neighbourhood_density(target_logits: Any, *, temperature: float = 0.05, block: int = 1024) -> float:
    r"""Compute the mean entropy of the soft neighbourhoods of the target's predictions: SND.

    .. math:: \frac1n \sum_i H(q_i), \qquad
        q_{ij} \propto \exp\bigl( \cos(p_i, p_j) / \text{temperature} \bigr),\; j \ne i, \qquad
        p_i = \mathrm{softmax}(z_i)

    Args:
        target_logits: ``(n, classes)``.
        temperature: 0.05 as in the paper.
        block: rows at a time: memory is O(block n), time O(n^2).

    Returns:
        A number in [0, log(n - 1)]; higher is better. SND grows with n: compare models on the same rows.

    Raises:
        ValueError: fewer than 2 rows, shapes, logits that are not finite.

    pytorch-adapt's ``SNDValidator`` is equal up to a small number inside of the logarithm (relative difference about
    1e-6).

    SND fails completely on a collapsed model: a single class for everything has the value log(n - 1), the best
    possible. Use SND after :func:`collapse`, and together with other validators.

    Saito et al., Tune it the Right Way: Unsupervised Validation of Domain Adaptation via Soft Neighborhood Density,
    2021, https://arxiv.org/abs/2108.10860

    >>> round(soft_neighbourhood_density([[9.0, 0.0], [9.0, 0.0], [9.0, 0.0]]), 4)
    0.6931
    """
    z = arrays.logits("target_logits", target_logits)
    n = len(z)
    if n < 2:
        raise ValueError(f"`target_logits` needs at least 2 rows to have neighbours, got {n}.")
    check(POSITIVE, temperature=temperature)
    check(COUNT, block=block)
    p = F.normalize(z.softmax(1), dim=1)
    total = torch.zeros((), dtype=p.dtype)
    for rows in torch.arange(n).split(int(block)):
        similarity = p[rows] @ p.T / temperature
        similarity[torch.arange(len(rows)), rows] = -torch.inf
        log_q = similarity.log_softmax(1)
        total -= torch.special.xlogy(q := log_q.exp(), q).sum()
    return total.item() / n
