"""Several domains beyond the battery."""

import pytest
import torch

import losses

g = torch.Generator().manual_seed(0)
z, d = torch.randn(9, 4, generator=g, dtype=torch.float64), torch.tensor([0, 0, 0, 0, 1, 1, 3, 3, 3])


def test_two_domains_are_the_binary_loss():
    s, t = z[:5, 0], z[5:, 0]
    logits = torch.stack([torch.zeros(9), torch.cat([s, t])], 1)
    domains = torch.tensor([1] * 5 + [0] * 4)
    for smoothing in (0.0, 0.1):
        torch.testing.assert_close(
            losses.multi_domain_adversarial(logits, domains, label_smoothing=smoothing),
            losses.domain_adversarial(s, t, label_smoothing=smoothing),
        )


def test_each_domain_that_is_present_weighs_the_same_however_many_rows():
    again = torch.cat([z, z[:4], z[:4]]), torch.cat([d, d[:4], d[:4]])
    torch.testing.assert_close(losses.multi_domain_adversarial(*again), losses.multi_domain_adversarial(z, d))
    alone = torch.stack([losses.multi_domain_adversarial(z[d == k], d[d == k]) for k in (0, 1, 3)])
    torch.testing.assert_close(losses.multi_domain_adversarial(z, d), alone.mean())


def test_a_domain_of_weight_zero_is_absent():
    w = (d != 1).double()
    rest = losses.multi_domain_adversarial(z[d != 1], d[d != 1])
    torch.testing.assert_close(losses.multi_domain_adversarial(z, d, weights=w), rest)
    torch.testing.assert_close(losses.multi_domain_adversarial(z, d, weights=d != 1), rest)


def test_other_domains_for_the_rows_change_the_value():
    assert (losses.multi_domain_adversarial(z, d.flip(0)) - losses.multi_domain_adversarial(z, d)).abs() > 1e-2


def test_small_integers_are_domains_and_where_the_weight_is_zero_they_may_be_anything():
    for dtype in (torch.uint8, torch.int16, torch.int32):
        assert losses.multi_domain_adversarial(z, d.to(dtype)) == losses.multi_domain_adversarial(z, d)
    marked = torch.where(d == 1, 255, d)
    value = losses.multi_domain_adversarial(z, marked, weights=d != 1)
    torch.testing.assert_close(value, losses.multi_domain_adversarial(z[d != 1], d[d != 1]))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((z, d.double()), {}, "`domains` must be whole numbers.*float64"),
        ((z, d.cfloat()), {}, "`domains` must be whole numbers.*complex64"),
        ((z, d[:8]), {}, "`domains` must hold one class for each row, shape \\(9,\\), got \\(8,\\)"),
        ((z[0], d), {}, "`logits` must be \\(n, classes\\)"),
        ((z, d), {"weights": torch.ones(9, 1)}, "`weights` must hold .* shape \\(9,\\), got \\(9, 1\\)"),
        ((z, d), {"label_smoothing": 1.5}, "`label_smoothing`.*got 1.5"),
    ],
)
def test_errors(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        losses.multi_domain_adversarial(*arguments, **options)
