"""The check for finite losses: the error names the term and the stream, before anything is lost."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from adapt.streams.tree import tensors

if TYPE_CHECKING:
    from adapt.engine.term import Term

MOST = 1_000  # unread steps: their losses stay on the device
Values = Sequence[Mapping["Term", Tensor]]


class FiniteCheck:
    """Raises on a loss with NaN or infinity, naming the term and the stream.

    On a CPU the error comes before the update. On a GPU the check does not wait: losses stay on the device until
    the trainer reads the device (every `log_every` steps, before a checkpoint, at the end of a fit, and after at most
    1,000 steps). The error then comes later, and nothing is saved.

    Args:
        device: of the losses.
        inputs_of: reads the inputs of a step again, a list of batches per stream; called for the message alone.
    """

    def __init__(self, device: torch.device, inputs_of: Callable[[int], Mapping[str, list[Any]]]):
        self.waits, self.inputs_of = device.type == "cpu", inputs_of
        self.unread: list[tuple[int, Tensor, Values]] = []

    def check(self, number: int, agreed: Tensor, values: Values) -> None:
        """Look at a step.

        Args:
            number: of the step.
            agreed: the objective averaged over the ranks, so all ranks see a NaN of a single rank.
            values: the terms of each micro-batch.
        """
        if not self.waits:
            detached = [{term: value.detach() for term, value in batch.items()} for batch in values]
            self.unread.append((number, agreed, detached))
            if len(self.unread) == MOST:
                self.read()
        elif not math.isfinite(agreed.item()):  # a fifth of the cost of isfinite()
            self.explain(number, values)

    def read(self) -> None:
        """Look at all steps since the last reading, with one synchronisation."""
        unread, self.unread = self.unread, []
        if unread and not torch.stack([agreed for _, agreed, _ in unread]).isfinite().all():
            number, _, values = next(u for u in unread if not u[1].isfinite())
            self.explain(number, values)

    def explain(self, number: int, values: Values) -> None:
        terms = dict.fromkeys(f"`{t.name}`" for batch in values for t, v in batch.items() if not v.isfinite())
        streams = [f"`{name}`" for name, inputs in self.inputs_of(number).items() if not finite(inputs)]
        if streams:
            where = f"the inputs of stream {', '.join(streams)} are not finite: clean them"
        elif terms:
            where = "all inputs are finite: look at that loss, the learning rate and the precision"
        else:
            where = "every term is finite on this rank: look at the weights of the terms and at the other ranks"
        raise FloatingPointError(
            f"step {number}: expected finite losses, found term {', '.join(terms) or 'none'} not finite; {where}. "
            "Checkpoints on disk are from before."
        )


def finite(value: Any) -> bool:
    """Whether all tensors in `value` are finite."""
    return all(bool(tensor.isfinite().all()) for tensor in tensors(value))


def check_weights(step: int, weights: Mapping[str, Tensor]) -> None:
    """Raise on a weight with NaN or infinity, naming the weight. Costs a single synchronisation.

    Raises:
        FloatingPointError: before anything is saved.
    """
    if not torch.stack([w.isfinite().all() for w in weights.values()]).all():
        bad = next(name for name, w in weights.items() if not w.isfinite().all())
        raise FloatingPointError(f"step {step}: weight `{bad}` is not finite; nothing was saved.")
