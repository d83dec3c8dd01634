"""The labels of a detector: the boxes of each image, with their classes."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from adapt.heads.labels import MISSING

REMEDY = "give the stream `collate=collate.as_lists`, and every image a mapping with `boxes` and `classes`"


class Objects(NamedTuple):
    """The objects of an image.

    Attributes:
        boxes: ``(k, 4)`` float32: left, top, right, bottom.
        classes: ``(k,)`` int64; -1 for a region of unknown content.
    """

    boxes: Tensor
    classes: Tensor


def objects_of(labels: Any, device: torch.device | str | None = None) -> list[Objects]:
    """Return the objects of each image, from labels that :func:`check_boxes` accepts."""
    boxes = [torch.as_tensor(y["boxes"], dtype=torch.float32, device=device).reshape(-1, 4) for y in labels]
    classes = [torch.as_tensor(y["classes"], device=device).reshape(-1).long() for y in labels]
    return [Objects(*pair) for pair in zip(boxes, classes, strict=True)]


def check_boxes(labels: Any, names: Sequence[str]) -> None:
    """Raise a ValueError unless `labels` are a list with the boxes and classes of each image.

    A host synchronisation on a GPU.

    Args:
        labels: mappings with ``boxes`` ``(k, 4)`` and ``classes`` ``(k,)``, tensors, numpy arrays or lists.
        names: of the classes.
    """
    if not isinstance(labels, list | tuple):
        raise ValueError(
            f"`labels` of a head of boxes must be a list with one mapping per image, got a {type(labels).__name__}: "
            f"{REMEDY}."
        )
    for image, label in enumerate(labels):
        if not isinstance(label, Mapping) or not {"boxes", "classes"} <= label.keys():
            keys = sorted(map(str, label)) if isinstance(label, Mapping) else type(label).__name__
            raise ValueError(
                f"`labels` of a head of boxes must be mappings with `boxes` and `classes`, got {keys} for image "
                f"{image}: {REMEDY}; the `labels` of torchvision are `classes` here, counted from 0."
            )
        _check_image(image, *(_numbers(label[key], key, image) for key in ("boxes", "classes")), names=names)


def check_rows(labels: Any, rows: int) -> None:
    """Raise a ValueError unless `labels` have one entry for each of the images."""
    if len(labels) != rows:
        raise ValueError(f"`labels` must have one entry for each of the {rows} images, got {len(labels)}: {REMEDY}.")


def _numbers(value: Any, key: str, image: int) -> Tensor:
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        expected = "numbers (k, 4)" if key == "boxes" else "the numbers of the classes"
        raise ValueError(
            f"`{key}` must be {expected}, got a {type(value).__name__} for image {image} of the batch ({error}): "
            "number the classes by their place in the names, and give each box four sides."
        ) from error


def _check_image(image: int, boxes: Tensor, classes: Tensor, *, names: Sequence[str]) -> None:
    where = f"image {image} of the batch"
    if boxes.numel() and (boxes.ndim != 2 or boxes.shape[1] != 4) or boxes.is_complex():
        raise ValueError(f"`boxes` must be (k, 4) left, top, right, bottom, got {tuple(boxes.shape)} for {where}.")
    boxes = boxes.reshape(-1, 4)
    if classes.numel() and (classes.is_floating_point() or classes.is_complex()) or classes.shape != (len(boxes),):
        raise ValueError(
            f"`classes` must be ({len(boxes)},) integers, one for each box, got {tuple(classes.shape)} of "
            f"{classes.dtype} for {where}."
        )
    if not boxes.isfinite().all():
        raise ValueError(
            f"`boxes` must be finite, found NaN or infinity for {where}: leave the box out, or mark a region of "
            "unknown content with a box of class -1."
        )
    flat = ((boxes[:, 2:] <= boxes[:, :2]).any(1)).nonzero().flatten().tolist()
    if flat:
        raise ValueError(
            f"`boxes` must have an area, right > left and bottom > top, found {boxes[flat[0]].tolist()} for {where}: "
            "leave the box out, as `datasets.boxes` does; from (left, top, width, height) add the corners first."
        )
    wrong = classes[(classes < MISSING) | (classes >= len(names))] if len(boxes) else classes
    if len(wrong):
        raise ValueError(
            f"`classes` must be in [0, {len(names)}), or -1 for a region of unknown content, found {int(wrong[0])} for "
            f"{where}: give the head more classes or renumber the classes."
        )
