"""Each solver against its equation, brute force, a generic solver, or torchjd."""

import itertools
import sys

import numpy
import pytest
import torch
from scipy.optimize import minimize

from adapt import bridges, multitask
from adapt.multitask._cagrad import combine
from adapt.multitask._imtl_g import project as equal_projections
from adapt.multitask._mgda import shortest
from adapt.multitask._nash_mtl import bargain
from adapt.multitask._pcgrad import project as surgery
from adapt.multitask._upgrad import project
from tests.adapt.multitask.cases import FROM_GRAMIAN, jacobians, weigh


@pytest.mark.parametrize("alpha", [1.0, 2.0, 0.5])
def test_bargaining_solves_its_equation(alpha):
    for J in jacobians(1000):
        G = J @ J.T
        w = bargain(G, alpha)
        assert (w > 0).all()
        assert numpy.abs((G @ w) * w ** (1 / alpha) - 1).max() < 1e-6


def test_bargaining_near_the_largest_smallest_gain_goes_on_until_it_is_solved():
    """With a large alpha, unless weights are held; a weight of a task that gains more than others may vanish."""
    solved = 0
    for J in jacobians(100):
        G = J @ J.T
        w = bargain(G, 100.0)
        if (w * G.diagonal() ** (1 / 1.01)).max() < 99.99:
            counts = w > 1e-12
            assert numpy.abs((G @ w) * w**0.01 - 1)[counts].max() < 1e-6
            solved += 1
    assert solved > 90


def test_upgrad_and_dualproj_conflict_with_no_task():
    for J in jacobians(1000, seed=1, dimensions=12):
        norms = numpy.linalg.norm(J, axis=1)
        for balance in (multitask.upgrad(), multitask.dualproj()):
            w = weigh(balance, J)
            size = numpy.abs(w * norms).sum()
            assert (J @ (w @ J) >= -1e-9 * norms * size).all()


def kkt_violation(G, u, v):
    """How far v is from the minimum of v'Gv with v >= u, in unit gradients."""
    d = numpy.sqrt(G.diagonal())
    slope, room = (G @ v) / d, (v - u) * d
    size = (numpy.abs(v) * d).max()
    return max(-slope.min(), -room.min(), numpy.minimum(slope, room).max()) / size


def test_projections_satisfy_their_optimality_conditions():
    for J in jacobians(200, seed=2):
        G = J @ J.T
        G /= G.diagonal().mean()
        for u, v in zip(numpy.eye(len(G)), project(G, numpy.eye(len(G))), strict=True):
            assert kkt_violation(G, u, v) < 1e-8


def test_opposite_gradients_in_float32_get_no_endless_weights():
    """Two gradients that rounding leaves not quite opposite, and one or two more."""
    rng = numpy.random.default_rng(21)
    for turn in range(200):
        J = rng.standard_normal((3 + turn % 2, rng.choice([2, 3, 10, 200])))
        J[1] = -J[0]
        J = torch.from_numpy(J * numpy.exp(rng.uniform(-3, 3, (len(J), 1)))).float()
        norms, G = J.norm(dim=1), J @ J.T
        for balance in (multitask.upgrad(), multitask.dualproj()):
            direction = balance(torch.ones(len(J)), G) @ J
            assert (J @ direction / norms).min() > -1e-3 * norms.max()
            assert direction.norm() < 2 * norms.sum()  # a projection is no longer than the gradient
        mean = J.mean(0)
        away = multitask.cagrad(radius=0.5)(torch.ones(len(J)), G) @ J / len(J) - mean
        assert away.norm() < 0.501 * mean.norm() + 1e-4 * norms.max()


def test_mgda_against_brute_force():
    grid2 = numpy.linspace(0, 1, 2001)
    simplex2 = numpy.stack([grid2, 1 - grid2], 1)
    grid3 = numpy.linspace(0, 1, 101)
    simplex3 = numpy.array([(a, b, 1 - a - b) for a, b in itertools.product(grid3, grid3) if a + b <= 1 + 1e-12])
    for T, simplex in ((2, simplex2), (3, simplex3)):
        for J in jacobians(50, low=T, high=T + 1, seed=3, spread=1.0):
            w = weigh(multitask.mgda(), J) / T
            G = J @ J.T
            best = numpy.einsum("ni,ij,nj->n", simplex, G, simplex).min()
            assert w.min() >= 0 and w.sum() == pytest.approx(1)
            assert w @ G @ w <= best * (1 + 1e-9)
            assert w @ G @ w >= best * (1 - 0.05)


def test_mgda_where_least_squares_takes_many_turns():
    """A Pareto-stationary point of rank 12: scipy's own limit, three turns a task, is not enough."""
    rng = numpy.random.default_rng(17984)
    J = torch.from_numpy(rng.normal(size=(18, 12)) * numpy.exp(rng.uniform(-3, 3, size=(18, 1)))).float()
    J[-1] = -J[:-1].sum(0)
    w = multitask.mgda()(torch.ones(18), J @ J.T)
    assert (w @ J).norm() < 1e-3 * J.norm(dim=1).min()


def test_mgda_of_two_in_closed_form():
    for J in jacobians(100, low=2, high=3, seed=4):
        a, b = J
        share = numpy.clip((b - a) @ b / ((a - b) @ (a - b)), 0, 1)
        numpy.testing.assert_allclose(weigh(multitask.mgda(), J) / 2, [share, 1 - share], atol=1e-9)


def test_cagrad_against_a_generic_solver():
    for J in jacobians(30, seed=5, spread=1.0, high=6):
        G, T, c = J @ J.T, len(J), 0.4
        G = G / G.diagonal().mean()
        b = numpy.full(T, 1 / T)
        reach = c * numpy.sqrt(b @ G @ b)
        dual = lambda w: w @ G @ b + reach * numpy.sqrt(w @ G @ w + 1e-18)  # noqa: B023, E731
        bounds, simplex = [(0, 1)] * T, {"type": "eq", "fun": lambda w: w.sum() - 1}
        found = minimize(dual, b, bounds=bounds, constraints=simplex, tol=1e-12, options={"maxiter": 500})
        weights = weigh(multitask.cagrad(radius=c), J) / T
        d = weights @ (J / numpy.sqrt(numpy.square(J).sum(1).mean()))
        unit = J / numpy.sqrt(numpy.square(J).sum(1).mean())
        g0 = unit.mean(0)
        assert numpy.linalg.norm(d - g0) <= reach * (1 + 1e-8)
        # strong duality: the worst task gains what the dual says
        assert (unit @ d).min() == pytest.approx(found.fun, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("dimensions", [50, 4], ids=["independent", "more tasks than dimensions"])
def test_the_shortest_vector_with_given_products(dimensions):
    """Its optimality conditions: only gradients whose product is no more than asked for have a weight."""
    counted = 0
    for J in jacobians(200, seed=12, dimensions=dimensions):
        U = J / numpy.linalg.norm(J, axis=1, keepdims=True)
        h = numpy.random.default_rng(len(J)).normal(size=len(J))
        v = shortest(U @ U.T, h)
        if 1 - h @ v < 1e-8:  # no vector has these products: a combination that cancels shows it
            assert numpy.linalg.norm(v @ U) < 1e-6 * v.sum()
            continue
        y = v / (1 - h @ v)
        room = U @ (y @ U) - h
        assert y.min() >= 0 and room.min() > -1e-7 * y.max()
        assert numpy.abs(y * room).max() < 1e-7 * y.max() ** 2
        counted += 1
    assert counted > 50


@pytest.mark.parametrize("c", [0.1, 0.5, 0.9])
def test_cagrad_satisfies_its_optimality_conditions(c):
    """On ill-scaled gradients: on the sphere, and who has a weight gains the least."""
    for J in jacobians(300, seed=13):
        J = J / numpy.sqrt(numpy.square(J).sum(1).mean())
        norms, g0 = numpy.linalg.norm(J, axis=1), J.mean(0)
        w = combine(J @ J.T, c)
        reach = c * numpy.linalg.norm(g0)
        assert numpy.linalg.norm(w @ J - g0) == pytest.approx(reach, rel=1e-6)
        y = (w - 1 / len(J)) * norms
        gains = J @ (w @ J)
        least = gains.min()
        assert y.min() >= -1e-12
        assert (numpy.minimum(y / y.max(), (gains - least) / norms / reach) < 1e-6).all()


def test_cagrad_where_the_gradients_cancel_hurts_no_task():
    J = numpy.array([[1.0, 0.0], [-0.5, 0.1], [0.0, -3.0]])
    for c in (1.5, 2.0):
        w = weigh(multitask.cagrad(radius=c), J)
        assert (J @ (w @ J) > -1e-6).all()


def test_imtl_g_projects_equally_on_every_gradient():
    for J in jacobians(200, seed=6):
        unit = J / numpy.linalg.norm(J, axis=1, keepdims=True)
        w = equal_projections(unit @ unit.T)
        along = unit @ (w @ unit)
        numpy.testing.assert_allclose(along, along.mean(), rtol=1e-8)


def test_config_has_equal_cosines_and_the_length_of_the_projections():
    for J in jacobians(200, seed=7):
        d = weigh(multitask.conflict_free(), J) @ J
        cosines = J @ d / numpy.linalg.norm(J, axis=1) / numpy.linalg.norm(d)
        numpy.testing.assert_allclose(cosines, cosines.mean(), rtol=1e-6)
        assert cosines.min() > 0
        assert numpy.linalg.norm(d) == pytest.approx((J @ d).sum() / numpy.linalg.norm(d), rel=1e-8)


def test_aligned_mtl_sums_orthogonal_gradients_of_one_length():
    for J in jacobians(100, seed=8, spread=1.0):
        U, values, V = numpy.linalg.svd(J, full_matrices=False)
        numpy.testing.assert_allclose(
            weigh(multitask.aligned_mtl(), J) @ J, (values.min() * U @ V).sum(0), rtol=1e-6, atol=1e-9
        )
        median = multitask.aligned_mtl(scale="median")
        scale = numpy.sqrt(numpy.median(values**2))
        numpy.testing.assert_allclose(weigh(median, J) @ J, (scale * U @ V).sum(0), rtol=1e-6, atol=1e-9)


def test_pcgrad_against_vectors():
    rng = numpy.random.default_rng(0)
    for J in jacobians(100, seed=9):
        T = len(J)
        orders = [rng.permutation(T).tolist() for _ in range(T)]
        total = numpy.zeros(J.shape[1])
        for i, order in enumerate(orders):
            g = J[i].copy()
            for j in order:
                if j != i and g @ J[j] < 0:
                    g -= (g @ J[j]) / (J[j] @ J[j]) * J[j]
            total += g
        numpy.testing.assert_allclose(surgery(J @ J.T, orders) @ J, total, rtol=1e-9, atol=1e-9)


def precise(name):
    """Torchjd's weighting of that name without its regularisation, in our convention of sums."""
    peers = pytest.importorskip("torchjd.aggregation")
    pytest.importorskip("qpsolvers"), pytest.importorskip("quadprog")
    from torchjd._linalg._dual_cone import QuadprogProjector

    exact = QuadprogProjector(norm_eps=0.0, reg_eps=1e-11)
    made = {
        "upgrad": lambda: peers.UPGradWeighting(projector=exact),
        "dualproj": lambda: peers.DualProjWeighting(projector=exact),
        "aligned_mtl": lambda: peers.AlignedMTLWeighting(),
        "imtl_g": lambda: peers.IMTLGWeighting(),
        "fairgrad": lambda: peers.FairGradWeighting(alpha=2.0),
    }
    return bridges.torchjd(made[name]())


@pytest.mark.parametrize("name", ["upgrad", "dualproj", "aligned_mtl", "fairgrad"])
def test_against_torchjd(name):
    theirs, ours = precise(name), FROM_GRAMIAN[name]()
    for J in jacobians(100, seed=10, spread=1.0, high=8):
        w, v = weigh(ours, J), weigh(theirs, J)
        numpy.testing.assert_allclose(w @ J, v @ J, rtol=1e-3, atol=1e-4 * numpy.linalg.norm(v @ J))


def test_imtl_g_against_torchjd_where_nothing_is_clamped():
    theirs, ours = precise("imtl_g"), multitask.imtl_g()
    compared = 0
    for J in jacobians(100, seed=11, spread=1.0, high=8):
        v = weigh(theirs, J)
        if v.min() > 0:
            compared += 1
            numpy.testing.assert_allclose(weigh(ours, J), v, rtol=1e-4)
    assert compared > 20


def test_torchjd_aggregators_are_taken_by_their_weighting():
    peers = pytest.importorskip("torchjd.aggregation")
    pytest.importorskip("qpsolvers"), pytest.importorskip("quadprog")
    conflict = torch.tensor([[1.0, -0.5], [-0.5, 1.0]])
    found = bridges.torchjd(peers.UPGrad())(torch.ones(2), conflict)
    torch.testing.assert_close(found, torch.tensor([1.5, 1.5]), rtol=1e-2, atol=0)
    with pytest.raises(TypeError, match="needs the whole Jacobian"):
        bridges.torchjd(peers.GradDrop())


def test_a_balance_of_torchjd_prints_its_call():
    peers = pytest.importorskip("torchjd.aggregation")
    shown = repr(bridges.torchjd(peers.FairGradWeighting(alpha=2.0), at="features"))
    assert shown.startswith("torchjd(aggregator=FairGradWeighting(") and shown.endswith(", at='features')")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0, 2.0])
def test_bargaining_ends_where_gradients_cancel(alpha, dtype, monkeypatch):
    """There is no solution there but for the ridge, and its equation holds to its rounding only."""
    module, calls = sys.modules["adapt.multitask._nash_mtl"], []
    solve = module.solve
    monkeypatch.setattr(module, "solve", lambda *a: (calls.append(None), solve(*a))[1])
    g = torch.randn(4, 8, dtype=dtype, generator=torch.Generator().manual_seed(0))
    for gram in (torch.tensor([[1.0, -1], [-1, 1]], dtype=dtype), (g - g.mean(0)) @ (g - g.mean(0)).T):
        w = multitask.fairgrad(alpha=alpha)(torch.ones(len(gram)), gram)
        assert len(calls) < 60 and w.isfinite().all() and w.min() > 0
        calls.clear()
