"""A folder of images as a data set."""

from collections.abc import Callable, Sequence
from pathlib import Path

from adapt.datasets.folders import FileRows, class_files
from adapt.datasets.image_files import ENDINGS, ImageReader, check_size


def images(
    folder: str | Path,
    *,
    size: int | tuple[int, int] | None = None,
    prepare: Callable | None = None,
    names: Sequence[str] | None = None,
) -> FileRows:
    """Return the images below a folder, one subfolder for each class.

    An image is read at the moment of use, in a worker of the :class:`Stream` where the stream has workers.

    Args:
        folder: one subfolder for each class, with images at any depth; or images alone, for a data set without labels.
            Files of other kinds and hidden files are left out; ``repr`` says how many.
        size: height and width; one number is a square. The image is scaled until one side fits and the other side is
            long enough, and the centre is cut out: no image is distorted. ``None`` keeps the size of each file.
        prepare: the preparation for the weights of the encoder, called with the image: ``encoder.preprocess``.
            Preparation has no randomness and is the same in training and evaluation: random changes belong to the
            stream.
        names: of the classes, in the order of the numbers. Give the names of the training set to the test set:
            ``datasets.images("test", names=train.names)``. None takes the sorted names of the subfolders.

    Returns:
        A data set with `names`, `labels` and `paths`. An item is ``(image, label)``: ``(3, h, w)`` float32 in [0, 1],
        in RGB, turned as the camera was held.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: images beside subfolders, a subfolder without images, a subfolder outside of `names`. When a
            row is read: a file that is no complete image, or an image with more than 8 bits per channel.
    """
    check_size(size)
    return FileRows(class_files(folder, ENDINGS, "images", names), ImageReader(size, prepare))
