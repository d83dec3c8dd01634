"""No target: equal variances of the gradients in all domains."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapt.domain.options import check_options
from adapt.domain.sources import check_labels, check_names
from adapt.engine import Step, Term, gather, switch
from adapt.engine.schedule import Schedule
from adapt.heads import Classifier
from adapt.protocols import Source
from losses.checks import one_hot  # the function of torch waits for the device


def fishr(
    head: Classifier,
    *,
    sources: Sequence[str],
    name: str = "fishr",
    weight: float | Schedule = switch(0.0, 1000.0, at=0.3),
    momentum: float = 0.95,
) -> Term:
    r"""Penalise differences between domains in the variances of the classifier's per-sample gradients: Fishr.

    .. math::
        \frac1k \sum_e \frac{1}{P} \lVert \tilde v_e - \bar v \rVert^2, \qquad
        v_e = \mathrm{Var}_{i \in e}\, \nabla_{W, b}\, \ell_i, \qquad
        \nabla_W \ell_i = (p_i - y_i)\, f_i^\top, \quad \nabla_b \ell_i = p_i - y_i

    with P the number of weights of the head's linear layer, :math:`f` the input of the layer, and :math:`\tilde v_e`
    the running mean of :math:`v_e`, divided by one minus the momentum so that the gradient does not depend on the
    momentum. In closed form: :math:`\mathrm{Var}_{cd} = \mathbb{E}[\delta_c^2 f_d^2] - \mathbb{E}[\delta_c f_d]^2`, two
    matrix products; no gradient of a single row is ever held. A penalty beside the supervised loss: needs a supervised
    term for each source (DomainBed adds the penalty to the mean of the losses).

    Args:
        head: :class:`adapt.heads.Classifier`: one linear layer and cross-entropy.
        sources: k >= 2 labelled streams.
        name: of the term.
        weight: of the term; 0 for the first 30 % of the run and then 1000, as in the authors' code (where a fresh
            optimizer begins at the switch; the optimizer here continues).
        momentum: of the running variances; 0.95 as in the authors' code.

    Buffers, in the state_dict: ``variances`` ``(k, classes, dim + 1)``, weights and bias, zero at first. The buffers
    hold no gradient and are the same on every rank: the rows of all ranks are gathered.

    Batches may differ in size. The variance divides by n. One row has variance zero.

    Raises:
        TypeError: another head.
        ValueError: fewer than two sources, streams without labels, an option with a wrong value.

    The paper takes the mean over domains of the squared norm; the authors' code, as here, also divides by the number of
    weights.

    Rame et al., Fishr: Invariant Gradient Variances for Out-of-Distribution Generalization, 2022, https://arxiv.org/abs/2109.02934
    """
    if not isinstance(head, Classifier):
        raise TypeError(
            f"`head` must be a heads.Classifier, got {type(head).__name__}: the closed form of the penalty asks for "
            "one linear layer under cross-entropy."
        )
    sources = check_names(sources)
    check_options(name=name, weight=weight, momentum=momentum)
    return Term(name, Fishr(head, sources, momentum), weight, streams=sources)


class Fishr(nn.Module):
    variances: Tensor

    def __init__(self, head: Classifier, sources: Sequence[str], momentum: float):
        super().__init__()
        self.head, self.sources, self.momentum = head, sources, momentum
        self.register_buffer("variances", torch.zeros(len(sources), head.classes, head.dim + 1))

    def check(self, streams: Mapping[str, Source]) -> None:
        check_labels(self.head, streams, self.sources)

    def forward(self, step: Step) -> Tensor:
        now = torch.stack([self.variance(step, name) for name in self.sources])
        mean = self.momentum * self.variances + (1 - self.momentum) * now
        self.variances.copy_(mean.detach())
        mean = mean / (1 - self.momentum)
        return (mean - mean.mean(0)).square().mean()

    def variance(self, step: Step, name: str) -> Tensor:
        """Return ``(classes, dim + 1)``, the variances of the per-sample gradients over the rows of all ranks."""
        inputs = step.call(self.head.dropout, step[name].features)
        f, z, y = gather(inputs), gather(step.call(self.head.linear, inputs)), gather(step[name].labels)
        delta = z.softmax(1) - one_hot(y, z.shape[1], z)
        f = F.pad(f, (0, 1), value=1.0)  # the bias is the weight of a one
        return delta.square().T @ f.square() / len(f) - (delta.T @ f / len(f)).square()
