"""Swapped assignments to prototypes: SwAV."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import losses
from adapt.engine import Step, Term, gather, rank, world_size
from adapt.engine.once import OncePerStep
from adapt.engine.schedule import Schedule
from adapt.protocols import HasDim, Source, dim_of
from adapt.unsupervised.views import expect_views, projected, projector, report_spread
from losses.options import COUNT, FROM_0, POSITIVE, check


def swav(
    encoder: HasDim | int,
    *,
    on: str,
    name: str = "swav",
    weight: float | Schedule = 1.0,
    prototypes: int = 300,
    hidden: int = 512,
    projection: int = 128,
    temperature: float = 0.1,
    assignment_temperature: float = 0.05,
    iterations: int = 3,
    global_views: int = 2,
    queue: int = 0,
) -> Term:
    r"""Predict the balanced assignment of each global view to prototypes from every other view: SwAV.

    .. math:: -\frac{1}{G (V - 1) n} \sum_{a=1}^{G} \sum_{b \ne a} \sum_i \sum_k q^a_{ik} \log p^b_{ik}, \qquad
        p^b = \mathrm{softmax}(z^b C^\top / T), \qquad q^a = \mathrm{Sinkhorn}(z^a C^\top)

    with projected views z and prototypes C, each row of length one; V views, G of the views global. The first `queue`
    older rows of a view take part in the Sinkhorn iterations of the view.

    Args:
        encoder: of the trainer, or the feature size.
        on: stream with two or more views, global views first; no labels are used.
        name: of the term.
        weight: of the term.
        prototypes: number of prototypes, ten times the expected classes or more: 300 is our choice for ten classes; the
            paper has 3,000 for 1,000 classes.
        hidden, projection: units and output size of the projector; an output of 128 as in the paper, whose hidden layer
            has 2,048 units.
        temperature: T, 0.1 as in the paper.
        assignment_temperature: of the Sinkhorn iterations, 0.05 as in the paper.
        iterations: of Sinkhorn; 3 as in the paper.
        global_views: G; 2 as in the paper.
        queue: older rows of each global view, for batches smaller than the number of prototypes; a multiple of the
            batch. 0 keeps none; the paper has 3,840 for batches of 256. The queue takes part once the queue is full.

    Several ranks: assignments are balanced over the rows of all ranks, and the queue holds the rows of all ranks.
    Accumulation: each micro-batch is balanced on its own (a queue enlarges what is balanced); the queue moves once for
    each step of the optimizer, with the rows of all micro-batches. The paper keeps the prototypes fixed in the first
    epoch, and puts the prototypes back to length one after each step; here the scores divide by the length.

    Raises:
        TypeError: an encoder without `dim`.
        ValueError: an option with a wrong value; a stream with one view.

    Related: :func:`losses.swapped_prediction` for two views.

    Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments, 2020,
    https://arxiv.org/abs/2006.09882
    """
    dim = dim_of(encoder)
    check(COUNT, prototypes=prototypes, hidden=hidden, projection=projection, global_views=global_views)
    check(COUNT, iterations=iterations)
    check(POSITIVE, temperature=temperature, assignment_temperature=assignment_temperature)
    check(FROM_0, queue=queue)
    options = {"temperature": assignment_temperature, "iterations": iterations}
    project = projector(dim, hidden, projection)
    loss = Swav(project, nn.Linear(projection, prototypes, bias=False), on, temperature, options, global_views, queue,
                name)  # fmt: skip
    return Term(name, loss, weight, streams=[on])


class Swav(nn.Module):
    queue: Tensor  # (G, rows, d), the newest first: what the assignments see
    coming: Tensor  # the queue of the next step

    def __init__(self, project, prototypes, on, temperature, assignment, global_views, queue, name):
        super().__init__()
        self.project, self.prototypes, self.on, self.temperature = project, prototypes, on, temperature
        self.assignment = assignment
        self.global_views, self.name = global_views, name
        self.once, self.filled, self.full = OncePerStep(), 0, False
        for part in ("queue", "coming"):
            self.register_buffer(part, torch.zeros(global_views, queue, prototypes.in_features))

    def check(self, streams: Mapping[str, Source]) -> None:
        expect_views(streams, self.on, self.name)

    def get_extra_state(self) -> dict[str, int]:
        return {"filled": self.filled}

    def set_extra_state(self, state: Any) -> None:
        self.filled = state["filled"]

    def forward(self, step: Step) -> Tensor:
        if self.once.begins(step):
            self.queue.copy_(self.coming)
            self.full = 0 < self.queue.shape[1] <= self.filled
        views = [F.normalize(z, dim=1) for z in projected(step, self.on, self.project)]
        report_spread(step, views[0], self.name)
        C = F.normalize(self.prototypes.weight, dim=1).to(views[0].dtype)
        scores = [z @ C.T for z in views]
        found = []
        for a, S in enumerate(scores[: self.global_views]):
            # each rank has a share of the queue
            older = self.queue[a, rank() :: world_size()] if self.full else views[a][:0]
            q = losses.sinkhorn_assignment(torch.cat([S, older @ C.T]), **self.assignment)[: len(S)]
            others = [s for b, s in enumerate(scores) if b != a]
            found += [-(q * (s / self.temperature).log_softmax(1)).sum(1).mean() for s in others]
        if self.queue.shape[1]:
            self._remember(views[: self.global_views])
        return torch.stack(found).mean()

    @torch.no_grad()
    def _remember(self, views: list[Tensor]) -> None:
        rows = self.coming.shape[1]
        newest = [gather(z.detach()) for z in views]
        for a, z in enumerate(newest):
            self.coming[a] = torch.cat([z.to(self.coming.dtype), self.coming[a]])[:rows]
        self.filled = min(rows, self.filled + len(newest[0]))
