"""No target: covariances of all domains brought together."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

import losses
from adapt.domain.sources import check_names
from adapt.engine import Step, Term, gather
from adapt.engine.schedule import Schedule


def pairwise_coral(sources: Sequence[str], *, scaling: Any = "domainbed", weight: float | Schedule = 1.0) -> Term:
    r"""Mean of :func:`losses.coral` over all pairs of domains: CORAL for domain generalisation.

    .. math:: \binom k2^{-1} \sum_{i < j} \mathrm{coral}(F(S_i), F(S_j))

    To be added to a supervised term for each source. One of the streams may be an unlabelled target: it is then
    adaptation from several sources.

    Args:
        sources: k >= 2 streams; this term uses no labels.
        scaling: of :func:`losses.coral`. ``"domainbed"``, with the distance of the means, is the one that DomainBed's
            results were made with; ``"deep_coral"`` is the paper's.
        weight: of the term; 1 as in DomainBed, whose other term is the mean of the sources' losses, not their sum.

    Batches may differ in size. Exact on several ranks: sees the rows of all of them.

    Raises:
        ValueError: fewer than two sources; fewer than two rows in a batch.

    Sun and Saenko, Deep CORAL, 2016, https://arxiv.org/abs/1607.01719;
    Gulrajani and Lopez-Paz, In Search of Lost Domain Generalization, 2021, https://arxiv.org/abs/2007.01434
    """
    sources = check_names(sources)

    def loss(step: Step) -> Tensor:
        clouds = [gather(step[name].features) for name in sources]
        pairs = [losses.coral(x, y, scaling=scaling, global_batch=False) for x, y in combinations(clouds, 2)]
        return torch.stack(pairs).mean()

    return Term("pairwise_coral", loss, weight, streams=sources)
