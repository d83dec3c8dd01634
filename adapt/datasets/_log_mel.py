"""Recordings as images: time by frequency."""

import math

import torch
from torch import Tensor

from losses.options import COUNT, POSITIVE, check


def log_mel(
    waves: Tensor, rate: float, *, bands: int = 32, window: int = 256, hop: int = 128, floor: float = 1e-4
) -> Tensor:
    r"""Return the logarithm of the power of recordings in bands of equal width in mel.

    .. math:: y_{bt} = \log \Big( \epsilon + \sum_f w_b(f) \, |X_{ft}|^2 \Big), \qquad
        \mathrm{mel}(f) = 2595 \log_{10} (1 + f / 700)

    X is the Fourier transform of each frame under a Hann window. The weights w of a band are a triangle in hertz: 1 at
    the centre of the band, and 0 at the centres of the two neighbouring bands.

    Args:
        waves: ``(samples,)`` or ``(n, samples)``, at least `window` samples.
        rate: samples per second.
        bands: number of bands between 0 and half of `rate`.
        window: samples of a frame.
        hop: samples from the start of a frame to the start of the next frame.
        floor: epsilon, the power of silence; 1e-4 suits recordings in [-1, 1].

    Returns:
        ``(1, bands, frames)`` or ``(n, 1, bands, frames)``, an image with one channel. Samples after the last whole
        frame are left out.

    Raises:
        ValueError: recordings of another shape or shorter than `window`; an option outside of its range.

    Stevens, Volkmann, Newman, A scale for the measurement of the psychological magnitude pitch, 1937; the formula of
    O'Shaughnessy, Speech communication, 1987

    >>> log_mel(torch.zeros(8000), 8000).shape
    torch.Size([1, 32, 61])
    """
    check(COUNT, bands=bands, window=window, hop=hop)
    check(POSITIVE, rate=rate, floor=floor)
    if waves.ndim not in (1, 2) or waves.shape[-1] < window or not waves.is_floating_point():
        raise ValueError(
            f"`waves` must be (samples,) or (n, samples) floating numbers with at least {window} samples, got "
            f"{tuple(waves.shape)} {waves.dtype}: take a shorter `window`, or longer recordings."
        )
    hann = torch.hann_window(window, dtype=waves.dtype, device=waves.device)
    frames = torch.stft(waves, window, hop, window=hann, center=False, return_complex=True)
    weights = _triangles(rate, bands, window // 2 + 1).to(frames.abs())
    return (weights @ frames.abs().square() + floor).log().unsqueeze(-3)


def _triangles(rate: float, bands: int, frequencies: int) -> Tensor:
    """Return the weights ``(bands, frequencies)``."""
    highest = 2595 * math.log10(1 + rate / 2 / 700)
    corners = 700 * (10 ** (torch.linspace(0, highest, bands + 2)[:, None] / 2595) - 1)
    hertz = torch.linspace(0, rate / 2, frequencies)
    rising = (hertz - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - hertz) / (corners[2:] - corners[1:-1])
    return torch.minimum(rising, falling).clamp_min(0)
