"""A table with numbers and names as a data set."""

import math

import numpy
import pandas
import pytest
import torch

from adapt import Stream, Trainer, datasets, encoders, heads, supervised

CSV = """\ufeffid,age,town,income,ill
1,30,Ulm,10.5,no
2,50,Bonn,,yes
3,,,20.5,no
4,40,Ulm,NA,yes
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "train.csv").write_text(CSV, encoding="utf-8")
    return tmp_path / "train.csv"


def frame():
    return pandas.DataFrame(
        {
            "id": [1, 2, 3, 4],
            "age": [30, 50, None, 40],
            "town": ["Ulm", "Bonn", None, "Ulm"],
            "income": [10.5, None, 20.5, None],
            "ill": ["no", "yes", "no", "yes"],
        }
    )


def test_numbers_are_scaled_and_names_become_columns(path):
    s = math.sqrt(200 / 3)
    expected = [[-10 / s, -1, 0, 1], [10 / s, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    for data in (path, str(path), frame(), frame().convert_dtypes(), frame().to_dict("list")):
        train = datasets.table(data, "ill", drop=["id"])
        assert train.columns == ["age", "income", "town=Bonn", "town=Ulm"] and train.names == ["no", "yes"]
        torch.testing.assert_close(train.inputs, torch.tensor(expected), rtol=0, atol=1e-6)
        assert train.labels.tolist() == [0, 1, 0, 1] and train.inputs.dtype == torch.float32


def test_another_separator_and_json_lines(tmp_path):
    (tmp_path / "a.tsv").write_text("x\ty\n1\tb\n3\ta\n")
    (tmp_path / "b.csv").write_text("x;y\n1;b\n3;a\n")
    (tmp_path / "c.jsonl").write_text('{"x": 1, "y": "b"}\n{"y": "a", "x": 3}\n\n')
    for name, separator in {"a.tsv": None, "b.csv": ";", "c.jsonl": None}.items():
        data = datasets.table(tmp_path / name, "y", separator=separator)
        assert data.inputs.tolist() == [[-1], [1]] and data.labels.tolist() == [1, 0]


def test_nothing_is_learned_from_the_test_table(path):
    train = datasets.table(path, "ill", drop=["id"])
    rows = {"town": ["Ulm"], "extra": [1], "age": [1000.0], "income": [15.5], "ill": ["yes"]}
    test = datasets.table(rows, "ill", statistics=train)
    assert test.columns == train.columns and test.names == train.names and test.labels.tolist() == [1]
    torch.testing.assert_close(test.inputs, torch.tensor([[960 / math.sqrt(200 / 3), 0, 0, 1]]))
    assert datasets.table(rows, statistics=train).labels is None
    assert datasets.table(rows, statistics=test).inputs.tolist() == test.inputs.tolist()


def test_a_value_without_a_training_row_is_zero_with_a_warning(path):
    train = datasets.table(path, "ill", drop=["id"])
    with pytest.warns(UserWarning, match=r"`town` has values .*\['Rome'\]"):
        test = datasets.table({"age": [40], "town": ["Rome"], "income": [15.5]}, statistics=train)
    assert test.inputs.tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("column", "options", "values", "names"),
    [
        (["1", "0", "1"], {}, [1, 0, 1], ["0", "1"]),
        (["1", "", "0"], {"missing": True}, [1, -1, 0], ["0", "1"]),
        (["1.5", "2", "3"], {}, [1.5, 2, 3], None),
        (["10", "20", "30"], {"regression": True}, [10, 20, 30], None),
        (["10", "", "30"], {"regression": True, "missing": True}, [10, None, 30], None),
        ([1.0, 2.0, 3.0], {}, [1, 2, 3], None),
        (["1_0", "2", "2"], {}, [0, 1, 1], ["1_0", "2"]),
        ([True, False, True], {}, [1, 0, 1], ["False", "True"]),
        ([True, None, False], {"missing": True}, [1, -1, 0], ["False", "True"]),
        (["b", "NA", "a"], {"missing": True}, [1, -1, 0], ["a", "b"]),
        (pandas.Series(["lo", "hi", "lo"]).astype(pandas.CategoricalDtype(["lo", "hi"])), {}, [0, 1, 0], ["lo", "hi"]),
    ],
)
def test_labels(column, options, values, names):
    data = datasets.table({"x": [1, 2, 3], "y": column}, "y", **options)
    assert [None if v != v else v for v in data.labels.tolist()] == values and data.names == names
    again = datasets.table({"x": [1, 2, 3], "y": column}, "y", statistics=data, missing=options.get("missing", False))
    assert again.labels.dtype == data.labels.dtype and again.names == names
    torch.testing.assert_close(again.labels, data.labels, equal_nan=True)


def test_labels_of_the_test_table_are_read_as_in_training():
    train = datasets.table({"x": [1, 2, 3], "y": ["1", "2", "many"]}, "y")
    assert datasets.table({"x": [1, 2], "y": ["2", "1"]}, "y", statistics=train).labels.tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"found \['3'\]"):
        datasets.table({"x": [1], "y": ["3"]}, "y", statistics=train)
    train = datasets.table({"x": [1, 2], "y": ["1.5", "2"]}, "y")
    assert datasets.table({"x": [1, 2], "y": ["2", "1"]}, "y", statistics=train).labels.tolist() == [2.0, 1.0]


def test_numbers_that_are_names_and_columns_that_say_nothing():
    rows = {"code": [7, 9, 7], "same": [0.1, 0.1, 0.1], "gone": ["", "NA", ""], "flag": [True, None, False]}
    data = datasets.table(rows, categories=["code"])
    assert data.columns == ["same", "flag", "code=7", "code=9"]
    assert data.inputs[:, [0, 2, 3]].tolist() == [[0, 1, 0], [0, 0, 1], [0, 1, 0]]
    test = datasets.table({"code": ["9"], "same": [5.0], "gone": [""], "flag": [True]}, statistics=data)
    assert test.inputs[0, [0, 2, 3]].tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("data", "options", "error", "message"),
    [
        ([1, 2], {}, TypeError, "must be a path, a DataFrame or a dict"),
        ("nowhere.csv", {}, FileNotFoundError, "expected the file `nowhere.csv`"),
        ({"x": [1, 2]}, {"label": "y"}, ValueError, r"one of the columns \['x'\], got 'y'.*separator"),
        ({"x": [1, 2], "y": [1]}, {}, ValueError, r"one length .* got lengths \[1, 2\]"),
        ({"x": []}, {}, ValueError, r"at least 1, got lengths \[0\]"),
        ({"y": [1, 2]}, {"label": "y"}, ValueError, "a column of inputs beside the label"),
        ({"x": [1, 2], "y": ["a", ""]}, {"label": "y"}, ValueError, "found 1 missing"),
        ({"x": [1, 2], "y": ["a", "b"]}, {"label": "y", "regression": True}, ValueError, "numbers for a regression"),
        ({"x": [1, float("inf")]}, {}, ValueError, "`x` holds infinite"),
        ({"x": ["a", "b", "c"]}, {"most": 2}, ValueError, r'at most 2 different values, found 3.*drop=\["x"\]'),
        ({"x": [1]}, {"drop": ["z"]}, ValueError, "every name in `drop`"),
        ({"x": [1]}, {"statistics": 3}, TypeError, "result of `datasets.table`"),
        ({"x": [1]}, {"statistics": datasets.arrays([[1.0]])}, TypeError, "result of `datasets.table`"),
        (pandas.DataFrame({"x": pandas.to_datetime(["2020-01-01"])}), {}, TypeError, "`x` must hold numbers or texts"),
    ],
)
def test_other_tables_are_refused(data, options, error, message):
    with pytest.raises(error, match=message):
        datasets.table(data, **options)


def test_the_columns_of_training_are_needed(path):
    train = datasets.table(path, "ill", drop=["id"])
    with pytest.raises(ValueError, match="every column of `statistics` must be one of the columns .*'age'"):
        datasets.table({"town": ["Ulm"]}, statistics=train)
    with pytest.raises(ValueError, match="`age` must hold numbers, as in the training table"):
        datasets.table({"town": ["Ulm"], "age": ["old"], "income": [1]}, statistics=train)
    with pytest.raises(ValueError, match="come from `statistics`"):
        datasets.table(path, statistics=train, drop=["id"])


@pytest.mark.parametrize(
    ("text", "message"),
    [("a,b\n1,2\n3\n", "row 2 has 1 fields"), ("a,b\n", "0 rows"), ("", "0 rows"), ("a,a\n1,2\n", "different names")],
)
def test_torn_files_are_named(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=f"a.csv` cannot be read as a table.*{message}"):
        datasets.table(tmp_path / "a.csv")


def test_torn_json_lines_are_named(tmp_path):
    for text in ('{"a": 1}\n{"b": 2}\n', '{"a": 1}\n[1]\n', '{"a": 1'):
        (tmp_path / "a.jsonl").write_text(text)
        with pytest.raises(ValueError, match="a.jsonl` cannot be read as lines of json"):
            datasets.table(tmp_path / "a.jsonl")


def test_a_table_trains(tmp_path):
    generator = numpy.random.default_rng(0)
    age, town = generator.integers(20, 80, 100), generator.choice(["Ulm", "Bonn"], 100)
    sick = (age > 50) ^ (town == "Ulm")
    rows = pandas.DataFrame({"age": age, "town": town, "state": numpy.where(sick, "ill", "well")})
    train = datasets.table(rows[:70], "state")
    test = datasets.table(rows[70:], "state", statistics=train)
    torch.manual_seed(0)
    encoder = encoders.wrap(torch.nn.Sequential(torch.nn.Linear(len(train.columns), 32), torch.nn.ReLU()), 32)
    head = heads.Classifier(encoder, classes=train.names)
    trainer = Trainer(
        encoder, [supervised(head, on="people")], {"people": Stream(train, 35)},
        optimizer=lambda groups: torch.optim.Adam(groups, lr=0.02),
    )  # fmt: skip
    trainer.fit(steps=80)
    assert trainer.evaluate(head, test).value > 0.8
