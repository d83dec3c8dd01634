import itertools

import matplotlib
import numpy
import pandas
import pytest
import torch
from sklearn.metrics import roc_curve

from adapt import fewshot, report
from adapt.fewshot import similarity, verify

matplotlib.use("Agg")


def people(count=12, each=4, d=6, noise=0.8, seed=0):
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(count).repeat_interleave(each)
    return torch.randn(count, d, generator=g)[y] + noise * torch.randn(count * each, d, generator=g), y


X, Y = people()


def slow(x, y, rates, weights=None):
    """Equal error rate and true accept rates from every threshold, pair by pair, in float64."""
    x, weights = x.double(), weights or dict.fromkeys(y.tolist(), 1)
    same, other = [], []
    for i, j in itertools.combinations(range(len(x)), 2):
        s, a, b = float(x[i] @ x[j] / (x[i].norm() * x[j].norm())), int(y[i]), int(y[j])
        (same if a == b else other).append((s, weights[a] * (1 if a == b else weights[b])))
    share = lambda pairs, t: sum(w for s, w in pairs if s >= t) / sum(w for _, w in pairs)  # noqa: E731
    points = [(0.0, 0.0)] + [(share(other, t), share(same, t)) for t in sorted({s for s, _ in same + other})[::-1]]
    for (f0, t0), (f1, t1) in itertools.pairwise(points):
        if f0 < 1 - t0 and f1 >= 1 - t1:
            step = (1 - t0 - f0) / ((f1 - f0) + (t1 - t0))
            equal = f0 + step * (f1 - f0)
    return equal, [max(t for f, t in points if f <= rate) for rate in rates]


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_the_definition(seed):
    x, y = people(6, 4, seed=seed)
    found = verify(x, y, rates=[0.02, 0.1, 0.5], resamples=2)
    equal, tars = slow(x, y, [0.02, 0.1, 0.5])
    assert found.equal_error_rate.value == pytest.approx(equal, rel=1e-9)
    assert [s.value for s in found.tar_at.values()] == pytest.approx(tars, rel=1e-9)
    assert (found.same, found.different) == (36, 240)


def test_the_roc_is_scikit_learns():
    i, j = numpy.triu_indices(len(X), 1)
    s = similarity(X[i].double(), X[j].double()).round(decimals=1)  # with equal similarities
    roc = fewshot._verify._Roc(-numpy.sort(-s.numpy()), *(Y.numpy()[k[numpy.argsort(-s.numpy())]] for k in (i, j)),
                               (Y[i] == Y[j]).numpy()[numpy.argsort(-s.numpy())])  # fmt: skip
    far, tar = roc.rates(numpy.ones(12))
    expected = roc_curve((Y[i] == Y[j]).numpy(), s.numpy(), drop_intermediate=False)
    assert far == pytest.approx(expected[0]) and tar == pytest.approx(expected[1])


def test_a_resample_weights_identities():
    """An identity drawn twice counts twice in its own pairs, and the product in pairs with others."""
    x, y = people(5, 3, seed=4)
    weights = {0: 2, 1: 0, 2: 1, 3: 1, 4: 1}
    i, j = numpy.triu_indices(15, 1)
    s = similarity(x[i].double(), x[j].double()).numpy()
    order = numpy.argsort(-s)
    a, b = y.numpy()[i[order]], y.numpy()[j[order]]
    roc = fewshot._verify._Roc(s[order], a, b, a == b)
    found = fewshot._verify._numbers(*roc.rates(numpy.array([2.0, 0, 1, 1, 1])), [0.2])
    equal, tars = slow(x, y, [0.2], weights)
    assert found == pytest.approx([equal, *tars], rel=1e-9)


def test_the_threshold_accepts_at_most_the_wanted_share():
    found = verify(X, Y, resamples=2)
    i, j = numpy.triu_indices(len(X), 1)
    other = Y[i] != Y[j]
    for far in (0.003, 0.01, 0.3, 1.0):
        accepted = found.accepts(X[i].double(), X[j].double(), far)
        assert accepted[other].double().mean() <= far
        larger = similarity(X[i].double(), X[j].double())[other & ~accepted]
        if len(larger):  # the next threshold accepts too many
            assert ((accepted[other].sum() + 1) / other.sum()) > far
        assert accepted[~other].double().mean() == pytest.approx(found.tar[found.far <= far * (1 + 1e-9)].max())


def test_identities_are_the_units():
    """Copies of every row make four times as many pairs, and tell nothing new: the interval stays as wide."""
    once, copies = verify(X, Y, seed=1), verify(X.repeat(2, 1), Y.repeat(2), seed=1)
    a, b = once.equal_error_rate, copies.equal_error_rate
    assert b.high - b.low > 0.7 * (a.high - a.low) and a.n == b.n == 12


def test_the_interval_holds_the_truth():
    """The truth from 400 people; 40 experiments with 15 people each. 95 % of 40 is 38."""
    truth = verify(*people(400, 3, seed=100), resamples=1, rates=[0.1])
    held = []
    for seed in range(40):
        found = verify(*people(15, 3, seed=seed), resamples=200, rates=[0.1])
        held.append([found.equal_error_rate.low <= truth.equal_error_rate.value <= found.equal_error_rate.high,
                     found.tar_at[0.1].low <= truth.tar_at[0.1].value <= found.tar_at[0.1].high])  # fmt: skip
    assert (numpy.sum(held, 0) >= 34).all(), numpy.sum(held, 0)


def test_no_error_has_an_interval():
    found = verify(torch.eye(8).repeat_interleave(3, 0), torch.arange(8).repeat_interleave(3))
    assert found.equal_error_rate.value == found.equal_error_rate.low == 0 < found.equal_error_rate.high
    assert found.tar_at[0.01].value == found.tar_at[0.01].high == 1 > found.tar_at[0.01].low > 0.5


def test_names_scale_order_half_precision_and_repeats():
    names = numpy.array([f"ä{k:02}" for k in Y.tolist()])
    expected = str(verify(X, Y, resamples=20))
    assert str(verify(1e4 * X.numpy(), names, resamples=20)) == expected
    order = torch.randperm(len(X), generator=torch.Generator().manual_seed(0))
    assert str(verify(X[order], Y[order], resamples=20)) == expected
    assert str(verify(X, Y, resamples=20, seed=1)) != expected
    half = verify(X.bfloat16(), Y, resamples=20)
    assert half.equal_error_rate.value == pytest.approx(verify(X, Y, resamples=2).equal_error_rate.value, abs=0.02)


def test_1000_people_with_one_pair_each():
    x, y = people(1000, 2, seed=2)
    i = torch.arange(0, 2000, 2)
    pairs = torch.cat([torch.stack([i, i + 1], 1), torch.stack([i, (i + 2) % 2000], 1)])
    found = verify(x, y, pairs=pairs, resamples=20)
    assert (found.same, found.different) == (1000, 1000) and list(found.tar_at) == [0.1, 0.01, 0.001]


def test_the_squared_distance():
    found = verify(X, Y, metric="squared_euclidean", resamples=2)
    assert found.accepts(X[0], X[0] + 1e-3, 0.01) and not found.accepts(X[0], X[0] + 9, 0.5)
    assert verify(X + 100, Y, metric="squared_euclidean", resamples=2).far == pytest.approx(found.far)


def test_the_picture():
    from matplotlib import pyplot

    axes = pyplot.figure().subplots()
    report.roc(axes, {"pixels": verify(X, Y, resamples=2), "centred": verify(X - X.mean(0), Y, resamples=2)})
    assert axes.get_xscale() == "log" and len(axes.lines) == 2
    pyplot.close("all")


BAD = X.clone()
BAD[0, 0] = float("nan")
WRONG = {
    "`features` must have a largest number between 1e-100 and 1e100, got .*e.200": {"features": 1e200 * X.double()},
    "`features` must have .* got .*e-200": {"features": 1e-200 * X.double()},
    "`identities` must have a label in every row": {"identities": ["a", None] * 24},
    r"`identities` must be .* got shape \(48,\) of torch.float32": {"identities": Y.double()},
    r"`identities` must be .* got shape \(0,\)": {"identities": []},
    "`identities` must be from 0 on, found -1": {"identities": Y - 1},
    r"`features` must be \(n, d\).* n >= 1": {"features": X[:0], "identities": Y[:0]},
    "`features` must be finite, got 1 of 48": {"features": BAD},
    r"`identities` must be \(48,\) names": {"identities": Y[:-1]},
    "the pairs must have .* got 1128 and 0": {"identities": 0 * Y},
    "the pairs must have .* got 0 and 1128": {"identities": torch.arange(48)},
    "`far` must be at least 1 over the number of different pairs, got 1e-06 for 1056": {"rates": [1e-6]},
    r"`rates` must be a list with at least one value, each in \(0, 1\]": {"rates": [0.0]},
    '`metric` must be "cosine"': {"metric": "manhattan"},
    r"`pairs` must be \(m, 2\) row numbers": {"pairs": [[0.0, 1.0]]},
    r"`pairs` must be two different row numbers in \[0, 48\), found 0 to 48": {"pairs": [[0, 48]]},
    "or a row with itself": {"pairs": [[0, 0]]},
}


def test_identities_and_pairs_of_every_kind():
    expected = str(verify(X, Y, resamples=5))
    texts = [f"n{k:02}" for k in Y.tolist()]
    for identities in (pandas.Series(texts), numpy.array(texts, object), tuple(texts), Y.to(torch.uint8)):
        assert str(verify(X, identities, resamples=5)) == expected
    pairs = numpy.array([[0, 1], [1, 4], [0, 40], [4, 5]])
    expected = str(verify(X, Y, pairs=pairs, resamples=5))
    for kind in ("uint8", "uint16", "uint64", "int32"):
        assert str(verify(X, Y, pairs=pairs.astype(kind), resamples=5)) == expected


def test_half_precision_and_small_integers_are_compared_in_full_precision():
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])
    assert similarity(a.bfloat16(), b.bfloat16()).item() == pytest.approx(0.5**0.5, abs=1e-6)
    far = torch.tensor([100, -100], dtype=torch.int8)
    assert similarity(far, -far, metric="squared_euclidean").item() == -80_000
    found = verify(X, Y, resamples=2)
    i, j = numpy.triu_indices(len(X), 1)
    assert found.accepts(X[i], X[j], 0.1).equal(found.accepts(X[i].double(), X[j].double(), 0.1))
    with pytest.raises(TypeError, match="`second` must be a tensor, got list"):
        similarity(a, [1.0, 1.0])
    with pytest.raises(ValueError, match=r"same feature size, got \(2,\) and \(3,\)"):
        similarity(a, torch.ones(3))


@pytest.mark.parametrize("message", WRONG)
def test_wrong_arguments(message):
    with pytest.raises(ValueError, match=message):
        verify(**{"features": X, "identities": Y} | WRONG[message])
