"""Readers of tables with several tasks."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from adapt.streams.readers import data_file, whole

SARCOS_TASKS = tuple(f"torque_{joint}" for joint in range(1, 8))
SCHOOL_INPUTS, SCHOOLS = 28, 139


class School(NamedTuple):
    """Pupils with their scores, a column of the labels a school, and the number of their school."""

    pupils: TensorDataset
    school: Tensor


def sarcos(root: str | Path | None = None) -> TensorDataset:
    """Inverse dynamics of a robot arm: positions, velocities and accelerations of seven joints, and their seven torques.

    The file is the published test set of 4,449 rows. Rows that follow each other in a motion are alike, so a random split measures
    interpolation.

    Returns:
        ``(n, 21)`` and ``(n, 7)`` float32 in the units of the file; scale the inputs with the training rows alone.

    Vijayakumar and Schaal, 2000; Rasmussen and Williams, 2006, http://gaussianprocess.org/gpml/data/
    """
    path = data_file("sarcos_test", "sarcos_inv_test.mat", root=root)
    with whole(path, "a MATLAB file with `sarcos_inv_test` (n, 28)"):
        from scipy.io import loadmat

        rows = torch.from_numpy(loadmat(path)["sarcos_inv_test"]).float()
        if rows.ndim != 2 or rows.shape[1] != 28 or len(rows) == 0 or not rows.isfinite().all():
            raise ValueError(f"found an array of shape {tuple(rows.shape)}")
    return TensorDataset(rows[:, :21].contiguous(), rows[:, 21:].contiguous())


def school(root: str | Path | None = None) -> School:
    """Examination scores of 15,362 pupils of 139 secondary schools in inner London, 22 to 251 a school: 139 regressions.

    The inputs are the year, shares of the school and indicators of gender, ethnic group, verbal reasoning band and kind of school; the last is the
    constant 1.

    Returns:
        `pupils`: ``(n, 28)`` inputs and ``(n, 139)`` labels, the score in the column of the pupil's school and NaN elsewhere,
        float32; and `school` ``(n,)``.

    Bakker and Heskes, Task Clustering and Gating for Bayesian Multitask Learning, 2003,
    https://www.jmlr.org/papers/v4/bakker03a.html
    """
    path = data_file("school", "school.mat", root=root)
    with whole(path, f"a MATLAB file with cells `X` and `Y` of {SCHOOLS} schools"):
        from scipy.io import loadmat

        file = loadmat(path)
        X, Y = ([torch.from_numpy(a.astype("float32")) for a in file[name].ravel()] for name in ("X", "Y"))
        sizes = [len(x) for x in X]
        wrong = any(x.shape != (n, SCHOOL_INPUTS) or y.shape != (n, 1) for x, y, n in zip(X, Y, sizes, strict=True))
        if len(X) != SCHOOLS or wrong:
            raise ValueError(f"found {len(X)} schools with inputs of shape {tuple(X[0].shape)}")
        number = torch.repeat_interleave(torch.arange(SCHOOLS), torch.tensor(sizes))
        labels = torch.full((len(number), SCHOOLS), torch.nan)
        labels[torch.arange(len(number)), number] = torch.cat(Y).squeeze(1)
    return School(TensorDataset(torch.cat(X), labels), number)
