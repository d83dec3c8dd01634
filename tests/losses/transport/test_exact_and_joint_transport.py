"""Exact transport and DeepJDOT beyond the battery."""

import sys

import pytest
import torch

import losses

g = torch.Generator().manual_seed(0)
x = torch.randn(9, 3, generator=g, dtype=torch.float64)
y = 2 * torch.randn(6, 3, generator=g, dtype=torch.float64) + 1
labels = torch.randint(4, (9,), generator=g)
z = torch.randn(6, 4, generator=g, dtype=torch.float64)


def needs_pot():
    pytest.importorskip("ot")


def test_on_a_line_it_is_the_sliced_distance():
    needs_pot()
    for power in (1, 1.5, 2, 3):
        one = torch.ones(1, 1, dtype=torch.float64)
        torch.testing.assert_close(
            losses.exact_transport(x[:, :1], y[:, :1], power=power),
            losses.sliced_wasserstein(x[:, :1], y[:, :1], directions=one, power=power),
        )


def test_a_large_and_a_small_regularisation_bracket_it():
    needs_pot()
    exact = losses.exact_transport(x, y)
    torch.testing.assert_close(
        2 * losses.sinkhorn_divergence(x, y, debias=False, blur=0.05, annealing=20, steps=2000),
        exact,
        rtol=2e-3,
        atol=0,
    )


@pytest.mark.parametrize("power", [1, 1.5, 2])
def test_equal_points_have_no_gradient_and_no_nan(power):
    needs_pot()
    a = x.clone().requires_grad_()
    value = losses.exact_transport(a, x[torch.randperm(9, generator=g)], power=power)
    value.backward()
    assert value == 0 and (a.grad == 0).all()


def test_rows_that_a_mask_leaves_out():
    needs_pot()
    mask = torch.tensor([True] * 6 + [False] * 3)
    torch.testing.assert_close(losses.exact_transport(x, y, source_weights=mask), losses.exact_transport(x[:6], y))
    assert losses.exact_transport(x, y, target_weights=torch.zeros(6)) == 0


def test_without_pot_the_error_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "ot", None)
    for loss in (lambda: losses.exact_transport(x, y), lambda: losses.joint_transport(x, y, labels, z)):
        with pytest.raises(ImportError, match="pip install POT"):
            loss()
    assert losses.joint_transport(x, y, labels, z, plan="sinkhorn").isfinite()


def test_labels_matter_and_so_does_each_weight():
    needs_pot()
    for plan in ("exact", "sinkhorn"):
        value = lambda **options: losses.joint_transport(x, y, labels, z, plan=plan, **options)  # noqa: B023, E731
        assert value() != losses.joint_transport(x, y, labels.roll(1), z, plan=plan)
        torch.testing.assert_close(value(), value(feature_weight=1.0, label_weight=1.0))
        assert value(feature_weight=2.0) > value() and value(label_weight=2.0) > value()
    torch.testing.assert_close(losses.joint_transport(x, y, labels, z, label_weight=0.0), losses.exact_transport(x, y))


def test_unequal_numbers_of_rows():
    needs_pot()  # published: a loss that needs n = m
    twice = losses.joint_transport(x.repeat(2, 1), y, labels.repeat(2), z)
    torch.testing.assert_close(twice, losses.joint_transport(x, y, labels, z))


def test_the_entropic_plan_costs_more_than_the_best():
    needs_pot()
    exact = losses.joint_transport(x, y, labels, z)
    entropic = losses.joint_transport(x, y, labels, z, plan="sinkhorn")
    assert exact < entropic < 1.3 * exact
    torch.testing.assert_close(
        entropic, losses.joint_transport(x, y, labels, z, plan="sinkhorn", steps=500), rtol=1e-6, atol=0
    )
    assert entropic != losses.joint_transport(x, y, labels, z, plan="sinkhorn", steps=1)


@pytest.mark.parametrize("plan", ["exact", "sinkhorn"])
@pytest.mark.parametrize("wrong", [-1, 4])
def test_a_label_that_is_no_class_is_an_error(wrong, plan):
    needs_pot()
    with pytest.raises((IndexError, RuntimeError), match="out of range"):  # -1 is not the last class
        losses.joint_transport(x, y, labels.where(torch.arange(9) > 0, wrong), z, plan=plan)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((x, y, labels, z[:5]), {}, "one row for each row of `target`, 6, got 5"),
        ((x, y, labels[:5], z), {}, "`labels` must hold one class for each row"),
        ((x, y, labels, z[0]), {}, "`target_logits` must be \\(n, classes\\)"),
        ((x, y[:, :2], labels, z), {}, "same feature size"),
        ((x, y, labels, z), {"plan": "greedy"}, '`plan` must be "exact" or "sinkhorn", got \'greedy\''),
        ((x, y, labels, z), {"feature_weight": -1.0}, "`feature_weight` must be a number of at least 0, got -1.0"),
        ((x, y, labels, z), {"label_weight": -1.0}, "`label_weight` must be a number of at least 0, got -1.0"),
    ],
)
def test_bad_arguments(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        losses.joint_transport(*arguments, **options)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.filterwarnings("error")
def test_one_row_that_is_not_finite_gives_nan_and_not_zero(bad):
    needs_pot()
    for row in (0, 4):
        broken = x.clone()
        broken[row] = bad
        assert losses.exact_transport(broken, y).isnan() and losses.exact_transport(y, broken).isnan()
        assert losses.joint_transport(broken, y, labels, z).isnan()
        counts = torch.arange(9) != row
        torch.testing.assert_close(
            losses.exact_transport(broken, y, source_weights=counts), losses.exact_transport(x[counts], y)
        )


def test_a_solver_that_gives_up_is_an_error(monkeypatch):
    needs_pot()
    import ot

    solver = ot.emd
    monkeypatch.setattr(ot, "emd", lambda *args, numItermax, **options: solver(*args, numItermax=1, **options))
    with pytest.raises(RuntimeError, match="The exact plan was not found: numItermax reached"):
        losses.exact_transport(x, y)


def test_bad_power():
    with pytest.raises(ValueError, match="`power` must be .*at least 1, got 0.5"):
        losses.exact_transport(x, y, power=0.5)
