"""CORAL beyond the battery."""

import pytest
import torch

import losses


def test_means_do_not_matter_and_the_spread_does():
    x = torch.randn(9, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert losses.coral(x, x + 3) < 1e-25
    torch.testing.assert_close(losses.coral(2 * x, 0 * x), 16 * losses.coral(x, 0 * x))


@pytest.mark.parametrize(("n", "m", "d"), [(900, 700, 1100), (40, 30, 1100), (550, 550, 1100), (550, 551, 1100)])
def test_every_form_equals_the_definition(n, m, d):
    # 1,100 columns: three blocks, the last one not full; on both sides of n + m = d
    g = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=g, dtype=torch.float64, requires_grad=True)
    y = (2 * torch.randn(m, d, generator=g, dtype=torch.float64)).requires_grad_()
    value, definition = losses.coral(x, y), (x.T.cov() - y.T.cov()).square().sum() / (4 * d * d)
    torch.testing.assert_close(value, definition, rtol=1e-11, atol=0)
    gradients = [torch.autograd.grad(v, (x, y)) for v in (value, definition)]
    torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-15)
    with torch.no_grad():
        torch.testing.assert_close(losses.coral(x, y), value)


def test_one_row_and_an_unknown_scaling():
    with pytest.raises(ValueError, match="A covariance needs at least 2 rows.*got 3 and 1; give larger batches"):
        losses.coral(torch.zeros(3, 2), torch.zeros(1, 2))
    with pytest.raises(ValueError, match="`scaling`"):
        losses.coral(torch.zeros(3, 2), torch.zeros(3, 2), scaling="tllib")
