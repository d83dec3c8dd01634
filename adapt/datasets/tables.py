"""Readers of tables: domains that are places or people, and tables for regression of several tasks."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from adapt.datasets.files import complete, data_file, labelled, reading
from adapt.datasets.matlab import read_matlab
from adapt.datasets.published_rows import HEART_DISEASE, WISDM

# columns of the files with more than two unordered values: each value becomes a column
HEART_VALUES = {"cp": (1, 2, 3, 4), "restecg": (0, 1, 2), "slope": (1, 2, 3), "thal": (3, 6, 7)}
HEART_FILE = "age,sex,cp,trestbps,chol,fbs,restecg,thalach,exang,oldpeak,slope,ca,thal,target".split(",")
HEART_COLUMNS = tuple(
    f"{name}={value}" if value is not None else name
    for name in HEART_FILE[:-1]
    for value in HEART_VALUES.get(name, (None,))
)
WISDM_CLASSES = ("Walking", "Jogging", "Upstairs", "Downstairs", "Sitting", "Standing")
WISDM_FEATURES = 43
SARCOS_TASKS = tuple(f"torque_{joint}" for joint in range(1, 8))
SCHOOL_INPUTS, SCHOOLS = 28, 139


class HeartDisease(NamedTuple):
    """Patients of four hospitals: 12 pairs of domains."""

    cleveland: TensorDataset
    hungarian: TensorDataset
    switzerland: TensorDataset
    va: TensorDataset


class School(NamedTuple):
    """Pupils with scores, one column of labels for each school, and the number of each pupil's school."""

    pupils: TensorDataset
    school: Tensor


def heart_disease(root: str | Path | None = None) -> HeartDisease:
    """Read patients of four hospitals; the label says whether a vessel is narrowed (1 to 4 in the files) or not (0).

    Missing values are NaN: ``?``, empty fields, and the zeros of `chol` and `trestbps`. No living patient has a zero
    there, and Switzerland's zeros of `chol` would look measured. `cp`, `restecg`, `slope` and `thal` become one column
    for each value of the code book, all NaN where the value is missing. Impute and scale with the source alone:
    ``source, target = datasets.standardize(heart.cleveland, heart.va)``.

    Label shift is strong: 46, 36, 93 and 75 % have the disease.

    Returns:
        `cleveland`, `hungarian`, `switzerland`, `va` with 303, 294, 123 and 200 rows: ``(n, 22)`` float32, columns
        as in ``datasets.HEART_COLUMNS``, labels 0 or 1.

    Detrano et al., 1989, https://doi.org/10.1016/0002-9149(89)90524-9; data: https://doi.org/10.24432/C52P4X
    """
    domains = []
    for name in HeartDisease._fields:
        path = data_file("heart_disease", f"processed.{name}.data", root=root)
        with reading(path, f"comma-separated rows of {len(HEART_FILE)} columns"):
            lines = path.read_text().split()
            lines = lines[1:] if lines[0].startswith("age") else lines
            complete(lines, HEART_DISEASE)
            rows = _numbers(lines, len(HEART_FILE))
            columns = dict(zip(HEART_FILE, rows.T, strict=True))
            target = columns.pop("target")
            if not torch.isin(target, torch.arange(5.0)).all():
                raise ValueError("the last column, target, must be 0 to 4")
            for measured in ("chol", "trestbps"):
                columns[measured] = columns[measured].masked_fill(columns[measured] == 0, torch.nan)
            inputs = torch.stack([x for c, values in columns.items() for x in _one_hot(c, values)], 1)
        domains.append(labelled(path, inputs, target > 0, classes=2, shape=(len(HEART_COLUMNS),), missing=True))
    return HeartDisease(*domains)


def wisdm_transformed(root: str | Path | None = None) -> dict[int, TensorDataset]:
    """Read six activities of 36 users of a phone: 43 features of each window of 10 seconds of acceleration.

    The features are histograms of ten bins per axis, means, times between peaks, absolute and standard deviations, and
    the mean length. Times between peaks are NaN where no peak was found; scale and impute with
    ``datasets.standardize``. Column 30 (the mean of x) is 0 in the whole file and column 41 repeats column 39: both
    are kept. Not every user has every activity, and 61 windows of user 19 are repeats.

    Returns:
        By number of the user, in ascending order: ``(n, 43)`` float32, labels as in ``datasets.WISDM_CLASSES``; 5,418
        rows in all. ``datasets.adaptation_pairs(users, 10)`` gives ten pairs of users without reading a label.

    Kwapisz, Weiss, Moore, 2010, Activity recognition using cell phone accelerometers,
    https://doi.org/10.1145/1964897.1964918
    """
    path = data_file("wisdm_transformed", "WISDM_ar_v1.1_transformed.arff", root=root)
    with reading(path, f"ARFF text with {WISDM_FEATURES + 3} columns"):
        _, found, data = path.read_text().partition("@data")
        if not found:
            raise ValueError("there is no line @data")
        complete(data.split(), WISDM)
        lines, _, classes = zip(*(line.rpartition(",") for line in data.split()), strict=True)
        rows = _numbers(lines, WISDM_FEATURES + 2)
        labels = torch.tensor([WISDM_CLASSES.index(name) for name in classes])
        users = rows[:, 1].long()
        if (users != rows[:, 1]).any():
            raise ValueError("the second column, the user, must hold whole numbers")
    return {
        user: labelled(
            path, rows[users == user, 2:], labels[users == user], classes=6, shape=(WISDM_FEATURES,), missing=True
        )
        for user in users.unique().tolist()
    }


def sarcos(root: str | Path | None = None) -> TensorDataset:
    """Read the inverse dynamics of a robot arm: positions, velocities, accelerations and torques of seven joints.

    The file is the published test set of 4,449 rows. Neighbouring rows of a motion are alike: a random split measures
    interpolation.

    Returns:
        ``(n, 21)`` and ``(n, 7)`` float32 in the units of the file; scale the inputs with the training rows alone.

    Vijayakumar and Schaal, 2000; Rasmussen and Williams, 2006, http://gaussianprocess.org/gpml/data/
    """
    path = data_file("sarcos_test", "sarcos_inv_test.mat", root=root)
    with reading(path, "a MATLAB file with `sarcos_inv_test` (n, 28)"):
        rows = torch.from_numpy(read_matlab(path, "sarcos_inv_test")[0]).float()
        if rows.ndim != 2 or rows.shape[1] != 28 or len(rows) == 0 or not rows.isfinite().all():
            raise ValueError(f"found an array of shape {tuple(rows.shape)}")
    return TensorDataset(rows[:, :21].contiguous(), rows[:, 21:].contiguous())


def school(root: str | Path | None = None) -> School:
    """Read examination scores of 15,362 pupils of 139 secondary schools in inner London, as 139 regressions.

    A school has 22 to 251 pupils. The inputs are the year, shares of the school and indicators of gender, ethnic group,
    verbal reasoning band and kind of school; the last input is the constant 1.

    Returns:
        `pupils`: ``(n, 28)`` inputs and ``(n, 139)`` labels, float32, with the score in the column of the pupil's
        school and NaN elsewhere; and `school` ``(n,)``.

    Bakker and Heskes, Task Clustering and Gating for Bayesian Multitask Learning, 2003,
    https://www.jmlr.org/papers/v4/bakker03a.html
    """
    path = data_file("school", "school.mat", root=root)
    with reading(path, f"a MATLAB file with cells `X` and `Y` of {SCHOOLS} schools"):
        cells = read_matlab(path, "X", "Y")
        if not all(isinstance(cell, list) for cell in cells):
            raise ValueError("`X` or `Y` is no cell")
        X, Y = ([torch.from_numpy(a.astype("float32")) for a in cell] for cell in cells)
        sizes = [len(x) for x in X]
        wrong = any(x.shape != (n, SCHOOL_INPUTS) or y.shape != (n, 1) for x, y, n in zip(X, Y, sizes, strict=True))
        if len(X) != SCHOOLS or wrong:
            raise ValueError(f"found {len(X)} schools with inputs of shape {tuple(X[0].shape) if X else ()}")
        if not all(part.isfinite().all() for part in (*X, *Y)):
            raise ValueError("found a value that is not finite")
        number = torch.repeat_interleave(torch.arange(SCHOOLS), torch.tensor(sizes))
        labels = torch.full((len(number), SCHOOLS), torch.nan)
        labels[torch.arange(len(number)), number] = torch.cat(Y).squeeze(1)
    return School(TensorDataset(torch.cat(X), labels), number)


def _numbers(lines: list[str] | tuple[str, ...], columns: int) -> Tensor:
    """Return comma-separated numbers as ``(n, columns)`` float64, NaN for ``?`` and for an empty field."""
    rows = [line.split(",") for line in lines]
    for number, row in enumerate(rows, 1):
        if len(row) != columns:
            raise ValueError(f"row {number} has {len(row)} columns, expected {columns}")
    return torch.tensor(
        [[float(field) if field not in ("?", "") else torch.nan for field in row] for row in rows], dtype=torch.float64
    )


def _one_hot(name: str, values: Tensor) -> list[Tensor]:
    """Return the column itself, or one column of 0 and 1 for each value of the code book; NaN stays NaN."""
    if name not in HEART_VALUES:
        return [values]
    known = torch.tensor(HEART_VALUES[name], dtype=values.dtype)
    if not (values.isnan() | torch.isin(values, known)).all():
        raise ValueError(f"column {name} must be one of {HEART_VALUES[name]} or missing")
    return [(values == value).to(values).masked_fill(values.isnan(), torch.nan) for value in HEART_VALUES[name]]
