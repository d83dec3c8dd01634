"""Rows of one class lie together."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

import losses
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule
from adapt.inductive._doors import expect_labels
from adapt.protocols import HasDim, dim_of
from adapt.streams import Stream
from losses.options import COUNT, POSITIVE, check


def supervised_contrastive(
    encoder: HasDim | int,
    *,
    on: str,
    projection: int | None = 128,
    temperature: float = 0.1,
    weight: float | Schedule = 1.0,
    name: str = "supervised_contrastive",
) -> Term:
    """Add a supervised contrastive loss to the cross-entropy, on both views where the stream has two.

    Args:
        encoder: of the trainer, or the feature size.
        on: the labelled stream.
        projection: size of a projection that learns with the term, dim to dim to this size, 128 as in the paper. None
            takes the features themselves.
        temperature: 0.1 as in the paper.
        weight: of the term.
        name: of the term.

    Raises:
        TypeError: an encoder without `dim`.
        ValueError: a stream without labels; a `projection` below 1, a `temperature` that is not positive.

    Khosla et al., 2020, https://arxiv.org/abs/2004.11362; as a term of fine-tuning: Gunel et al., 2021,
    https://arxiv.org/abs/2011.01403 and Zhong et al., Bi-tuning, 2020, https://arxiv.org/abs/2011.06182
    """
    dim = dim_of(encoder)
    check(POSITIVE, temperature=temperature)
    project: nn.Module = nn.Identity()
    if projection is not None:
        check(COUNT, projection=projection)
        project = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, projection))
    return Term(name, SupervisedContrastive(project, on, temperature, name), weight, streams=[on])


class SupervisedContrastive(nn.Module):
    def __init__(self, project: nn.Module, on: str, temperature: float, name: str):
        super().__init__()
        self.project, self.on, self.temperature, self._name = project, on, temperature, name

    def check(self, streams: Mapping[str, Stream]) -> None:
        expect_labels(streams, self.on, self._name)

    def forward(self, step: Step) -> Tensor:
        view = step[self.on]
        features, labels = view.features, view.labels
        if view.others:
            features = torch.cat([v.features for v in view.views])
            labels = labels.repeat(len(view.views))
        return losses.supervised_contrastive(step.call(self.project, features), labels, temperature=self.temperature)
