"""Image files as tensors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy
import torch
from torch import Tensor

from adapt.datasets.folders import FileRows, naming, plain_files
from adapt.store import Budget
from losses.options import is_whole

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")  # PIL would run a program for others
PIXEL = 4  # bytes of memory of a pixel as PIL keeps the pixel

if TYPE_CHECKING:
    from PIL.Image import Image, Resampling

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


@dataclass(frozen=True)
class ImageReader:
    """From the path of an image to an input.

    Attributes:
        size, prepare: see :func:`datasets.images`.
    """

    size: int | tuple[int, int] | None
    prepare: Callable | None

    def __call__(self, path: str) -> Any:
        image = read_image(path, self.size)
        return image if self.prepare is None else self.prepare(image)

    def prepared(self, raw: str | Path | Sequence[str | Path]) -> FileRows:
        """Return images as a data set without labels.

        Args:
            raw: a file, a folder, or a sequence of files.

        Raises:
            FileNotFoundError: no such file or folder.
        """
        return FileRows(plain_files(raw, ENDINGS, "images"), self)

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        return "adapt.datasets.image_files.ImageReader", {"size": self.size, "prepare": self.prepare}


def check_size(size: int | tuple[int, int] | None) -> None:
    """Raise a ValueError unless `size` is None, or one or two whole numbers of at least 1."""
    sides = size if isinstance(size, tuple) else (size, size)
    if size is not None and (len(sides) != 2 or not all(is_whole(s, 1) for s in sides)):
        raise ValueError(f"`size` must be one number of pixels or (height, width), got {size!r}.")


def read_image(path: str, size: int | tuple[int, int] | None = None) -> Tensor:
    """Return the image of a file as ``(3, h, w)`` float32 in [0, 1]."""
    from PIL.Image import Resampling

    with naming(path, "an image"):
        image = upright(path)
        if image.mode.startswith("I") or image.mode == "F":
            raise ValueError(f"its pixels have the mode {image.mode}, more than 8 bits, and RGB would cut them off")
        image = image if image.mode == "RGB" else image.convert("RGB")
        pixels = torch.from_numpy(numpy.array(fit(image, size, Resampling.BICUBIC)))
        del image  # a large image and its float32 values need not be there together
    return pixels.permute(2, 0, 1).float().div_(255)


def upright(path: str) -> "Image":
    """Return the complete image of a file, turned as the camera was held."""
    from PIL import ImageOps

    image = load_image(path, Budget(path))
    ImageOps.exif_transpose(image, in_place=True)
    return image


def load_image(file: str | IO[bytes], budget: Budget) -> "Image":
    """Return the complete image of a file, after a comparison of the number of pixels with the budget.

    Raises:
        TooLarge: more pixels than the budget allows, at :data:`PIXEL` bytes each.
        Exception: a file that is no complete image in one of :data:`FORMATS`.
    """
    from PIL import Image

    with Image.open(file, formats=FORMATS) as image:
        width, height = image.size
        budget.allow(PIXEL * width * height, f"an image of {width} x {height} pixels")
        image.load()
        return image


def fit(image: "Image", size: int | tuple[int, int] | None, resample: "Resampling") -> "Image":
    """Scale an image to cover `size`, (height, width) or the side of a square, and cut out the centre."""
    from PIL import ImageOps

    if size is None:
        return image
    height, width = size if isinstance(size, tuple) else (size, size)
    return ImageOps.fit(image, (width, height), resample)
