"""What is chosen among."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapt.engine import Predictions


@dataclass(frozen=True, eq=False)
class Candidate:
    """A trained model, by what it says of held-out source rows and of the unlabelled target.

    Args:
        method: its family, ``"dann"``; the vote counts families alike, however many candidates each sends.
        source: :class:`adapt.engine.Predictions` (outputs are logits, features, labels) of source rows that were not
            trained on; ``trainer.predict(head, source_validation)``.
        target: the same of target rows, with ``labels=None``; all candidates see the same rows, in one order.
        settings: hyper-parameters, shown in the name.
        step: of the checkpoint.
        seed: candidates that differ in their seed alone are one configuration, judged by its mean.

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
        if self.source.labels is None:
            raise ValueError(f"`source` of candidate `{self.name}` needs its labels: predict a labelled dataset.")
        if self.target.labels is not None:
            raise ValueError(
                f"`target` of candidate `{self.name}` carries labels, and nothing may be chosen on them: pass "
                "`target._replace(labels=None)`."
            )

    @property
    def run(self) -> str:
        """The name without the step: what checkpoints of one run share."""
        return " ".join([self.method, *(f"{key}={value}" for key, value in self.settings.items())])

    @property
    def name(self) -> str:
        return self.run if self.step is None else f"{self.run} step={self.step}"
