"""CDD beyond the battery: its masks."""

import pytest
import torch

import losses

g = torch.Generator().manual_seed(0)
x, y = torch.randn(7, 3, generator=g).double(), torch.randn(6, 3, generator=g).double() + 1
a, b = torch.tensor([0, 0, 1, 3, 1, 0, 3]), torch.tensor([1, 3, 3, 2, 1, 1])  # both domains have 1 and 3
fixed = {"bandwidth": 2.0, "scales": (1.0, 4.0)}


def cdd(*arguments, **options):
    return losses.contrastive_domain_discrepancy(*arguments, classes=4, **fixed, **options)


def test_it_is_made_of_mmds_between_classes():
    D = lambda c, e: losses.mmd(x[a == c], y[b == e], estimator="biased", **fixed)  # noqa: E731
    expected = (D(1, 1) + D(3, 3)) / 2 - (D(1, 3) + D(3, 1)) / 2
    torch.testing.assert_close(cdd(x, y, a, b), expected)


def test_rows_of_other_classes_do_not_enter():
    # published code has masked the kernels within a domain on one axis: pairs with rows of other classes enter
    keep_x, keep_y = (a == 1) | (a == 3), b != 2
    torch.testing.assert_close(cdd(x, y, a, b), cdd(x[keep_x], y[keep_y], a[keep_x], b[keep_y]))
    moved = torch.where(keep_x[:, None], x, x + 7), torch.where(keep_y[:, None], y, y - 7)
    torch.testing.assert_close(cdd(*moved, a, b), cdd(x, y, a, b))


def test_one_common_class_leaves_the_first_term_and_none_leaves_zero():
    one = cdd(x, y, torch.where(a == 3, 0, a), b)
    torch.testing.assert_close(one, losses.mmd(x[a == 1], y[b == 1], estimator="biased", **fixed))
    source = x.clone().requires_grad_()
    none = cdd(source, y, torch.zeros_like(a), b)
    none.backward()
    assert none == 0 and (source.grad == 0).all()


def test_rows_without_a_class_are_left_out():
    torch.testing.assert_close(cdd(x, y, a, torch.where(b == 2, -1, b)), cdd(x, y, a, b))
    torch.testing.assert_close(cdd(x, y, torch.where(a == 0, -1, a), b), cdd(x, y, a, b))


def test_classes_further_apart_than_domains_are_negative():
    apart = torch.tensor([0.0, 100.0]).repeat(3)[:, None]
    of = torch.tensor([0, 1]).repeat(3)
    value = losses.contrastive_domain_discrepancy(apart, apart, of, of, classes=2, bandwidth=1.0)
    torch.testing.assert_close(value, torch.tensor(-2.0))
    swapped = losses.contrastive_domain_discrepancy(apart, apart, of, 1 - of, classes=2, bandwidth=1.0)
    torch.testing.assert_close(swapped, torch.tensor(2.0))


@pytest.mark.parametrize(
    ("arguments", "classes", "message"),
    [
        ((x, y[:, :2], a, b), 4, "same feature size, got 3 and 2"),
        ((x, y, a.double(), b), 4, "`source_labels` must be whole numbers"),
        ((x, y, a, b.double()), 4, "`target_labels` must be whole numbers"),
        ((x, y, a[:6], b), 4, r"`source_labels` must hold .* \(7,\), got \(6,\)"),
        ((x, y, a, b[:5]), 4, r"`target_labels` must hold .* \(6,\), got \(5,\)"),
        ((x, y, a, b), 0, "`classes` must be .*at least 1, got 0"),
    ],
)
def test_errors(arguments, classes, message):
    with pytest.raises(ValueError, match=message):
        losses.contrastive_domain_discrepancy(*arguments, classes=classes)


def test_one_class_alone_is_allowed():
    of = torch.zeros(7).long(), torch.zeros(6).long()
    value = losses.contrastive_domain_discrepancy(x, y, *of, classes=1)
    torch.testing.assert_close(value, losses.mmd(x, y, estimator="biased"))
