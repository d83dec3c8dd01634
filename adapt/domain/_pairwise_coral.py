"""No target: equal covariances of all domains."""

from collections.abc import Sequence
from functools import partial
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

import losses
from adapt.domain.level import Level, as_rows
from adapt.domain.options import check_options, loss_options
from adapt.domain.sources import check_names
from adapt.engine import Step, Term, gather
from adapt.engine.schedule import Schedule


def pairwise_coral(
    *,
    sources: Sequence[str],
    name: str = "pairwise_coral",
    weight: float | Schedule = 1.0,
    level: Level = None,
    scaling: Any = "domainbed",
) -> Term:
    r"""Align the covariances of all pairs of domains by :func:`losses.coral`: CORAL for domain generalisation.

    .. math:: \binom k2^{-1} \sum_{i < j} \mathrm{coral}(F(S_i), F(S_j))

    Needs a supervised term for each source. One of the streams may be an unlabelled target: the method is then
    adaptation from several sources.

    Args:
        sources: k >= 2 streams; no labels are used.
        name: of the term.
        weight: of the term; 1 as in DomainBed. The other term of DomainBed is the mean of the source losses, not the
            sum.
        level: the rows of features with places: :func:`adapt.domain.level.as_rows`.
        scaling: of :func:`losses.coral`. ``"domainbed"`` includes the distance of the means and is the scaling behind
            the results of DomainBed; ``"deep_coral"`` is the scaling in the paper.

    Batches may differ in size. Exact on several ranks: sees the rows of all ranks.

    Raises:
        ValueError: fewer than two sources; an option with a wrong value; fewer than two rows in a batch.

    Sun and Saenko, Deep CORAL, 2016, https://arxiv.org/abs/1607.01719;
    Gulrajani and Lopez-Paz, In Search of Lost Domain Generalization, 2021, https://arxiv.org/abs/2007.01434
    """
    sources = check_names(sources)
    check_options(name=name, weight=weight, level=level)
    loss_options(losses.coral, {"scaling": scaling})
    loss = partial(mean_over_pairs, sources=sources, level=level, scaling=scaling)
    return Term(name, loss, weight, streams=sources)


def mean_over_pairs(step: Step, *, sources: Sequence[str], level: Level, scaling: Any) -> Tensor:
    """Return the mean loss over all pairs of domains."""
    clouds = [gather(as_rows(step[stream].features, level)) for stream in sources]
    pairs = [losses.coral(x, y, scaling=scaling, global_batch=False) for x, y in combinations(clouds, 2)]
    return torch.stack(pairs).mean()
