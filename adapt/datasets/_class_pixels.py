"""How often each class occurs in masks, and weights for the sampling of images with rare classes."""

import torch
from torch import Tensor

from adapt.datasets._masks import MaskRows
from adapt.protocols import MapStyle
from losses.options import COUNT, POSITIVE, check, whole


def class_pixels(data: MapStyle, classes: int) -> Tensor:
    """Return ``(n, classes)`` int64, the number of pixels of each class in each mask. The masks are read once.

    Sums over the first axis are the counts of the data set: for class weights, and for the share of the most frequent
    class, which a pixel accuracy must beat.

    Args:
        data: items ``(image, mask)``, masks ``(h, w)`` of whole numbers. Numbers below 0 are missing.
        classes: the number of classes.

    Raises:
        ValueError: a mask with a class that is too large, or that holds no whole numbers.
    """
    check(whole(2), classes=classes)
    found = torch.zeros(len(data), classes, dtype=torch.int64)
    for i in range(len(data)):
        mask = torch.as_tensor(data._mask(i) if isinstance(data, MaskRows) else data[i][1])
        if mask.is_floating_point() or mask.is_complex():
            raise ValueError(f"masks must hold whole numbers, got {mask.dtype} in row {i}: `mask.long()`.")
        there = mask[mask >= 0].long()
        if len(there) and there.max() >= classes:
            raise ValueError(
                f"masks must hold classes in [0, {classes}), found {int(there.max())} in row {i}: a pixel without a "
                "class is -1, `datasets.masks(..., void=...)`."
            )
        found[i] = torch.bincount(there, minlength=classes)
    return found


def rare_class_weights(pixels: Tensor, *, temperature: float = 0.01, least: int = 1) -> Tensor:
    r"""Return ``(n,)`` weights of images for ``Stream(..., sampling=weights)``: rare class sampling, RCS of DAFormer.

    .. math:: w_i = \sum_c \frac{P(c)\, \mathbb 1[n_{ic} \ge m]}{|\{j : n_{jc} \ge m\}|}, \qquad
        P(c) = \frac{e^{(1 - f_c) / T}}{\sum_{c'} e^{(1 - f_{c'}) / T}}

    with :math:`f_c` the share of the class in all pixels: a class is drawn, and then one of the images with at least m
    pixels of the class. Classes that no image has are not drawn.

    Args:
        pixels: ``(n, classes)`` of :func:`class_pixels`.
        temperature: T; 0.01 as in the paper. A large T draws all classes equally often.
        least: m, pixels of a class that an image must have; 1. The paper takes 3,000 of 512 x 512.

    Raises:
        ValueError: an option out of range; no image with enough pixels of a class.

    Hoyer et al., DAFormer, 2022, section 3.3, https://arxiv.org/abs/2111.14887

    >>> rare_class_weights(torch.tensor([[9, 1], [10, 0], [10, 0]]), temperature=1e9)
    tensor([0.6667, 0.1667, 0.1667], dtype=torch.float64)
    """
    check(POSITIVE, temperature=temperature)
    check(COUNT, least=least)
    there = (pixels >= least).double()
    images = there.sum(0)
    if not images.any():
        raise ValueError(f"`pixels` must have an image with at least {least} pixels of a class: lower `least`.")
    share = pixels.sum(0).double() / pixels.sum()
    chance = torch.where(images > 0, (1 - share) / temperature, -torch.inf).softmax(0)
    return (there * (chance / images.clamp_min(1))).sum(1)
