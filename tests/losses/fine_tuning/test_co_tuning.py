"""Co-tuning beyond the battery: the relationship and the calibration."""

import math

import pytest
import torch
import torch.nn.functional as F

import losses


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


y = torch.randint(3, (40,), generator=torch.Generator().manual_seed(1))
z = 2 * drawn(40, 5) + 1.5 * F.one_hot(y, 5)


def test_the_relationship_is_the_mean_prediction_of_each_class():
    R = losses.learn_relationship(z.clone().requires_grad_(), y, classes=4, temperature=2.0)
    assert R.shape == (4, 5) and not R.requires_grad
    for k in range(3):
        torch.testing.assert_close(R[k], (z[y == k] / 2.0).softmax(1).mean(0))
    assert (R[3] == 0).all()  # nobody has class 3
    one = losses.learn_relationship(z[:1], y[:1], classes=3)
    torch.testing.assert_close(one[y[0]], z[0].softmax(0))
    torch.testing.assert_close(R.sum(1), torch.tensor([1.0, 1, 1, 0]).double())


def test_the_relationship_needs_no_temperature():
    torch.testing.assert_close(losses.learn_relationship(z, y, classes=3)[0], z[y == 0].softmax(1).mean(0))
    assert losses.learn_relationship(z.bfloat16(), y, classes=3).dtype == torch.float32


def test_a_class_without_a_relationship_asks_for_nothing():
    R = losses.learn_relationship(z, y, classes=4)
    logits = drawn(2, 5, seed=2).requires_grad_()
    value = losses.co_tuning(logits, torch.tensor([3, 3]), R)
    value.backward()
    assert value == 0 and (logits.grad == 0).all()


def test_the_labels_matter():
    R = losses.learn_relationship(z, y, classes=3)
    assert losses.co_tuning(z, y, R) < losses.co_tuning(z, (y + 1) % 3, R) - 1e-3


def test_calibration_minimises_the_cross_entropy():
    T = losses.calibrate_temperature(z, y)
    beta = torch.ones((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([beta], max_iter=100, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(z * beta, y)
        loss.backward()
        return loss

    optimizer.step(closure)
    torch.testing.assert_close(T, 1 / beta.detach(), rtol=1e-6, atol=0)
    assert not losses.calibrate_temperature(z.clone().requires_grad_(), y).requires_grad


def test_calibration_follows_the_scale():
    T = losses.calibrate_temperature(z, y)
    torch.testing.assert_close(losses.calibrate_temperature(7 * z, y), 7 * T)
    after = losses.calibrate_temperature(z / T, y)
    torch.testing.assert_close(after.item(), 1.0)


def test_calibration_stops_at_its_limits():
    right = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(
        losses.calibrate_temperature(right, torch.tensor([0, 1])).item(), 1e-3, rtol=1e-5, atol=0
    )
    found = losses.calibrate_temperature(right, torch.tensor([1, 0]), limit=10.0)
    torch.testing.assert_close(found.item(), 10.0)
    assert losses.calibrate_temperature(right, torch.tensor([1, 0]), limit=1.5) > 1.4
    with pytest.raises(ValueError, match="`limit` must be a number above 1, got 1.0"):
        losses.calibrate_temperature(right, torch.tensor([1, 0]), limit=1.0)


def test_calibration_of_half_precision_logits():
    found = losses.calibrate_temperature(torch.tensor([[4.0, 0.0]] * 4).bfloat16(), torch.tensor([0, 0, 0, 1]))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.item(), 4 / math.log(3), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: losses.co_tuning(z, y, torch.ones(3, 4)),
            r"`relationship` must be \(target classes, 5\), .* got \(3, 4\)",
        ),
        (lambda: losses.co_tuning(z, y, torch.ones(5)), "`relationship` must be"),
        (lambda: losses.co_tuning(z, y[:3], torch.ones(3, 5)), "one class for each row"),
        (lambda: losses.co_tuning(z[0], y, torch.ones(3, 5)), "`source_logits` must be"),
        (lambda: losses.learn_relationship(z, y, classes=3, temperature=0), "`temperature` must be a positive number"),
        (lambda: losses.learn_relationship(z, y.double(), classes=3), "whole numbers"),
        (lambda: losses.learn_relationship(z[0], y, classes=3), "`source_logits` must be"),
        (lambda: losses.calibrate_temperature(z, y[:2]), "one class for each row"),
        (lambda: losses.calibrate_temperature(z[0], y), "`logits` must be"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_calibration_leaves_out_rows_that_are_labelled_as_padding():
    g = torch.Generator().manual_seed(0)
    z, y = 3 * torch.randn(50, 3, generator=g), torch.randint(3, (50,), generator=g)
    padded = torch.cat([z, 9 * torch.randn(20, 3, generator=g)]), torch.cat([y, torch.full((20,), -1)])
    torch.testing.assert_close(losses.calibrate_temperature(*padded), losses.calibrate_temperature(z, y))
