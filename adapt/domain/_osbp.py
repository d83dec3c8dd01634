"""Open-set adaptation: a class more, for target rows that are like no source class."""

import torch.nn.functional as F
from torch import Tensor, nn

import losses
from adapt.domain.sources import check_classes
from adapt.engine import Step, Term, ramp
from adapt.engine.schedule import Schedule, at


def osbp(
    head: nn.Module,
    target: str = "target",
    *,
    boundary: float = 0.5,
    strength: float | Schedule = ramp(1.0),
    weight: float | Schedule = 1.0,
) -> Term:
    r"""A boundary for the unknown by backpropagation: OSBP.

    .. math::
        \min_h \max_F\; \mathbb{E}_T \bigl[ -t \log p_{K+1} - (1 - t) \log (1 - p_{K+1}) \bigr], \qquad
        p = \mathrm{softmax}(h(F(x)))

    The classifier is drawn to probability t of "unknown" on every target row; the encoder, by the reversed gradient, away
    from it, to one of the two sides: into the known classes or out of them. To be added to a supervised term of the same
    head on the source.

    Args:
        head: a classifier with K + 1 classes, the last of them "unknown"; the source's labels lie in [0, K). A prediction of
            K says unknown; label unknown target rows K to have them scored.
        target: stream; no labels are used.
        boundary: t; 0.5 as in the paper.
        strength: of the reversed gradient; 1 in the paper. Here Ganin's rise from 0 to 1, so that the source classes
            come first.
        weight: of the term.

    Per rank: a mean over rows. Safe for any size of logit: both logarithms are taken of sums of exponentials.

    Raises:
        TypeError: a head that is no classifier.
        ValueError: `boundary` outside (0, 1); fewer than three classes.

    Saito et al., Open Set Domain Adaptation by Backpropagation, 2018, https://arxiv.org/abs/1804.10427
    """
    if not 0 < boundary < 1:
        raise ValueError(f"`boundary` must lie between 0 and 1, got {boundary}.")
    if check_classes(head) < 3:
        raise ValueError(
            f"`head` needs at least three classes, two known ones and the unknown, got {check_classes(head)}: make it "
            "with one class more than the source has."
        )

    def loss(step: Step) -> Tensor:
        features = losses.reverse(step[target].features, at(strength, step.progress))
        logits = step.call(head, features)
        unknown = logits[:, -1] - logits[:, :-1].logsumexp(1)  # the log odds of p_{K+1}
        if step.logging:
            step.report("predicted_unknown/osbp", (logits.argmax(1) == logits.shape[1] - 1).float().mean())
        return -(boundary * F.logsigmoid(unknown) + (1 - boundary) * F.logsigmoid(-unknown)).mean()

    return Term("osbp", loss, weight, streams=[target], modules=[head])
