"""A folder of images as a data set."""

import pickle
from functools import partial

import numpy
import pytest
import torch
from PIL import Image

from adapt import Stream, Trainer, datasets, encoders, heads, supervised


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(numpy.asarray(pixels, "uint8")).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    """Three classes: red and green squares, blue in a folder below; other files beside."""
    for number, name in enumerate(["red", "green", "blue"]):
        pixels = numpy.zeros((6, 8, 3), "uint8")
        pixels[..., number] = 255
        for i in range(3):
            save(tmp_path / name / ("deep/" if name == "blue" else "") / f"{i}.PNG", pixels)
    (tmp_path / "red" / "notes.txt").write_text("no image")
    (tmp_path / "red" / ".DS_Store").write_text("hidden")
    (tmp_path / ".cache").mkdir()
    return tmp_path


def test_subfolders_are_classes(folder):
    data = datasets.images(folder)
    assert data.names == ["blue", "green", "red"] and data.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    image, label = data[8]
    assert image.shape == (3, 6, 8) and image.dtype == torch.float32 and label == 2
    assert image.mean((1, 2)).tolist() == [1, 0, 0]
    assert repr(data) == "FileRows(9 files, 3 classes: blue, green, red, 1 other files left out)"


def test_size_keeps_the_proportions(tmp_path):
    pixels = numpy.zeros((10, 30, 3), "uint8")
    pixels[:, 10:20] = 255  # the centre square is white
    save(tmp_path / "a.png", pixels)
    assert datasets.images(tmp_path, size=10)[0].shape == (3, 10, 10)
    assert datasets.images(tmp_path, size=10)[0].min() == 1
    wide = datasets.images(tmp_path, size=(5, 15))[0]
    assert wide.shape == (3, 5, 15) and wide[:, :, :4].max() < 0.1 and wide[:, :, 6:9].min() > 0.9


def test_prepare_sees_the_image(folder):
    data = datasets.images(folder, size=4, prepare=lambda image: image.mean((1, 2)))
    assert data[8][0].tolist() == [1, 0, 0]


def test_images_alone_have_no_labels(folder):
    data = datasets.images(folder / "red")
    assert data.names is None and data.labels is None and data[0].shape == (3, 6, 8) and len(data) == 3


def test_grey_palette_and_turned_images_are_upright_rgb(tmp_path):
    ramp = numpy.arange(12).reshape(3, 4) * 20
    save(tmp_path / "grey.png", ramp)
    Image.fromarray(ramp.astype("uint8")).convert("P").save(tmp_path / "palette.png")
    turned = Image.fromarray(ramp.astype("uint8").T[:, ::-1])  # stored as the camera lay, with the note to turn it
    exif = Image.Exif()
    exif[0x0112] = 8
    turned.save(tmp_path / "turned.png", exif=exif)
    expected = torch.tensor(ramp / 255).float().expand(3, 3, 4)
    for image in datasets.images(tmp_path):
        torch.testing.assert_close(image, expected)


def test_the_names_of_the_training_set_number_the_test_set(folder):
    names = ["white", "red", "green", "blue"]
    assert datasets.images(folder, names=names).labels.tolist() == [3] * 3 + [2] * 3 + [1] * 3
    with pytest.raises(ValueError, match=r"among the names \['red', 'blue'\], found \['green'\]"):
        datasets.images(folder, names=["red", "blue"])


def test_a_torn_file_is_named(folder):
    path = folder / "red" / "1.PNG"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"1.PNG` cannot be read as an image: .*leave it out"):
        datasets.images(folder)[7]
    path.write_text("text")
    with pytest.raises(ValueError, match=r"1.PNG` cannot be read as an image"):
        datasets.images(folder)[7]
    Image.fromarray(numpy.full((2, 2), 40_000, "uint16")).save(path)
    with pytest.raises(ValueError, match=r"1.PNG` cannot be read as an image: .*more than 8 bits"):
        datasets.images(folder)[7]


def test_other_folders_are_refused(folder):
    with pytest.raises(FileNotFoundError, match="expected the folder `nowhere`"):
        datasets.images("nowhere")
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match=r"found none in \['empty'\]"):
        datasets.images(folder)
    with pytest.raises(ValueError, match="found none among 0 files"):
        datasets.images(folder / "empty")
    save(folder / "loose.png", numpy.zeros((2, 2)))
    with pytest.raises(ValueError, match="found both: `loose.png` beside `blue`"):
        datasets.images(folder)
    for size in (0, 1.5, (2,), (2, 0)):
        with pytest.raises(ValueError, match="`size` must be one number"):
            datasets.images(folder, size=size)


def test_images_train_with_workers(folder):
    data = datasets.images(folder, size=4)
    assert len(pickle.dumps(data)) < 10_000, "a worker gets paths, not images"
    torch.manual_seed(0)
    encoder = encoders.wrap(torch.nn.Flatten(), 48)
    head = heads.Classifier(encoder, classes=data.names)
    trainer = Trainer(
        encoder,
        [supervised(head, on="images")],
        {"images": Stream(data, 3, workers=1)},
        optimizer=partial(torch.optim.Adam, lr=0.05),
    )
    trainer.fit(steps=30)
    assert trainer.evaluate(head, data).value == 1
