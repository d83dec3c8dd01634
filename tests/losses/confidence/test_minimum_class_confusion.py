"""MCC beyond the battery."""

import pytest
import torch

import losses

NOBODY = torch.tensor([[0.0, -1.0, -1e4], [0.0, 1.0, -2e4]])


def test_equals_pytorch_adapt(layers):
    z = torch.randn(9, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(losses.minimum_class_confusion(z, temperature=1.5), layers.MCCLoss(T=1.5)(z))


def test_a_class_that_nobody_predicts_has_its_limit():
    # the third class underflows everywhere; its row is then that of the row that comes closest to it
    z = NOBODY.clone().requires_grad_()
    value = losses.minimum_class_confusion(z, temperature=1.0)
    near = losses.minimum_class_confusion(
        torch.tensor([[0.0, -1.0, -40.0], [0.0, 1.0, -80.0]]).double(), temperature=1.0
    )
    torch.testing.assert_close(value.double(), near, rtol=1e-5, atol=1e-6)
    value.backward()
    assert z.grad.isfinite().all()


def test_a_class_that_nobody_predicts_is_not_a_number_in_pytorch_adapt(layers):
    assert layers.MCCLoss(T=1.0)(NOBODY).isnan()  # the quotient of the paper is 0 / 0 here


def test_bad_temperature():
    with pytest.raises(ValueError, match="`temperature` must be a positive number, got 0"):
        losses.minimum_class_confusion(torch.zeros(2, 2), temperature=0)
