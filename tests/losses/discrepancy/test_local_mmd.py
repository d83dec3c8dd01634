"""Local MMD beyond the battery."""

import pytest
import torch

import losses

g = torch.Generator().manual_seed(0)
x, y = torch.randn(7, 3, generator=g).double(), torch.randn(5, 3, generator=g).double() + 1
labels, logits = torch.tensor([0, 0, 1, 3, 1, 0, 3]), torch.randn(5, 4, generator=g).double()
fixed = {"bandwidth": 2.0, "scales": (1.0, 4.0)}


def sure(of, classes):
    return 100.0 * torch.nn.functional.one_hot(torch.tensor(of), classes).double()


def test_with_one_class_it_is_the_biased_mmd():
    alone = losses.local_mmd(x, y, torch.zeros(7).long(), torch.randn(5, 1, generator=g))
    torch.testing.assert_close(alone, losses.mmd(x, y, estimator="biased"))


def test_it_is_the_mean_over_the_classes_of_the_source():
    value = losses.local_mmd(x, y, labels, logits, **fixed)
    each = [losses.local_mmd(x, y, torch.where(labels == c, c, -1), logits, **fixed) for c in (0, 1, 3)]
    torch.testing.assert_close(value, torch.stack(each).mean())  # no row of class 2: not compared, and not counted


def test_both_leaves_out_what_no_target_row_is_taken_for():
    target = sure([0, 0, 2, 3, 0], 4)
    value = losses.local_mmd(x, y, labels, target, present="both", **fixed)
    each = [
        losses.mmd(x[labels == c], y[target.argmax(1) == c], estimator="biased", **fixed) for c in (0, 3)
    ]  # class 1 is missing in the target, class 2 in the source
    torch.testing.assert_close(value, torch.stack(each).mean())


def test_no_common_class_is_zero():
    source = x.clone().requires_grad_()
    value = losses.local_mmd(source, y, torch.zeros(7).long(), sure([1] * 5, 3), present="both")
    value.backward()
    assert value == 0 and (source.grad == 0).all()


def test_rows_without_a_class_have_no_weight():
    more = torch.cat([x, x + 5]), torch.cat([labels, torch.full_like(labels, -1)])
    torch.testing.assert_close(
        losses.local_mmd(more[0], y, more[1], logits, **fixed), losses.local_mmd(x, y, labels, logits, **fixed)
    )
    assert losses.local_mmd(x, y, torch.full_like(labels, -1), logits) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_probabilities_too_small_to_be_added(dtype):
    far = torch.tensor([[1e4, 0.0], [2e4, 0.0], [3e4, 0.0], [2e4, 0.0], [4e4, 0.0]], dtype=dtype)
    ones = torch.ones(7).long()  # class 1 has exp(-1e4) of the first row, exp(-2e4) of the next
    value = losses.local_mmd(x.to(dtype), y.to(dtype), ones, far, **fixed)
    expected = losses.mmd(x, y[:1], estimator="biased", **fixed)
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=0)


def test_the_weights_carry_no_gradient():
    z, source = logits.clone().requires_grad_(), x.clone().requires_grad_()
    losses.local_mmd(source, y, labels, z).backward()
    assert z.grad is None and source.grad.abs().max() > 0


def test_labels_matter():
    assert (losses.local_mmd(x, y, labels.roll(1), logits) - losses.local_mmd(x, y, labels, logits)).abs() > 1e-3
    assert (losses.local_mmd(x, y, labels, logits.roll(1, 0)) - losses.local_mmd(x, y, labels, logits)).abs() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((x, y[:, :2], labels, logits), {}, "same feature size, got 3 and 2"),
        ((x, y, labels.double(), logits), {}, "`source_labels` must be whole numbers"),
        ((x, y, labels[:6], logits), {}, r"`source_labels` must hold .* \(7,\), got \(6,\)"),
        ((x, y, labels, logits[:4]), {}, "`target_logits` must hold one row for each of `target`, 5, got 4"),
        ((x, y, labels, logits[:, 0]), {}, r"`target_logits` must be \(n, classes\)"),
        ((x, y, labels, logits), {"present": "target"}, "`present` must be"),
        ((x, y, labels, logits), {"bandwidth": 0.0}, "a positive number"),
        ((x, y, labels, logits), {"scales": (1.0, 0.0)}, "a positive number"),
        ((x, y, labels, logits), {"scales": ()}, "a positive number"),
    ],
)
def test_errors(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        losses.local_mmd(*arguments, **options)


def test_a_bandwidth_may_be_a_tensor():
    options = {"scales": fixed["scales"]}
    value = losses.local_mmd(x, y, labels, logits, bandwidth=torch.tensor(2.0), **options)
    torch.testing.assert_close(value, losses.local_mmd(x, y, labels, logits, **fixed))
