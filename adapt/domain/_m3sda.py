"""Several sources: moments of all domains brought together."""

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from adapt.domain.sources import check_names
from adapt.engine import Step, Term, gather, ramp
from adapt.engine.schedule import Schedule
from losses.discrepancy._central_moment_discrepancy import norm


def m3sda(sources: Sequence[str], target: str = "target", *, weight: float | Schedule = ramp(0.1)) -> Term:
    r"""Distance between the first two moments of the features, of each source to the target and of all pairs of sources.

    .. math::
        \sum_{k=1}^{2} \Bigl( \frac1N \sum_{i} \lVert m_k(S_i) - m_k(T) \rVert_2 + \binom N2^{-1} \sum_{i < j}
        \lVert m_k(S_i) - m_k(S_j) \rVert_2 \Bigr), \qquad m_k(X) = \mathbb{E}_X [x^k]

    with raw moments, powers taken feature by feature, and norms that are not squared. To be added to a supervised term
    for each source.

    Args:
        sources: N >= 2 streams; this term uses none of their labels.
        target: stream; no labels are used.
        weight: of the term; Ganin's rise to 0.1, our choice: norms that are not squared never fade. The paper names no
            value.

    Batches may differ in size. Exact on several ranks: the moments are means over the rows of all of them.

    The authors' code differs from their equation: it centres the features, takes moments up to five, and its first
    "moment" is the distance between the two batches themselves, row by row; it divides the sum over pairs by a constant
    and weighs it with 0.0005. The paper's second variant, M3SDA-beta, adds two classifiers a source that disagree:
    that part is MCD.

    Raises:
        ValueError: fewer than two sources.

    Peng et al., Moment Matching for Multi-Source Domain Adaptation, 2019, eq. 1, https://arxiv.org/abs/1812.01754
    """
    sources = check_names(sources)

    def loss(step: Step) -> Tensor:
        own = [torch.stack([x.mean(0), x.square().mean(0)]) for x in (step[n].features for n in (*sources, target))]
        *S, T = gather(torch.stack(own)[None]).mean(0)  # each (2, d), of all ranks
        to_target = [norm(a - b) for s in S for a, b in zip(s, T, strict=True)]
        between = [norm(a - b) for s, r in combinations(S, 2) for a, b in zip(s, r, strict=True)]
        return 2 * (torch.stack(to_target).mean() + torch.stack(between).mean())  # 2: a sum over the moments

    return Term("m3sda", loss, weight, streams=[*sources, target])
