"""BatchNorm with the target's statistics."""

from typing import TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader, Dataset

from adapt.domain.options import check_options
from adapt.evaluating import evaluating
from adapt.streams.items import split

M = TypeVar("M", bound=nn.Module)


@torch.no_grad()
def adabn(encoder: M, dataset: Dataset, *, batch_size: int = 256) -> M:
    """Replace the statistics of an encoder's BatchNorm layers by the statistics of a target dataset, in place: AdaBN.

    Args:
        encoder: with BatchNorm layers that keep statistics. Weights stay as before.
        dataset: of target rows; labels are not used.
        batch_size: most rows per pass. All passes have the same size, up to one row. The new mean is the mean of the
            whole set; the new variance is the mean of the variances of the passes, so take a large size.

    Returns:
        `encoder`, in training or evaluation mode as before. Every rank does the same work.

    Raises:
        ValueError: no BatchNorm layer with statistics; an empty dataset; a wrong `batch_size`.

    Li et al., 2017, https://arxiv.org/abs/1603.04779
    """
    check_options(batch_size=batch_size)
    layers = [m for m in encoder.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    rows = len(dataset)  # type: ignore[arg-type]  # torch's Dataset declares no length
    if not layers or rows == 0:
        raise ValueError(
            f"adabn needs BatchNorm layers and target rows, got {len(layers)} layers and {rows} rows: take an encoder "
            "with BatchNorm and a dataset that is not empty."
        )
    momenta = [layer.momentum for layer in layers]
    device = next(encoder.parameters()).device
    passes = -(-rows // batch_size)
    try:
        with evaluating(encoder):
            for layer in layers:
                layer.reset_running_stats()
                layer.momentum = None  # a plain average over the passes
                layer.train()
            for inputs in DataLoader(dataset, int(-(-rows // passes)), collate_fn=_inputs, generator=torch.Generator()):
                encoder(inputs.to(device))
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    return encoder


def _inputs(items: list) -> torch.Tensor:
    return torch.stack([torch.as_tensor(split(item)[0]) for item in items])
