"""A candidate of a choice."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapt.engine import Predictions
from losses.options import FROM_0, check, or_none


@dataclass(frozen=True, eq=False)
class Candidate:
    """A trained model, represented by predictions on held-out source rows and on the unlabelled target.

    Args:
        method: the family of the model, ``"dann"``. In the vote all families have equal weight, for any number of
            candidates in a family.
        source: :class:`adapt.engine.Predictions` (logits as outputs, features, labels) of source rows that were not
            trained on; ``trainer.predict(head, source_validation)``.
        target: the predictions of target rows, with ``labels=None``. All candidates see the same rows, in the same
            order.
        settings: hyper-parameters, shown in the name.
        step: of the checkpoint.
        seed: candidates that differ in the seed alone are one configuration, judged by the mean.

    Raises:
        ValueError: a source without labels; a target with labels, which a choice must not see.
    """

    method: str
    source: Predictions
    target: Predictions
    settings: Mapping[str, Any] = field(default_factory=dict)
    step: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check(FROM_0, seed=self.seed)
        check(or_none(FROM_0), step=self.step)
        if self.source.labels is None:
            raise ValueError(f"`source` of candidate `{self.name}` has no labels: predict a labelled dataset.")
        if self.target.labels is not None:
            raise ValueError(
                f"`target` of candidate `{self.name}` has labels, and no choice may use target labels: pass "
                "`target._replace(labels=None)`."
            )

    @property
    def run(self) -> str:
        """The name without the step, shared by all checkpoints of a run."""
        return " ".join([self.method, *(f"{key}={value}" for key, value in self.settings.items())])

    @property
    def name(self) -> str:
        return self.run if self.step is None else f"{self.run} step={self.step}"
