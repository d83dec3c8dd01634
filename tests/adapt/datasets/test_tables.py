"""Readers of tables: hospitals, phone users, and tables of several tasks."""

import numpy
import pytest
import torch
from scipy.io import savemat

from adapt import datasets
from adapt.datasets.tables import HEART_FILE, WISDM_FEATURES

HEADER = ",".join(HEART_FILE) + "\n"
FULL, SPARSE = "63,1,4,145,233,1,2,150,0,2.3,3,0,6,0\n", "40,0,1,0,0,?,,120,1,-.5,?,,?,1\n"
nan = float("nan")


def write_heart(root, content=HEADER + FULL + SPARSE, **others):
    (root / "heart_disease").mkdir(exist_ok=True)
    for name in datasets.HeartDisease._fields:
        (root / "heart_disease" / f"processed.{name}.data").write_text(others.get(name, content))


@pytest.mark.parametrize("header", [HEADER, ""], ids=["header", "no header"])
def test_heart_values(tmp_path, header):
    write_heart(tmp_path, header + FULL + SPARSE)
    for domain in datasets.heart_disease(tmp_path):
        x, y = domain.tensors
        assert y.tolist() == [0, 1] and y.dtype == torch.int64 and x.shape == (2, 22) and x.dtype == torch.float32
        full, sparse = (dict(zip(datasets.HEART_COLUMNS, row.tolist(), strict=True)) for row in x)
        one_hot = {"cp=1": 0, "cp=4": 1, "restecg=0": 0, "restecg=2": 1, "slope=3": 1, "thal=3": 0, "thal=6": 1}
        wanted = {"age": 63, "chol": 233, "fbs": 1, "oldpeak": 2.3, "ca": 0} | one_hot
        assert {name: full[name] for name in wanted} == pytest.approx(wanted)
        assert not torch.isnan(x[0]).any()
        missing = {name for name, value in sparse.items() if value != value}
        # zeros of these two are missing; a missing category is missing in each of its columns
        assert missing == {"chol", "trestbps", "fbs", "ca"} | {
            name for name in sparse if name.split("=")[0] in ("restecg", "slope", "thal")
        }
        assert sparse["oldpeak"] == -0.5 and sparse["cp=1"] == 1 and sparse["sex"] == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER + FULL + "63,1,4,145", "row 2 has 4 columns, expected 14"),
        (HEADER, "row|rows|argument"),
        ("", "comma-separated rows"),
        (HEADER + FULL.replace("63", "old"), "old"),
        (HEADER + FULL.replace(",0\n", ",7\n"), "target, must be 0 to 4"),
        (HEADER + FULL.replace(",0\n", ",?\n"), "target, must be 0 to 4"),
        (HEADER + FULL.replace(",6,0\n", ",5,0\n"), "column thal must be one of"),
    ],
)
def test_torn_heart_files_are_named(tmp_path, content, message):
    write_heart(tmp_path, hungarian=content)
    with pytest.raises(ValueError, match=f"processed.hungarian.data` cannot be read.*({message})"):
        datasets.heart_disease(tmp_path)


@pytest.mark.data
def test_the_four_hospitals():
    hospitals = datasets.heart_disease()
    assert [len(d) for d in hospitals] == [303, 294, 123, 200]
    assert [int(d.tensors[1].sum()) for d in hospitals] == [139, 106, 115, 149]
    missing = [dict(zip(datasets.HEART_COLUMNS, d.tensors[0].isnan().sum(0).tolist(), strict=True)) for d in hospitals]
    assert [m["chol"] for m in missing] == [0, 23, 123, 56] and [m["ca"] for m in missing] == [4, 291, 118, 198]
    for name, source in hospitals._asdict().items():
        for target in hospitals:
            a, b = datasets.standardize(source, target)
            assert a.tensors[0].isfinite().all() and b.tensors[0].isfinite().all()
            if name == "switzerland":  # never measured there, so known nowhere
                assert not b.tensors[0][:, datasets.HEART_COLUMNS.index("chol")].any()


def window(number, user, label, value="1.5"):
    return ",".join([str(number), str(user), *[value] * (WISDM_FEATURES - 1), "?", label])


def write_wisdm(root, *rows, head="@relation x\r\n@attribute a numeric\r\n\r\n@data\r\n"):
    (root / "wisdm_transformed").mkdir(exist_ok=True)
    path = root / "wisdm_transformed" / "WISDM_ar_v1.1_transformed.arff"
    path.write_bytes((head + "\r\n".join(rows) + "\r\n").encode())


def test_windows_by_user(tmp_path):
    write_wisdm(tmp_path, window(1, 33, "Jogging"), window(2, 4, "Standing", "-2"), window(3, 33, "Walking"))
    users = datasets.wisdm_transformed(tmp_path)
    assert list(users) == [4, 33] and [len(d) for d in users.values()] == [1, 2]
    assert users[33].tensors[1].tolist() == [1, 0] and users[4].tensors[1].tolist() == [5]
    x = users[4].tensors[0]
    assert x.shape == (1, 43) and (x[:, :-1] == -2).all() and x[0, -1].isnan()


@pytest.mark.parametrize(
    ("rows", "head", "message"),
    [
        ([window(1, 3, "Sleeping")], "@data\n", "tuple.index|Sleeping"),
        ([window(1, 3, "Jogging"), window(2, 3, "Jogging")[:50] + ",Jogging"], "@data\n", "row 2 has"),
        ([window(1, 3, "Jogging")], "", "no line @data"),
        ([window(1, 3, "Jogging", "x")], "@data\n", "x"),
        ([], "@data\n", "ARFF text"),
    ],
)
def test_torn_windows_are_named(tmp_path, rows, head, message):
    write_wisdm(tmp_path, *rows, head=head)
    with pytest.raises(ValueError, match=f"transformed.arff` cannot be read.*({message})"):
        datasets.wisdm_transformed(tmp_path)


@pytest.mark.data
def test_the_users():
    users = datasets.wisdm_transformed()
    assert list(users) == list(range(1, 37)) and sum(map(len, users.values())) == 5418
    labels = torch.cat([d.tensors[1] for d in users.values()])
    assert labels.bincount().tolist() == [2081, 1625, 632, 528, 306, 246]
    x = torch.cat([d.tensors[0] for d in users.values()])
    assert not x[:, 30].any() and torch.equal(x[:, 39], x[:, 41])
    assert x.isnan().sum(0).nonzero().flatten().tolist() == [33, 34, 35]
    assert datasets.adaptation_pairs(users, 10)[:3] == [(20, 19), (19, 31), (31, 14)]
    # 61 windows of this user are there twice: none is in two parts
    parts = [
        {tuple(row) for row in part.tensors[0].nan_to_num(-1).tolist()} for part in datasets.splits(users[19], "19")
    ]
    assert sum(map(len, parts)) == 168 and not parts[0] & parts[1] and not (parts[0] | parts[1]) & parts[2]


def write_matlab(root, folder, name, **arrays):
    (root / folder).mkdir()
    savemat(root / folder / name, arrays)


def test_sarcos_columns(tmp_path):
    rows = numpy.arange(56.0).reshape(2, 28)
    write_matlab(tmp_path, "sarcos_test", "sarcos_inv_test.mat", sarcos_inv_test=rows)
    x, y = datasets.sarcos(tmp_path).tensors
    assert x[1].tolist() == list(range(28, 49)) and y[0].tolist() == list(range(21, 28)) and x.dtype == torch.float32


def cells(arrays):
    made = numpy.empty((1, len(arrays)), dtype=object)
    made[0, :] = arrays
    return made


def test_school_labels(tmp_path):
    sizes = [1 + i % 3 for i in range(139)]
    X = [numpy.full((n, 28), i, dtype="uint8") for i, n in enumerate(sizes)]
    Y = [numpy.arange(n, dtype="uint8")[:, None] for n in sizes]
    write_matlab(tmp_path, "school", "school.mat", X=cells(X), Y=cells(Y))
    (x, y), number = datasets.school(tmp_path).pupils.tensors, datasets.school(tmp_path).school
    assert x.shape == (sum(sizes), 28) and y.shape == (sum(sizes), 139)
    assert (~y.isnan()).sum(1).eq(1).all()
    assert torch.equal(x[:, 0].long(), number)
    assert y[number == 2, 2].tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("reader", ["sarcos", "school"])
def test_missing_and_torn_matlab_files(tmp_path, reader):
    folder, name = {"sarcos": ("sarcos_test", "sarcos_inv_test.mat"), "school": ("school", "school.mat")}[reader]
    with pytest.raises(FileNotFoundError, match="github.com"):
        getattr(datasets, reader)(tmp_path)
    write_matlab(tmp_path, folder, name, other=numpy.ones(3))
    with pytest.raises(ValueError, match="cannot be read as a MATLAB file"):
        getattr(datasets, reader)(tmp_path)


@pytest.mark.data
def test_the_tables_of_tasks():
    x, y = datasets.sarcos().tensors
    assert x.shape == (4449, 21) and y.shape == (4449, 7)
    pupils, number = datasets.school()
    y = pupils.tensors[1]
    assert y.shape == (15362, 139) and number.bincount().min() == 22 and number.bincount().max() == 251
    assert y[~y.isnan()].double().mean().item() == pytest.approx(20.597, abs=1e-3)
