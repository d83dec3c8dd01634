"""IA3 against its formula and against peft."""

import copy

import pytest
import torch

from adapt import encoders
from tests.adapt.encoders.adapted import Mlp, convolutions, stir


def test_ia3_multiplies_outputs_or_inputs():
    net, x = convolutions(), torch.randn(2, 3, 12, 12)
    before, weights = net(x), copy.deepcopy(net.state_dict())
    assert set(encoders.ia3(net, inputs=["3"])) == {"0", "3"}
    assert torch.equal(net(x), before)
    stir(net)
    plain = convolutions()
    a, b = net[0].ia3_factor.detach(), net[3].ia3_factor.detach()
    plain.load_state_dict(
        {**weights, "0.weight": weights["0.weight"] * a[..., None], "0.bias": weights["0.bias"] * a.flatten(),
         "3.weight": weights["3.weight"] * b}
    )  # fmt: skip
    torch.testing.assert_close(net(x), plain(x), rtol=1e-5, atol=1e-5)


def test_ia3_gives_what_peft_gives():
    peft = pytest.importorskip("peft", reason="the extra `lora`")
    torch.manual_seed(0)
    ours, x = Mlp(), torch.randn(4, 6)
    config = peft.IA3Config(target_modules=["first", "second"], feedforward_modules=["second"])
    theirs = peft.inject_adapter_in_model(config, copy.deepcopy(ours))
    encoders.ia3(ours, ["first"], inputs=["second"])
    stir(ours)
    with torch.no_grad():
        for name in ("first", "second"):
            factor = getattr(theirs, name).ia3_l["default"]
            factor.copy_(getattr(ours, name).ia3_factor.view_as(factor))
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
