"""Images with a class for every pixel as a data set."""

import pickle

import numpy
import pytest
import torch
from PIL import Image

from adapt import datasets


@pytest.fixture
def folders(tmp_path):
    """Two images, 4 x 6 and 6 x 4, with masks: the class is 1 where the image is white."""
    for number, shape in enumerate([(4, 6), (6, 4)]):
        mask = numpy.zeros(shape, "uint8")
        mask[1:3, 1:3] = 1
        (tmp_path / "images" / "a").mkdir(parents=True, exist_ok=True)
        (tmp_path / "masks" / "a").mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask * 255).convert("RGB").save(tmp_path / "images" / "a" / f"{number}.bmp")
        mask[0, 0] = 255
        stored = Image.fromarray(mask)
        if number:  # a palette, as in Pascal VOC
            stored.putpalette([(37 * i) % 256 for i in range(768)])
        stored.save(tmp_path / "masks" / "a" / f"{number}.png")
    return tmp_path / "images", tmp_path / "masks"


def test_images_and_masks_are_paired(folders):
    data = datasets.masks(*folders, names=["ground", "thing"])
    assert len(data) == 2 and data.names == ["ground", "thing"]
    for (image, mask), shape in zip(data, [(4, 6), (6, 4)], strict=True):
        assert image.shape == (3, *shape) and mask.shape == shape and mask.dtype == torch.int64
        assert mask[0, 0] == -1 and (mask[1:3, 1:3] == 1).all() and (mask == 1).sum() == 4
        assert torch.equal(image[0] == 1, mask == 1)
    assert datasets.masks(*folders, void=None)[0][1][0, 0] == 255
    assert repr(pickle.loads(pickle.dumps(data))) == "MaskRows(2 images, 2 classes)"


def test_image_and_mask_are_cut_alike(folders):
    for image, mask in datasets.masks(*folders, size=4, void=None):
        assert image.shape == (3, 4, 4) and mask.shape == (4, 4)
        assert torch.equal(image[0] == 1, mask == 1) and (mask == 1).any()
    image, mask = datasets.masks(*folders, size=(8, 12))[0]
    assert mask.shape == (8, 12) and set(mask.unique().tolist()) <= {-1, 0, 1}, "no class between two classes"


def test_prepare_keeps_the_size(folders):
    assert datasets.masks(*folders, prepare=lambda image: image - 1)[0][0].max() == 0
    with pytest.raises(ValueError, match="must have one height and width, got .3, 6. and .4, 6."):
        datasets.masks(*folders, prepare=lambda image: image[:, 1:])[0]


def test_other_files_are_refused(folders):
    images, masks = folders
    with pytest.raises(ValueError, match=r"0.png` cannot be read as a mask: it has the class 1, and there are 1 names"):
        datasets.masks(images, masks, names=["ground"])[0]
    Image.open(images / "a" / "0.bmp").save(masks / "a" / "0.png")
    with pytest.raises(ValueError, match=r"0.png` cannot be read as a mask: it has the mode RGB, expected one channel"):
        datasets.masks(images, masks)[0]
    Image.new("L", (5, 5)).save(masks / "a" / "0.png")
    with pytest.raises(ValueError, match="one height and width"):
        datasets.masks(images, masks)[0]
    Image.new("L", (5, 5)).save(masks / "a" / "0.bmp")
    with pytest.raises(ValueError, match="found 3 files of 2 names"):
        datasets.masks(images, masks)
    (masks / "a" / "0.bmp").unlink()
    (masks / "a" / "1.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"found none for 1 of 2, the first `.*1.bmp`"):
        datasets.masks(images, masks)
    with pytest.raises(FileNotFoundError, match="expected the folder `nowhere`"):
        datasets.masks("nowhere", masks)
