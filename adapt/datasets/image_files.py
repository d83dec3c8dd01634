"""Image files as tensors."""

from typing import TYPE_CHECKING

import numpy
import torch
from torch import Tensor

from adapt.datasets.folders import naming

if TYPE_CHECKING:
    from PIL.Image import Image, Resampling

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


def check_size(size: int | tuple[int, int] | None) -> None:
    """Raise a ValueError unless `size` is None, or one or two whole numbers of at least 1."""
    sides = size if isinstance(size, tuple) else (size, size)
    if size is not None and (len(sides) != 2 or not all(isinstance(s, int) and s >= 1 for s in sides)):
        raise ValueError(f"`size` must be one number of pixels or (height, width), got {size!r}.")


def read_image(path: str, size: int | tuple[int, int] | None = None) -> Tensor:
    """Return the image of a file as ``(3, h, w)`` float32 in [0, 1]."""
    from PIL.Image import Resampling

    with naming(path, "an image"):
        image = upright(path)
        if image.mode.startswith("I") or image.mode == "F":
            raise ValueError(f"its pixels have the mode {image.mode}, more than 8 bits, and RGB would cut them off")
        pixels = numpy.asarray(fit(image.convert("RGB"), size, Resampling.BICUBIC))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float().div_(255)


def upright(path: str) -> "Image":
    """Return the complete image of a file, turned as the camera was held."""
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        image.load()
        return ImageOps.exif_transpose(image)


def fit(image: "Image", size: int | tuple[int, int] | None, resample: "Resampling") -> "Image":
    """Scale an image to cover `size`, (height, width) or the side of a square, and cut out the centre."""
    from PIL import ImageOps

    if size is None:
        return image
    height, width = size if isinstance(size, tuple) else (size, size)
    return ImageOps.fit(image, (width, height), resample)
