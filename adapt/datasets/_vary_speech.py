"""Random variation of recordings as images: other speakers, and other tempi."""

import torch
import torch.nn.functional as F
from torch import Tensor

from losses.options import AT_LEAST_0, BELOW_1, FROM_0, check


def vary_speech(
    x: Tensor, *, tract: float = 0.15, tempo: float = 0.2, tilt: float = 0.3, bands: int = 6, frames: int = 6
) -> Tensor:
    r"""Return a random variation of one recording: vocal tract, tempo, tilt, level, and masks.

    .. math:: y_{bt} = x_{\alpha b, \; m + \beta (t - m) + s} + \tau \frac{2 b - B}{B} + \lambda, \qquad
        \alpha \sim 1 \pm \text{tract}, \; \beta \sim 1 \pm \text{tempo}, \; s \sim \pm \text{tempo} \, T / 4, \;
        \tau, \lambda \sim \pm \text{tilt}

    with B bands, T frames with the middle m, and uniform draws. A shorter vocal tract moves all resonances up by one
    factor. Then at most `bands` neighbouring bands and at most `frames` neighbouring frames become the mean.

    Args:
        x: ``(1, bands, frames)``, an image of :func:`log_mel`, brought to one size and to a variance of about 1.
        tract: largest change of the frequency of a band; 0.15, and voices of men, women and children span about 0.8 to
            1.2.
        tempo: largest change of the tempo.
        tilt: largest change of level, and of the difference between high and low bands; in units of `x`.
        bands, frames: most masked places of each axis; 0 masks nothing.

    For ``Stream(..., augment=datasets.vary_speech)``: draws from the global generator of torch, which the stream keys.
    Places outside of the image repeat the border. Options of 0 leave `x` as it is.

    Raises:
        ValueError: an image of another shape, or smaller than a mask; an option outside of its range.

    Jaitly and Hinton, Vocal Tract Length Perturbation, 2013; Park et al., SpecAugment, 2019,
    https://arxiv.org/abs/1904.08779

    >>> vary_speech(torch.zeros(1, 32, 48)).shape
    torch.Size([1, 32, 48])
    """
    check(BELOW_1, tract=tract, tempo=tempo)
    check(AT_LEAST_0, tilt=tilt)
    check(FROM_0, bands=bands, frames=frames)
    if x.ndim != 3 or len(x) != 1 or not x.is_floating_point() or x.shape[1] < bands or x.shape[2] < frames:
        raise ValueError(
            f"`x` must be (1, bands, frames) floating numbers with at least {bands} bands and {frames} frames, got "
            f"{tuple(x.shape)} {x.dtype}: take an image of `datasets.log_mel`, or smaller masks."
        )
    draw = dict(zip(("tract", "tempo", "shift", "tilt", "level"), (2 * torch.rand(5) - 1).tolist(), strict=True))
    high, wide = (torch.linspace(-1, 1, size, dtype=x.dtype, device=x.device) for size in x.shape[1:])
    across = wide * (1 + tempo * draw["tempo"]) + tempo / 2 * draw["shift"]
    up = (high + 1) * (1 + tract * draw["tract"]) - 1  # the lowest band stays
    grid = torch.stack(torch.meshgrid(across, up, indexing="xy"), -1)
    y = F.grid_sample(x[None], grid[None], padding_mode="border", align_corners=True)[0]
    y = y + tilt * (draw["tilt"] * high[:, None] + draw["level"])
    mean = y.mean()
    for axis, most in ((1, bands), (2, frames)):
        size = int(torch.randint(most + 1, ()))
        start = int(torch.randint(y.shape[axis] - size + 1, ()))
        y.narrow(axis, start, size).copy_(mean)
    return y
