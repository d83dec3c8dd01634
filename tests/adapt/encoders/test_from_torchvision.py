"""Image models of torchvision lose their classifier and keep it apart."""

import pytest
import torch

from adapt import encoders


@pytest.mark.parametrize(
    ("name", "dim"),
    [("resnet18", 512), ("vgg11", 4096), ("mobilenet_v3_small", 1024), ("efficientnet_b0", 1280), ("densenet121", 1024),
     ("convnext_tiny", 768), ("swin_t", 768), ("googlenet", 1024)],
)  # fmt: skip
def test_torchvision_models_lose_their_last_linear_layer(name, dim):
    encoder = encoders.load(name)
    assert encoder.dim == dim and len(encoder.layers) >= 2
    with torch.no_grad():
        assert encoder.eval()(torch.zeros(2, 3, 64, 64)).shape == (2, dim)


def test_vit_has_its_own_image_size():
    encoder = encoders.load("vit_b_32")
    with torch.no_grad():
        assert encoder.eval()(torch.zeros(1, 3, 224, 224)).shape == (1, encoder.dim) == (1, 768)


def test_torchvision_encoders_keep_their_head(tmp_path):
    from torchvision.models import resnet18

    torch.manual_seed(0)
    whole = resnet18(num_classes=7).eval()
    torch.save(whole.state_dict(), tmp_path / "r.pth")
    encoder = encoders.load("resnet18", tmp_path / "r.pth").eval()
    x = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(encoder.head(encoder(x)), whole(x))
    assert encoders.load("resnet18").head is None, "a random head knows no classes"
    layers = list(encoders.load("vit_b_32").layers)
    assert layers[0] == "conv_proj" and len(layers) == 13 and layers[-1] == "encoder.layers.encoder_layer_11"


def test_models_that_are_not_there_or_cannot_be_cut():
    with pytest.raises(ValueError, match="`resnet9` is no torchvision"):
        encoders.load("resnet9")
    with pytest.raises(ValueError, match="no linear classifier"):
        encoders.load("squeezenet1_0")
