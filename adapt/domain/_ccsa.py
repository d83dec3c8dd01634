"""A few labelled target rows."""

from functools import partial

from torch import Tensor

import losses
from adapt.domain.options import check_options
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule


def ccsa(
    *,
    source: str = "source",
    target: str = "few",
    name: str = "ccsa",
    weight: float | Schedule = 0.25,
    margin: float = 1.0,
) -> Term:
    """Pull rows of the same class together and push rows of different classes apart, across two labelled streams: CCSA.

    Train the head on both streams as well: ``adapt.supervised(head, on="few")`` beside the supervised term of the
    source is plain joint training, the baseline.

    Args:
        source: labelled stream.
        target: stream of the few labelled target rows.
        name: of the term.
        weight: of the term; 0.25. The paper weighs this loss with 0.25 and the classification loss with 0.75: a ratio
            of a third.
        margin: of :func:`losses.semantic_alignment`, for features with a length of about 1.

    Raises:
        ValueError: an option with a wrong value.

    Motiian et al., 2017, https://arxiv.org/abs/1709.10190
    """
    check_options(source=source, target=target, name=name, weight=weight, margin=margin)
    return Term(
        name, partial(contrasted, source=source, target=target, margin=margin), weight, streams=[source, target]
    )


def contrasted(step: Step, *, source: str, target: str, margin: float) -> Tensor:
    """Return the loss of all pairs of a source row and a target row."""
    s, t = step[source], step[target]
    return losses.semantic_alignment(s.features, t.features, s.labels, t.labels, margin=margin)
