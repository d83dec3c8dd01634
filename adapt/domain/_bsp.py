"""No direction of the features stands out."""

import losses
from adapt.domain.level import Level, both
from adapt.engine import Term
from adapt.engine.schedule import Schedule


def bsp(
    source: str = "source",
    target: str = "target",
    *,
    weight: float | Schedule = 1e-4,
    count: int = 1,
    level: Level = "rows",
) -> Term:
    """Penalise the largest singular values of each domain's features: batch spectral penalisation, beside DANN or CDAN.

    Args:
        source, target: streams; no labels are used.
        weight: of the term; 1e-4 as in the paper.
        count: singular values a domain; 1 as in the paper.
        level: what a row is, where features have places: :func:`adapt.domain.level.as_rows`.

    Chen et al., 2019, https://proceedings.mlr.press/v97/chen19i.html
    """
    return Term(
        "bsp",
        lambda step: losses.batch_spectral_penalization(*both(step, source, target, level), count=count),
        weight,
        streams=[source, target],
    )
