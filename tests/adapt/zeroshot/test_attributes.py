"""Methods of attributes against slow float64 references, calibrated stacking, and the harmonic mean."""

import copy
import pickle

import numpy
import pytest
import torch
from scipy.linalg import solve_sylvester
from scipy.stats import multivariate_normal
from torch import nn
from torch.utils.data import TensorDataset

from adapt import Model, encoders, zeroshot
from adapt.zeroshot._stacking import best_constant
from tests.ranks import run_ranks

D, A = 6, 4
NAMES = ["Zoë", "李雷", "c", "d", "e", "f"]


def task(n=90, seed=0, noise=0.3, binary=False):
    """Rows of six classes, the classes, and signatures: the features are linear in the signatures."""
    g = torch.Generator().manual_seed(seed)
    S = torch.randn(6, A, generator=g)
    if binary:
        S = torch.tensor([[1, 0, 0, 1], [0, 1, 0, 1], [1, 1, 0, 0], [0, 0, 1, 0], [1, 0, 1, 0], [0, 1, 1, 1.0]])
    y = torch.arange(n) % 6
    return S[y] @ torch.randn(A, D, generator=g) + noise * torch.randn(n, D, generator=g), y, S


METHODS = {"eszsl": zeroshot.eszsl(), "sae": zeroshot.sae(), "dap": zeroshot.dap()}


def test_eszsl_is_the_minimum_of_its_objective():
    x, y, S = task()
    seen = y < 4
    X, Y = x[seen].numpy().astype("f8"), 2 * numpy.eye(4)[y[seen]] - 1
    Sn = S.numpy().astype("f8")
    g, h = 0.7, 1.3
    # one linear system of Kronecker products in place of two small systems
    left = numpy.kron(X.T @ X + g * numpy.eye(D), Sn[:4].T @ Sn[:4] + h * numpy.eye(A))
    V = numpy.linalg.solve(left, (X.T @ Y @ Sn[:4]).ravel()).reshape(D, A)
    found = zeroshot.eszsl(feature_penalty=g, signature_penalty=h)(x[seen], y[seen], S[:4], x, S[4:])
    numpy.testing.assert_allclose(found, x.numpy() @ V @ Sn[4:].T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tradeoff", [0.2, 5.0])
def test_sae_solves_its_sylvester_equation(tradeoff):
    x, y, S = task()
    seen = y < 4
    X, Sy = x[seen].numpy().astype("f8"), S[y[seen]].numpy().astype("f8")
    W = solve_sylvester(Sy.T @ Sy, tradeoff * X.T @ X, (1 + tradeoff) * Sy.T @ X)
    decoded = S[4:].numpy() @ W
    decoded /= numpy.linalg.norm(decoded, axis=1, keepdims=True)
    found = zeroshot.sae(tradeoff=tradeoff)(x[seen], y[seen], S[:4], x, S[4:])
    numpy.testing.assert_allclose(found, x.numpy() @ decoded.T, rtol=1e-4, atol=1e-4)


def test_dap_is_a_product_of_posteriors_of_gaussians():
    x, y, S = task(noise=0.8, binary=True)
    seen = y < 4
    X, a, shrinkage = x[seen].numpy().astype("f8"), S[y[seen]].numpy(), 0.2
    T, sphere = numpy.cov(X.T, bias=True), X.var(0).mean() * numpy.eye(D)
    score = numpy.zeros((len(x), 2))
    for m in range(A):
        up, down, share = X[a[:, m] == 1].mean(0), X[a[:, m] == 0].mean(0), a[:, m].mean()
        C = (1 - shrinkage) * (T - share * (1 - share) * numpy.outer(up - down, up - down)) + shrinkage * sphere
        one = share * multivariate_normal(up, C).pdf(x.numpy())
        none = (1 - share) * multivariate_normal(down, C).pdf(x.numpy())
        for z in range(2):
            has = S[4 + z, m] == 1
            score[:, z] += numpy.log((one if has else none) / (one + none)) - numpy.log(share if has else 1 - share)
    found = zeroshot.dap(shrinkage=shrinkage)(x[seen], y[seen], S[:4], x, S[4:])
    numpy.testing.assert_allclose(found[:, 0] - found[:, 1], score[:, 0] - score[:, 1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", METHODS)
def test_unseen_classes_are_found(name):
    x, y, S = task(binary=name == "dap")
    seen = y < 4
    x = x - x[seen].mean(0)
    found = METHODS[name](x[seen], y[seen], S[:4], x[~seen], S[4:]).argmax(1) + 4
    assert (found == y[~seen]).float().mean() > 0.9
    turned = METHODS[name](x[seen], (y[seen] + 1) % 4, S[:4], x[~seen], S[4:]).argmax(1) + 4
    assert (turned == y[~seen]).float().mean() < 0.9


@pytest.mark.parametrize("name", METHODS)
def test_hostile_rows(name):
    method = METHODS[name]
    x, y, S = task(binary=name == "dap")
    whole = method(x, y, S, x, S)
    assert whole.dtype == torch.float32
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        found = method(x.to(dtype), y, S.to(dtype), x.to(dtype), S.to(dtype))
        assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        torch.testing.assert_close(found.float(), whole, atol=0.2, rtol=0.2)
    assert method((10 * x).round().long(), y.to(torch.uint8), S, (10 * x).round().long(), S).isfinite().all()
    assert method(x[:1], y[:1], S, x[:0], S).shape == (0, 6) if name != "dap" else True
    assert method(x, y, S, x[:1], S[:1]).shape == (1, 1)
    # classes without a row, and 1,000 classes
    many = torch.rand(1000, A, generator=torch.Generator().manual_seed(0))
    assert method(x, y, torch.cat([S, many]), x, many).isfinite().all()
    torch.testing.assert_close(method(x.T.contiguous().T, y, S, x, S), whole, rtol=1e-4, atol=1e-4)
    twice = method(torch.cat([x, x]), torch.cat([y, y]), S, x, S)
    assert twice.isfinite().all()
    same = pickle.loads(pickle.dumps(copy.deepcopy(whole)))
    assert torch.equal(same, whole) and not method(x.requires_grad_(), y, S, x.detach(), S).requires_grad


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"features": torch.zeros(0, D), "labels": torch.zeros(0, dtype=torch.long)}, "`features` must be"),
        ({"features": torch.full((90, D), torch.nan)}, "`features` must be finite"),
        ({"labels": torch.full((90,), 6)}, "`labels` must be row numbers of the 6 `signatures`, found 6"),
        ({"labels": torch.full((90,), -1)}, "leave rows without a label out"),
        ({"labels": torch.zeros(90)}, "whole numbers"),
        ({"signatures": torch.full((6, A), torch.inf)}, "`signatures` must be finite"),
        ({"others": torch.zeros(2, A + 1)}, "`others` must have the 4 numbers"),
        ({"query": torch.zeros(2, D + 1)}, "`query` must be .q, 6."),
    ],
)
@pytest.mark.parametrize("name", METHODS)
def test_wrong_rows_are_refused(name, change, match):
    x, y, S = task(binary=name == "dap")
    given = {"features": x, "labels": y, "signatures": S, "query": x, "others": S} | change
    with pytest.raises(ValueError, match=match):
        METHODS[name](*given.values())


def test_dap_refuses_what_is_no_share():
    x, y, S = task(binary=True)
    with pytest.raises(ValueError, match=r"`signatures` of `zeroshot.dap` must be in \[0, 1\], found"):
        zeroshot.dap()(x, y, 2 * S, x, S)
    with pytest.raises(ValueError, match="`features` must differ"):
        zeroshot.dap()(torch.ones(90, D), y, S, x, S)
    constant = torch.cat([S, torch.ones(6, 1), torch.zeros(6, 1)], 1)  # attributes without a classifier
    torch.testing.assert_close(zeroshot.dap()(x, y, constant, x, constant), zeroshot.dap()(x, y, S, x, S))


def fitted(**options):
    x, y, S = task(300)
    seen = y < 4
    encoder = encoders.wrap(nn.Identity(), D)
    signatures = dict(zip(NAMES, S, strict=True))
    names = [NAMES[i] for i in y[seen]]
    return zeroshot.fit_signatures(encoder, x[seen], names, signatures=signatures, **options), x, y


@pytest.mark.parametrize("name", ["eszsl", "sae"])
def test_a_model_of_unseen_classes(name, tmp_path):
    state = torch.get_rng_state()
    model, x, y = fitted(method=METHODS[name], classes=NAMES[4:])
    assert torch.equal(torch.get_rng_state(), state) and model.names == NAMES[4:]
    rows = y >= 4
    assert (model.predict(x[rows]) == [NAMES[i] for i in y[rows]]).mean() > 0.9
    again = Model.load(model.save(tmp_path / "model"))
    numpy.testing.assert_array_equal(again.probabilities(x), model.probabilities(x))
    assert "constant subtracted from seen classes" not in model.card["settings"]


def test_the_constant_moves_rows_to_unseen_classes():
    """20 classes in a space of few attributes: without the constant no row is of an unseen class."""
    g = torch.Generator().manual_seed(0)
    S = torch.randn(20, 8, generator=g)
    y = torch.arange(600) % 20
    x = S[y] @ torch.randn(8, 12, generator=g) + 2.0 * torch.randn(600, 12, generator=g)
    names = [f"class {i}" for i in range(20)]
    seen, signatures = y < 16, dict(zip(names, S, strict=True))
    encoder, known = encoders.wrap(nn.Identity(), 12), [names[i] for i in y[y < 16]]
    right, models = {}, {}
    for calibration in (0, "held-out", 100.0):
        model = models[calibration] = zeroshot.fit_signatures(
            encoder, x[seen], known, signatures=signatures, calibration=calibration
        )
        predicted = model.predict(x)
        assert predicted.tolist() == [names[i] for i in model.probabilities(x).argmax(1)]
        right[calibration] = zeroshot.generalised(predicted, [names[i] for i in y], names[:16])
    assert right["held-out"].harmonic.value > right[0].harmonic.value + 0.05
    assert models["held-out"].card["settings"]["constant subtracted from seen classes"] > 0
    again = zeroshot.fit_signatures(encoder, x[seen], known, signatures=signatures)
    numpy.testing.assert_array_equal(again.probabilities(x), models["held-out"].probabilities(x))
    assert set(models[100.0].predict(x)) <= set(names[16:])


def test_the_best_constant_is_the_best_of_all():
    g = torch.Generator().manual_seed(0)
    gap = torch.randn(40, generator=g).round(decimals=1)  # with equal gaps
    right, unseen = torch.rand(40, generator=g) < 0.7, torch.rand(40, generator=g) < 0.4
    weight = torch.rand(40, generator=g).double()

    def harmonic(constant):
        s = (weight * right * ~unseen * (gap > constant)).sum() / (weight * ~unseen).sum()
        u = (weight * right * unseen * (gap <= constant)).sum() / (weight * unseen).sum()
        return float(2 * s * u / (s + u)), float(s), float(u)

    constant, s, u = best_constant(gap, right, unseen, weight)
    tried = max(harmonic(c)[0] for c in numpy.linspace(-4, 4, 4001))
    assert harmonic(constant) == pytest.approx((tried, s, u))


def test_harmonic_mean_of_class_means():
    labels = ["a"] * 4 + ["b"] * 2 + ["u"] * 5 + ["v"]
    predicted = ["a", "a", "a", "u"] + ["b", "a"] + ["u", "u", "a", "v", "a"] + ["v"]
    found = zeroshot.generalised(predicted, labels, seen=["a", "b"])
    s, u = (3 / 4 + 1 / 2) / 2, (2 / 5 + 1) / 2
    assert found.seen.value == pytest.approx(s) and found.unseen.value == pytest.approx(u)
    assert found.harmonic.value == pytest.approx(2 * s * u / (s + u))
    assert (found.seen.n, found.unseen.n, found.harmonic.n) == (6, 6, 12)
    numbers = {name: i for i, name in enumerate("abuv")}
    again = zeroshot.generalised([numbers[p] for p in predicted], torch.tensor([numbers[v] for v in labels]), {0, 1})
    assert again == found and "harmonic" in str(found)


@pytest.mark.claim
def test_the_interval_of_the_harmonic_mean_covers():
    g = numpy.random.default_rng(0)
    shares = numpy.array([0.9, 0.6, 0.4, 0.7])
    s, u = shares[:2].mean(), shares[2:].mean()
    truth, covered = 2 * s * u / (s + u), 0
    for _ in range(400):
        y = numpy.repeat(numpy.arange(4), 60)
        p = numpy.where(g.random(240) < shares[y], y, (y + 1) % 4)
        found = zeroshot.generalised(p, y, {0, 1}).harmonic
        covered += found.low <= truth <= found.high
    assert 0.92 <= covered / 400 <= 0.98


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"classes": ["Zoë"]}, ValueError, "`classes` must be two different names"),
        ({"classes": ["e", "e"]}, ValueError, "two different names"),
        ({"classes": ["e", "nobody"]}, ValueError, "'nobody' has none"),
        ({"signatures": {"Zoë": [1.0]}}, ValueError, "`signatures` must have every class"),
        ({"signatures": {"Zoë": [1.0], "c": [1.0, 2.0]}}, ValueError, "of one size"),
        ({"signatures": {"Zoë": [1.0], "c": [float("nan")]}}, ValueError, "NaN or infinity for 'c'"),
        ({"signatures": [[1.0]]}, TypeError, "`signatures` must be a dict"),
        ({"method": "eszsl"}, TypeError, "`method` must be a method"),
        ({"calibration": "best"}, ValueError, "`calibration` must be a finite number, or 'held-out'"),
    ],
)
def test_wrong_options_of_a_model(options, error, match):
    x, y, S = task()
    names = [NAMES[i] for i in y[y < 4]]
    given = {"signatures": dict(zip(NAMES, S, strict=True))} | options
    with pytest.raises(error, match=match):
        zeroshot.fit_signatures(encoders.wrap(nn.Identity(), D), x[y < 4], names, **given)


def test_two_seen_classes_and_names_of_a_data_set():
    x, y, S = task()
    signatures = dict(zip(NAMES, S, strict=True))
    encoder, two = encoders.wrap(nn.Identity(), D), y < 2
    with pytest.raises(ValueError, match="needs three seen classes, got 2"):
        zeroshot.fit_signatures(encoder, x[two], y[two].tolist(), signatures={str(i): s for i, s in enumerate(S)})
    model = zeroshot.fit_signatures(
        encoder, TensorDataset(x[two], y[two]), signatures={str(i): s for i, s in enumerate(S)}, calibration=0.0
    )
    assert model.names == ["0", "1", "2", "3", "4", "5"]
    with pytest.raises(ValueError, match="must be"):
        zeroshot.generalised(["a"], ["a", "b"], ["a"])
    with pytest.raises(ValueError, match="no row is of an unseen class"):
        zeroshot.generalised(["a"], ["a"], ["a"])
    with pytest.raises(ValueError, match="no row is of a seen class"):
        zeroshot.generalised([], [], ["a"])
    assert signatures


def on_a_rank(rank: int, world: int) -> list[torch.Tensor]:
    x, y, S = task(binary=True)
    model, rows, _ = fitted()
    return [*(method(x, y, S, x, S) for method in METHODS.values()), torch.as_tensor(model.probabilities(rows))]


def test_two_ranks_equal_one():
    alone, both = on_a_rank(0, 1), run_ranks(on_a_rank, 2)
    for rank in both:
        torch.testing.assert_close(rank, alone, rtol=1e-5, atol=1e-6)
