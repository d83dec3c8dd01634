"""Mixup: rows, numbers, and the loss beyond the battery."""

import math

import pytest
import torch
import torch.nn.functional as F

import losses

g = torch.Generator().manual_seed(0)
x = torch.randn(5, 2, 3, generator=g, dtype=torch.float64)
z = torch.randn(5, 3, generator=g, dtype=torch.float64)
y = torch.tensor([0, 2, 1, 1, 0])
order = torch.tensor([3, 0, 4, 1, 2])
shares = torch.rand(5, generator=g, dtype=torch.float64)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("mixing", [0.3, torch.tensor(0.3), shares])
def test_rows_are_mixed_with_their_partners(mixing):
    out = losses.mixup(x, order, mixing)
    for i in range(5):
        share = mixing[i] if mixing is shares else 0.3
        torch.testing.assert_close(out[i], share * x[i] + (1 - share) * x[order[i]], rtol=1e-6, atol=1e-7)


def test_one_keeps_the_row_and_zero_takes_the_partner():
    assert torch.equal(losses.mixup(x, order, 1.0), x)
    assert torch.equal(losses.mixup(x, order, 0), x[order])


def test_half_precision_is_mixed_in_float32():
    half, mixing = x.bfloat16(), torch.tensor(0.3)
    expected = (0.3 * half.float() + 0.7 * half.float()[order]).bfloat16()
    assert torch.equal(losses.mixup(half, order, mixing), expected)


def test_gradient_compile_and_vmap():
    assert torch.autograd.gradcheck(lambda x: losses.mixup(x, order, shares), x.clone().requires_grad_())
    fast = torch.compile(losses.mixup, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(fast(x, order, shares), losses.mixup(x, order, shares))
    together = torch.func.vmap(losses.mixup)(x[None], order[None], shares[None])
    torch.testing.assert_close(together[0], losses.mixup(x, order, shares))


@pytest.mark.parametrize("mixing", [0.3, torch.tensor(0.3), shares])
def test_the_loss_is_that_of_mixed_soft_labels(mixing):
    value = losses.mixup_cross_entropy(z, y, y[order], mixing)
    soft = losses.mixup(F.one_hot(y, 3).double(), order, mixing)
    torch.testing.assert_close(value, F.cross_entropy(z, soft))
    torch.testing.assert_close(value, losses.weighted_cross_entropy(z, soft))


def test_labels_where_the_weight_is_zero_may_be_anything():
    mask = y != 2
    marked = torch.where(mask, y, 255)
    value = losses.mixup_cross_entropy(z, marked, torch.where(mask, y.roll(1), -100), shares, weights=mask)
    torch.testing.assert_close(value, losses.mixup_cross_entropy(z[mask], y[mask], y.roll(1)[mask], shares[mask]))


@pytest.mark.parametrize("alpha", [0.05, 0.4, 1.0, 3.0])
def test_the_numbers_are_beta_distributed(alpha):
    mixing = losses.draw_mixup(20000, alpha=alpha, generator=seeded())[1].double()
    assert mixing.min() >= 0 and mixing.max() <= 1
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(mixing.mean() - 0.5) < 4 * math.sqrt(variance / 20000)
    assert abs(mixing.var() / variance - 1) < 0.05
    fourth = ((mixing - 0.5) ** 4).mean()  # 3 var^2 (2a + 1) / (2a + 3)
    assert abs(fourth / (3 * variance**2 * (2 * alpha + 1) / (2 * alpha + 3)) - 1) < 0.08


def test_a_tiny_alpha_gives_numbers():
    mixing = losses.draw_mixup(2000, alpha=1e-4, generator=seeded())[1]
    assert mixing.isfinite().all() and 0.4 < mixing.mean() < 0.6


def test_the_order_is_a_uniform_permutation():
    source = seeded()
    orders = torch.stack([losses.draw_mixup(4, alpha=1.0, generator=source)[0] for _ in range(2000)])
    assert (orders.sort(1).values == torch.arange(4)).all()
    for i in range(4):
        shares = torch.bincount(orders[:, i], minlength=4) / 2000
        assert (shares - 0.25).abs().max() < 0.05


def test_randomness_comes_from_the_generator_alone():
    before = torch.get_rng_state()
    first, again = (losses.draw_mixup(6, alpha=0.2, generator=seeded(3), device="cpu") for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    other = losses.draw_mixup(6, alpha=0.2, generator=seeded(4))
    assert not torch.equal(first[1], other[1])
    assert first[0].dtype == torch.int64 and first[1].dtype == torch.float32


def test_it_can_be_drawn_for_another_device():
    assert losses.draw_mixup(3, alpha=1.0, generator=seeded(), device="meta")[1].device.type == "meta"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.mixup(y, order, 0.5), "`rows` must be .* in floating point"),
        (lambda: losses.mixup(torch.tensor(1.0), order, 0.5), "`rows` must be"),
        (lambda: losses.mixup(x, order[:3], 0.5), r"`order` must hold one row number a row, shape \(5,\), got \(3,\)"),
        (lambda: losses.mixup(x, order > 1, 0.5), "`order` must be whole numbers .*torch.bool"),
        (lambda: losses.mixup(x, order, 1.5), r"`mixing` must be in \[0, 1\], got 1.5"),
        (lambda: losses.mixup(x, order, -0.5), r"`mixing` must be in \[0, 1\]"),
        (lambda: losses.mixup(x, order, shares[:2]), r"`mixing` must be one number or \(5,\), one a row, got \(2,\)"),
        (lambda: losses.mixup_cross_entropy(z, y, y[:3], 0.5), "`partner_labels` must hold"),
        (lambda: losses.mixup_cross_entropy(z, y[:3], y, 0.5), "`labels` must hold"),
        (lambda: losses.mixup_cross_entropy(z[0], y, y, 0.5), "`logits` must be"),
        (lambda: losses.draw_mixup(3, alpha=0, generator=seeded()), "`alpha` must be a positive number"),
        (lambda: losses.draw_mixup(0, alpha=1.0, generator=seeded()), "`n` must be .*at least 1, got 0"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
