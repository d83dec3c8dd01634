import math

import matplotlib
import numpy
import pandas
import pytest
import torch
from scipy import stats

from adapt import fewshot, report
from adapt.fewshot import LabelEfficiency, label_efficiency

matplotlib.use("Agg")


def clouds(n=120, classes=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    return 2 * torch.eye(classes)[y] + 0.7 * torch.randn(n, classes, generator=g), y


X, Y = clouds()
TEST, TEST_Y = clouds(seed=1)


def test_the_loop_by_hand():
    """One strategy, one seed, all rows: the rows of `query`, a classifier of this room, and the accuracy."""
    found = label_efficiency(X, Y, TEST, TEST_Y, ["k_centre"], budget=3, rounds=3, seeds=1, share=1.0)
    order = fewshot._label_efficiency.permutation(120, 0, "pool of labels")
    x, y, known, expected = X[order], Y[order], [], []
    for _ in range(3):
        known += fewshot.query(x, None, known, 3, "k_centre").tolist()
        p = fewshot.logistic(penalty=0.01, centre=X.mean(0))(x[known], y[known], TEST)
        seen = y[known].unique()
        expected.append((seen[p.argmax(1)] == TEST_Y).double().mean().item())
    assert found.labels == (3, 6, 9) and found.accuracy["k_centre"].tolist() == [expected]


def test_strategies_share_pools_and_first_rows_and_repeat():
    how = {"budget": 4, "rounds": 3, "seeds": 3}
    found = label_efficiency(X, Y, TEST, TEST_Y, ["random", "margin", "badge", "typiclust"], **how)
    first = {name: values[:, 0].tolist() for name, values in found.accuracy.items()}
    assert first["random"] == first["margin"] == first["badge"] != first["typiclust"]
    assert (found.accuracy["random"] != found.accuracy["margin"]).any()
    assert len({tuple(row) for row in found.accuracy["random"]}) == 3
    again = label_efficiency(X, Y, TEST, TEST_Y, {"by chance": "random"}, **how)
    assert (again.accuracy["by chance"] == found.accuracy["random"]).all()


def test_each_round_and_seed_has_random_choices_of_its_own():
    """The same choices for every strategy: the differences are paired."""
    asked = []

    def noted(pool):
        asked.append(pool.seed)
        return fewshot.strategies.random(pool)

    label_efficiency(X, Y, TEST, TEST_Y, {"a": noted, "b": noted}, budget=2, rounds=3, seeds=2)
    assert asked[:6] == asked[6:] and len(set(asked[:6])) == 6


def test_names_of_classes_and_classes_without_a_label():
    """Two labels at most know two of four classes; a class of the test rows alone is always wrong."""
    names = numpy.array(["ä", "b", "ç", "d"])[Y]
    found = label_efficiency(X, names, TEST, numpy.array(["ä", "b", "ç", "d"])[TEST_Y], budget=2, rounds=1)
    same = label_efficiency(X, Y, TEST, TEST_Y, budget=2, rounds=1)
    assert (found.accuracy["margin"] == same.accuracy["margin"]).all() and (found.accuracy["margin"] <= 0.5).all()
    wrong = label_efficiency(X, Y, TEST, TEST_Y + 4, budget=2, rounds=1)
    assert (wrong.accuracy["random"] == 0).all()
    alone = label_efficiency(X, Y, TEST, TEST_Y, budget=1, rounds=2)
    assert (alone.accuracy["margin"][:, 0] <= 0.25).all()


def test_zero_shot_is_the_first_point_and_makes_the_first_choice():
    zero = tuple((2 * rows).softmax(1) for rows in (X, TEST))
    text = fewshot.text_probe(torch.eye(4))
    found = label_efficiency(X, Y, TEST, TEST_Y, ["random", "margin"], budget=3, rounds=2, learner=text, zero_shot=zero)
    assert found.labels == (0, 3, 6)
    assert (found.accuracy["margin"][:, 0] == (TEST.argmax(1) == TEST_Y).double().mean().item()).all()
    assert (found.accuracy["random"][:, 1] != found.accuracy["margin"][:, 1]).any()


def test_area_and_differences():
    a, b = numpy.array([[0.0, 0.5, 1.0], [0.2, 0.6, 0.6]]), numpy.array([[0.0, 0.2, 0.9], [0.1, 0.1, 0.2]])
    found = LabelEfficiency((0, 1, 4), {"a": a, "random": b})
    areas = numpy.array([(0.25 + 3 * 0.75) / 4, (0.4 + 3 * 0.6) / 4])
    area = found.area("a")
    assert area.value == pytest.approx(areas.mean()) and area.n == 2
    low, high = stats.t.interval(0.95, 1, areas.mean(), stats.sem(areas))
    assert (area.low, area.high) == pytest.approx((low, high))
    others = numpy.array([(0.1 + 3 * 0.55) / 4, (0.1 + 3 * 0.15) / 4])
    assert found.area("a", "random").value == pytest.approx((areas - others).mean())
    assert found.at(4, "a", "random").value == pytest.approx(0.25)
    assert found.table().splitlines()[2].startswith("| a | 10.0 | 55.0 | 80.0 | 58.7 | +30.0 (")
    assert math.isinf(LabelEfficiency((3,), {"a": a[:1, :1]}).area("a").high)
    with pytest.raises(ValueError, match="`labels` must be one of 0, 1, 4"):
        found.at(2, "a")
    with pytest.raises(ValueError, match="`strategy` must be one of a, random"):
        found.area("b")


def test_the_picture():
    from matplotlib import pyplot

    axes = pyplot.figure().subplots()
    report.curves(axes, label_efficiency(X, Y, TEST, TEST_Y, budget=2, rounds=3, seeds=2).lines, percent=True)
    assert list(axes.lines[0].get_xdata()) == [2, 4, 6]
    pyplot.close("all")


WRONG = {
    "`budget` times `rounds` must be at most the rows of a pool, got 70 for 60": {"budget": 7},
    "`budget` must be a whole number": {"budget": 0},
    r"`share` must be in \(0, 1\]": {"share": 0},
    r"`labels` must be \(120,\) classes": {"labels": Y[:-1]},
    "`labels` and .* whole numbers from 0 on, .* of torch.float32": {
        "labels": Y.float(),
        "test_labels": TEST_Y.float(),
    },
    "`labels` and .* found .* from -1 on: leave rows": {"labels": Y - 1},
    "`strategies` must be .* different names": {"strategies": "random"},
    "`strategies` must be .* got ..: give a list": {"strategies": []},
    "`strategies` must be .*<lambda>": {"strategies": [lambda pool: [0, 1], lambda pool: [2, 3]]},
    "`learner` must be a function": {"learner": 3},
    "`learner` must return .* got ndarray": {"learner": lambda s, y, q: numpy.zeros((len(q), 4))},
    r"`learner` must return .* rows and [12] or 4 classes, got shape \(180, 7\)": {
        "learner": lambda s, y, q: torch.zeros(len(q), 7)
    },
    "`learner` must return .* with NaN": {"learner": lambda s, y, q: torch.full((len(q), 4), torch.nan), "rounds": 1},
    "must have the same columns, got 4 and 3": {"test_features": TEST[:, :3]},
    "`features` must be .* n >= 1": {"features": X[:0]},
    "`labels` hold one class": {"labels": 0 * Y, "test_labels": 0 * Y},
    r"`zero_shot` must be two sets .* \(120, 4\)": {"zero_shot": (X[:, :3], TEST)},
    "`strategy` must be one of": {"strategies": ["margins"]},
}


def test_columns_of_pandas_and_names_of_two_kinds():
    names = pandas.Series([f"n{k}" for k in Y.tolist()])
    found = label_efficiency(X, names, TEST, numpy.array([f"n{k}" for k in TEST_Y], object), budget=2, rounds=1)
    same = label_efficiency(X, Y, TEST, TEST_Y.to(torch.uint8), budget=2, rounds=1)
    assert (found.accuracy["random"] == same.accuracy["random"]).all()
    with pytest.raises(TypeError, match="`labels` and `test_labels` must be all texts"):
        label_efficiency(X, names, TEST, TEST_Y, budget=2, rounds=1)


@pytest.mark.parametrize("message", WRONG)
def test_wrong_arguments(message):
    right = {"features": X, "labels": Y, "test_features": TEST, "test_labels": TEST_Y, "budget": 2}
    with pytest.raises(ValueError, match=message):
        label_efficiency(**right | WRONG[message])
