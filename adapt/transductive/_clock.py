"""Time that runs while a model adapts."""

from dataclasses import dataclass

from losses.options import AT_LEAST_1, POSITIVE, check, or_none


@dataclass(frozen=True)
class Clock:
    """The time between two batches of a stream that waits for nobody.

    A batch that arrives while the adapter is behind gets the answer of the model as it is, and the model does not adapt
    to the batch.

    Args:
        seconds: between two batches; the adapter measures its own time.
        cost: in place of `seconds`: the time of a batch with adaptation, in units of the time between two batches. The
            same batches are then dropped on any machine. A stream as fast as the plain model, and a method that takes
            three times as long: ``cost=3``, every third batch adapts.

    Raises:
        ValueError: not exactly one of the two; values outside of the ranges.

    Alfarra et al., Evaluation of Test-Time Adaptation Under Computational Time Constraints, 2024,
    https://arxiv.org/abs/2304.04795: papers' ranks change under a clock.
    """

    seconds: float | None = None
    cost: float | None = None

    def __post_init__(self) -> None:
        check(or_none(POSITIVE), seconds=self.seconds)
        check(or_none(AT_LEAST_1), cost=self.cost)
        if (self.seconds is None) == (self.cost is None):
            raise ValueError(
                f"one of `seconds` and `cost` must be given, got seconds={self.seconds} and cost={self.cost}."
            )

    def spent(self, seconds: float) -> float:
        """Return the time of a batch with adaptation, in units of the time between two batches."""
        return self.cost if self.cost is not None else seconds / (self.seconds or seconds)
