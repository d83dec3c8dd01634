"""What an encoder costs."""

import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from adapt.evaluating import evaluating


@dataclass(frozen=True)
class Cost:
    """`parameters` of the encoder, also those that a pass does not meet; and of one input `flops` and measured `milliseconds`."""

    parameters: int
    flops: float
    milliseconds: float


def cost(encoder: nn.Module, inputs: Any, *, repeats: int = 5) -> Cost:
    """Parameters, operations and time of an encoder's forward pass, each input its share of the batch.

    Args:
        encoder: any module; its mode is put back.
        inputs: a batch, a tensor whose first dimension counts inputs, on the encoder's device. Smaller batches cost
            more an input.
        repeats: the time is the median of so many passes, after one that warms up.

    Returns:
        A :class:`Cost`. Operations are those of ``torch.utils.flop_counter``: two for each multiplication and addition in
        matrix products, convolutions and attention, nothing for the rest. The time is that of this machine, with
        the threads it has now.
    """
    from torch.utils.flop_counter import FlopCounterMode

    times = []
    with evaluating(encoder):
        with FlopCounterMode(display=False) as counter:
            encoder(inputs)
        for _ in range(repeats):
            start = clock(inputs)
            encoder(inputs)
            times.append(clock(inputs) - start)
    n = len(inputs)
    parameters = sum(p.numel() for p in encoder.parameters())
    return Cost(parameters, counter.get_total_flops() / n, 1000 * statistics.median(times) / n)


def clock(inputs: torch.Tensor) -> float:
    """Seconds; waits for the accelerator that holds `inputs`."""
    if inputs.is_cuda:
        torch.cuda.synchronize(inputs.device)
    return time.perf_counter()
