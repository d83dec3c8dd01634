"""Equal views with a Gaussian distribution: LeJEPA."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

import losses
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule
from adapt.protocols import HasDim, Source, dim_of
from adapt.unsupervised.views import expect_views, mean_over_views, projected, projector, report_spread
from losses.options import COUNT, SHARE, check


def lejepa(
    encoder: HasDim | int,
    *,
    on: str,
    name: str = "lejepa",
    weight: float | Schedule = 1.0,
    hidden: int = 512,
    projection: int = 16,
    tradeoff: float = 0.05,
    global_views: int = 2,
    directions: int = 256,
) -> Term:
    r"""Predict the mean of the global views from each view, and keep each view Gaussian by SIGReg: LeJEPA.

    .. math:: \frac{1 - \lambda}{V n d} \sum_{v=1}^{V} \sum_i \lVert \mu_i - z^v_i \rVert^2
        + \frac{\lambda}{V} \sum_{v=1}^{V} \mathrm{SIGReg}(z^v), \qquad \mu_i = \frac1G \sum_{v=1}^{G} z^v_i

    with the projected views z and G global views. No teacher, no predictor, no stopped gradient.

    Args:
        encoder: of the trainer, or the feature size.
        on: stream with two or more views, global views first; no labels are used.
        name: of the term.
        weight: of the term.
        hidden, projection: sizes of the projector of three linear layers; an output of 16 as in the authors' minimal
            code, whose hidden layers have 2,048 units.
        tradeoff: :math:`\lambda`, 0.05 as in the paper; the minimal code has 0.02.
        global_views: G, the number of first views that make the mean; 2 as in the paper. Where the stream has fewer
            views, all of them.
        directions: of SIGReg, drawn anew in each step; 256 as in the minimal code.

    Several ranks: the statistic of the rows of all ranks, along the same directions. Accumulation does not enlarge the
    batch: each micro-batch has its own statistic, which grows with the rows of a micro-batch where rows are collapsed.

    Raises:
        TypeError: an encoder without `dim`.
        ValueError: an option with a wrong value; a stream with one view.

    Related: :func:`losses.sigreg`.

    Balestriero and LeCun, LeJEPA, 2025, https://arxiv.org/abs/2511.08544
    """
    dim = dim_of(encoder)
    check(COUNT, hidden=hidden, projection=projection, global_views=global_views, directions=directions)
    check(SHARE, tradeoff=tradeoff)
    loss = LeJepa(projector(dim, hidden, hidden, projection), on, tradeoff, global_views, directions, name)
    return Term(name, loss, weight, streams=[on])


class LeJepa(nn.Module):
    def __init__(self, project, on, tradeoff, global_views, directions, name):
        super().__init__()
        self.project, self.on, self.tradeoff, self.name = project, on, tradeoff, name
        self.global_views, self.directions = global_views, directions

    def check(self, streams: Mapping[str, Source]) -> None:
        expect_views(streams, self.on, self.name)

    def forward(self, step: Step) -> Tensor:
        views = projected(step, self.on, self.project)
        report_spread(step, views[0], self.name)
        mean = torch.stack(views[: self.global_views]).mean(0)
        prediction = mean_over_views(lambda z: (mean - z).square().mean(), views)
        gaussian = partial(losses.sigreg, directions=self.directions, generator=step.generator)
        return (1 - self.tradeoff) * prediction + self.tradeoff * mean_over_views(gaussian, views)
