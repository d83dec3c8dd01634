"""The share of each micro-batch in a step: a mean over counted things divides by the count of the whole step."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch

from adapt.engine import runtime
from adapt.engine.micro_batches import MicroBatches
from adapt.engine.term import Term
from adapt.protocols import offers
from adapt.streams import Batch

Shares = Mapping[Term, float]  # a term that is not named has the same share in every micro-batch


class CountsLabels(Protocol):
    """A loss that is a mean over counted things, such as labels that are there, tokens or boxes."""

    def count(self, batches: Mapping[str, Batch]) -> float:
        """Return the number of things in the batches of this rank."""
        ...


def shares_of(terms: Sequence[Term], micro: MicroBatches, device: torch.device) -> list[Shares]:
    r"""Return the share :math:`n_{mt} / \sum_m n_{mt}` of each micro-batch m for each term t that counts.

    :math:`n_{mt}` is the number of things in the micro-batch on all ranks. Shares are equal where no micro-batch has a
    thing. The labels are counted before they move to the device: a single rank does not wait for the device.
    """
    losses = {t: t.loss for t in terms if offers(t.loss, CountsLabels)}
    if not losses:
        return [{} for _ in range(len(micro))]
    found = [[float(loss.count(batches)) for loss in losses.values()] for batches in micro.read()]
    counts = torch.tensor(found, dtype=torch.float64)
    if runtime.world_size() > 1:
        counts = runtime.average(counts.to(device)).cpu()
    totals = counts.sum(0)
    shares = torch.where(totals > 0, counts / totals, 1 / len(micro))
    return [dict(zip(losses, row, strict=True)) for row in shares.tolist()]
