"""What moves once for each step of the optimizer, and not for each micro-batch."""

from typing import Any

from torch import nn

from adapt.engine.step import Step


class OncePerStep(nn.Module):
    """Tells the first micro-batch of a step from the others. A checkpoint holds the number of the last step."""

    def __init__(self) -> None:
        super().__init__()
        self.last = -1

    def begins(self, step: Step) -> bool:
        """Return whether this is the first call in `step`."""
        new, self.last = step.number != self.last, step.number
        return new

    def get_extra_state(self) -> dict[str, int]:
        return {"last": self.last}

    def set_extra_state(self, state: Any) -> None:
        self.last = state["last"]
