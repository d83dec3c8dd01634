"""A moving average of the network as teacher, and further passes of the network: what several methods share."""

from typing import Any

import torch
from torch import Tensor, nn

from adapt.encoders import FrozenCopy
from adapt.engine import Step, runtime
from adapt.engine.once import OncePerStep
from adapt.protocols import TellsStreamsApart, offers


class Teacher(nn.Module):
    """An averaged copy of encoder and head. The copy moves once for each step, in evaluation mode without gradient.

    Args:
        encoder: of the trainer.
        head: of the student.
        momentum: of the average, per step.
    """

    def __init__(self, encoder: nn.Module, head: nn.Module, momentum: float):
        super().__init__()
        network = nn.Sequential(encoder, head)
        self.average = FrozenCopy(network)  # no optimizer moves the copy, `follow` does
        self._student = [network]  # in a list: the trainer owns the encoder, not this term
        self.momentum, self.once = momentum, OncePerStep()

    def forward(self, step: Step, inputs: Any) -> Tensor:
        """Return the logits of the averaged network."""
        if self.once.begins(step):  # once per step, not once for each part of an accumulated batch
            self.average.follow(self._student[0], self.momentum)
        return step.call(self.average, inputs)


def answers(step: Step, head: nn.Module, stream: str, inputs: Tensor) -> Tensor:
    """Return the logits of the network on other inputs, taken for rows of `stream`: a further pass."""
    encoder: Any = step.encoder_of(stream)
    if offers(encoder, TellsStreamsApart):
        encoder.announce_rows([(stream, len(inputs))])
    return step.call(head, step.call(encoder, inputs))


def drawn(step: Step, rows: int, *shape: int, device: torch.device) -> Tensor:
    """Return ``(rows, *shape)`` numbers in [0, 1), each rank its share of the numbers of the whole batch."""
    every = torch.rand(runtime.world_size() * rows, *shape, generator=step.generator)
    return every[runtime.rank() * rows :][:rows].to(device)


def sure_share(logits: Tensor, threshold: float) -> Tensor:
    """Return ``(n,)``, the share of the places of each row with a class of at least this probability."""
    sure = logits.softmax(1).amax(1) >= threshold
    return sure.flatten(1).float().mean(1) if sure.ndim > 1 else sure.float()


def images_of(step: Step, stream: str, method: str) -> Tensor:
    """Return the inputs of a stream.

    Raises:
        ValueError: inputs other than images ``(n, channels, h, w)``.
    """
    x = step[stream].inputs
    if not isinstance(x, Tensor) or x.ndim != 4:
        found = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"{method} needs images (n, channels, h, w), got {found} in stream `{stream}`.")
    return x
