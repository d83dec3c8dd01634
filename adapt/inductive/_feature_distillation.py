"""Features like a teacher's."""

from typing import Literal

from torch import Tensor, nn

import losses
from adapt.encoders import FrozenCopy
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule
from adapt.protocols import HasDim, dim_of, offers

KINDS = ("mse", "cosine")


def feature_distillation(
    encoder: HasDim | int,
    *,
    teacher: nn.Module,
    on: str,
    teacher_dim: HasDim | int | None = None,
    kind: Literal["mse", "cosine"] = "mse",
    weight: float | Schedule = 1.0,
    name: str = "feature_distillation",
) -> Term:
    """Keep features near the features of a frozen teacher: the encoder itself at the start, or a larger encoder.

    Args:
        encoder: of the trainer, or the feature size d.
        teacher: maps inputs to ``(n, d')`` features: the encoder of the trainer before training, or another network.
            The term makes a frozen copy now and saves the copy.
        on: the stream. Labels are not used.
        teacher_dim: d', or an encoder of this feature size: a linear map from d to d' learns with the term. Default: no
            map, the sizes are equal.
        kind: ``"mse"`` or ``"cosine"``, see :func:`losses.feature_distillation`.
        weight: of the term.
        name: of the term.

    Raises:
        TypeError: an encoder without `dim`.
        ValueError: an unknown `kind`; two encoders of different sizes without `teacher_dim`.

    Romero et al., FitNets, 2015, https://arxiv.org/abs/1412.6550
    """
    dim = dim_of(encoder)
    if kind not in KINDS:
        raise ValueError(f'`kind` must be "mse" or "cosine", got {kind!r}.')
    if teacher_dim is None and offers(teacher, HasDim) and teacher.dim != dim:
        raise ValueError(
            f"`encoder` and `teacher` must have the same feature size, got {dim} and {teacher.dim}: give "
            f"`teacher_dim={teacher.dim}` for a linear map that learns with the term."
        )
    adapter = nn.Identity() if teacher_dim is None else nn.Linear(dim, dim_of(teacher_dim, "`teacher_dim`"))
    return Term(name, FeatureDistillation(adapter, FrozenCopy(teacher), on, kind), weight, streams=[on])


class FeatureDistillation(nn.Module):
    def __init__(self, adapter: nn.Module, teacher: nn.Module, on: str, kind: Literal["mse", "cosine"]):
        super().__init__()
        self.adapter, self.teacher, self.on, self.kind = adapter, teacher, on, kind

    def forward(self, step: Step) -> Tensor:
        taught = step.call(self.teacher, step[self.on].inputs)
        return losses.feature_distillation(step.output(self.adapter, self.on), taught, kind=self.kind)
