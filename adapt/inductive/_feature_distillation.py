"""Features like a teacher's."""

from typing import Literal

from torch import Tensor, nn

import losses
from adapt.encoders._frozen_copy import FrozenCopy
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule


def feature_distillation(
    teacher: nn.Module,
    on: str,
    *,
    sizes: tuple[int, int] | None = None,
    kind: Literal["mse", "cosine"] = "mse",
    weight: float | Schedule = 1.0,
) -> Term:
    """Features stay like those of a frozen teacher: the encoder itself as it starts, or a larger one.

    Args:
        teacher: from inputs to ``(n, d')`` features: the trainer's own encoder before training, or another. A frozen copy is
            made here and saved with the term.
        on: stream; its labels are not used.
        sizes: (d, d') where student and teacher differ: a linear map from d to d' learns with the term.
        kind: ``"mse"`` or ``"cosine"``, see :func:`losses.feature_distillation`.
        weight: of the term.

    Romero et al., FitNets, 2015, https://arxiv.org/abs/1412.6550
    """
    adapter = nn.Identity() if sizes is None else nn.Linear(*sizes)
    return Term(
        "feature_distillation", FeatureDistillation(adapter, FrozenCopy(teacher), on, kind), weight, streams=[on]
    )


class FeatureDistillation(nn.Module):
    def __init__(self, adapter: nn.Module, teacher: nn.Module, on: str, kind: Literal["mse", "cosine"]):
        super().__init__()
        self.adapter, self.teacher, self.on, self.kind = adapter, teacher, on, kind

    def forward(self, step: Step) -> Tensor:
        taught = step.call(self.teacher, step[self.on].inputs)
        return losses.feature_distillation(step.output(self.adapter, self.on), taught, kind=self.kind)
