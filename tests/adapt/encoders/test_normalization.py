"""Batch normalisation over the rows of all ranks, on one rank."""

import pytest
import torch
from torch import nn

from adapt import encoders


@pytest.mark.parametrize("shape", [(8, 4), (8, 4, 3), (8, 4, 3, 2)])
def test_global_batch_norm_on_one_rank_is_batch_norm(shape):
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(shape)]
    torch.manual_seed(0)
    plain = nn.Sequential(kind(4)).double()
    nn.init.normal_(plain[0].weight)
    ours = encoders.synchronize_batch_norm(nn.Sequential(kind(4)).double())
    ours.load_state_dict(plain.state_dict())
    assert isinstance(ours[0], encoders.GlobalBatchNorm)
    for _ in range(3):
        x = torch.randn(shape, dtype=torch.float64) * 3 + 1
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        plain(a).square().mean().backward(), ours(b).square().mean().backward()
        torch.testing.assert_close(a.grad, b.grad)
    assert plain.state_dict().keys() == ours.state_dict().keys()
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)
    torch.testing.assert_close(ours.eval()(x), plain.eval()(x))


def test_a_cumulative_batch_norm_is_refused():
    with pytest.raises(ValueError, match="momentum=None"):
        encoders.synchronize_batch_norm(nn.Sequential(nn.BatchNorm1d(3, momentum=None)))
