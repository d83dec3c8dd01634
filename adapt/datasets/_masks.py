"""Images with a class for every pixel as a data set."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy
import torch
from torch import Tensor
from torch.utils.data import Dataset

from adapt.datasets.folders import files_below, naming
from adapt.datasets.image_files import ENDINGS, ImageReader, check_size, fit, read_image, upright
from losses.options import FROM_0, check, or_none


class MaskRows(Dataset):
    """Images with masks, read when the row is asked for.

    Attributes:
        images, masks: paths, in the same order.
        names: of the classes, or None.
    """

    def __init__(
        self,
        images: list[str],
        masks: list[str],
        names: list[str] | None,
        size: int | tuple[int, int] | None,
        void: int | None,
        prepare: Callable | None,
    ):
        self.images, self.masks, self.names = images, masks, names
        self.size, self.void, self.prepare = size, void, prepare

    @property
    def preparation(self) -> ImageReader:
        return ImageReader(self.size, self.prepare)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, mask = read_image(self.images[index], self.size), self._mask(index)
        image = image if self.prepare is None else self.prepare(image)
        if image.shape[-2:] != mask.shape:
            raise ValueError(
                f"`{self.images[index]}` and `{self.masks[index]}` must have one height and width, got "
                f"{tuple(image.shape[-2:])} and {tuple(mask.shape)}: `prepare` must not cut or scale, `size` does both."
            )
        return image, mask

    def __repr__(self) -> str:
        return f"MaskRows({len(self)} images, {'no names' if self.names is None else f'{len(self.names)} classes'})"

    def _mask(self, index: int) -> Tensor:
        from PIL.Image import Resampling

        path = self.masks[index]
        with naming(path, "a mask"):
            stored = upright(path)
            if stored.mode not in ("1", "L", "P", "I", "I;16"):
                raise ValueError(f"it has the mode {stored.mode}, expected one channel with the number of the class")
            mask = torch.from_numpy(numpy.array(fit(stored, self.size, Resampling.NEAREST), "int64"))
            if self.void is not None:
                mask[mask == self.void] = -1
            if self.names is not None and mask.max() >= len(self.names):
                raise ValueError(f"it has the class {int(mask.max())}, and there are {len(self.names)} names")
        return mask


def masks(
    images: str | Path,
    masks: str | Path,
    *,
    size: int | tuple[int, int] | None = None,
    void: int | None = 255,
    prepare: Callable | None = None,
    names: Sequence[str] | None = None,
) -> MaskRows:
    """Return images with a class for every pixel, paired by the names of the files.

    Args:
        images: folder of images, at any depth.
        masks: folder of masks, with the file ``a/1.png`` for the image ``a/1.jpg``: one channel, or a palette, with the
            number of the class. Masks without an image are left out.
        size: height and width, as in :func:`images`; a mask is cut like the image, and takes the nearest pixel.
        void: the number of pixels without a class; None where all pixels have one.
        prepare: what the weights of the encoder expect, called with the image. The size must stay the same.
        names: of the classes, in the order of the numbers.

    Returns:
        A data set with `names`, `images` and `masks`. An item is ``(image, mask)``: ``(3, h, w)`` float32 in [0, 1] and
        ``(h, w)`` int64, -1 where a pixel has no class.

    Raises:
        FileNotFoundError: no such folder, an image without a mask.
        ValueError: no images, two masks of one name. When a row is read: a torn file, a mask of several channels, a
            mask of another size than the image, a class without a name.
    """
    check_size(size)
    check(or_none(FROM_0), void=void)
    found, _ = files_below(Path(images), ENDINGS, "images")
    given, _ = files_below(Path(masks), ENDINGS, "masks")
    mask_of = {path.relative_to(masks).with_suffix(""): str(path) for path in given}
    keys = [path.relative_to(images).with_suffix("") for path in found]
    if len(mask_of) < len(given):
        raise ValueError(f"`{masks}` must hold one mask per name, found {len(given)} files of {len(mask_of)} names.")
    if alone := [str(path) for path, key in zip(found, keys, strict=True) if key not in mask_of]:
        raise FileNotFoundError(
            f"expected a mask in `{masks}` for every image, found none for {len(alone)} of {len(found)}, the first "
            f"`{alone[0]}`: a mask has the name of its image."
        )
    classes = None if names is None else [str(name) for name in names]
    return MaskRows([str(path) for path in found], [mask_of[key] for key in keys], classes, size, void, prepare)
