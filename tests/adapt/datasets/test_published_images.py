"""Readers of images: digits, CIFAR-10 and handwritten characters; the real sets hold what the sources say."""

import io
import zipfile

import numpy
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from torch.utils.data import TensorDataset

from adapt import datasets, encoders
from tests.adapt.datasets.small_files import runs, write_digits, write_zip


def drawing(ink):
    """105 x 105, white paper; `ink` is a box of pixels."""
    image, file = Image.new("1", (105, 105), 1), io.BytesIO()
    image.paste(0, ink)
    image.save(file, "PNG")
    return file.getvalue()


def write_drawings(root, files):
    write_zip(root, "omniglot_small", "images_background_small1.zip", files)


def test_values_of_small_files(tmp_path):
    images, labels = write_digits(tmp_path)
    expected = {
        datasets.mnist: images[28, 28][:, None] / 255,
        datasets.usps: images[16, 16][:, None] / 255,
        datasets.semeion: images[16, 16][:, None] % 2,
        datasets.mnist_m: images[32, 32, 3].transpose(0, 3, 1, 2) / 255,
    }
    for reader, values in expected.items():
        x, y = reader(root=tmp_path).tensors
        assert x.dtype == torch.float32 and x.is_contiguous() and numpy.array_equal(x, values.astype("float32"))
        assert y.dtype == torch.int64 and y.tolist() == labels.tolist()
    assert torch.equal(datasets.usps("test", root=tmp_path)[0][0], datasets.usps(root=tmp_path)[2][0])


def test_small_jpegs(tmp_path):
    (tmp_path / "cifar10_jpg").mkdir()
    with zipfile.ZipFile(tmp_path / "cifar10_jpg" / "cifar10_subset.zip", "w") as archive:
        for split, name, grey in [("train", "cat", 0), ("train", "airplane", 255), ("test", "truck", 255)]:
            file = io.BytesIO()
            Image.new("RGB", (32, 32), (grey,) * 3).save(file, "JPEG")
            archive.writestr(f"set/{split}/{name}/1.jpg", file.getvalue())
    x, y = datasets.cifar10_jpg(root=tmp_path).tensors
    assert y.tolist() == [0, 3] and x.mean((1, 2, 3)).tolist() == [1, 0]
    assert datasets.cifar10_jpg("test", root=tmp_path).tensors[1].tolist() == [9]


@pytest.mark.parametrize("reader", [datasets.mnist, datasets.usps, datasets.semeion, datasets.mnist_m])
@pytest.mark.parametrize("damage", ["cut", "empty", "foreign"])
def test_a_torn_file_is_named(tmp_path, reader, damage):
    write_digits(tmp_path)
    for path in (p for p in tmp_path.rglob("*") if p.is_file() and "labels" not in p.name):
        raw = path.read_bytes()
        path.write_bytes({"cut": raw[: len(raw) // 2], "empty": b"", "foreign": b"hello world" * 100}[damage])
    with pytest.raises(ValueError, match="cannot be read as .*complete"):
        reader(root=tmp_path)


@pytest.mark.parametrize("reader", [datasets.usps, datasets.cifar10_jpg])
def test_unknown_split(reader):
    with pytest.raises(ValueError, match="`split` must be"):
        reader("validation")


def test_drawings_and_their_three_labels(tmp_path):
    black = drawing((0, 0, 105, 105))
    write_drawings(
        tmp_path,
        {
            "set/Latin/character01/0683_20.png": drawing((0, 0, 35, 21)),
            "set/Greek/character02/0395_01.png": black,
            "set/Greek/character01/0394_02.png": black,
        },
    )
    images, alphabets, characters = datasets.omniglot(root=tmp_path, size=3)
    x, y = images.tensors
    assert alphabets == ["Greek", "Latin"] and len(characters) == 3
    assert y.tolist() == [[0, 0, 1], [0, 1, 0], [1, 2, 39]]
    assert x.shape == (3, 1, 3, 3) and x[:2].eq(1).all()
    assert x[2, 0, 0].tolist() == pytest.approx([0.6, 0, 0], abs=1e-6) and not x[2, 0, 1:].any()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "found no such image"),
        ({"set/Latin/character01/0683_20.png": b"PNG"}, "small1.zip` cannot be read"),
        ({"set/Latin/character01/0683_21.png": drawing((0, 0, 1, 1))}, "drawer 21, not 1 to 20"),
    ],
)
def test_other_drawings_are_named(tmp_path, files, message):
    write_drawings(tmp_path, files)
    with pytest.raises(ValueError, match=message):
        datasets.omniglot(root=tmp_path)


def test_missing_and_torn_drawings(tmp_path):
    with pytest.raises(FileNotFoundError, match="github.com"):
        datasets.omniglot(root=tmp_path)
    write_drawings(tmp_path, {"a": b"b"})
    path = tmp_path / "omniglot_small" / "images_background_small1.zip"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match="cannot be read as a zip file"):
        datasets.omniglot(root=tmp_path)


def test_bad_part():
    with pytest.raises(ValueError, match="`part` must be"):
        datasets.omniglot("large")


def write_runs(root, files):
    write_zip(root, "omniglot_small", "all_runs.zip", files)


def test_the_runs(tmp_path):
    files = runs()
    files["run03/training/class02.png"] = drawing((0, 0, 35, 35))
    files["run03/test/item05.png"] = drawing((70, 0, 105, 35))
    lines = [f"run03/test/item{n:02d}.png run03/training/class{(n + 6) % 20 + 1:02d}.png" for n in range(1, 21)]
    files["run03/class_labels.txt"] = "\r\n".join(lines).encode()
    write_runs(tmp_path, files)
    support, queries, answers = datasets.omniglot_runs(tmp_path, size=3)
    assert support.shape == queries.shape == (20, 20, 1, 3, 3) and answers.dtype == torch.int64
    assert answers[0].tolist() == list(range(20)) and answers[2].tolist() == [(n + 6) % 20 for n in range(1, 21)]
    assert support.sum() == queries.sum() == 1, "one corner with ink"
    assert support[2, 1, 0, 0, 0] == 1 and queries[2, 4, 0, 0, 2] == 1


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("run20/class_labels.txt", None, "run20/class_labels.txt"),
        ("run20/class_labels.txt", b"run20/test/item01.png run20/training/class01.png", "no 20 pairs"),
        ("run20/class_labels.txt", b"run20/test/item01.png run20/training/class21.png\n" * 20, "no 20 pairs"),
        ("run20/test/item20.png", b"PNG", "`run20/test/item20.png`"),
    ],
)
def test_other_runs_are_named(tmp_path, file, content, message):
    files = runs() | {file: content}
    write_runs(tmp_path, {name: raw for name, raw in files.items() if raw is not None})
    with pytest.raises(ValueError, match=f"all_runs.zip` cannot be read.*{message}"):
        datasets.omniglot_runs(tmp_path)


def write_faces(root, columns):
    (root / "olivetti_faces").mkdir(exist_ok=True)
    savemat(root / "olivetti_faces" / "olivettifaces.mat", {"faces": columns})


def test_the_faces(tmp_path):
    columns = numpy.zeros((4096, 400), "u1")
    columns[3 * 64 + 5, 27] = 255  # image 27, column 3, row 5
    write_faces(tmp_path, columns)
    x, y = datasets.olivetti(tmp_path).tensors
    assert x.shape == (400, 1, 64, 64) and x.sum() == 1 == x[27, 0, 5, 3]
    assert y[27] == 2 and y.bincount().tolist() == [10] * 40
    write_faces(tmp_path, columns.T)
    with pytest.raises(ValueError, match=r"olivettifaces.mat` cannot be read.*\(4096, 400\).*\(400, 4096\)"):
        datasets.olivetti(tmp_path)


@pytest.mark.data
def test_the_real_runs_and_faces():
    support, queries, answers = datasets.omniglot_runs()
    assert support.shape == queries.shape == (20, 20, 1, 28, 28)
    assert all(row.sort().values.tolist() == list(range(20)) for row in answers)
    assert (support.flatten(2) - queries.flatten(2)).norm(dim=2).min() > 1, "no query is a support image"
    faces = datasets.olivetti().tensors[0].view(40, 10, -1)
    within = (faces - faces.mean(1, keepdim=True)).square().mean()
    assert within < 0.6 * (faces - faces.mean((0, 1))).square().mean(), "a person looks like the same person"


@pytest.mark.data
@pytest.mark.parametrize(
    ("read", "rows", "shape"),
    [
        (datasets.mnist, 10_000, (1, 28, 28)),
        (datasets.usps, 7_291, (1, 16, 16)),
        (lambda: datasets.usps("test"), 2_007, (1, 16, 16)),
        (datasets.mnist_m, 5_000, (3, 32, 32)),
        (datasets.semeion, 1_593, (1, 16, 16)),
    ],
)
def test_digits_of_the_benchmarks(read, rows, shape):
    x, y = read().tensors
    assert x.shape == (rows, *shape) and x.dtype == torch.float32 and y.dtype == torch.int64
    assert 0 <= x.min() and x.max() <= 1 and x.max() > 0.99
    assert y.bincount(minlength=10).min() > 0.05 * rows and len(y.bincount()) == 10


@pytest.mark.data
def test_mnist_m_shows_the_digits_of_mnist():
    (x, y), (photo, labels) = datasets.mnist()[:5000], datasets.mnist_m().tensors
    assert torch.equal(y, labels)
    # |photo - digit|: strokes and paper of the same digit differ in brightness, those of another digit's image do not
    grey, ink = photo.mean(1)[:, 2:30, 2:30], x[:, 0] > 0.5
    assert contrast(grey, ink) > 1.5 * contrast(grey, ink.roll(1, 0))
    fair = TensorDataset(*datasets.mnist()[5000:])
    assert len(fair) == 5000 and not torch.equal(fair.tensors[1], labels)


def contrast(grey, ink):
    """Mean over images of | mean brightness on the ink - beside it |."""
    on = (grey * ink).sum((1, 2)) / ink.sum((1, 2))
    off = (grey * ~ink).sum((1, 2)) / (~ink).sum((1, 2))
    return (on - off).abs().mean()


@pytest.mark.data
@pytest.mark.parametrize(("part", "characters"), [("small1", 136), ("small2", 156)])
def test_the_characters(part, characters):
    images, alphabets, names = datasets.omniglot(part)
    x, y = images.tensors
    assert x.shape == (20 * characters, 1, 28, 28) and 0 <= x.min() and 0.9 < x.max() <= 1
    assert x.mean().item() == pytest.approx(0.08, abs=0.02), "ink is the smaller part"
    assert len(alphabets) == 5 and len(names) == characters
    assert y[:, 1].bincount().tolist() == [20] * characters
    assert y[:, 2].unique().tolist() == list(range(100)) and torch.equal(y[:, 2] // 20, y[:, 0])
    assert all(names[c].startswith(alphabets[a]) for a, c, _ in y.tolist())


@pytest.mark.data
@pytest.mark.parametrize(
    ("depth", "file", "accuracy"),
    [
        (20, "resnet20-12fca82f.th", 0.814),
        pytest.param(32, "resnet32-d509ac18.th", 0.838, marks=pytest.mark.slow),
        pytest.param(44, "resnet44-014dd654.th", 0.822, marks=pytest.mark.slow),
        pytest.param(56, "resnet56-4bfd9763.th", 0.832, marks=pytest.mark.slow),
    ],
)
def test_the_cifar_resnets_reach_their_accuracy(depth, file, accuracy):
    weights = encoders.read_weights(datasets.data_file("resnet_cifar10_weights", file))
    encoder = encoders.cifar_resnet(depth)
    match = encoders.load_weights(encoder.body, weights, strict=False)
    assert not match.missing and set(match.unexpected) == {"linear.weight", "linear.bias"}
    x, y = datasets.cifar10_jpg("test").tensors
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        features = torch.cat([encoder.eval()(part) for part in ((x - mean) / deviation).split(250)])
    logits = features @ weights["linear.weight"].T + weights["linear.bias"]
    assert len(y) == 2000 and (logits.argmax(1) == y).float().mean().item() == pytest.approx(accuracy, abs=0.002)
