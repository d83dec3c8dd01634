"""The projected views of a stream, and the mean of a loss over pairs of views."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor, nn

from adapt.engine import Step
from adapt.protocols import Source
from adapt.streams import Stream


def projector(*sizes: int) -> nn.Sequential:
    """Return linear layers from size to size, with batch normalisation and ReLU between two layers."""
    layers = nn.Sequential()
    for before, after in zip(sizes[:-2], sizes[1:-1], strict=True):
        layers.extend([nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU()])
    return layers.append(nn.Linear(sizes[-2], sizes[-1]))


def expect_views(streams: Mapping[str, Source], on: str, asker: str) -> None:
    """Raise a ValueError where a stream has fewer than two views."""
    stream = streams[on]
    if isinstance(stream, Stream) and len(stream.views) < 2:
        raise ValueError(
            f"{asker} compares views, and stream `{on}` has {len(stream.views)}: give the stream at least two, "
            "`Stream(..., labels=False, views=[augment, augment])`."
        )


def projected(step: Step, on: str, project: nn.Module) -> list[Tensor]:
    """Return ``(n, d)`` projected features of each view. The projector sees all views in one call."""
    views = step[on].views
    features = torch.cat([view.features for view in views])
    if features.ndim != 2:
        raise ValueError(
            f"features of stream `{on}` must be (n, d), got {tuple(features.shape)}: take an encoder with pooled "
            "features."
        )
    return list(step.call(project, features).chunk(len(views)))


class PairsOfViews(nn.Module):
    """The mean of a loss over all pairs of projected views of a stream.

    Args:
        project: of the features.
        on: the stream.
        loss: of two views, each ``(n, d)``.
        name: of the term.
    """

    def __init__(self, project: nn.Module, on: str, loss: Callable[[Tensor, Tensor], Tensor], name: str):
        super().__init__()
        self.project, self.on, self.loss, self.name = project, on, loss, name

    def check(self, streams: Mapping[str, Source]) -> None:
        expect_views(streams, self.on, self.name)

    def forward(self, step: Step) -> Tensor:
        views = projected(step, self.on, self.project)
        report_spread(step, views[0], self.name)
        return torch.stack([self.loss(first, second) for first, second in combinations(views, 2)]).mean()


def report_spread(step: Step, rows: Tensor, name: str) -> None:
    """Show how far ``(n, d)`` rows are from collapse: the mean deviation of a column of the rows at length one.

    The value is 0 for collapsed rows, and 1 over the root of d for rows that are spread in all directions.
    """
    if step.logging:
        unit = nn.functional.normalize(rows.detach(), dim=1)
        step.report(f"spread/{name}", unit.std(0, correction=0).mean())


def mean_over_views(loss: Callable[[Tensor], Tensor], views: Sequence[Tensor]) -> Tensor:
    """Return the mean of the loss of each view."""
    return torch.stack([loss(view) for view in views]).mean()
