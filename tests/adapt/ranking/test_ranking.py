"""Transferability scores against slow references, at their identities and invariances, and where published code breaks."""

import math
from functools import partial

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import spearmanr
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.metrics import mutual_info_score
from sklearn.mixture import GaussianMixture

from adapt import ranking

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
few = partial(ranking.n_leep, per_class=2)
name_of = lambda score: getattr(score, "func", score).__name__  # noqa: E731


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blobs(n=60, d=6, classes=3, *, signal=1.0, seed=0):
    """Features whose first columns say the class, of unequal classes, correlated and off the origin."""
    y = (torch.arange(n) ** 2 // 3) % classes
    noise = normal(n, d, seed=seed) @ (torch.eye(d).double() + 0.3 * normal(d, d, seed=seed + 1))
    return noise + signal * torch.nn.functional.one_hot(y, d).double() + 1, y


def softmax_rows(n=60, z=5, seed=3, sharpness=2.0):
    return (sharpness * normal(n, z, seed=seed)).softmax(1)


# slow references ------------------------------------------------------------------------------------------------------


def slow_knn(F, y, k):
    F = F.numpy()
    hits = []
    for i, f in enumerate(F):
        cosines = [(-(f @ g) / numpy.linalg.norm(f) / numpy.linalg.norm(g), j) for j, g in enumerate(F) if j != i]
        nearest = [int(y[j]) for _, j in sorted(cosines)[:k]]
        votes = {c: nearest.count(c) for c in nearest}
        winner = next(c for c in nearest if votes[c] == max(votes.values()))  # the nearest of those that tie
        hits.append(float(winner == y[i]))
    return numpy.mean(hits)


def slow_ridge(F, Y, y=None):
    """Refit without each row."""
    F, Y = F.numpy(), Y.numpy()
    n = len(F)
    eigenvalues = numpy.linalg.svd(F - F.mean(0), compute_uv=False) ** 2
    level = eigenvalues[eigenvalues > 1e-10 * eigenvalues[0]].mean()
    others = [[j for j in range(n) if j != i] for i in range(n)]
    plain = numpy.array([Y[i] - Y[o].mean(0) for i, o in enumerate(others)])
    scale = 1 if y is not None else numpy.sqrt((plain**2).mean(0))
    best = None
    for power in range(-6, 4):
        guesses = []
        for i, o in enumerate(others):
            X, T = F[o] - F[o].mean(0), Y[o] - Y[o].mean(0)
            dual = numpy.linalg.solve(X @ X.T + level * 10.0**power * numpy.eye(n - 1), T)
            guesses.append((F[i] - F[o].mean(0)) @ X.T @ dual + Y[o].mean(0))
        guesses = numpy.array(guesses)
        loss = (((Y - guesses) / scale) ** 2).mean()
        if best is None or loss < best[0]:
            best = loss, guesses
    if y is None:
        return 1 - best[0]
    means = numpy.array([Y[o].mean(0) for o in others])
    return ((best[1] - means + Y.mean(0)).argmax(1) == y.numpy()).mean()


def slow_evidence(F, t, noise=0.0):
    """max over alpha and beta of log N(t; 0, I / beta + F F' / alpha) / n: a grid over their logarithms, then Nelder and Mead."""
    F, t = numpy.asarray(F, dtype=numpy.float64), numpy.asarray(t, dtype=numpy.float64)
    n = len(F)
    K = F @ F.T
    weight, variance = numpy.trace(K) / n, (t**2).mean()

    def loss(x):
        prior, error = numpy.exp(x[0]) / weight, max(numpy.exp(x[1]), noise) * variance
        sign, log_det = numpy.linalg.slogdet(prior * K + error * numpy.eye(n))
        if sign <= 0:
            return numpy.inf
        return (
            0.5
            * (n * math.log(2 * math.pi) + log_det + t @ numpy.linalg.solve(prior * K + error * numpy.eye(n), t))
            / n
        )

    start = min(((a, b) for a in range(-14, 8, 3) for b in range(-14, 2, 3)), key=loss)
    found = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10, "maxiter": 400})
    return -min(found.fun, loss(start))


def slow_logme(F, y, noise=0.0):
    return numpy.mean([slow_evidence(F, (y == c).double(), noise) for c in y.unique()])


def slow_h_score(F, y):
    F = F.numpy()
    cov = LedoitWolf().fit(F)
    G = numpy.stack([F[(y == c).numpy()].mean(0) for c in y])
    between = numpy.cov(G, rowvar=False, bias=True)
    return (1 - cov.shrinkage_) * numpy.trace(numpy.linalg.pinv(cov.covariance_) @ between)


def slow_leep(p, y):
    p, y = p.tolist(), y.tolist()
    total = 0.0
    for row, c in zip(p, y, strict=True):
        likelihood = 0.0
        for z, share in enumerate(row):
            mass = sum(other[z] for other in p)
            if mass > 0:
                likelihood += share * sum(other[z] for other, d in zip(p, y, strict=True) if d == c) / mass
        total += math.log(likelihood)
    return total / len(p)


def entropy(y):
    shares = y.unique(return_counts=True)[1].double() / len(y)
    return -(shares * shares.log()).sum().item()


def slow_nce(p, y):
    return mutual_info_score(y, p.argmax(1)) - entropy(y)


def slow_n_leep(F, y, per_class):
    x = PCA(0.8, svd_solver="full").fit_transform((F - F.mean(0)).numpy())
    mixture = GaussianMixture(
        per_class * len(y.unique()), covariance_type="diag", reg_covar=1e-6 * x.var(0).mean(), random_state=0
    )
    return slow_leep(mixture.fit(x).predict_proba(x), y)


def slow_transrate(F, y):
    F = F - F.mean(0)
    F = F * (len(F) / F.square().sum()).sqrt()

    def rate(part):
        return 0.5 * torch.linalg.slogdet(torch.eye(F.shape[1]).double() + part.T @ part / (1e-4 * len(part)))[1].item()

    return rate(F) - sum((y == c).double().mean().item() * rate(F[y == c]) for c in y.unique())


def slow_gbc(F, y):
    x = PCA(min(64, *F.shape), svd_solver="full").fit_transform(F.numpy())
    total = 0.0
    for a in y.unique():
        for b in y.unique():
            if a == b:
                continue
            p, q = x[(y == a).numpy()], x[(y == b).numpy()]
            u, v = p.var(0), q.var(0)
            middle = (u + v) / 2
            distance = ((p.mean(0) - q.mean(0)) ** 2 / middle).sum() / 8
            distance += 0.5 * numpy.log(middle.prod() / math.sqrt(u.prod() * v.prod()))
            total += math.exp(-distance)
    return -math.log(total)


def slow_parc(F, y):
    F = ((F - F.mean(0)) / F.std(0, correction=0)).numpy()
    one_hot = numpy.eye(int(y.max()) + 1)[y.numpy()]
    upper = numpy.triu_indices(len(F), 1)
    return 100 * spearmanr((1 - numpy.corrcoef(F))[upper], (1 - numpy.corrcoef(one_hot))[upper].round(9)).statistic


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


@pytest.mark.parametrize("k", [1, 4])
def test_knn_with_ties(k):
    F, y = blobs(50, 4, 4, signal=0.5)
    assert ranking.knn(ranking.Sample(F, y), k=k, block=7).mean().item() == pytest.approx(slow_knn(F, y, k))


def test_heads_equal_slow_references():
    _, y = blobs()
    p = softmax_rows()
    sample = ranking.Sample(normal(60, 2), y, source=p)
    assert ranking.leep(sample).mean().item() == pytest.approx(slow_leep(p, y), abs=1e-12)
    assert ranking.nce(sample).mean().item() == pytest.approx(slow_nce(p, y), abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_leep_of_rounded_probabilities_is_that_of_rows_that_sum_to_one(dtype):
    _, y = blobs()
    p = softmax_rows().to(dtype)
    sample = ranking.Sample(normal(60, 2), y, source=p)
    assert sample.source.data_ptr() == p.data_ptr()  # looked at, not copied
    p = p.double() / p.double().sum(1, keepdim=True)
    assert ranking.leep(sample).mean().item() == pytest.approx(slow_leep(p, y), abs=1e-12)


def test_nce_of_predicted_classes():
    _, y = blobs()
    p = softmax_rows()
    z = 10**9 * p.argmax(1)  # whatever their numbers
    sample = ranking.Sample(normal(60, 2), y, source=z.numpy())
    assert ranking.nce(sample).mean().item() == pytest.approx(slow_nce(p, y), abs=1e-12)
    assert torch.equal(sample.take(torch.arange(0, 60, 2)).source, z[::2])
    refused("needs probabilities", lambda: ranking.leep(sample))
    scores = ranking.rank({"a": ranking.Pretrained(blobs()[0], z)}, y, halves=0).rows[0].scores
    assert "nce" in scores and "leep" not in scores


def test_a_class_of_one_row_has_the_others_variance():
    F, y = blobs(41, 3)
    y[40] = 3
    within = torch.stack([(F[i] - F[y == y[i]].mean(0)).square() for i in range(40)])
    x = (F - F.mean(0)).numpy()
    rotate = numpy.linalg.svd(x, full_matrices=False)[2].T
    x = x @ rotate
    var = {c: x[(y == c).numpy()].var(0) for c in range(3)}
    var[3] = sum(len(x[(y == c).numpy()]) * var[c] for c in range(3)) / 40
    assert var[3].sum() == pytest.approx(within.mean(0).sum().item())
    mean = {c: x[(y == c).numpy()].mean(0) for c in range(4)}
    total = 0.0
    for a in range(4):
        for b in range(a):
            m = (var[a] + var[b]) / 2
            d = ((mean[a] - mean[b]) ** 2 / m).sum() / 8 + 0.5 * numpy.log(m / numpy.sqrt(var[a] * var[b])).sum()
            total += 2 * math.exp(-d)
    assert ranking.gbc(ranking.Sample(F, y)).item() == pytest.approx(-math.log(total))


# LogME where published code fails --------------------------------------------------------------------------------------


def relu_features():
    return (1000 * normal(100, 768).relu()).float()


Y4 = torch.arange(100) % 4
LOGME = {
    "more features than rows": (normal(100, 768), Y4),
    "rank deficient": (normal(100, 5) @ normal(5, 64, seed=1), Y4),
    "rank deficient, signal": (blobs(100, 6, 4, signal=2.0)[0] @ normal(6, 40, seed=1), blobs(100, 6, 4)[1]),
    "scale 1000, float32": (relu_features(), Y4),
    "scale 1e-5": (1e-5 * normal(100, 30), Y4),
    "a missing class": (normal(100, 64), torch.where(Y4 == 2, 3, Y4)),
    "signal": blobs(100, 20, 4, signal=2.0),
}


@pytest.mark.parametrize("case", LOGME)
def test_logme_is_the_exact_maximum(case):
    F, y = LOGME[case]
    assert ranking.logme(ranking.Sample(F, y)).item() == pytest.approx(slow_logme(F, y), abs=1e-5)


def test_logme_of_separable_rows_is_that_with_the_least_noise():
    y = blobs(40)[1]
    F = torch.nn.functional.one_hot(y, 3).double() @ normal(3, 20)
    ours = ranking.logme(ranking.Sample(F, y)).item()
    assert ours == pytest.approx(slow_logme(F, y, noise=1e-6), abs=1e-5)
    assert ranking.logme(ranking.Sample(F, y), noise=1e-3).item() < ours < 7


def test_logme_of_values():
    F = normal(50, 8)
    t = torch.stack([F @ normal(8, seed=1) + normal(50, seed=2), 5 + normal(50, seed=3)], 1)
    slow = numpy.mean([slow_evidence(F, t[:, 0]), slow_evidence(F, t[:, 1])])
    assert ranking.logme(ranking.Sample(F, values=t)).item() == pytest.approx(slow, abs=1e-6)


def test_ridge_of_values():
    F = normal(40, 8)
    t = torch.stack([F @ normal(8, seed=1) + 0.3 * normal(40, seed=2), 100 * normal(40, seed=3)], 1)
    assert ranking.ridge(ranking.Sample(F, values=t)).mean().item() == pytest.approx(slow_ridge(F, t))


def test_ridge_without_signal_is_chance_and_not_below():
    y = torch.arange(90) % 3
    hits = [ranking.ridge(ranking.Sample(normal(90, 2, seed=s), y)).mean().item() for s in range(20)]
    assert 0.28 < numpy.mean(hits) < 0.38  # with the others' mean as intercept it is near 0


def test_h_score_of_many_features_is_quick_and_does_not_saturate():
    import time

    F, y = normal(200, 2048), torch.arange(200) % 10
    sample = ranking.Sample(F, y)
    start = time.process_time()
    value = ranking.h_score(sample).item()
    assert time.process_time() - start < 1
    assert value < 1  # the plain H-score is 9 for these random rows


# identities and invariances --------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(3, 30),
    z=st.integers(1, 6),
    classes=st.integers(2, 4),
    sharpness=st.floats(0, 30),
    seed=st.integers(0, 99),
)
def test_leep_and_nce_identities(n, z, classes, sharpness, seed):
    y = torch.cat([torch.arange(2), torch.randint(classes, (n - 2,), generator=torch.Generator().manual_seed(seed))])
    p = softmax_rows(n, z, seed, sharpness)
    sample = ranking.Sample(normal(n, 2), y, source=p)
    leep, nce = ranking.leep(sample).mean().item(), ranking.nce(sample).mean().item()
    # leep is the likelihood after one round of EM that starts at -H(Y)
    assert -entropy(y) - 1e-9 <= leep <= 1e-9
    assert -entropy(y) - 1e-9 <= nce <= 1e-9
    hard = torch.nn.functional.one_hot(p.argmax(1), z).double()
    assert ranking.leep(ranking.Sample(normal(n, 2), y, source=hard)).mean().item() == pytest.approx(nce, abs=1e-12)
    flat = torch.full((n, z), 1 / z).double()
    assert ranking.leep(ranking.Sample(normal(n, 2), y, source=flat)).mean().item() == pytest.approx(
        -entropy(y), abs=1e-9
    )
    wider = torch.cat([p.flip(1), torch.zeros(n, 2).double()], 1)  # other order, classes nobody answers
    assert ranking.leep(ranking.Sample(normal(n, 2), y, source=wider)).mean().item() == pytest.approx(leep, abs=1e-9)


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


def test_parc_of_many_rows_is_of_some_of_each_class():
    F, y = blobs(400, 6, signal=2.0)
    whole, some = (ranking.parc(ranking.Sample(F, y), rows=rows).item() for rows in (400, 150))
    assert some == pytest.approx(whole, abs=5) and some != whole


# refusals --------------------------------------------------------------------------------------------------------------


def refused(pattern, call):
    with pytest.raises(ranking.Undefined, match=pattern):
        call()


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
    ("arguments", "message"),
    [
        ({"labels": [0.0, 1.0, 0.0]}, "for numbers to predict give `values`"),
        ({"labels": [0, 1]}, r"must be \(3,\) classes"),
        ({}, "either `labels`"),
        ({"labels": [0, 1, 1], "values": [0.0, 1.0, 1.0]}, "either `labels`"),
        ({"values": [0.0, float("nan"), 1.0]}, "finite"),
        ({"labels": [0, 1, 1], "source": [[3.0, -1.0]] * 3}, "softmax"),
        ({"labels": [0, 1, 1], "source": [[1.0]]}, "rows of the features"),
        ({"labels": [0, 1, 1], "source": [0, 1]}, "rows of the features"),
        ({"labels": [0, 1, 1], "source": [0.0, 1.0, 1.0]}, "whole numbers"),
        ({"labels": [0, 1, 1], "source": [[float("nan"), 1.0]] * 3}, "finite"),
    ],
)
def test_bad_input_at_the_door(arguments, message):
    with pytest.raises(ValueError, match=message):
        ranking.Sample([[0.0], [1.0], [2.0]], **arguments)


# the ranking -----------------------------------------------------------------------------------------------------------


def candidates(n=90):
    price = {0.3: ranking.Cost(1000, 2e6, 0.5), 1.0: ranking.Cost(5000, 9e6, 1.5), 3.0: ranking.Cost(9000, 4e7, 1.0)}
    found = {f"signal {s}": ranking.Pretrained(blobs(n, 6, signal=s)[0], cost=c) for s, c in price.items()}
    return found | {"collapsed": torch.ones(n, 6)}, blobs(n)[1]


def test_rank():
    encoders, y = candidates()
    found = ranking.rank(encoders, y, scores=[ranking.knn, ranking.logme, ranking.leep], halves=4)
    assert [row.name for row in found.rows] == ["signal 3.0", "signal 1.0", "signal 0.3", "collapsed"]
    best, last = found.rows[0], found["collapsed"]
    assert best.first > 0.9 and sum(row.first for row in found.rows) == pytest.approx(1)
    for score in ("knn", "logme"):
        s = best.scores[score]
        assert s.low <= s.value <= s.high and math.isfinite(s.low)
    assert last.scores == {} and "does not tell the inputs apart" in last.refused["knn"]
    text = str(found)
    assert "signal 3.0" in text.splitlines()[1] and "knn" in text.splitlines()[0]
    assert text.count("own head") == 1  # the reason once, with the names
    assert ranking.rank(encoders, y, scores=[ranking.knn, ranking.logme], by=ranking.logme, halves=4).by == "logme"


def test_rank_defaults():
    encoders, y = candidates()
    assert set(ranking.rank(encoders, y, halves=0).rows[0].scores) == {"knn", "ridge", "logme", "h_score"}
    head = ranking.Pretrained(blobs(90)[0], softmax_rows(90))
    assert {"leep", "nce"} < set(ranking.rank({"a": head}, y, halves=0).rows[0].scores)
    assert set(ranking.rank(encoders, values=normal(90), halves=0).rows[0].scores) == {"ridge", "logme"}


def test_own_score_and_intervals():
    """Both intervals against the standard error of a mean."""
    t = normal(200, seed=1)

    def whole(sample):
        return sample.Y.mean()

    def by_row(sample):
        return sample.Y[:, 0]

    row = ranking.rank({"a": normal(200, 2)}, values=t, scores=[whole, by_row], halves=400).rows[0]
    half = 1.96 * t.std().item() / math.sqrt(200)
    for score in row.scores.values():
        assert score.value == pytest.approx(t.mean().item())
        assert (score.high - score.low) / 2 == pytest.approx(half, rel=0.12)
    none = ranking.rank({"a": normal(200, 2)}, values=t, scores=[whole, by_row], halves=0, resamples=0)
    assert all(s.high == math.inf for s in none.rows[0].scores.values()) and "-" in str(none)


def test_rank_is_paired_and_repeats():
    encoders, y = candidates()
    first, second = (ranking.rank(encoders, y, halves=3, seed=4) for _ in range(2))
    assert str(first) == str(second)
    twins = ranking.rank({"a": encoders["signal 1.0"], "b": encoders["signal 1.0"]}, y, scores=[ranking.knn])
    assert [row.first for row in twins.rows] == [0.5, 0.5]


def test_rank_refuses():
    encoders, y = candidates()
    for arguments, message in [
        ({"candidates": {}}, "is empty"),
        ({"candidates": {"a": torch.ones(90, 2)}}, "no candidate can be ranked: all rows have the same"),
        ({"candidates": {"a": normal(80, 2)}}, "candidate `a`: `labels` must be"),
        ({"candidates": {"a": normal(90, 2) / 0}}, "candidate `a`: `features` must be finite"),
        ({"by": ranking.gbc}, "`by` must be one of"),
        ({"scores": [few, ranking.n_leep]}, "different names"),
        ({"scores": [ranking.leep]}, "own head"),
    ]:
        with pytest.raises(ValueError, match=message):
            ranking.rank(**({"candidates": encoders, "labels": y} | arguments))


@pytest.mark.parametrize("cost", ["milliseconds", "flops", "parameters"])
def test_figure(cost, tmp_path):
    encoders, y = candidates()
    found = ranking.rank(encoders, y, halves=0)
    figure = found.figure(cost)
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.texts] == ["signal 3.0", "signal 1.0", "signal 0.3"]
    xs, ys = axes.lines[-1].get_data()
    assert list(xs) == sorted(xs) and list(ys) == sorted(ys)
    # signal 1.0 is slower and worse than signal 3.0, and has fewer parameters
    assert len(xs) == (2 if cost == "milliseconds" else 3)
    figure.savefig(tmp_path / "figure.png")
    with pytest.raises(ValueError, match="`cost` must be one of"):
        found.figure("dollars")
    with pytest.raises(ValueError, match="both a cost"):
        ranking.rank({"a": blobs(90)[0]}, y, halves=0).figure()
