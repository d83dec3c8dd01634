"""Small files in the formats of the published sets."""

import gzip
import io
import zipfile

import numpy
from PIL import Image


def write_idx(path, array):
    path.parent.mkdir(exist_ok=True)
    sizes = numpy.array(array.shape, ">i4").tobytes()
    path.write_bytes(gzip.compress(b"\0\0\x08" + bytes([array.ndim]) + sizes + array.tobytes()))


def write_npz(path, **arrays):
    path.parent.mkdir(exist_ok=True)
    numpy.savez(path, **arrays)


def write_digits(root):
    """Three digits of each look; pixel values that tell rows, columns and channels apart."""
    labels, generator = numpy.array([0, 9, 5], numpy.uint8), numpy.random.default_rng(0)
    images = {size: generator.integers(0, 256, (3, *size), numpy.uint8) for size in [(28, 28), (16, 16), (32, 32, 3)]}
    write_idx(root / "mnist_t10k" / "t10k-images-idx3-ubyte.gz", images[28, 28])
    write_idx(root / "mnist_t10k" / "t10k-labels-idx1-ubyte.gz", labels)
    small = images[16, 16]
    write_npz(root / "usps" / "usps.npz", x_train=small, y_train=labels, x_test=small[::-1], y_test=labels)
    write_npz(root / "semeion" / "semeion.npz", x=small % 2, y=labels)
    write_npz(root / "mnist_m" / "mnist_m_test5000.npz", x=images[32, 32, 3], y=labels)
    return images, labels


def write_zip(root, folder, name, files):
    """A zip file `name` in `folder` with the files given by name."""
    (root / folder).mkdir(exist_ok=True)
    with zipfile.ZipFile(root / folder / name, "w") as archive:
        for inside, raw in files.items():
            archive.writestr(inside, raw)


def runs():
    """Files of the one-shot runs of Omniglot: white images, query n is of class n."""
    file = io.BytesIO()
    Image.new("1", (105, 105), 1).save(file, "PNG")
    files = {}
    for run in (f"run{number:02d}" for number in range(1, 21)):
        pairs = [(f"{run}/test/item{n:02d}.png", f"{run}/training/class{n:02d}.png") for n in range(1, 21)]
        files[f"{run}/class_labels.txt"] = "\n".join(map(" ".join, pairs)).encode()
        files |= {name: file.getvalue() for pair in pairs for name in pair}
    return files
