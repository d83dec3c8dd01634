"""All scores: against slow references, under changes of the features, and where a score is undefined."""

import numpy
import pytest
import torch

from adapt import ranking
from tests.adapt.ranking.references import (
    slow_gbc,
    slow_h_score,
    slow_knn,
    slow_logme,
    slow_n_leep,
    slow_parc,
    slow_ridge,
    slow_transrate,
)
from tests.adapt.ranking.rows import blobs, few, normal, refused, softmax_rows

FEATURES = (
    ranking.knn,
    ranking.ridge,
    ranking.logme,
    ranking.h_score,
    ranking.n_leep,
    ranking.transrate,
    ranking.gbc,
    ranking.parc,
)


HEADS = (ranking.leep, ranking.nce)


name_of = lambda score: getattr(score, "func", score).__name__  # noqa: E731


REFERENCES = {
    ranking.knn: lambda F, y: slow_knn(F, y, 5),
    ranking.ridge: lambda F, y: slow_ridge(F, torch.nn.functional.one_hot(y).double(), y),
    ranking.logme: slow_logme,
    ranking.h_score: slow_h_score,
    few: lambda F, y: slow_n_leep(F, y, 2),
    ranking.transrate: slow_transrate,
    ranking.gbc: slow_gbc,
    ranking.parc: slow_parc,
}


@pytest.mark.parametrize(("n", "d"), [(60, 6), (40, 70)])
@pytest.mark.parametrize("score", REFERENCES, ids=name_of)
def test_equals_a_slow_reference(score, n, d):
    F, y = blobs(n, d)
    if score is ranking.gbc and d > n:
        F = F[:, :30]
    assert score(ranking.Sample(F, y)).mean().item() == pytest.approx(REFERENCES[score](F, y), rel=1e-6, abs=1e-7)


def orthogonal(d):
    return torch.linalg.qr(normal(d, d, seed=9))[0]


ROTATED = (ranking.knn, ranking.ridge, ranking.logme, ranking.h_score, few, ranking.transrate, ranking.gbc)


SHIFTED = (ranking.ridge, ranking.h_score, few, ranking.transrate, ranking.gbc, ranking.parc)


@pytest.mark.parametrize(("n", "d"), [(60, 8), (30, 50)])
def test_invariances(n, d):
    F, y = blobs(n, d)
    plain = ranking.Sample(F, y)
    changes = {
        "rotated": (ranking.Sample(F @ orthogonal(d), y), ROTATED),
        "scaled": (ranking.Sample(1e4 * F, y), (*ROTATED, ranking.parc)),
        "tiny": (ranking.Sample(1e-200 * F, y), (*ROTATED, ranking.parc)),
        "shifted": (ranking.Sample(F + 7, y), SHIFTED),
        "rows in another order": (
            ranking.Sample(F.flip(0), y.flip(0)),
            tuple(s for s in (*ROTATED, ranking.parc) if s is not few),
        ),
        "names for classes": (ranking.Sample(F, [f"class {9 - int(c)}" for c in y]), (*ROTATED, ranking.parc)),
        "numpy": (ranking.Sample(F.numpy(), y.numpy()), (*ROTATED, ranking.parc)),
    }
    for change, (sample, scores) in changes.items():
        for score in scores:
            ours = score(plain).mean().item()
            assert score(sample).mean().item() == pytest.approx(ours, rel=1e-5, abs=1e-7), (change, name_of(score))


@pytest.mark.parametrize("score", [*FEATURES, *HEADS], ids=name_of)
def test_a_good_encoder_ranks_above_a_poor_one(score):
    F, y = blobs(120, 10, signal=3.0)
    poor, _ = blobs(120, 10, signal=0.5)
    head = torch.nn.functional.one_hot(y, 4).double()
    good = ranking.Pretrained(F, (3 * head + normal(120, 4, seed=5)).softmax(1))
    weak = ranking.Pretrained(poor, (0.3 * head + normal(120, 4, seed=5)).softmax(1))
    assert ranking.rank({"weak": weak, "good": good}, y, scores=[score], halves=0).best == "good"
    shuffled = y[torch.randperm(120, generator=torch.Generator().manual_seed(0))]
    mine = score(ranking.Sample(F, y, source=good.source)).mean()
    assert mine > score(ranking.Sample(F, shuffled, source=good.source)).mean()


def test_low_precision_features():
    F, y = blobs()
    for score in (ranking.knn, ranking.ridge, ranking.logme, ranking.h_score, ranking.transrate, ranking.gbc):
        exact = score(ranking.Sample(F, y)).mean().item()
        assert score(ranking.Sample(F.bfloat16(), y)).mean().item() == pytest.approx(exact, abs=0.05)


def test_the_global_random_state_is_left_alone():
    F, y = blobs()
    before = torch.get_rng_state(), repr(numpy.random.get_state())
    ranking.rank({"a": F}, y, scores=[*FEATURES[:4], few, ranking.parc], halves=2)
    assert torch.equal(before[0], torch.get_rng_state()) and before[1] == repr(numpy.random.get_state())


def test_undefined_scores_say_why():
    F, y = blobs(20, 4)
    refused("one class", lambda: ranking.Sample(F, torch.zeros(20, dtype=torch.int64)))
    refused("at least 3", lambda: ranking.Sample(F[:2], [0, 1]))
    refused("same features", lambda: ranking.Sample(torch.ones(20, 4), y))
    refused("same features", lambda: ranking.Sample(torch.zeros(20, 4), y))
    refused("constant", lambda: ranking.Sample(F, values=torch.ones(20)))
    sample = ranking.Sample(F, y)
    for head in HEADS:
        refused("own head", lambda head=head: head(sample))
    refused("at least 21 rows", lambda: ranking.knn(sample, k=20))
    refused("at least 30 rows", lambda: ranking.n_leep(sample))
    lonely = ranking.Sample(F, list(range(20)))
    for score in (ranking.knn, ranking.gbc, ranking.parc):
        refused("label two", lambda score=score: score(lonely))
    refused("2 features", lambda: ranking.parc(ranking.Sample(F[:, :1], y)))
    numbers = ranking.Sample(F, values=normal(20), source=softmax_rows(20))
    for score in (ranking.knn, ranking.h_score, few, ranking.transrate, ranking.gbc, ranking.parc, *HEADS):
        refused("use ridge or logme", lambda score=score: score(numbers))


@pytest.mark.parametrize(
    ("score", "options", "message"),
    [
        (ranking.knn, {"k": 0}, "`k` must be a whole number of at least 1, got 0"),
        (ranking.n_leep, {"per_class": 0}, "`per_class` must be a whole number"),
        (ranking.n_leep, {"variance": 1.5}, r"`variance` must be in \(0, 1\], got 1.5"),
        (ranking.gbc, {"components": 0}, "`components` must be a whole number"),
        (ranking.parc, {"rows": 1}, "`rows` must be a whole number of at least 2"),
        (ranking.transrate, {"epsilon": 0.0}, "`epsilon` must be a positive number"),
        (ranking.logme, {"noise": -1.0}, r"`noise` must be in \[0, 1\), got -1"),
    ],
)
def test_bad_options(score, options, message):
    with pytest.raises(ValueError, match=message):
        score(ranking.Sample(*blobs()), **options)
