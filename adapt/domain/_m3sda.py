"""Several sources: equal moments of all domains."""

from collections.abc import Sequence
from functools import partial
from itertools import combinations

import torch
from torch import Tensor

from adapt.domain.level import Level, as_rows
from adapt.domain.options import check_options
from adapt.domain.sources import check_names
from adapt.engine import Step, Term, gather, ramp
from adapt.engine.schedule import Schedule
from losses.discrepancy._central_moment_discrepancy import norm


def m3sda(
    *,
    sources: Sequence[str],
    target: str = "target",
    name: str = "m3sda",
    weight: float | Schedule = ramp(0.1),
    level: Level = None,
) -> Term:
    r"""Align the first two moments of the features, of each source with the target and of all pairs of sources.

    .. math::
        \sum_{k=1}^{2} \Bigl( \frac1N \sum_{i} \lVert m_k(S_i) - m_k(T) \rVert_2 + \binom N2^{-1} \sum_{i < j}
        \lVert m_k(S_i) - m_k(S_j) \rVert_2 \Bigr), \qquad m_k(X) = \mathbb{E}_X [x^k]

    with raw moments, powers of each feature, and norms without a square. Needs a supervised term for each source.

    Args:
        sources: N >= 2 streams; no labels are used.
        target: stream; no labels are used.
        name: of the term.
        weight: of the term; Ganin's rise to 0.1, our choice: the gradient of a norm without a square does not fade near
            zero. The paper names no value.
        level: the rows of features with places: :func:`adapt.domain.level.as_rows`.

    Batches may differ in size. Exact on several ranks: the moments are means over the rows of all ranks.

    The authors' code differs from the equation in the paper. The code centres the features and takes moments up to
    five. The first "moment" in the code is the distance between the two batches, row by row. The sum over pairs is
    divided by a constant and weighed with 0.0005. The second variant in the paper, M3SDA-beta, adds two classifiers per
    source that disagree: the added part is MCD.

    Raises:
        ValueError: fewer than two sources, an option with a wrong value.

    Peng et al., Moment Matching for Multi-Source Domain Adaptation, 2019, eq. 1, https://arxiv.org/abs/1812.01754
    """
    sources = check_names(sources)
    check_options(target=target, name=name, weight=weight, level=level)
    loss = partial(moment_distance, sources=sources, target=target, level=level)
    return Term(name, loss, weight, streams=[*sources, target])


def moment_distance(step: Step, *, sources: Sequence[str], target: str, level: Level) -> Tensor:
    """Return the sum of the distances of both moments."""
    clouds = [as_rows(step[stream].features, level) for stream in (*sources, target)]
    own = [torch.stack([x.mean(0), x.square().mean(0)]) for x in clouds]
    *S, T = gather(torch.stack(own)[None]).mean(0)  # each (2, d), of all ranks
    to_target = [norm(a - b) for s in S for a, b in zip(s, T, strict=True)]
    between = [norm(a - b) for s, r in combinations(S, 2) for a, b in zip(s, r, strict=True)]
    return 2 * (torch.stack(to_target).mean() + torch.stack(between).mean())  # 2: a sum over the moments
