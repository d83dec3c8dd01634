"""MMD beyond the battery: the defects that published code had."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import losses
from losses.discrepancy import kernels

x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
y = torch.randn(9, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 1


def test_the_kernel_is_gaussian_on_the_squared_distance():
    a, b = torch.tensor([[0.0], [3.0]]).double(), torch.tensor([[1.0], [5.0]]).double()
    k = lambda d: torch.exp(torch.tensor(-(d**2) / 2.0).double())  # noqa: E731
    expected = k(3) + k(4) - 2 * (k(1) + k(5) + k(2) + k(2)) / 4
    torch.testing.assert_close(losses.mmd(a, b, bandwidth=2.0, scales=[1.0]), expected)


def test_the_mean_bandwidth_makes_it_free_of_scale():
    torch.testing.assert_close(losses.mmd(100 * x, 100 * y), losses.mmd(x, y))


def test_the_biased_value_is_never_negative_and_the_unbiased_has_mean_zero():
    g = torch.Generator().manual_seed(0)
    pairs = [torch.randn(2, 8, 2, generator=g) for _ in range(400)]
    biased = torch.stack([losses.mmd(a, b, bandwidth=2.0, estimator="biased") for a, b in pairs])
    unbiased = torch.stack([losses.mmd(a, b, bandwidth=2.0) for a, b in pairs])
    assert biased.min() >= 0 and biased.mean() > 0.05
    assert unbiased.mean().abs() < 4 * unbiased.std() / 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((x, y[:, :3]), "same feature size, got 4 and 3"),
        ((x[0], y), "must be \\(n, d\\)"),
    ],
)
def test_bad_shapes(arguments, message):
    with pytest.raises(ValueError, match=message):
        losses.mmd(*arguments)


def test_equal_rows_have_no_gradient_however_the_mean_is_rounded():
    for seed in range(200):
        row = torch.randn(1, 256, generator=torch.Generator().manual_seed(seed)).repeat(33, 1).requires_grad_()
        losses.mmd(row, row.detach()).backward()
        assert row.grad.abs().max() == 0, seed


def test_a_small_fixed_bandwidth_keeps_its_accuracy_between_distant_clouds():
    cloud = 1e4 * torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    value = losses.mmd(cloud, cloud + 1e4, bandwidth=2.0, estimator="biased")
    torch.testing.assert_close(value, torch.tensor(0.25))  # only k(x, x) = 1 is left: 1/8 + 1/8


def test_identical_rows_where_subnormal_numbers_are_flushed():
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush")
    try:
        assert losses.mmd(torch.zeros(4, 3), torch.zeros(4, 3)) == 0
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize("options", [{"bandwidth": 0.0}, {"bandwidth": -1}, {"scales": ()}, {"scales": (1.0, 0.0)}])
def test_a_bandwidth_or_scale_that_is_not_positive(options):
    with pytest.raises(ValueError, match="a positive number"):
        losses.mmd(x, y, **options)


def test_an_unknown_estimator():
    with pytest.raises(ValueError, match="`estimator`"):
        losses.mmd(x, y, estimator="linear")


def test_an_unknown_kernel_or_rule():
    with pytest.raises(ValueError, match="`kernel`"):
        losses.mmd(x, y, kernel="cosine")
    with pytest.raises(ValueError, match="`bandwidth` must be a positive number or one of"):
        losses.mmd(x, y, bandwidth="mode")
    with pytest.raises(ValueError, match="at least 3 rows"):
        losses.mmd(x[:2], y, bandwidth="source median")


@pytest.mark.parametrize("kernel", ["gaussian", "laplacian", "energy"])
@pytest.mark.parametrize("unbiased", [True, False])
def test_blocks_equal_the_definition(kernel, unbiased, monkeypatch):
    # 1,100 rows: three blocks, the last one not full; scales that are and that are not halves of each other
    monkeypatch.setattr(kernels, "_size", lambda device: 512)
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(1100, 3, generator=g).double(), torch.randn(600, 3, generator=g).double() + 0.5
    h, scales = torch.tensor(3.0).double(), [(0.7, 4.0, 2.0, 0.2)]
    leaves = [a.requires_grad_(), b.requires_grad_()]
    fast = kernels.fast_discrepancy([(a, b)], kernel, scales, [h], unbiased)
    slow = kernels.discrepancy([(a, b)], kernel, scales, [h], unbiased)
    torch.testing.assert_close(fast, slow, rtol=1e-11, atol=1e-14)
    torch.testing.assert_close(
        torch.autograd.grad(fast, leaves), torch.autograd.grad(slow, leaves), rtol=1e-9, atol=1e-15
    )


def test_nothing_is_kept_for_a_gradient_that_nobody_asks_for():
    with torch.no_grad():
        assert losses.mmd(x, y) == losses.mmd(x.clone().requires_grad_(), y)
    with torch.inference_mode():
        losses.mmd(x, y)


def test_the_bandwidth_carries_no_gradient():
    h = torch.tensor(2.0, requires_grad=True, dtype=torch.float64)
    a = x.clone().requires_grad_()
    losses.mmd(a, y, bandwidth=h).backward()
    assert h.grad is None and a.grad is not None


def test_coinciding_rows_have_finite_gradients_under_root_kernels():
    a = torch.cat([x, y[:3]]).float().requires_grad_()
    for kernel in ("laplacian", "energy"):
        (g,) = torch.autograd.grad(losses.mmd(a, y.float(), kernel=kernel), a)
        assert g.isfinite().all() and g.abs().max() < 1


@pytest.mark.parametrize("bandwidth", [None, torch.ones(3), "mode", -1.0])
def test_a_bandwidth_that_is_no_number_and_no_rule(bandwidth):
    with pytest.raises(ValueError, match="`bandwidth` must be"):
        losses.mmd(x, y, bandwidth=bandwidth)


def test_scales_in_a_tensor_are_refused_with_the_remedy():
    with pytest.raises(
        ValueError,
        match=r"a list .* a positive number, got .*: give a list of numbers, `scales.tolist\(\)` of a tensor",
    ):
        losses.mmd(x, y, scales=torch.ones(2))


def test_transforms_of_torch_func_see_the_gradient():
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(losses.mmd(leaf, y), leaf)
    torch.testing.assert_close(torch.func.grad(losses.mmd)(x, y), expected)


def test_few_operations_for_many_rows():
    """Each operation on a large tensor waits for all threads, and on a busy machine the waiting was nine tenths."""

    class Count(TorchDispatchMode):
        calls = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.calls += 1
            return function(*args, **(kwargs or {}))

    x, y = torch.randn(2048, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(2048, 2)
    with Count() as count:
        losses.mmd(x.requires_grad_(), y).backward()
    assert count.calls < 900  # 2,630 with blocks of 512 rows
