"""The Sinkhorn divergence and its solver beyond the battery."""

import math

import pytest
import torch

import losses
from losses.transport.entropic import row_plan, solve

g = torch.Generator().manual_seed(0)
x = torch.randn(12, 3, generator=g, dtype=torch.float64)
y = 1.5 * torch.randn(9, 3, generator=g, dtype=torch.float64) + 0.5


def gradients(loss, *inputs):
    inputs = [z.clone().requires_grad_() for z in inputs]
    return torch.autograd.grad(loss(*inputs), inputs)


def test_a_shift_costs_half_its_square_at_any_blur():
    shift = torch.tensor([3.0, 0.0, 4.0], dtype=torch.float64)
    for options in ({}, {"blur": 2.0}, {"blur": 0.3}):
        torch.testing.assert_close(losses.sinkhorn_divergence(x, x + shift, **options), torch.tensor(12.5).double())


def test_a_large_blur_is_the_distance_between_means_for_power_2():
    value = losses.sinkhorn_divergence(x, y, blur=1e3)
    torch.testing.assert_close(value, (x.mean(0) - y.mean(0)).square().sum() / 2, rtol=1e-4, atol=0)


def test_a_large_blur_is_the_energy_distance_for_power_1():
    within = lambda z: torch.cdist(z, z).mean()  # noqa: E731
    energy = torch.cdist(x, y).mean() - within(x) / 2 - within(y) / 2
    torch.testing.assert_close(losses.sinkhorn_divergence(x, y, power=1, blur=1e5), energy, rtol=1e-3, atol=0)


def test_a_large_reach_is_no_reach():
    torch.testing.assert_close(
        losses.sinkhorn_divergence(x, y, blur=1.0, reach=1e5),
        losses.sinkhorn_divergence(x, y, blur=1.0),
        rtol=1e-6,
        atol=0,
    )


@pytest.mark.parametrize("debias", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-6)])
@pytest.mark.parametrize(("reach", "blur", "distance"), [(10, 0.05, 2), (10, 0.05, 20), (100, 0.05, 20), (1, 0.05, 2)])
def test_one_point_against_one_is_the_closed_form(reach, blur, distance, dtype, tolerance, debias):
    """Row 25 of the cases: the updates alone need thousands of steps for soft marginals of a large reach."""
    epsilon, rho, cost = blur**2, reach**2, distance**2 / 2
    mass = math.exp(-cost / (epsilon + 2 * rho))  # min over mass t of t C + (epsilon + 2 rho) (t log t - t + 1)
    source, target = torch.zeros(1, 1, dtype=dtype), torch.full((1, 1), float(distance), dtype=dtype)
    loss = lambda a, b: losses.sinkhorn_divergence(a, b, blur=blur, reach=reach, debias=debias)  # noqa: E731
    assert loss(source, target).item() == pytest.approx((epsilon + 2 * rho) * (1 - mass), rel=tolerance)
    found = [pull.item() for pull in gradients(loss, source, target)]
    assert found == pytest.approx([-mass * distance, mass * distance], rel=tolerance)


@pytest.mark.parametrize(("reach", "blur", "tolerance"), [(100.0, 1.0, 1e-12), (0.5, 0.1, 1e-9)])
def test_soft_marginals_converge_in_the_default_steps(reach, blur, tolerance):
    run = lambda **more: gradients(  # noqa: E731
        lambda a, b: losses.sinkhorn_divergence(a, b, blur=blur, reach=reach, **more), x, y
    )
    torch.testing.assert_close(run(), run(steps=3000, annealing=20), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e3, 1e5])
@pytest.mark.parametrize("options", [{}, {"reach": 10.0}, {"power": 1}], ids=str)
def test_a_small_blur_at_a_large_scale_is_finite(options, scale, dtype):
    """Row 25 of the cases: a row's cost with itself was the rounding of a product, far above the temperature."""
    rows = torch.Generator().manual_seed(2)
    source, target = (scale * torch.randn(48, 16, generator=rows, dtype=torch.float64).to(dtype) for _ in "st")
    target = target + 0.2 * scale
    loss = lambda a, b: losses.sinkhorn_divergence(a, b, blur=0.05, **options)  # noqa: E731
    assert all(pull.isfinite().all() for pull in gradients(loss, source, target))
    if not options:
        exact = losses.exact_transport(source, target) / 2
        torch.testing.assert_close(loss(source, target), exact, rtol=1e-2, atol=0)


def test_mass_beyond_reach_is_given_up_and_pulls_nowhere():
    far = y + 100
    value = losses.sinkhorn_divergence(x, far, blur=0.5, reach=1.0)
    pull = gradients(lambda a: losses.sinkhorn_divergence(a, far, blur=0.5, reach=1.0), x)[0]
    assert 0 < value < 2 * (1.0 + 0.5) and pull.norm() < 0.1
    assert gradients(lambda a: losses.sinkhorn_divergence(a, far, blur=0.5), x)[0].norm() > 10


@pytest.mark.parametrize("options", [{"power": 1}, {"blur": 0.5}, {"blur": 0.5, "reach": 1.0}, {}])
def test_zero_at_equality_positive_and_symmetric_elsewhere(options):
    assert losses.sinkhorn_divergence(x, x.clone(), **options).abs() < 1e-12
    value = losses.sinkhorn_divergence(x, y, **options)
    assert value > 1e-2
    torch.testing.assert_close(value, losses.sinkhorn_divergence(y, x, **options), rtol=1e-9, atol=0)


def test_without_the_own_terms_equal_clouds_pull_each_other_together():
    assert gradients(lambda a: losses.sinkhorn_divergence(a, x, debias=False, blur=1.0), x)[0].abs().max() > 1e-3


def test_the_default_temperature_is_five_percent_of_the_mean_cost():
    epsilon = 0.05 * torch.cdist(x, y).square().mean().item() / 2
    torch.testing.assert_close(
        losses.sinkhorn_divergence(x, y), losses.sinkhorn_divergence(x, y, blur=math.sqrt(epsilon)), rtol=1e-10, atol=0
    )
    torch.testing.assert_close(losses.sinkhorn_divergence(30 * x, 30 * y), 900 * losses.sinkhorn_divergence(x, y))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("annealing", [0, 6])
@pytest.mark.parametrize("d", [2, 64])
def test_the_default_steps_converge(d, annealing, dtype):
    a, b = torch.randn(2, 60, d, generator=torch.Generator().manual_seed(d)).to(dtype)
    b = 2 * b + 3
    rough = gradients(lambda p, q: losses.sinkhorn_divergence(p, q, annealing=annealing), a, b)
    fine = gradients(lambda p, q: losses.sinkhorn_divergence(p, q, steps=1000, annealing=8), a.double(), b.double())
    for r, f in zip(rough, fine, strict=True):
        assert (r.double() - f).norm() / f.norm() < 1e-4


def test_annealing_helps_a_small_blur():
    a, b = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    b = 3 * b
    value = lambda **options: losses.sinkhorn_divergence(a, b, blur=0.05, **options)  # noqa: E731
    truth = value(steps=3000, annealing=20)
    assert (value() - truth).abs() / truth < 4e-3  # the default: 6 levels
    assert (value(annealing=6) - value()).abs() == 0 and value(annealing=0) != value()
    assert (value(annealing=0, steps=20) - truth).abs() > 3 * (value(annealing=6, steps=20) - truth).abs()


@pytest.mark.parametrize("strength", [None, 2.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_solver_is_safe_where_the_kernel_underflows(strength, dtype):
    C = torch.cdist(x, y + 20).square().to(dtype)
    a, b = torch.full((12,), 1 / 12, dtype=dtype), torch.full((9,), 1 / 9, dtype=dtype)
    epsilon = torch.tensor(0.05, dtype=dtype)  # costs of a thousand: exp(-20000)
    gamma, _ = solve(C, a, b, epsilon, annealing=6, steps=60, strength=strength)
    phi, Q = row_plan(C / epsilon, b.log(), gamma)
    assert gamma.isfinite().all() and phi.isfinite().all()
    torch.testing.assert_close(Q.sum(1), torch.ones_like(a), rtol=1e-3, atol=1e-3)


def test_over_relaxation_needs_far_fewer_steps():
    a, b = torch.randn(2, 50, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    C = torch.cdist(a, 1.5 * b).square() / 2
    w, epsilon = torch.full((50,), 0.02, dtype=torch.float64), 0.03 * C.mean()
    gamma, _ = solve(C, w, w, epsilon, annealing=0, steps=60)
    marginal = lambda gamma: (w @ row_plan(C / epsilon, w.log(), gamma)[1] - w).abs().sum()  # noqa: E731
    plain = torch.zeros_like(w)
    for _ in range(60):
        phi = -torch.logsumexp(plain + w.log() - C / epsilon, 1)
        plain = -torch.logsumexp(phi[:, None] + w.log()[:, None] - C / epsilon, 0)
    assert marginal(gamma) < 0.1 * marginal(plain)


def test_rows_that_a_mask_leaves_out():
    mask = torch.tensor([True] * 9 + [False] * 3)
    for options in ({}, {"power": 1}, {"blur": 0.7, "reach": 2.0}):
        torch.testing.assert_close(
            losses.sinkhorn_divergence(x, y, source_weights=mask, **options),
            losses.sinkhorn_divergence(x[:9], y, **options),
            rtol=1e-8,
            atol=0,
        )
    assert losses.sinkhorn_divergence(x, y, target_weights=torch.zeros(9)) == 0


@pytest.mark.parametrize("wild", [1e3, 1e6, torch.nan])
@pytest.mark.parametrize("options", [{"blur": 0.7}, {"blur": 0.7, "power": 1}, {"blur": 0.7, "reach": 2.0}])
def test_what_a_masked_row_holds_changes_nothing(options, wild):
    a, b = x.float(), y.float()
    a[0], b[0] = wild, wild
    masks = {"source_weights": torch.arange(12) > 0, "target_weights": torch.arange(9) > 0}
    loss = lambda a, b, **w: losses.sinkhorn_divergence(a, b, **options, **w)  # noqa: E731
    torch.testing.assert_close(loss(a, b, **masks), loss(a[1:], b[1:]), rtol=1e-5, atol=0)
    found, truth = gradients(lambda a, b: loss(a, b, **masks), a, b), gradients(loss, a[1:], b[1:])
    for f, t in zip(found, truth, strict=True):
        torch.testing.assert_close(f[1:], t, rtol=1e-3, atol=1e-6)
        assert (f[0] == 0).all()


@pytest.mark.parametrize("power", [1, 2])
def test_the_own_terms_keep_their_digits_where_the_clouds_are_far_apart(power):
    a, b = x.float(), y.float() + 3e3
    loss = lambda a, b: losses.sinkhorn_divergence(a, b, blur=0.7, reach=1.0, power=power)  # noqa: E731
    for p, q in ((a, b), (b, a)):
        for f, t in zip(gradients(loss, p, q), gradients(loss, p.double(), q.double()), strict=True):
            assert (f.double() - t).norm() < 1e-4 * t.norm()


@pytest.mark.parametrize("steps", [400, 1000])
def test_columns_that_a_mask_leaves_out_stay_silent_over_many_steps(steps):
    mask = torch.tensor([True] * 6 + [False] * 3)
    masked, short = (
        lambda a, b, **w: losses.sinkhorn_divergence(a, b, steps=steps, **w),
        lambda a, b: losses.sinkhorn_divergence(a, b, steps=steps),
    )
    torch.testing.assert_close(masked(x, y, target_weights=mask), short(x, y[:6]), rtol=1e-8, atol=0)
    found = gradients(lambda a, b: masked(a, b, target_weights=mask), x, y)
    truth = gradients(short, x, y[:6])
    torch.testing.assert_close(found[0], truth[0])
    torch.testing.assert_close(found[1][:6], truth[1])
    assert (found[1][6:] == 0).all()


def test_a_second_derivative_is_an_error_and_says_why():
    a = x.clone().requires_grad_()
    (first,) = torch.autograd.grad(losses.sinkhorn_divergence(a, y), a, create_graph=True)
    with pytest.raises(RuntimeError, match="first derivative only"):
        first.square().sum().backward()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"power": 3}, "`power` must be 1 or 2, got 3"),
        ({"blur": 0.0}, "`blur` must be a positive number, or None, got 0.0"),
        ({"reach": -1.0}, "`reach` must be a positive number, or None, got -1.0"),
        ({"annealing": -1}, "`annealing` must be .*at least 0"),
        ({"steps": 0}, "`steps` must be a whole number of at least 1, got 0"),
        (
            {"source_weights": torch.ones(3)},
            "`source_weights` must hold one number for each row, shape \\(12,\\), got \\(3,\\)",
        ),
        ({"target_weights": torch.ones(3)}, "`target_weights` must hold one number for each row"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        losses.sinkhorn_divergence(x, y, **options)
