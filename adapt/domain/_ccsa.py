"""A few labelled target rows."""

import losses
from adapt.engine import Term
from adapt.engine.schedule import Schedule


def ccsa(source: str = "source", target: str = "few", *, weight: float | Schedule = 0.25, margin: float = 1.0) -> Term:
    """Rows of one class together and of different classes apart, across two labelled streams: CCSA.

    Train the head on both streams as well: ``adapt.supervised(head, on="few")`` beside the source's is plain joint
    training, the baseline.

    Args:
        source: labelled stream.
        target: stream of the few labelled target rows.
        weight: of the term; 0.25, the paper's, where its classification loss has 0.75: a ratio of a third.
        margin: of :func:`losses.semantic_alignment`; its features are of length 1 or so.

    Motiian et al., 2017, https://arxiv.org/abs/1709.10190
    """
    return Term(
        "ccsa",
        lambda step: losses.semantic_alignment(
            step[source].features, step[target].features, step[source].labels, step[target].labels, margin=margin
        ),
        weight,
        streams=[source, target],
    )
