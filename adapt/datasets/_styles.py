"""Images in the colours of other images: augmentations for a shift of colours and of light."""

from typing import Any

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor

from adapt.protocols import MapStyle
from losses.options import SHARE, check


def fourier_style(images: MapStyle, *, share: float = 0.01) -> "FourierStyle":
    r"""Return an augmentation that gives an image the low frequencies of another image: Fourier domain adaptation, FDA.

    .. math:: \mathcal F^{-1} \bigl( (m_\beta \odot |\mathcal F x_t| + (1 - m_\beta) \odot |\mathcal F x|)
        \, e^{i \angle \mathcal F x} \bigr)

    The mask :math:`m_\beta` is a square of :math:`2 \lfloor \beta \min(h, w) \rfloor + 1` frequencies around zero. The
    values are cut to the range of both images. Labels stay: give the function to ``Stream(..., augment=...)``.

    Args:
        images: of the target, without labels or with labels that are not used: a data set, a tensor ``(n, c, h, w)``,
            a list. Each call draws one image. An image of another size is scaled.
        share: :math:`\beta` in [0, 1]; 0.01 as in the paper, which tries 0.09 too. 0 gives the mean colours alone.

    Raises:
        ValueError: no images; a share out of range; when called, something else than an image ``(c, h, w)``, or images
            of other numbers of channels.

    Yang and Soatto, FDA: Fourier Domain Adaptation for Semantic Segmentation, 2020, https://arxiv.org/abs/2004.05498
    """
    check(SHARE, share=share)
    return FourierStyle(_some(images), float(share))


def histogram_style(images: MapStyle) -> "HistogramStyle":
    r"""Return an augmentation that gives each channel of an image the histogram of another image.

    .. math:: x \mapsto G_t^{-1}(G(x))

    with G and :math:`G_t` the cumulative distributions of the values of the image and of the other image, linear
    between the values.

    Args:
        images: as in :func:`fourier_style`; the size does not matter.

    Raises:
        ValueError: no images; when called, something else than an image ``(c, h, w)``, or images of other numbers of
            channels.

    Gonzalez and Woods, Digital Image Processing, 2018, section 3.3.
    """
    return HistogramStyle(_some(images))


class Style:
    """Draws an image of the target for each call, from torch's global generator, which a stream keys."""

    def __init__(self, images: MapStyle):
        self.images = images

    def drawn(self, image: Tensor) -> Tensor:
        item: Any = self.images[int(torch.randint(len(self.images), ()))]
        other = item[0] if isinstance(item, tuple | list) else item
        for what, x in (("the image", image), ("the drawn image", other)):
            if not isinstance(x, Tensor) or x.ndim != 3 or not x.is_floating_point():
                found = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
                raise ValueError(f"{what} must be (channels, h, w) floating point, got {found}.")
        if len(other) != len(image):
            raise ValueError(
                f"`images` must have the {len(image)} channels of the image, got {len(other)}: prepare both alike."
            )
        return other


class FourierStyle(Style):
    """The augmentation of :func:`fourier_style`."""

    def __init__(self, images: MapStyle, share: float):
        super().__init__(images)
        self.share = share

    def __call__(self, image: Tensor) -> Tensor:
        other, (h, w) = self.drawn(image), image.shape[1:]
        if other.shape[1:] != image.shape[1:]:
            other = F.interpolate(other[None], (h, w), mode="bilinear", antialias=True)[0]
        spectrum, wanted = (torch.fft.fftshift(torch.fft.fft2(x), (1, 2)) for x in (image, other))
        size, b = spectrum.abs(), int(self.share * min(h, w))
        rows, columns = (slice(max(n // 2 - b, 0), n // 2 + b + 1) for n in (h, w))
        size[:, rows, columns] = wanted.abs()[:, rows, columns]
        mixed = torch.polar(size, spectrum.angle())
        found = torch.fft.ifft2(torch.fft.ifftshift(mixed, (1, 2))).real
        return found.clamp(torch.minimum(image.min(), other.min()), torch.maximum(image.max(), other.max()))


class HistogramStyle(Style):
    """The augmentation of :func:`histogram_style`."""

    def __call__(self, image: Tensor) -> Tensor:
        pairs = zip(image.detach().cpu().numpy(), self.drawn(image).detach().cpu().numpy(), strict=True)
        return torch.from_numpy(numpy.stack([_matched(*pair) for pair in pairs])).to(image)


def _matched(channel: numpy.ndarray, other: numpy.ndarray) -> numpy.ndarray:
    """Return a channel with the histogram of another channel."""
    _, place, counts = numpy.unique(channel.ravel(), return_inverse=True, return_counts=True)
    values, others = numpy.unique(other.ravel(), return_counts=True)
    found = numpy.interp(counts.cumsum() / channel.size, others.cumsum() / other.size, values)
    return found[place].reshape(channel.shape).astype(channel.dtype)


def _some(images: MapStyle) -> MapStyle:
    if not len(images):
        raise ValueError("`images` is empty: give at least one image of the target.")
    return images
