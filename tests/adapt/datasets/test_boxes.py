"""Images with boxes as a data set: files of Pascal VOC and of COCO."""

import json
import pickle

import pytest
import torch
from PIL import Image

from adapt import datasets

VOC = """<annotation><filename>{file}</filename><size><width>8</width><height>4</height></size>{objects}</annotation>"""
OBJECT = """<object><name>{name}</name><difficult>{difficult}</difficult>
<bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 4), "white").save(tmp_path / "images" / name)
    return tmp_path


def write_voc(folder, objects, file="a.png"):
    (folder / "voc").mkdir(exist_ok=True)
    things = "".join(OBJECT.format(name=n, difficult=d, box=b) for n, b, d in objects)
    (folder / "voc" / f"{file}.xml").write_text(VOC.format(file=file, objects=things))
    return folder / "voc", folder / "images"


def write_coco(folder, **changes):
    content = {
        "images": [{"id": 7, "file_name": "b.png"}, {"id": 3, "file_name": "a.png"}],
        "categories": [{"id": 9, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"image_id": 3, "category_id": 9, "bbox": [1, 0.5, 3, 2]},
            {"image_id": 3, "category_id": 2, "bbox": [0, 0, 8, 4], "iscrowd": 0},
            {"image_id": 3, "category_id": 2, "bbox": [0, 0, 8, 4], "iscrowd": 1},
            {"image_id": 7, "category_id": 2, "bbox": [2, 2, 0, 1]},
        ],
    }
    (folder / "coco.json").write_text(json.dumps(content | changes))
    return folder / "coco.json", folder / "images"


def test_voc_counts_pixels_from_one(folder):
    write_voc(folder, [], "b.png")
    paths = write_voc(folder, [("dog", (1, 1, 8, 4), 0), ("cat", (2, 3, 2, 3), 0), ("cow", (1, 1, 2, 2), 1)])
    data = datasets.boxes(*paths)
    image, target = data[0]
    assert image.shape == (3, 4, 8) and data.names == ["cat", "dog"]
    assert target["boxes"].tolist() == [[0, 0, 8, 4], [1, 2, 2, 3]] and target["boxes"].dtype == torch.float32
    assert target["classes"].tolist() == [1, 0] and target["classes"].dtype == torch.int64
    empty = data[1][1]
    assert empty["boxes"].shape == (0, 4) and empty["classes"].shape == (0,) and empty["classes"].dtype == torch.int64
    assert repr(pickle.loads(pickle.dumps(data))) == "BoxRows(2 images, 2 boxes, 2 classes, 1 boxes left out)"
    assert datasets.boxes(*paths, difficult=True)[0][1]["classes"].tolist() == [2, 0, 1]


def test_coco_has_width_and_height(folder):
    data = datasets.boxes(*write_coco(folder))
    assert data.names == ["dog", "cat"] and data.left_out == 2, "a crowd, and a box without area"
    assert data[1][1]["boxes"].tolist() == [[1, 0.5, 4, 2.5], [0, 0, 8, 4]] and data[1][1]["classes"].tolist() == [1, 0]
    assert data.paths[0].endswith("b.png") and len(data[0][1]["boxes"]) == 0


def test_boxes_are_scaled_with_the_image(folder):
    data = datasets.boxes(*write_coco(folder), size=(8, 4), prepare=lambda image: image * 2)
    for _ in range(2):
        image, target = data[1]
        assert image.shape == (3, 8, 4) and image.max() == 2
        assert target["boxes"].tolist() == [[0.5, 1, 2, 5], [0, 0, 4, 8]]
    assert datasets.boxes(*write_coco(folder), size=6)[0][0].shape == (3, 6, 6)


def test_the_names_of_the_training_set_number_the_test_set(folder):
    paths = write_voc(folder, [("dog", (1, 1, 8, 4), 0)])
    assert datasets.boxes(*paths, names=["cat", "dog"])[0][1]["classes"].tolist() == [1]
    with pytest.raises(ValueError, match=r"among the names \['cat'\], found \['dog'\]"):
        datasets.boxes(*paths, names=["cat"])


def test_other_annotations_are_refused(folder):
    with pytest.raises(ValueError, match=r"coco.json` cannot be read as annotations of COCO: .*keys images"):
        (folder / "coco.json").write_text("[]")
        datasets.boxes(folder / "coco.json", folder / "images")
    with pytest.raises(ValueError, match=r"belong to images that are not listed: \[3, 7\]|\[7, 3\]"):
        box = {"category_id": 2, "bbox": [0, 0, 1, 1]}
        datasets.boxes(*write_coco(folder, images=[], annotations=[box | {"image_id": 3}, box | {"image_id": 7}]))
    with pytest.raises(FileNotFoundError, match=r"found none for 1 of 1, the first `.*c.png`"):
        datasets.boxes(*write_voc(folder, [], "c.png"))
    (folder / "voc" / "c.png.xml").write_text("<annotation><object></object></annotation>")
    with pytest.raises(ValueError, match=r"c.png.xml` cannot be read as an annotation.*<object> has no <bndbox/xmin>"):
        datasets.boxes(folder / "voc", folder / "images")
    (folder / "voc" / "c.png.xml").write_text("<annotation>")
    with pytest.raises(ValueError, match=r"c.png.xml` cannot be read as an annotation"):
        datasets.boxes(folder / "voc", folder / "images")
    with pytest.raises(FileNotFoundError):
        datasets.boxes(folder / "none.json", folder / "images")
