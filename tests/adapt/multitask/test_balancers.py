"""What every balancer promises, and what each paper claims."""

import numpy
import pytest
import torch
from torch import nn

from adapt import multitask
from adapt.engine.description import describe
from tests.adapt.multitask.cases import FROM_GRAMIAN, FROM_LOSSES, METHODS, jacobians, weigh

HOSTILE = {
    "a zero gradient": [[0.0, 0, 0], [1, 0, 0], [0, 2, 0]],
    "all zero": [[0.0, 0, 0], [0, 0, 0]],
    "identical": [[1.0, 2, 3], [1, 2, 3], [1, 2, 3]],
    "rank 1": [[1.0, 0, 0], [-2, 0, 0], [3, 0, 0]],
    "opposite": [[1.0, 1, 0], [-1, -1, 0]],
    "tiny": [[1e-12, 0, 0], [0, 2e-12, 0], [1e-12, 1e-12, 1e-12]],
    "huge": [[1e12, 0, 0], [0, 2e12, 0], [1e12, 1e12, 1e12]],
    "one tiny": [[1e-12, 1e-12, 0], [1, 0, 0], [0, 1, 0]],
    "one task": [[1.0, 2, 3]],
    "more tasks than dimensions": [[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [-1, -1, 0]],
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("name", METHODS)
def test_finite_on_hostile_gramians(name, case):
    J = numpy.array(HOSTILE[case])
    for dtype in (torch.float64, torch.float32):
        G = torch.from_numpy(J @ J.T).to(dtype)
        balance = METHODS[name]()
        for _ in range(4):
            w = balance(torch.full((len(J),), 1e-30, dtype=dtype), G)
            assert w.dtype == dtype and w.shape == (len(J),) and w.isfinite().all(), w


@pytest.mark.parametrize("name", FROM_GRAMIAN)
def test_rounding_of_a_rank_deficient_gramian(name):
    """More tasks than dimensions, in float32: eigenvalues that should be 0 are noise of either sign."""
    rng = numpy.random.default_rng(0)
    for T, dimensions in ((16, 8), (9, 1), (6, 5)):
        J = torch.from_numpy(rng.normal(size=(T, dimensions)) * numpy.exp(rng.uniform(-3, 3, size=(T, 1)))).float()
        assert FROM_GRAMIAN[name]()(torch.ones(T), J @ J.T).isfinite().all()


@pytest.mark.parametrize("name", sorted(set(FROM_GRAMIAN) - {"pcgrad"}))
def test_float32_and_float64_agree_where_a_task_is_the_sum_of_two(name):
    a, b = torch.randn(2, 500, generator=torch.Generator().manual_seed(0))
    J = torch.stack([a, b, 1.7 * (a + b)])
    exact = J.double() @ J.double().T  # its third eigenvalue is the square of J's rounding
    torch.testing.assert_close(
        FROM_GRAMIAN[name]()(torch.ones(3), J @ J.T), FROM_GRAMIAN[name]()(torch.ones(3), exact), rtol=1e-2, atol=1e-3
    )


@pytest.mark.parametrize("name", METHODS)
def test_the_global_random_state_is_left_alone(name):
    before = torch.get_rng_state()
    METHODS[name]()(torch.rand(3, generator=torch.Generator().manual_seed(0)), torch.eye(3))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", METHODS)
def test_orthonormal_tasks_with_equal_losses_count_equally(name):
    if name in ("rlw", "auxiliary", "cagrad"):
        return
    w = METHODS[name]()(torch.ones(4), torch.eye(4))
    torch.testing.assert_close(w, torch.ones(4))


@pytest.mark.parametrize("name", FROM_GRAMIAN)
def test_a_common_factor_changes_no_weight(name):
    for J in jacobians(10, seed=1, spread=1.0):
        numpy.testing.assert_allclose(weigh(FROM_GRAMIAN[name](), 1e-9 * J), weigh(FROM_GRAMIAN[name](), J), rtol=1e-5)


@pytest.mark.parametrize("name", ["imtl_g", "nash_mtl", "conflict_free"])
def test_invariant_to_the_scale_of_a_loss(name):
    """The direction is the same, whatever the units of a task."""
    for J in jacobians(20, seed=2, spread=1.0):
        scales = numpy.exp(numpy.linspace(-3, 3, len(J)))[:, None]
        one, other = (weigh(FROM_GRAMIAN[name](), K) @ K for K in (J, scales * J))
        cosine = one @ other / numpy.linalg.norm(one) / numpy.linalg.norm(other)
        assert cosine == pytest.approx(1.0, abs=1e-8)


@pytest.mark.parametrize("name", sorted(set(FROM_GRAMIAN) - {"pcgrad"}))
def test_the_order_of_the_tasks_does_not_matter(name):
    for J in jacobians(10, seed=3, spread=1.0):
        order = numpy.random.default_rng(0).permutation(len(J))
        one, other = weigh(FROM_GRAMIAN[name](), J), weigh(FROM_GRAMIAN[name](), J[order])
        numpy.testing.assert_allclose(one[order], other, rtol=1e-4, atol=1e-6 * numpy.abs(one).max())


@pytest.mark.parametrize("name", ["upgrad", "dualproj", "pcgrad"])
def test_without_conflict_it_is_the_plain_sum(name):
    J = numpy.abs(next(iter(jacobians(1))))
    numpy.testing.assert_allclose(weigh(FROM_GRAMIAN[name](), J), 1.0)


def test_relations_between_methods():
    for J in jacobians(20, seed=4, spread=1.0):
        numpy.testing.assert_allclose(weigh(multitask.cagrad(radius=0.0), J), 1.0)
        fair = multitask.fairgrad(alpha=1.0)
        numpy.testing.assert_allclose(weigh(fair, J), weigh(multitask.nash_mtl(), J))
        one, other = weigh(multitask.conflict_free(), J), weigh(multitask.imtl_g(), J)
        if one.min() > 0:
            numpy.testing.assert_allclose(one / one.sum(), other / other.sum(), rtol=1e-6)


def test_opposite_tasks_do_not_explode():
    J = numpy.array([[1.0, 0.0], [-1.0, 1e-9]])
    assert weigh(multitask.nash_mtl(), J).max() < 200


@pytest.mark.parametrize("name", METHODS)
def test_an_absent_task_changes_nothing_for_the_others(name):
    losses = torch.tensor([0.5, torch.nan, 1.5, 0.7], dtype=torch.float64)
    there = ~losses.isnan()
    J = torch.from_numpy(next(iter(jacobians(1, low=4, high=5, spread=1.0))))
    G = J @ J.T
    absent = torch.where(there[:, None] & there, G, 0.0)
    w = METHODS[name]()(losses, absent)
    assert w[there].isfinite().all()
    if name not in ("rlw", "pcgrad"):  # their draws are for all tasks
        torch.testing.assert_close(w[there], METHODS[name]()(losses[there], G[there][:, there]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", METHODS)
def test_state_is_in_buffers(name, dtype):
    balance = METHODS[name]()
    if not isinstance(balance, nn.Module):
        return
    losses = torch.rand(7, 3, generator=torch.Generator().manual_seed(0), dtype=dtype) + 0.1
    whole = [balance(x, torch.eye(3) - 0.3) for x in losses]
    first, again = METHODS[name](), METHODS[name]()
    for made in (first, again):
        if hasattr(made, "start"):
            made.start(3)
    for x in losses[:4]:
        first(x, torch.eye(3) - 0.3)
    again.load_state_dict(first.state_dict())
    rest = [again(x, torch.eye(3) - 0.3) for x in losses[4:]]
    assert all(torch.equal(a, b) for a, b in zip(whole[4:], rest, strict=True))
    assert not list(balance.parameters())


@pytest.mark.parametrize("name", FROM_GRAMIAN)
def test_without_a_gramian(name):
    with pytest.raises(ValueError, match="`gram` must be the"):
        FROM_GRAMIAN[name]()(torch.ones(2))


@pytest.mark.parametrize(
    "make",
    [
        lambda: multitask.cagrad(radius=-1.0),
        lambda: multitask.fairgrad(alpha=0.0),
        lambda: multitask.aligned_mtl(scale="mean"),
        lambda: multitask.uw_so(temperature=0),
        lambda: multitask.stch(smoothing=0),
        lambda: multitask.dwa(window=0),
        lambda: multitask.auxiliary(main=-1),
        lambda: multitask.gls(floor=0.0),
        lambda: multitask.imtl_l(floor=-1.0),
        lambda: multitask.uncertainty(rate=0.0),
        lambda: multitask.uncertainty(bound=-5.0),
        lambda: multitask.famo(rate=float("nan")),
        lambda: multitask.famo(decay=-0.1),
    ],
)
def test_settings_out_of_range(make):
    with pytest.raises(ValueError, match="must"):
        make()


@pytest.mark.parametrize("name", [*FROM_GRAMIAN, "auxiliary"])
def test_an_unknown_place_of_the_gradients(name):
    with pytest.raises(
        ValueError, match="`at` must be 'features', 'parameters' or a module of the encoder, got 'head'"
    ):
        getattr(multitask, name)(at="head")


@pytest.mark.parametrize("name", METHODS)
def test_a_balance_prints_the_call_that_made_it(name):
    shown = repr(METHODS[name]())
    assert shown.startswith(f"{name}(") and repr(eval(f"multitask.{shown}")) == shown
    assert describe(METHODS[name]()) == shown


def test_a_balance_prints_its_settings():
    assert repr(multitask.fairgrad(alpha=3.0, at="parameters")) == "fairgrad(alpha=3.0, at='parameters')"
    assert repr(multitask.dwa(window=7)) == "dwa(window=7, temperature=2.0)"
    assert repr(multitask.pcgrad(at=nn.Tanh())) == "pcgrad(at=Tanh(), seed=0)"
    assert repr(multitask.FromGramian(numpy.linalg.det)) == "FromGramian(solve=det, at='features', independent=False)"


# ---- from losses ----


def test_geometric_mean_is_its_own_gradient():
    L = torch.tensor([0.2, 3.0, 1e-4], dtype=torch.float64, requires_grad=True)
    value = 3 * L.prod() ** (1 / 3)
    torch.testing.assert_close(multitask.gls()(L.detach()), torch.autograd.grad(value, L)[0])


def test_geometric_mean_does_not_underflow():
    w = multitask.gls()(torch.full((8,), 1e-7))
    torch.testing.assert_close(w, torch.ones(8))


@pytest.mark.parametrize("name", ["gls", "imtl_l"])
def test_log_sums_make_losses_equal(name):
    L = torch.tensor([0.2, 3.0, 1e-4])
    weighted = FROM_LOSSES[name]()(L) * L
    torch.testing.assert_close(weighted, weighted.mean().expand(3))


def test_uncertainty_comes_to_rest_at_one_over_the_loss():
    balance, L = multitask.uncertainty(rate=0.2), torch.tensor([0.2, 3.0, 1.0])
    for _ in range(400):
        w = balance(L)
    torch.testing.assert_close(w, 1 / L, rtol=1e-3, atol=0)


def test_smooth_tchebycheff_is_its_own_gradient():
    L = torch.tensor([0.2, 0.3, 0.1], dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.grad(0.1 * (L.log() / 0.1).logsumexp(0), L)[0]
    torch.testing.assert_close(multitask.stch(smoothing=0.1)(L.detach()), 3 * slope / slope.sum())
    torch.testing.assert_close(multitask.stch(smoothing=1.0)(L.detach()), torch.ones(3, dtype=torch.float64))


def test_uw_so_near_equal_and_near_the_smallest():
    L = torch.tensor([0.5, 1.0, 2.0])
    torch.testing.assert_close(multitask.uw_so(temperature=1e6)(L), torch.ones(3), rtol=1e-4, atol=0)
    assert multitask.uw_so(temperature=1e-3)(L).tolist() == [3.0, 0.0, 0.0]


def test_dwa_by_hand():
    balance = multitask.dwa(window=2, temperature=2.0)
    windows = torch.tensor([[[1.0, 1.0], [3.0, 1.0]], [[1.0, 1.0], [1.0, 0.0]]])
    for window in windows:
        for L in window:
            torch.testing.assert_close(balance(L), torch.ones(2))
    r = torch.tensor([1.0 / 2.0, 0.5 / 1.0])
    torch.testing.assert_close(balance(torch.ones(2)), 2 * (r / 2).softmax(0))


def test_famo_turns_to_the_task_that_does_not_fall():
    balance = multitask.famo(rate=0.1)
    for t in range(30):
        w = balance(torch.tensor([0.9**t, 1.0]))
    relative = w * torch.tensor([0.9**29, 1.0])  # weights of the logarithms
    assert relative[1] > 1.5 * relative[0]
    assert w.sum() == pytest.approx(2.0)


def test_famo_against_autograd_and_adam():
    balance, g = multitask.famo(), torch.Generator().manual_seed(0)
    xi = torch.zeros(3, requires_grad=True)
    adam = torch.optim.Adam([xi], lr=0.025, weight_decay=1e-3)
    before = None
    for L in torch.rand(6, 3, generator=g) + 0.1:
        if before is not None:
            adam.zero_grad()
            (xi.softmax(0) @ (before.log() - L.log())).backward()
            adam.step()
        expected = xi.softmax(0).detach() / L
        torch.testing.assert_close(balance(L), 3 * expected / expected.sum(), rtol=1e-5, atol=1e-6)
        before = L


def test_random_weights_differ_by_call_and_seed():
    one, same, other = multitask.rlw(), multitask.rlw(), multitask.rlw(seed=1)
    first, second = one(torch.ones(3)), one(torch.ones(3))
    assert torch.equal(first, same(torch.ones(3))) and not torch.equal(first, second)
    assert not torch.equal(first, other(torch.ones(3)))
    draws = torch.stack([one(torch.ones(3)) for _ in range(500)])
    torch.testing.assert_close(draws.mean(0), torch.ones(3), atol=0.1, rtol=0)


# ---- auxiliary ----


def test_an_auxiliary_task_that_hurts_has_no_say():
    J = torch.tensor([[1.0, 0.0], [3.0, 4.0], [-1.0, 5.0]])
    w = multitask.auxiliary()(torch.ones(3), J @ J.T)
    torch.testing.assert_close(w, torch.tensor([1.0, 0.6, 0.0]))
    w = multitask.auxiliary(main=1, hard=True)(torch.ones(3), J @ J.T)
    torch.testing.assert_close(w, torch.tensor([1.0, 1.0, 1.0]))
    missing = multitask.auxiliary()(torch.tensor([torch.nan, 1.0, 1.0]), J @ J.T)
    assert missing[1:].tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match="main task"):
        multitask.auxiliary(main=3)(torch.ones(3), J @ J.T)
