"""Rows of one class lie together."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

import losses
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule
from adapt.inductive._co_tuning import needs_labels
from adapt.streams import Stream


def supervised_contrastive(
    dim: int,
    on: str,
    *,
    weight: float | Schedule = 1.0,
    temperature: float = 0.1,
    projection: int | None = 128,
) -> Term:
    """A supervised contrastive term beside the cross-entropy, on both views where the stream has two.

    Args:
        dim: feature size.
        on: labelled stream.
        weight: of the term.
        temperature: 0.1 as in the paper.
        projection: size of the projection that learns with it, dim to dim to this size, 128 as in the paper; ``None`` takes the
            features themselves.

    Raises:
        ValueError: a stream without labels.

    Khosla et al., 2020, https://arxiv.org/abs/2004.11362; as a term of fine-tuning: Gunel et al., 2021,
    https://arxiv.org/abs/2011.01403 and Zhong et al., Bi-tuning, 2020, https://arxiv.org/abs/2011.06182
    """
    project = (
        nn.Identity()
        if projection is None
        else nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, projection))
    )
    return Term("supervised_contrastive", SupervisedContrastive(project, on, temperature), weight, streams=[on])


class SupervisedContrastive(nn.Module):
    def __init__(self, project: nn.Module, on: str, temperature: float):
        super().__init__()
        self.project, self.on, self.temperature = project, on, temperature

    def check(self, streams: Mapping[str, Stream]) -> None:
        needs_labels(streams, self.on, "supervised_contrastive")

    def forward(self, step: Step) -> Tensor:
        view = step[self.on]
        features, labels = view.features, view.labels
        if view.has_second:
            features, labels = torch.cat([features, view.second.features]), labels.repeat(2)
        return losses.supervised_contrastive(step.call(self.project, features), labels, temperature=self.temperature)
