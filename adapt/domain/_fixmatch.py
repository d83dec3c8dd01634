"""Confident predictions on one view are labels for another view."""

from functools import partial

from torch import Tensor, nn

import losses
from adapt.domain.options import check_options
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule
from adapt.protocols import classes_of


def fixmatch(
    head: nn.Module,
    *,
    target: str = "target",
    name: str = "fixmatch",
    weight: float | Schedule = 1.0,
    threshold: float = 0.95,
) -> Term:
    """Train on the second view of a target row with the confident prediction on the first view as label: FixMatch.

    Args:
        head: the classifier.
        target: stream with a second, stronger view, ``Stream(..., views=[weak, strong])``; no labels are used.
        name: of the term.
        weight: of the term; 1 as in the paper.
        threshold: least probability of a label; 0.95 as in the paper.

    Raises:
        TypeError: a head without classes.
        ValueError: an option with a wrong value.
        IndexError: a stream with one view.

    Sohn et al., 2020, https://arxiv.org/abs/2001.07685
    """
    classes_of(head, "fixmatch")
    check_options(target=target, name=name, weight=weight, threshold=threshold)
    loss = partial(labelled_by_first_view, head=head, target=target, threshold=threshold, name=name)
    return Term(name, loss, weight, streams=[target], modules=[head])


def labelled_by_first_view(step: Step, *, head: nn.Module, target: str, threshold: float, name: str) -> Tensor:
    """Return the cross-entropy of the second view where the first view is confident."""
    weak = step.output(head, target)
    strong = step.call(head, step[target].views[1].features)
    if step.logging:
        step.report(f"share_above_threshold/{name}", (weak.softmax(1).amax(1) >= threshold).float().mean())
    return losses.fixmatch(weak_logits=weak, strong_logits=strong, threshold=threshold)
