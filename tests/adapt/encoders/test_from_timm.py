"""Image models of timm lose their classifier and keep it apart."""

import pytest
import torch

from adapt import encoders


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [("resnet10t", {}, 64), ("vit_tiny_patch16_224", {"img_size": 32, "depth": 2}, 32),
     ("convnext_atto", {"depths": (1, 1, 1, 1)}, 64)],
)  # fmt: skip
def test_timm_models(tmp_path, name, options, size):
    timm = pytest.importorskip("timm", reason="the extra `vision`")
    torch.manual_seed(0)
    whole = timm.create_model(name, **options).eval()
    torch.save(whole.state_dict(), tmp_path / "whole.pth")
    encoder = encoders.from_timm(name, tmp_path / "whole.pth", **options).eval()
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        assert encoder(x).shape == (2, encoder.dim)
        torch.testing.assert_close(encoder.head(encoder(x)), whole(x), rtol=1e-4, atol=1e-5)
    assert len(encoder.layers) >= 3 and encoder.preprocess is not None and encoder.source is None
    encoders.lora(encoder, 2)
    with pytest.raises(ValueError, match="is no model of timm"):
        encoders.from_timm("resnet9000")
