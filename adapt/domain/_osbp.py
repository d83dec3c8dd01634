"""Open-set adaptation: one class more, for target rows outside of all source classes."""

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

import losses
from adapt.domain.options import check_options
from adapt.engine import Step, Term, ramp
from adapt.engine.schedule import Schedule, at
from adapt.protocols import classes_of


def osbp(
    head: nn.Module,
    *,
    target: str = "target",
    name: str = "osbp",
    weight: float | Schedule = 1.0,
    strength: float | Schedule = ramp(1.0),
    boundary: float = 0.5,
) -> Term:
    r"""Learn a boundary for the unknown class by backpropagation: OSBP.

    .. math::
        \min_h \max_F\; \mathbb{E}_T \bigl[ -t \log p_{K+1} - (1 - t) \log (1 - p_{K+1}) \bigr], \qquad
        p = \mathrm{softmax}(h(F(x)))

    The classifier learns probability t of "unknown" on every target row. The reversed gradient moves the encoder away
    from t, to one of the two sides: into the known classes or out of the known classes. Needs a supervised term of the
    same head on the source.

    Args:
        head: a classifier with K + 1 classes, the last class "unknown". The labels of the source lie in [0, K). A
            prediction of K says unknown. Give unknown target rows the label K to score the predictions.
        target: stream; no labels are used.
        name: of the term.
        weight: of the term.
        strength: of the reversed gradient; 1 in the paper. Default: Ganin's rise from 0 to 1, so that the source
            classes come first.
        boundary: t; 0.5 as in the paper.

    Per rank: a mean over rows. Safe for any size of logit: both logarithms are computed from sums of exponentials.

    Raises:
        TypeError: a head without classes.
        ValueError: an option with a wrong value; fewer than three classes.

    Saito et al., Open Set Domain Adaptation by Backpropagation, 2018, https://arxiv.org/abs/1804.10427
    """
    check_options(target=target, name=name, weight=weight, strength=strength, boundary=boundary)
    classes = classes_of(head, "osbp")
    if classes < 3:
        raise ValueError(
            f"`head` needs at least three classes, two known classes and the unknown class, got {classes}: make the "
            "head with one class more than the source has."
        )
    loss = partial(unknown_at_boundary, head=head, target=target, strength=strength, boundary=boundary, name=name)
    return Term(name, loss, weight, streams=[target], modules=[head])


def unknown_at_boundary(
    step: Step, *, head: nn.Module, target: str, strength: float | Schedule, boundary: float, name: str
) -> Tensor:
    """Return the binary cross-entropy of "unknown" with the boundary, on reversed features."""
    features = losses.reverse(step[target].features, at(strength, step.progress))
    logits = step.call(head, features)
    unknown = logits[:, -1] - logits[:, :-1].logsumexp(1)  # the log odds of p_{K+1}
    if step.logging:
        step.report(f"predicted_unknown/{name}", (logits.argmax(1) == logits.shape[1] - 1).float().mean())
    return -(boundary * F.logsigmoid(unknown) + (1 - boundary) * F.logsigmoid(-unknown)).mean()
