"""Universal adaptation: a classifier for each class that may answer no."""

from functools import partial

import torch.nn.functional as F
from torch import Tensor

from adapt.domain.options import check_options
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule
from adapt.heads import OneVsAll


def ovanet(head: OneVsAll, *, target: str = "target", name: str = "ovanet", weight: float | Schedule = 0.1) -> Term:
    r"""Minimise the entropy of the yes-or-no classifiers on the target, so that each classifier decides: OVANet.

    .. math::
        \frac1{nK} \sum_i \sum_k H(\sigma(o_{ik})), \qquad H(p) = -p \log p - (1 - p) \log (1 - p)

    Needs a supervised term of the same head on the source, ``adapt.supervised(head, on="source")``: the loss of the
    head is the source loss in the paper, with the hardest negative. No threshold is set: ``head.predict(outputs)``
    returns K, unknown, where the classifier of the predicted class says no.

    Args:
        head: :class:`adapt.heads.OneVsAll`, with the K source classes.
        target: stream; no labels are used. The target may lack source classes and hold other classes.
        name: of the term.
        weight: of the term; 0.1 as in the authors' code.

    Per rank: a mean over rows. The authors' code adds 1e-8 inside the logarithms; the logarithms here are exact.

    Raises:
        TypeError: another head.
        ValueError: an option with a wrong value.

    Saito and Saenko, OVANet: One-vs-All Network for Universal Domain Adaptation, 2021, https://arxiv.org/abs/2104.03344
    """
    if not isinstance(head, OneVsAll):
        raise TypeError(
            f"`head` must be a heads.OneVsAll, got {type(head).__name__}: make the head by "
            "`heads.OneVsAll(encoder, classes)`."
        )
    check_options(target=target, name=name, weight=weight)
    return Term(name, partial(entropy, head=head, target=target, name=name), weight, streams=[target], modules=[head])


def entropy(step: Step, *, head: OneVsAll, target: str, name: str) -> Tensor:
    """Return the mean entropy of the yes-or-no classifiers."""
    output = step.output(head, target)
    if step.logging:
        step.report(f"predicted_unknown/{name}", (head.predict(output) == head.classes).float().mean())
    o = output[:, head.classes :]
    return (F.softplus(o) - o * o.sigmoid()).mean()
