"""Arrays of every kind as a data set."""

import pickle
from functools import partial

import numpy
import pandas
import pytest
import scipy.sparse
import torch
from torch.utils.data import DataLoader

from adapt import Stream, Trainer, datasets, encoders, heads, supervised
from adapt.streams.memory import columns

X = numpy.arange(12.0).reshape(4, 3)
WORDS = ["dog", "cat", "dog", "bird"]


@pytest.mark.parametrize(
    "inputs",
    [
        X,
        X.astype("float16"),
        X.astype(">f8"),
        X[::-1][::-1],
        X.tolist(),
        torch.tensor(X),
        torch.tensor(X).bfloat16().requires_grad_(),
        pandas.DataFrame(X, columns=["a", "b", "c"]),
        pandas.DataFrame(X.astype(int)),
        pandas.DataFrame(X.astype(int)).convert_dtypes(),
        scipy.sparse.csr_matrix(X),
        scipy.sparse.coo_array(X),
    ],
    ids=lambda x: f"{type(x).__module__}.{type(x).__name__}",
)
def test_measured_inputs_become_float32(inputs):
    data = datasets.arrays(inputs, WORDS)
    rows, labels = zip(*(data[i] for i in range(len(data))), strict=True)
    assert torch.stack(rows).dtype == torch.float32 and torch.stack(rows).tolist() == X.tolist()
    assert torch.stack(labels).tolist() == [2, 1, 2, 0] and data.names == ["bird", "cat", "dog"]
    assert isinstance(data, torch.utils.data.TensorDataset) != scipy.sparse.issparse(inputs)


def test_dense_rows_are_read_by_whole_batches():
    assert columns(datasets.arrays(X, WORDS)) is not None and columns(datasets.arrays(X)) is not None
    assert columns(datasets.splits(datasets.arrays(X, WORDS), "rows").train) is not None


def test_integers_stay_integers():
    assert datasets.arrays(X.astype("int32")).inputs.dtype == torch.int64
    assert datasets.arrays(X.astype("uint8")).inputs.dtype == torch.uint8
    assert datasets.arrays(torch.arange(6, dtype=torch.int16).view(3, 2)).inputs.dtype == torch.int64
    assert datasets.arrays(X > 3).inputs.dtype == torch.float32
    assert datasets.arrays(torch.tensor(X > 3)).inputs.dtype == torch.float32


def test_read_only_inputs_are_copied():
    frozen = X.astype("float32")
    frozen.flags.writeable = False
    datasets.arrays(frozen).inputs.zero_()
    assert frozen[0, 1] == 1


@pytest.mark.parametrize(
    ("y", "values", "names"),
    [
        (numpy.array([2, 0, 1, 1], "uint8"), [2, 0, 1, 1], ["0", "1", "2"]),
        ([True, False, True, True], [1, 0, 1, 1], ["False", "True"]),
        (pandas.Series([1, 0, 1, 1]), [1, 0, 1, 1], ["0", "1"]),
        (pandas.Series([1, 0, 1, 1], dtype="Int64"), [1, 0, 1, 1], ["0", "1"]),
        (torch.tensor([3, 0, -1, 1], dtype=torch.int32), [3, 0, -1, 1], ["0", "1", "2", "3"]),
        (numpy.array(WORDS), [2, 1, 2, 0], ["bird", "cat", "dog"]),
        (numpy.array(WORDS, object), [2, 1, 2, 0], ["bird", "cat", "dog"]),
        (pandas.Series(WORDS), [2, 1, 2, 0], ["bird", "cat", "dog"]),
        (pandas.Categorical(WORDS, ["cat", "dog", "bird", "cow"]), [1, 0, 1, 2], ["cat", "dog", "bird", "cow"]),
        ([10**6, 0, 0, 1], [10**6, 0, 0, 1], None),
    ],
)
def test_labels_of_classes(y, values, names):
    forms = [y, pandas.Series(y), pandas.Index(y)] if isinstance(y, pandas.Categorical) else [y]
    for form in forms:
        data = datasets.arrays(pandas.DataFrame(X), form)
        assert data.labels.dtype == torch.int64 and data.labels.tolist() == values
        assert data.names == names


@pytest.mark.parametrize(
    "y", [[0.5, 1, 2, 3], numpy.array([0.5, 1, 2, 3]), torch.tensor([0.5, 1, 2, 3]), pandas.Series([0.5, 1, 2, 3])]
)
def test_numbers_stay_targets_of_a_regression(y):
    data = datasets.arrays(X, y)
    assert data.labels.dtype == torch.float32 and data.labels.tolist() == [0.5, 1, 2, 3] and data.names is None


def test_labels_of_several_tasks_have_the_names_of_their_columns():
    data = datasets.arrays(X, pandas.DataFrame({"wet": [1, 0, 0, 1], "cold": [0, 0, 1, 1]}))
    assert data.labels.tolist() == [[1, 0], [0, 0], [0, 1], [1, 1]] and data.names == ["wet", "cold"]
    data = datasets.arrays(X, numpy.zeros((4, 2)), names=["a", "b"])
    assert data.labels.dtype == torch.float32 and data.names == ["a", "b"]


@pytest.mark.parametrize(
    ("y", "values"),
    [
        (["a", None, float("nan"), "b"], [0, -1, -1, 1]),
        (pandas.Series(["a", None, None, "b"]), [0, -1, -1, 1]),
        (pandas.Series(["a", None, None, "b"], dtype="category"), [0, -1, -1, 1]),
        (pandas.Series([0, None, None, 1], dtype="Int64"), [0, -1, -1, 1]),
        (pandas.array([0, None, None, 1], dtype="Int64"), [0, -1, -1, 1]),
        (numpy.array([0.5, numpy.nan, numpy.nan, 1]), [0.5, None, None, 1]),
    ],
)
def test_missing_labels_must_be_allowed(y, values):
    with pytest.raises(ValueError, match=r"found 2 missing, the first at \[1\].*`missing=True`"):
        datasets.arrays(X, y)
    found = datasets.arrays(X, y, missing=True).labels.tolist()
    assert [None if value != value else value for value in found] == values


def test_the_names_of_the_training_set_number_the_test_set():
    train = datasets.arrays(X, WORDS)
    test = datasets.arrays(X[:2], ["dog", "dog"], names=train.names)
    assert test.labels.tolist() == [2, 2] and test.names == train.names
    with pytest.raises(ValueError, match=r"found \['cow'\]"):
        datasets.arrays(X[:2], ["dog", "cow"], names=train.names)
    assert datasets.arrays(X[:2], [0, 1], names=["no", "yes"]).names == ["no", "yes"]
    with pytest.raises(ValueError, match="must be in .0, 2. for 2 `names`, found 0 to 2"):
        datasets.arrays(X[:2], [0, 2], names=["no", "yes"])


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (X, [0, 1, 2], ValueError, r"same number of rows, got 4 and \(3,\)"),
        (X, 1, ValueError, r"same number of rows, got 4 and \(\)"),
        (X[:, 0], WORDS, ValueError, r"got \(4,\).*reshape\(-1, 1\)"),
        (X[:0], None, ValueError, "at least one row"),
        (scipy.sparse.csr_matrix((0, 3)), None, ValueError, "at least one row"),
        ([["a", "b"]], None, TypeError, "datasets.texts"),
        ([[1.0], [1.0, 2.0]], None, TypeError, "rows of one shape"),
        (pandas.DataFrame({"a": [1.0], "b": ["x"]}), None, TypeError, "datasets.table"),
        (torch.tensor(X).to_sparse(), None, TypeError, "to_dense"),
        (torch.zeros(2, 2, dtype=torch.complex64), None, TypeError, "real numbers"),
        (X, ["a", 1, "b", "c"], TypeError, "found int, str"),
        (X, [["a", "b"]] * 4, ValueError, r"must be \(n,\), got \(4, 2\)"),
        (pandas.DataFrame(X), pandas.Series(WORDS, index=[3, 2, 1, 0]), ValueError, "same pandas index"),
    ],
)
def test_other_arrays_are_refused(x, y, error, message):
    with pytest.raises(error, match=message):
        datasets.arrays(x, y)


def test_names_need_classes_or_columns():
    with pytest.raises(ValueError, match="cannot have 2 `names`"):
        datasets.arrays(X, [0.5, 1.0, 2.0, 3.0], names=["a", "b"])


def test_sparse_rows_are_made_dense_when_read():
    matrix = scipy.sparse.coo_matrix(([1.0, 2.0, 5.0], ([0, 0, 2], [1, 1, 4])), shape=(3, 5))  # one place twice
    data = datasets.arrays(matrix, ["a", "b", "a"])
    assert data[0][0].tolist() == [0, 3, 0, 0, 0] and data[-1][0].tolist() == [0, 0, 0, 0, 5]
    rows = data.__getitems__([2, 1])
    assert [x.tolist() for x, _ in rows] == [[0, 0, 0, 0, 5], [0] * 5] and [int(y) for _, y in rows] == [0, 1]
    with pytest.raises(IndexError):
        data[3]
    assert matrix.data.tolist() == [1, 2, 5] and "13.3% filled" in repr(data)
    twice = scipy.sparse.csr_matrix((numpy.array([1, 2], "float32"), [1, 1], [0, 2]), shape=(1, 3))
    assert datasets.arrays(twice)[0].tolist() == [0, 3, 0] and twice.nnz == 2
    assert datasets.arrays(matrix)[2].tolist() == [0, 0, 0, 0, 5]
    batches = list(DataLoader(pickle.loads(pickle.dumps(data)), batch_size=2))
    assert torch.cat([x for x, _ in batches]).sum() == 8


@pytest.mark.parametrize("sparse", [False, True])
def test_arrays_train_and_are_scored(sparse):
    generator = numpy.random.default_rng(0)
    y = generator.integers(0, 2, 64)
    x = generator.normal(size=(64, 4)) + 4 * y[:, None]
    data = datasets.arrays(scipy.sparse.csr_array(x) if sparse else x, numpy.array(["no", "yes"])[y])
    torch.manual_seed(0)
    encoder = encoders.wrap(torch.nn.Linear(4, 8), 8)
    head = heads.Classifier(encoder, classes=data.names)
    optimizer = partial(torch.optim.Adam, lr=0.05)
    trainer = Trainer(encoder, [supervised(head, on="rows")], {"rows": Stream(data, 16)}, optimizer=optimizer)
    trainer.fit(steps=40)
    assert trainer.evaluate(head, data).value > 0.95


def test_repr_says_what_is_there():
    assert repr(datasets.arrays(X, WORDS)) == "Rows(4 rows of 3, 3 classes: bird, cat, dog)"
    assert repr(datasets.arrays(X, [0.5, 1, 2, 3])) == "Rows(4 rows of 3, labels (4,) of float32)"
    assert repr(datasets.arrays(X)) == "Rows(4 rows of 3, no labels)"
