"""Sure predictions of a plain view teach a varied one."""

from torch import Tensor, nn

import losses
from adapt.domain.level import classes_of
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule


def fixmatch(
    head: nn.Module, target: str = "target", *, weight: float | Schedule = 1.0, threshold: float = 0.95
) -> Term:
    """Where the prediction of a row is sure, it is the label of the row's second view: FixMatch on the target.

    Args:
        head: the classifier.
        target: stream with a second, stronger view, ``Stream(..., second=transform)``; no labels are used.
        weight: of the term; 1 as in the paper.
        threshold: least probability of a label; 0.95 as in the paper.

    Raises:
        TypeError: a head without classes.
        ValueError: a stream with one view.

    Sohn et al., 2020, https://arxiv.org/abs/2001.07685
    """
    classes_of(head, "fixmatch")

    def loss(step: Step) -> Tensor:
        weak = step.output(head, target)
        strong = step.call(head, step[target].second.features)
        if step.logging:
            step.report("share_above_threshold/fixmatch", (weak.softmax(1).amax(1) >= threshold).float().mean())
        return losses.fixmatch(weak_logits=weak, strong_logits=strong, threshold=threshold)

    return Term("fixmatch", loss, weight, streams=[target], modules=[head])
