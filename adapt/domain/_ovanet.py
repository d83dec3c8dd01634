"""Universal adaptation: every class has a classifier that may say no."""

import torch.nn.functional as F
from torch import Tensor

from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule
from adapt.heads import OneVsAll


def ovanet(head: OneVsAll, target: str = "target", *, weight: float | Schedule = 0.1) -> Term:
    r"""Entropy of the yes-or-no classifiers on the target, which puts each row on one side of them: OVANet.

    .. math::
        \frac1{nK} \sum_i \sum_k H(\sigma(o_{ik})), \qquad H(p) = -p \log p - (1 - p) \log (1 - p)

    To be added to a supervised term of the same head on the source, ``adapt.supervised(head, "source")``: the head's own
    loss is the paper's source loss, with the hardest negative. No threshold is set: ``head.predict(outputs)`` says
    unknown, K, where the classifier of the predicted class says no.

    Args:
        head: :class:`adapt.heads.OneVsAll`, of the K source classes.
        target: stream; no labels are used. It may lack source classes and hold others.
        weight: of the term; 0.1 as in the authors' code.

    Per rank: a mean over rows. The authors' code adds 1e-8 inside the logarithms; here they are exact.

    Raises:
        TypeError: another head.

    Saito and Saenko, OVANet: One-vs-All Network for Universal Domain Adaptation, 2021, https://arxiv.org/abs/2104.03344
    """
    if not isinstance(head, OneVsAll):
        raise TypeError(
            f"`head` must be a heads.OneVsAll, got {type(head).__name__}: make it `heads.OneVsAll(encoder.dim, classes)`."
        )

    def loss(step: Step) -> Tensor:
        output = step.output(head, target)
        if step.logging:
            step.report("predicted_unknown/ovanet", (head.predict(output) == head.classes).float().mean())
        o = output[:, head.classes :]
        return (F.softplus(o) - o * o.sigmoid()).mean()

    return Term("ovanet", loss, weight, streams=[target], modules=[head])
