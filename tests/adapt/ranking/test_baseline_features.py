"""Features without an encoder against slow references, for every kind of input."""

import math

import numpy
import pytest
import torch
from torch.utils.data import TensorDataset

from adapt import datasets, ranking
from adapt.ranking import baseline_features


def statistics_by_hand(x):
    """The 28 numbers of a list, one after the other."""
    n, mean = len(x), sum(x) / len(x)
    deviation = math.sqrt(sum((v - mean) ** 2 for v in x) / n)
    z = [(v - mean) / deviation for v in x]
    steps = [b - a for a, b in zip(x, x[1:], strict=False)]
    middle = sum(steps) / len(steps)
    power = [abs(sum(v * complex(math.cos(a), -math.sin(a)) for v, a in zip(
        [v - mean for v in x], [2 * math.pi * k * j / n for j in range(n)], strict=True))) ** 2
        for k in range(1, n // 2 + 1)]  # fmt: skip
    share = [p / sum(power) for p in power]
    place = [(k + 1) / len(share) for k in range(len(share))]
    time = [-1 + 2 * j / (n - 1) for j in range(n)]
    return [
        mean, deviation, min(x), max(x), *numpy.quantile(x, [0.05, 0.25, 0.5, 0.75, 0.95]),
        sum(v**3 for v in z) / n, sum(v**4 for v in z) / n - 3,
        sum(map(abs, steps)) / len(steps), max(map(abs, steps)),
        math.sqrt(sum((s - middle) ** 2 for s in steps) / len(steps)),
        *(sum(z[j] * z[j + lag] for j in range(n - lag)) / n for lag in (1, 2, 4, 8)),
        sum(a * b < 0 for a, b in zip(z, z[1:], strict=False)) / (n - 1),
        sum(z[j - 1] < z[j] > z[j + 1] for j in range(1, n - 1)) / n,
        sum(t * (v - mean) for t, v in zip(time, x, strict=True)) / sum(t * t for t in time),
        math.sqrt(sum(v * v for v in x) / n),
        *(sum(s for s, f in zip(share, place, strict=True) if low < f <= high)
          for low, high in [(0, 1 / 16), (1 / 16, 1 / 8), (1 / 8, 1 / 4), (1 / 4, 1)]),
        sum(s * f for s, f in zip(share, place, strict=True)),
        sum(-s * math.log(s) for s in share if s > 0) / math.log(len(share)),
    ]  # fmt: skip


@pytest.mark.parametrize("length", [12, 65])
def test_the_statistics_of_a_series(length):
    draw = torch.Generator().manual_seed(length)
    x = torch.randn(2, 3, length, generator=draw, dtype=torch.float64).cumsum(2).float()
    found = baseline_features(TensorDataset(x))
    assert found.shape == (2, 3 * 28)
    for row in range(2):
        # the layout: all statistics of a channel behind each other
        expected = [v for channel in x[row] for v in statistics_by_hand(channel.tolist())]
        torch.testing.assert_close(found[row], torch.tensor(expected).float(), rtol=1e-4, atol=1e-5)


def test_series_of_unequal_lengths_and_constant_series():
    rows = [torch.sin(torch.arange(1500) / 7.0), torch.ones(2000)]
    found = baseline_features(rows)
    assert found.shape == (2, 28) and found.isfinite().all()
    assert baseline_features(rows, kind="series").equal(found)
    assert baseline_features([torch.arange(4.0), torch.arange(3.0)], kind="series").isfinite().all()


def test_pixels_are_averaged_down_and_small_images_stay():
    image = torch.arange(3 * 64 * 32, dtype=torch.float32).reshape(3, 64, 32)
    found = baseline_features([image])[0].reshape(3, 16, 16)
    assert found[1, 2, 3].item() == pytest.approx(image[1, 8:12, 6:8].mean().item())
    small = torch.rand(2, 1, 8, 8)
    assert baseline_features(TensorDataset(small)).equal(small.flatten(1))


def test_images_of_pil():
    from PIL import Image

    array = numpy.arange(16 * 16 * 3, dtype=numpy.uint8).reshape(16, 16, 3)
    found = baseline_features([Image.fromarray(array), Image.fromarray(array)])
    assert found[0].reshape(3, 16, 16)[2, 5, 7] == array[5, 7, 2]
    assert baseline_features([Image.fromarray(array[:, :, 0])]).shape == (1, 256)


def test_tf_idf_by_hand_with_the_words_of_the_training_rows():
    train, test = datasets.texts(["red red fox", "red dog"], [0, 1]), datasets.texts(["fox cat red"])
    found = baseline_features(test, fitted_on=train)
    weight = {"red": 1.0, "dog": 1 + math.log(3 / 2), "fox": 1 + math.log(3 / 2)}
    raw = numpy.array([0.0, weight["fox"], weight["red"]])  # in the order of the alphabet; cat is unknown
    numpy.testing.assert_allclose(found[0].numpy(), raw / numpy.linalg.norm(raw), rtol=1e-6)
    first = numpy.array([0.0, weight["fox"], (1 + math.log(2)) * weight["red"]])
    numpy.testing.assert_allclose(baseline_features(train)[0].numpy(), first / numpy.linalg.norm(first), rtol=1e-6)


def test_columns_with_the_means_of_the_training_rows():
    nan = float("nan")
    train = TensorDataset(torch.tensor([[1.0, nan], [3.0, 5.0]]), torch.tensor([0, 1]))
    test = TensorDataset(torch.tensor([[nan, nan], [7.0, 8.0]]))
    assert baseline_features(test, fitted_on=train).tolist() == [[2.0, 5.0], [7.0, 8.0]]
    assert baseline_features([{"x": torch.ones(2), "y": 1}], label="y", input="x").tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize(
    ("rows", "options", "error", "message"),
    [
        ([], {}, ValueError, "no row"),
        ([torch.ones(2)], {"kind": "video"}, ValueError, "`kind` must be one of"),
        ([{"x": torch.ones(2)}], {}, TypeError, "name the key of the input"),
        (["a", "?"], {}, ValueError, "without any word"),
        ([torch.ones(1, 1)], {}, ValueError, "at least 2 time steps"),
        ([torch.ones(1, 2, 2, 2)], {"kind": "image"}, ValueError, "an image must be"),
    ],
)
def test_what_has_no_features_is_refused(rows, options, error, message):
    with pytest.raises(error, match=message):
        baseline_features(rows, **options)


def test_the_row_without_an_encoder_stands_in_the_table():
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % 2
    x = torch.randn(40, 5, generator=draw) + 3 * labels[:, None]
    noise = torch.randn(40, 3, generator=draw)
    table = ranking.rank({"noise": noise}, labels, baseline=TensorDataset(x, labels), halves=0, resamples=50)
    assert [row.name for row in table.rows] == ["no encoder", "noise"] and table.best == "no encoder"
    with pytest.raises(ValueError, match="already"):
        ranking.rank({"no encoder": noise}, labels, baseline=TensorDataset(x, labels))
