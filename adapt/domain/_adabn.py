"""BatchNorm with the target's statistics."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader, Dataset

from adapt.evaluating import evaluating
from adapt.streams.stream import split


@torch.no_grad()
def adabn(encoder: nn.Module, dataset: Dataset, *, batch_size: int = 256) -> nn.Module:
    """Replace the statistics of an encoder's BatchNorm layers by those of a target dataset, in place: AdaBN.

    Args:
        encoder: with BatchNorm layers that keep statistics. Weights stay as they are.
        dataset: of target rows; labels are not looked at.
        batch_size: at most so many rows a pass, in passes of equal size up to one row. The mean is that of the whole set,
            the variance the mean of the passes' variances: make them large.

    Returns:
        `encoder`, in the mode it was in. Every rank does the same work.

    Raises:
        ValueError: no BatchNorm layer that keeps statistics, an empty dataset.

    Li et al., 2017, https://arxiv.org/abs/1603.04779
    """
    layers = [m for m in encoder.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    rows = len(dataset)  # type: ignore[arg-type]
    if not layers or rows == 0:
        raise ValueError(f"adabn needs BatchNorm layers and target rows, got {len(layers)} layers and {rows} rows.")
    momenta = [layer.momentum for layer in layers]
    device = next(encoder.parameters()).device
    passes = -(-rows // batch_size)
    try:
        with evaluating(encoder):
            for layer in layers:
                layer.reset_running_stats()
                layer.momentum = None  # a plain average over the passes
                layer.train()
            for inputs in DataLoader(dataset, -(-rows // passes), collate_fn=_inputs, generator=torch.Generator()):
                encoder(inputs.to(device))
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    return encoder


def _inputs(items: list) -> torch.Tensor:
    return torch.stack([torch.as_tensor(split(item)[0]) for item in items])
