"""Windows of a series as a data set."""

import numpy
import pandas
import pytest
import torch

from adapt import Stream, Trainer, datasets, encoders, heads, supervised

SERIES = numpy.arange(20.0).reshape(10, 2)


def firsts(data):
    return (data.inputs[:, 0, 0] / 2).tolist()


def test_windows_are_channels_by_time():
    data = datasets.windows(SERIES, 4)
    assert data.inputs.shape == (2, 2, 4) and data.inputs.dtype == torch.float32 and data.labels is None
    assert data.inputs[1].tolist() == [[8, 10, 12, 14], [9, 11, 13, 15]]
    assert firsts(datasets.windows(SERIES, 4, stride=1)) == list(range(7))
    assert firsts(datasets.windows(SERIES, 4, stride=3)) == [0, 3, 6]
    assert datasets.windows(torch.arange(5), 5).inputs.tolist() == [[[0, 1, 2, 3, 4]]]
    frame = pandas.DataFrame(SERIES, columns=["x", "y"])
    assert datasets.windows(frame, 10).columns == ["x", "y"]


def test_no_window_holds_two_groups():
    groups = ["ada"] * 3 + ["bob"] * 5 + ["ada"] * 2
    data = datasets.windows(SERIES, 2, stride=1, groups=groups)
    assert firsts(data) == [0, 1, 3, 4, 5, 6, 8]
    assert data.groups.tolist() == [0, 0, 1, 1, 1, 1, 0] and data.group_names == ["ada", "bob"]
    with pytest.warns(UserWarning, match="2 of 3 series are shorter than 4 time steps"):
        assert firsts(datasets.windows(SERIES, 4, groups=pandas.Series(groups))) == [3]


def test_the_label_of_a_window():
    labels = ["sit", "run", "run", "walk"] + ["walk", "sit", "sit", "run"] + ["sit"] * 2
    data = datasets.windows(SERIES, 4, labels=labels)
    assert data.names == ["run", "sit", "walk"] and data.labels.tolist() == [2, 0]
    assert datasets.windows(SERIES, 4, labels=labels, take="majority").labels.tolist() == [0, 1]
    assert datasets.windows(SERIES, 5, labels=numpy.linspace(0, 0.9, 10)).labels.tolist() == pytest.approx([0.4, 0.9])
    gaps = [None, None, "a", None, None, None, "a", None, "b", "b"]
    data = datasets.windows(SERIES, 2, labels=gaps, take="majority", missing=True)
    assert data.labels.tolist() == [-1, 0, -1, 0, 1]


@pytest.mark.parametrize(
    ("series", "length", "options", "message"),
    [
        (SERIES, 0, {}, "`length` must be a whole number of at least 1"),
        (SERIES, 2, {"stride": 0}, "`stride` must be"),
        (SERIES, 11, {}, "longer than every series of 10"),
        (SERIES[None], 2, {}, r"must be \(t,\) or \(t, d\), got \(1, 10, 2\)"),
        (SERIES, 2, {"labels": [1, 2]}, r"`labels` must be one per time step, expected 10, got \(2,\)"),
        (SERIES, 2, {"groups": [1, 2]}, r"`groups` must be one per time step"),
        (SERIES, 2, {"groups": [0.5] * 10}, r"`groups` must be \(t,\) texts or integers"),
        (SERIES, 2, {"labels": [0.5] * 10, "take": "majority"}, "needs one class per time step"),
        (SERIES, 2, {"take": "first"}, '"last" or "majority"'),
        (SERIES, 2, {"labels": [None, *"abcdefghi"]}, "`labels` must have a label in every row"),
    ],
)
def test_other_series_are_refused(series, length, options, message):
    with pytest.raises(ValueError, match=message):
        datasets.windows(series, length, **options)


def test_windows_train_and_are_split_by_group():
    time = torch.arange(400.0)
    person = numpy.repeat(["ada", "bob", "cem", "dea"], 100)
    fast = (time // 50) % 2 == 1
    series = torch.sin(time * torch.where(fast, 2.0, 0.3))
    labels = numpy.where(fast, "run", "walk")
    data = datasets.windows(series, 10, labels=labels, groups=person)
    known = data.groups != data.group_names.index("dea")
    train, test = (torch.utils.data.Subset(data, part.nonzero()[:, 0].tolist()) for part in (known, ~known))
    torch.manual_seed(0)
    body = torch.nn.Sequential(torch.nn.Conv1d(1, 16, 3), torch.nn.ReLU(), torch.nn.AdaptiveMaxPool1d(1))
    encoder = encoders.wrap(torch.nn.Sequential(body, torch.nn.Flatten()), 16)
    head = heads.Classifier(encoder, classes=data.names)
    trainer = Trainer(
        encoder, [supervised(head, on="walks")], {"walks": Stream(train, 15)},
        optimizer=lambda groups: torch.optim.Adam(groups, lr=0.02),
    )  # fmt: skip
    trainer.fit(steps=60)
    assert len(test) == 10 and trainer.evaluate(head, test).value == 1
