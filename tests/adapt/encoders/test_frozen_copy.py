"""A copy that neither learns nor changes."""

import pytest
import torch
from torch import nn

from adapt import encoders


def test_a_copy_stays_as_the_network_was():
    torch.manual_seed(0)
    encoder = encoders.wrap(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), 4)
    x = torch.randn(6, 3)
    before = encoder.eval()(x)
    copy = encoders.FrozenCopy(encoder.train())
    nn.ModuleList([copy]).train()
    with torch.no_grad():
        encoder.body[0].weight.add_(1)
    out = copy(x)
    assert torch.equal(out, before) and not out.requires_grad
    assert not any(p.requires_grad for p in copy.parameters()) and not any(m.training for m in copy.modules())
    assert encoder.body[0].weight.requires_grad and encoder.training
    assert len(copy.state_dict()) == len(encoder.state_dict()), "saved with its owner"


def test_layers_of_a_copied_encoder():
    encoder = encoders.wrap(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), 2)
    copy, x = encoders.FrozenCopy(encoder), torch.randn(6, 3)
    last, first = copy(x, ["2", "0"])
    assert torch.equal(first, encoder.body[0](x)) and torch.equal(last, encoder(x))
    with pytest.raises(TypeError, match="`network` with `layers` must offer .* got a Sequential"):
        encoders.FrozenCopy(encoder.body)(x, ["0"])
    with pytest.raises(ValueError, match="layer `9` was asked for"):
        copy(x, ["9"])
