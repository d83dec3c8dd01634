"""Readers of the feature sets of the classical papers, prepared as for the published tables."""

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch.utils.data import TensorDataset

from adapt.datasets._splits import standardize
from adapt.datasets.files import arrays, data_file, labelled, reading
from adapt.datasets.matlab import read_matlab


class OfficeCaltech(NamedTuple):
    """Four domains of the same ten classes of objects: 12 pairs of domains."""

    amazon: TensorDataset
    caltech: TensorDataset
    dslr: TensorDataset
    webcam: TensorDataset


class MnistUsps(NamedTuple):
    """Two domains of the same ten digits."""

    mnist: TensorDataset
    usps: TensorDataset


def office_caltech10_surf(root: str | Path | None = None, *, raw: bool = False) -> OfficeCaltech:
    r"""Read Office-Caltech10 as histograms of 800 SURF words.

    Each row is divided by the sum of the row, then each column of each domain gets mean 0 and (population) deviation 1:
    the published results of 1-NN, TCA and JDA were computed on such rows. Each domain, the target too, is scaled by the
    domain's own deviation: no label is needed.

    Args:
        root: instead of the folder named by ``ADAPT_DATA``.
        raw: the counts of the files.

    Returns:
        `amazon`, `caltech`, `dslr`, `webcam` with 958, 1,123, 157 and 295 rows: ``(n, 800)`` float32, labels 0 to 9
        (the files' 1 to 10).

    Gong et al., 2012, Geodesic flow kernel for unsupervised domain adaptation,
    https://doi.org/10.1109/CVPR.2012.6247911
    """
    domains = []
    for name in OfficeCaltech._fields:
        path = data_file("office_caltech10_surf", f"{name}_SURF_L10.mat", root=root)
        with reading(path, "a MATLAB 5 file with fts, labels"):
            counts, labels = map(torch.from_numpy, read_matlab(path, "fts", "labels"))
        domain = labelled(path, counts, labels.flatten().float() - 1, classes=10, shape=(counts.shape[-1],))
        if not raw:
            x, y = domain.tensors
            (domain,) = standardize(TensorDataset(x.double() / x.double().sum(1, keepdim=True), y))
        domains.append(domain)
    return OfficeCaltech(*domains)


def mnist_usps_jda(root: str | Path | None = None, *, raw: bool = False) -> MnistUsps:
    r"""Read the 2,000 MNIST and 1,800 USPS digits of the JDA paper: 16 x 16 grey values, rows of Euclidean length 1.

    Args:
        root: instead of the folder named by ``ADAPT_DATA``.
        raw: grey values in [0, 1], without the normalisation.

    Returns:
        `mnist` and `usps`: ``(n, 256)`` float32, labels 0 to 9.

    Long et al., 2013, Transfer feature learning with joint distribution adaptation,
    https://doi.org/10.1109/ICCV.2013.274
    """
    path = data_file("mnist_usps_jda", "mnist_usps_jda.npz", root=root)
    domains = []
    for name in MnistUsps._fields:
        x, y = arrays(path, f"x_{name}", f"y_{name}")
        domains.append(labelled(path, x if raw else F.normalize(x, dim=1), y, classes=10, shape=(x.shape[-1],)))
    return MnistUsps(*domains)
