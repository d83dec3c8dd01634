"""No target: rows between the domains."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

import losses
from adapt.domain.sources import check_classes, check_labels, check_names
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule
from adapt.engine.step import join
from adapt.streams import Stream


def mixup(
    head: nn.Module,
    sources: Sequence[str],
    *,
    alpha: float = 0.2,
    level: str = "inputs",
    weight: float | Schedule = 1.0,
) -> Term:
    r"""Cross-entropy on mixtures of rows of two domains: inter-domain Mixup.

    .. math::
        \frac1n \sum_i \lambda\, \ell(h(\tilde x_i), y_i) + (1 - \lambda)\, \ell(h(\tilde x_i), y_{i'}), \qquad
        \tilde x_i = \lambda x_i + (1 - \lambda) x_{i'}, \qquad \lambda \sim \mathrm{Beta}(\alpha, \alpha)

    In every step the domains form a ring in random order; each is mixed with the next, with one :math:`\lambda` for
    all of its rows. It holds the losses of all sources: add no supervised term.

    Args:
        head: the classifier.
        sources: k >= 2 labelled streams.
        alpha: 0.2 as in DomainBed.
        level: ``"inputs"``, as in the paper: the encoder sees mixtures, in a pass of its own; or ``"features"``, for inputs
            that cannot be mixed.
        weight: of the term.

    Batches may differ in size: row i of n has row floor(i m / n) of m as partner. All rows weigh the same. Exact on
    several ranks: order and :math:`\lambda` come from ``step.generator``, and partners lie on the same rank.

    Raises:
        TypeError: a head that is no classifier; inputs that are no tensor, at their level.
        ValueError: fewer than two sources, streams without labels, another level, alpha that is not positive.

    Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018, https://arxiv.org/abs/1710.09412;
    Yan et al., Improve Unsupervised Domain Adaptation with Mixup Training, 2020, https://arxiv.org/abs/2001.00677
    """
    if level not in ("inputs", "features"):
        raise ValueError(f'`level` must be "inputs" or "features", got {level!r}.')
    if not alpha > 0:
        raise ValueError(f"`alpha` must be positive, got {alpha}.")
    check_classes(head)
    sources = check_names(sources)
    # at the level of inputs it asks for nobody's features
    return Term("mixup", Mixup(head, sources, alpha, level), weight, streams=sources if level == "features" else ())


class Mixup(nn.Module):
    def __init__(self, head: nn.Module, sources: Sequence[str], alpha: float, level: str):
        super().__init__()
        self.head, self.sources, self.alpha, self.level = head, sources, alpha, level

    def check(self, streams: Mapping[str, Stream]) -> None:
        check_labels(self.head, streams, self.sources)

    def forward(self, step: Step) -> Tensor:
        labels = torch.cat([step[name].labels for name in self.sources])
        ring, mixing = losses.draw_mixup(len(self.sources), alpha=self.alpha, generator=step.generator)
        partner = dict(zip(ring.tolist(), ring.roll(-1).tolist(), strict=True))
        rows = [len(step[name].index) for name in self.sources]
        starts = [sum(rows[:e]) for e in range(len(rows))]
        order = torch.cat([starts[partner[e]] + torch.arange(n) * rows[partner[e]] // n for e, n in enumerate(rows)])
        order, share = order.to(labels.device), mixing.repeat_interleave(torch.tensor(rows)).to(labels.device)
        logits = step.call(self.head, self.features(step, order, share))
        return losses.mixup_cross_entropy(logits, labels, labels[order], share)

    def features(self, step: Step, order: Tensor, share: Tensor) -> Tensor:
        if self.level == "features":
            return losses.mixup(step.features(*self.sources), order, share)
        inputs = join([step[name].inputs for name in self.sources], self.sources)
        if not isinstance(inputs, Tensor):
            raise TypeError(f'only tensors can be mixed, got {type(inputs).__name__}: take `level="features"`.')
        return step.call(step.encoder, losses.mixup(inputs, order, share))
