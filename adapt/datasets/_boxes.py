"""Images with boxes around objects as a data set."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import torch
from torch import Tensor
from torch.utils.data import Dataset

from adapt.datasets.folders import files_below, naming
from adapt.datasets.image_files import check_size, read_image
from adapt.store import Budget

Box = tuple[float, float, float, float]


LONGEST = 255  # bytes of a name: file systems refuse a longer name with another error
ELEMENT = 120  # bytes of memory of an element of xml or of a list of json, at most
NEEDED = {
    "categories": {"id", "name"}, "annotations": {"bbox", "image_id", "category_id"}, "images": {"id", "file_name"},
}  # fmt: skip
KEPT = {*NEEDED, "iscrowd"}.union(*NEEDED.values())


class _Image(NamedTuple):
    """The name of a file, and the boxes with the names of the classes."""

    file: str
    boxes: list[tuple[str, Box]]


class BoxRows(Dataset):
    """Images with boxes, read when the row is asked for.

    Attributes:
        paths: of the images.
        boxes: ``(k, 4)`` float32 of each image: left, top, right, bottom, in pixels of the file.
        classes: ``(k,)`` int64 of each image.
        names: of the classes.
        left_out: the number of boxes that were left out.
    """

    def __init__(
        self,
        paths: list[str],
        boxes: list[Tensor],
        classes: list[Tensor],
        names: list[str],
        left_out: int,
        size: tuple[int, int] | None,
        prepare: Callable | None,
    ):
        self.paths, self.boxes, self.classes, self.names, self.left_out = paths, boxes, classes, names, left_out
        self.size, self.prepare = size, prepare

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        image, boxes = read_image(self.paths[index]), self.boxes[index].clone()
        if self.size is not None:
            (height, width), old = self.size, image.shape[1:]
            boxes *= torch.tensor([width / old[1], height / old[0]]).repeat(2)
            image = torch.nn.functional.interpolate(image[None], self.size, mode="bilinear", antialias=True)[0]
        image = image if self.prepare is None else self.prepare(image)
        return image, {"boxes": boxes, "classes": self.classes[index].clone()}

    def __repr__(self) -> str:
        count = sum(map(len, self.boxes))
        return f"BoxRows({len(self)} images, {count} boxes, {len(self.names)} classes, {self.left_out} boxes left out)"


def boxes(
    annotations: str | Path,
    images: str | Path,
    *,
    size: int | tuple[int, int] | None = None,
    prepare: Callable | None = None,
    names: Sequence[str] | None = None,
    difficult: bool = False,
) -> BoxRows:
    """Return images with boxes around objects, from files of Pascal VOC or COCO.

    Args:
        annotations: a folder of ``.xml`` files of Pascal VOC, or a ``.json`` file of COCO.
        images: the folder of the images that the annotations name.
        size: height and width; one number is a square. The image is stretched, and the boxes with the image. ``None``
            keeps the size of each file.
        prepare: what the weights of the encoder expect, called with the image. The size must stay the same.
        names: of the classes, in the order of the numbers. Give the names of the training set to the test set. None
            takes the order of the categories of COCO by id, and the sorted names of VOC.
        difficult: ``True`` keeps the boxes that VOC marks as difficult.

    Returns:
        A data set with `names`. An item is ``(image, {"boxes": boxes, "classes": classes})``: ``(3, h, w)`` float32 in
        [0, 1]; ``(k, 4)`` float32 left, top, right, bottom, in pixels from the left upper corner of the image; ``(k,)``
        int64. An image without objects has k = 0. A batch needs ``collate.as_lists``.

    The pixels of VOC count from 1 to the last pixel inside: 1 is taken from left and top. Left out, and counted by
    ``repr``, are crowds of COCO, difficult boxes, and boxes without area.

    Raises:
        FileNotFoundError: no such folder or file, an image that is not there.
        ValueError: a file that is no annotation, a class that is not in `names`.
    """
    check_size(size)
    source = Path(annotations)
    if source.is_dir():
        parts = [_voc(path, difficult) for path in files_below(source, (".xml",), "annotations")[0]]
        rows, left_out = [row for row, _ in parts], sum(count for _, count in parts)
        found = sorted({name for row in rows for name, _ in row.boxes})
    else:
        rows, found, left_out = _coco(source)
    known = found if names is None else [str(name) for name in names]
    if unknown := sorted({name for row in rows for name, _ in row.boxes} - set(known)):
        raise ValueError(f"`{source}` must have classes among the names {known}, found {unknown}.")
    for row in rows:
        if max(len(part.encode(errors="replace")) for part in row.file.split("/")) > LONGEST or len(row.file) > 1000:
            raise ValueError(
                f"`{source}` cannot be read as annotations: an image has a name of {len(row.file)} letters."
            )
    paths = [Path(images, row.file) for row in rows]
    if absent := [str(path) for path in paths if not path.is_file()]:
        raise FileNotFoundError(
            f"expected every image of `{source}` in the folder `{images}`, found none for {len(absent)} of "
            f"{len(paths)}, the first `{absent[0]}`."
        )
    number = {name: i for i, name in enumerate(known)}
    return BoxRows(
        [str(path) for path in paths],
        [torch.tensor([box for _, box in row.boxes]).reshape(-1, 4) for row in rows],
        [torch.tensor([number[name] for name, _ in row.boxes], dtype=torch.int64) for row in rows],
        known,
        left_out,
        (size, size) if isinstance(size, int) else size,
        prepare,
    )


def _voc(path: Path, difficult: bool) -> tuple[_Image, int]:
    """Return the image of an xml file, and the number of boxes left out."""
    with naming(path, "an annotation of Pascal VOC"):
        content = path.read_bytes()
        Budget(path).take(ELEMENT * content.count(b"<"), "the elements")
        if b"<!" in content.replace(b"<!--", b"").replace(b"<![CDATA[", b""):
            raise ValueError("it declares an entity or a document type, and an annotation needs none")
        root = ElementTree.fromstring(content)
        every = root.findall("object")
        kept = [thing for thing in every if difficult or thing.findtext("difficult", "0").strip() != "1"]
        found = []
        for thing in kept:
            left, top, right, bottom = _finite([_text(thing, f"bndbox/{c}") for c in ("xmin", "ymin", "xmax", "ymax")])
            found.append((_text(thing, "name"), (left - 1, top - 1, right, bottom)))
        inside = [entry for entry in found if _has_area(entry[1])]
        return _Image(_text(root, "filename"), inside), len(every) - len(inside)


def _text(element: ElementTree.Element, path: str) -> str:
    text = element.findtext(path)
    if not text or not text.strip():
        raise ValueError(f"a <{element.tag}> has no <{path}>")
    return text.strip()


def _finite(numbers: Sequence[Any]) -> list[float]:
    """Return texts or numbers as floats; a number that is not finite is a ValueError."""
    found = [float(number) for number in numbers]
    if not all(map(math.isfinite, found)):
        raise ValueError(f"a box has a side that is not finite: {found[:4]}")
    return found


def _coco(path: Path) -> tuple[list[_Image], list[str], int]:
    """Return the images of a json file, the names of the classes, and the number of boxes left out."""
    with naming(path, "annotations of COCO"):
        raw = path.read_bytes()
        Budget(path).take(ELEMENT * (raw.count(b"[") + raw.count(b"{")), "the lists")
        content = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_needed)
        del raw
        if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= content.keys():
            raise ValueError("expected the keys images, annotations and categories")
        for key, needed in NEEDED.items():
            for place, entry in enumerate(content[key]):
                if not isinstance(entry, dict) or not needed <= entry.keys():
                    raise ValueError(f"entry {place} of {key} must have {', '.join(sorted(needed))}")
        names = {c["id"]: str(c["name"]) for c in sorted(content["categories"], key=lambda c: c["id"])}
        boxes_of, left_out = defaultdict(list), 0
        for thing in content["annotations"]:
            x, y, width, height = _finite(thing["bbox"])
            box = (x, y, x + width, y + height)
            if thing.get("iscrowd", 0) or not _has_area(box):
                left_out += 1
            else:
                boxes_of[thing["image_id"]].append((names[thing["category_id"]], box))
        rows = [_Image(image["file_name"], boxes_of.pop(image["id"], [])) for image in content["images"]]
        if boxes_of:
            raise ValueError(f"boxes belong to images that are not listed: {list(boxes_of)[:5]}")
        return rows, list(names.values()), left_out


def _needed(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the entries of an object that are used: polygons would take most of the memory."""
    return {name: value for name, value in pairs if name in KEPT}


def _has_area(box: Box) -> bool:
    return box[2] > box[0] and box[3] > box[1]
