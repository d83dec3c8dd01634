"""Parameters, operations and time of an encoder."""

import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from adapt.engine.flops import counting
from adapt.evaluating import evaluating
from losses.options import COUNT, check


@dataclass(frozen=True)
class Cost:
    """The cost of an encoder.

    Attributes:
        parameters: number of parameters, unused parameters included.
        flops: operations per input.
        milliseconds: measured time per input.
    """

    parameters: int
    flops: float
    milliseconds: float


def cost(encoder: nn.Module, inputs: Any, *, repeats: int = 5) -> Cost:
    """Count the parameters and operations of an encoder's forward pass, and measure the time, per input of a batch.

    Args:
        encoder: any module; the training mode is put back.
        inputs: a batch, a tensor with inputs along the first dimension, on the encoder's device. Smaller batches cost
            more per input.
        repeats: the time is the median of this number of passes, after a pass that warms up.

    Returns:
        A :class:`Cost`. ``torch.utils.flop_counter`` counts the operations: two for each multiplication and addition in
        matrix products, convolutions and attention, nothing for the rest; ``report.flops`` lists what is left out.
        The time holds for the present machine and number of threads.
    """
    check(COUNT, repeats=repeats)
    times = []
    with evaluating(encoder):
        with counting() as counter:
            encoder(inputs)
        for _ in range(repeats):
            start = synchronized_time(inputs)
            encoder(inputs)
            times.append(synchronized_time(inputs) - start)
    n = len(inputs)
    parameters = sum(p.numel() for p in encoder.parameters())
    return Cost(parameters, counter.operations / n, 1000 * statistics.median(times) / n)


def synchronized_time(inputs: torch.Tensor) -> float:
    """Return the time in seconds, after the accelerator that holds `inputs` has finished all work."""
    if inputs.is_cuda:
        torch.cuda.synchronize(inputs.device)
    return time.perf_counter()
