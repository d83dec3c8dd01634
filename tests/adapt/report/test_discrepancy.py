"""Distances of domains against slow references; intervals and p-values under equality; the kind of shift."""

import numpy
import pytest
import torch
from sklearn.linear_model import RidgeCV
from torch import nn
from torch.utils.data import TensorDataset

import losses
from adapt import domain, encoders, report
from adapt.ranking import layers as ranking_layers
from adapt.report import _a_distance, _discrepancy, _label_shift
from adapt.transductive.two_samples import mmd_test
from tests.calibration_of_discrepancy import clouds, p_of_equal_clouds, shares_of_classes

QUICK = {"permutations": 99}


@pytest.mark.parametrize("shape", [(40, 7), (30, 90)])
def test_the_classifier_is_ridge_regression_with_the_best_penalty(shape):
    draw = numpy.random.default_rng(0)
    x, new = draw.standard_normal(shape) * 3 + 1, draw.standard_normal((5, shape[1]))
    y = numpy.tile([-1.0, 1.0], shape[0] // 2)
    scale = x.std(0) * shape[1] ** 0.5
    slow = RidgeCV(alphas=_a_distance.PENALTIES).fit((x - x.mean(0)) / scale, y)
    expected = slow.predict((new - x.mean(0)) / scale)
    numpy.testing.assert_allclose(_a_distance.ridge(x, y, new), expected, rtol=1e-7)


def test_held_out_rows_are_judged_by_the_other_folds_alone():
    """Random features and D > N: a classifier that has seen its rows would be right in all of them."""
    x, y = clouds(100, 2000, 0.0, seed=1)
    domains = numpy.repeat([-1.0, 1.0], 100)
    seen = _a_distance.ridge(numpy.concatenate([x, y]), domains, numpy.concatenate([x, y]))
    assert (numpy.sign(seen) == domains).all()
    assert report.discrepancy(x, y, **QUICK).a_distance.value < 0.6


def test_equal_domains_have_an_a_distance_of_0_within_the_interval_and_separable_domains_2():
    lows = [_a_distance.a_distance(*clouds(100, 2000, 0.0, seed=s), seed=s).low for s in range(10)]
    assert sum(low > 0 for low in lows) <= 1
    for dim in (1, 20, 2000):
        found = _a_distance.a_distance(*clouds(100, dim, 12.0, seed=0), seed=0)
        assert found.value == 2 and found.high == 2 and 1.8 < found.low < 2


def test_wilson():
    from scipy.stats import binomtest

    known = binomtest(37, 50).proportion_ci(method="wilson")
    assert _a_distance.wilson(37 / 50, 50) == pytest.approx((known.low, known.high), rel=1e-6)


def test_mmd_is_the_loss_and_the_p_value_is_the_share_of_permutations():
    draw = numpy.random.default_rng(3)
    x, y = torch.from_numpy(draw.standard_normal((12, 3))), torch.from_numpy(draw.standard_normal((9, 3)) + 0.4)
    value, p = mmd_test(x, y, 60, numpy.random.default_rng(5))
    assert value == pytest.approx(losses.mmd(x, y).item(), rel=1e-9)
    again, together, beaten = numpy.random.default_rng(5), torch.cat([x, y]), 0
    for _ in range(60):
        first = torch.from_numpy(again.permutation(21) < 12)
        beaten += losses.mmd(together[first], together[~first]).item() >= value
    assert p == (1 + beaten) / 61 and 0 < beaten < 60


def test_p_values_of_equal_domains_are_uniform():
    from scipy.stats import kstest

    found = [p_of_equal_clouds(seed) for seed in range(150)]
    assert kstest(found, "uniform").pvalue > 0.01
    assert numpy.mean(numpy.array(found) <= 0.05) < 0.11


def test_coral_is_the_loss_of_scaled_features_and_knows_no_scale():
    x, y = clouds(60, 4, 0.5, seed=2)
    x = x * [1, 2, 3, 4]
    together = numpy.concatenate([x, y])
    scale = numpy.sqrt(((together - together.mean(0)) ** 2).mean(0).mean())
    covariances = [numpy.cov(part / scale, rowvar=False) for part in (x, y)]
    expected = ((covariances[0] - covariances[1]) ** 2).sum() / (4 * 4**2)
    assert report.discrepancy(x, y, **QUICK).coral == pytest.approx(expected, rel=1e-9)
    assert report.discrepancy(1e3 * x, 1e3 * y, **QUICK).coral == pytest.approx(expected, rel=1e-9)


# ---- label shift ----


def test_shares_by_hand():
    """Two classes: the share q solves mean(p) = q a + (1 - q) b, with the mean probabilities a and b of the classes."""
    outputs, labels, other, _ = shares_of_classes([0.5, 0.5], [0.8, 0.2], 300, 200, seed=1)
    found = _label_shift.label_shift(outputs, labels, other)
    p, t = (numpy.exp(z[:, 0]) / numpy.exp(z).sum(1) for z in (outputs, other))
    a, b = p[labels == 0], p[labels == 1]
    q = (t.mean() - b.mean()) / (a.mean() - b.mean())
    assert found.target[0].value == pytest.approx(q, rel=1e-9)
    assert found.source == [numpy.mean(labels == c) for c in (0, 1)]
    noise = t.var(ddof=1) / 200 + q**2 * a.var(ddof=1) / len(a) + (1 - q) ** 2 * b.var(ddof=1) / len(b)
    half = 1.959964 * numpy.sqrt(noise) / abs(a.mean() - b.mean())
    assert found.target[0].high == pytest.approx(min(1, q + half), rel=1e-6)
    assert found.target[0].low == pytest.approx(q - half, rel=1e-6)


def test_intervals_of_shares_cover_and_equal_shares_are_left_alone():
    truth = [0.5, 0.3, 0.2]
    covered, alarms = [], []
    for seed in range(60):
        found = _label_shift.label_shift(*shares_of_classes([1 / 3] * 3, truth, 200, 200, seed)[:3])
        covered += [part.low <= share <= part.high for part, share in zip(found.target, truth, strict=True)]
        alarms.append(_label_shift.label_shift(*shares_of_classes(truth, truth, 200, 200, seed)[:3]).shifted)
    assert 0.9 < numpy.mean(covered) <= 0.99
    assert numpy.mean(alarms) <= 0.1


def test_where_shares_cannot_be_estimated_the_sentence_says_why():
    x, y = clouds(60, 3, 0.0, seed=0)
    labels = numpy.arange(60) % 2
    same = {"source_outputs": numpy.zeros((60, 2)), "target_outputs": numpy.zeros((60, 2))}
    found = report.discrepancy(x, y, source_labels=labels, **same, **QUICK)
    assert found.label_shift is None and "do not tell the classes apart" in found.sentence
    few = numpy.where(numpy.arange(60) < 2, 1, 0)
    found = report.discrepancy(x, y, source_labels=few, **same, **QUICK)
    assert found.label_shift is None and "5 rows of each class" in found.sentence
    assert "not all given" in report.discrepancy(x, y, **QUICK).sentence


# ---- the kind of shift ----


def rows_of(shares, n, move, seed):
    draw = numpy.random.default_rng(seed)
    labels = draw.choice(3, n, p=shares)
    x = 3 * numpy.eye(3, 8)[labels] + draw.standard_normal((n, 8))
    return x + move, labels, 3 * x[:, :3]


@pytest.mark.parametrize(
    ("shares", "move", "kind"),
    [
        ([1 / 3] * 3, 0.0, "no shift of the inputs is seen"),
        ([0.7, 0.2, 0.1], 0.0, "label shift"),
        ([1 / 3] * 3, 0.6, "covariate shift"),
        ([0.8, 0.1, 0.1], 0.6, "covariate shift, perhaps with label shift"),
    ],
)
def test_the_kind_of_shift(shares, move, kind):
    x, labels, outputs = rows_of([1 / 3] * 3, 400, 0.0, seed=1)
    y, _, other = rows_of(shares, 300, move, seed=2)
    given = {"source_labels": labels, "source_outputs": outputs, "target_outputs": other}
    found = report.discrepancy(x, y, **given)
    assert found.kind == kind
    assert bool(found.methods) == ("covariate" in kind)
    assert "Concept shift" in found.sentence and str(found) == found.sentence
    if move:
        assert report.discrepancy(x, y, **QUICK).kind == "covariate shift or label shift"


def test_a_class_that_the_target_lacks_asks_for_partial_methods():
    x, labels, outputs = rows_of([1 / 3] * 3, 400, 0.0, seed=1)
    y, _, other = rows_of([0.5, 0.5, 0.0], 400, 0.0, seed=2)
    found = report.discrepancy(x, y, source_labels=labels, source_outputs=outputs, target_outputs=other)
    assert found.methods[:2] == ("pada", "iwan")


def test_numbers_have_methods_for_numbers():
    x, y = clouds(80, 4, 1.5, seed=0)
    found = report.discrepancy(x, y, source_outputs=x[:, :1], source_labels=x[:, 0], target_outputs=y[:, :1], **QUICK)
    assert "rsd" in found.methods and found.label_shift is None and "numbers" in found.sentence


def test_every_named_method_is_there():
    named = {*_discrepancy.ALIGN, *_discrepancy.BY_CLASS, *_discrepancy.OF_NUMBERS, *_discrepancy.PARTIAL}
    assert named <= set(domain.__all__)
    assert _discrepancy.METHODS.keys() == _discrepancy.ADVICE.keys()


# ---- the doors ----


def test_constant_features_have_no_distance():
    found = report.discrepancy(numpy.ones((20, 3)), numpy.ones((20, 3)), **QUICK)
    assert found.a_distance.low == 0 and found.mmd == 0 and found.mmd_p == 1 and found.coral == 0


def test_domains_of_other_sizes_are_balanced_and_the_seed_decides():
    x, y = clouds(300, 3, 0.0, seed=0)
    found = report.discrepancy(x, y[:40], **QUICK)
    assert "40 rows of each domain" in found.sentence
    assert found.sentence == report.discrepancy(x, y[:40], **QUICK).sentence
    assert "25 rows of each domain" in report.discrepancy(x, y, rows=25, **QUICK).sentence


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": numpy.ones((9, 3))}, "at least 10 rows"),
        ({"target": numpy.ones((20, 4))}, "same columns"),
        ({"source": numpy.full((20, 3), numpy.nan)}, "must be finite"),
        (
            {"source_outputs": numpy.ones((5, 2)), "target_outputs": numpy.ones((20, 2)), "source_labels": [0, 1] * 10},
            "rows of the features",
        ),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        report.discrepancy(**{"source": numpy.eye(20, 3), "target": numpy.eye(20, 3), **change})


def test_layer_by_layer():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    encoder = encoders.Encoder(body, 3, layers=["0", "2"])
    x, y = (torch.from_numpy(part).float() for part in clouds(40, 4, 0.8, seed=0))
    found = report.layers(encoder, x, TensorDataset(y, torch.zeros(40)), **QUICK)
    assert list(found) == ["0", "2"]
    last = [ranking_layers.features(encoder, part)["2"].features for part in (x, y)]
    expected = report.discrepancy(*last, **QUICK)
    assert found["2"].mmd == pytest.approx(expected.mmd, rel=1e-5)
    assert found["2"].coral == pytest.approx(expected.coral, rel=1e-5)
