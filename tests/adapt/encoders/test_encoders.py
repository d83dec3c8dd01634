"""Encoders say what they give; weight files are loaded whole or not at all."""

import numpy
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

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


def test_features_are_what_the_whole_model_feeds_to_its_classifier(tmp_path):
    from torchvision.models import resnet18

    torch.manual_seed(0)
    model = resnet18(num_classes=7).eval()
    torch.save(model.state_dict(), tmp_path / "mine.pth")
    encoder = encoders.load("resnet18", tmp_path / "mine.pth").eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model.fc(encoder(x)), model(x))


def test_models_that_are_not_there_or_cannot_be_cut():
    with pytest.raises(ValueError, match="`resnet9` is no torchvision"):
        encoders.load("resnet9")
    with pytest.raises(ValueError, match="no linear classifier"):
        encoders.load("squeezenet1_0")


def test_wrap_reads_the_dim_and_keeps_modes_and_statistics():
    body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten())
    body[1].eval()
    encoder = encoders.wrap(body, example=torch.randn(2, 1, 5, 5))
    assert encoder.dim == 36 and list(encoder.layers) == ["0", "1"]
    assert body[0].training and not body[1].training and body[1].num_batches_tracked == 0
    assert encoders.wrap(body, 36, layers=["0"]).layers["0"] is body[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: encoders.wrap(nn.Flatten()), "`dim` is not known"),
        (lambda: encoders.wrap(nn.Conv2d(1, 4, 3), example=torch.zeros(2, 1, 5, 5)), r"\(n, dim\) features"),
        (lambda: encoders.wrap(nn.Flatten(), 3, layers=["conv9"]), "names `conv9`"),
        (lambda: encoders.cifar_resnet(21), r"6 n \+ 2"),
    ],
)
def test_bad_encoders(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("size", [28, 32])
def test_small_conv(size):
    encoder = encoders.small_conv(1, dim=10, width=4)
    assert encoder(torch.zeros(2, 1, size, size)).shape == (2, 10)
    assert list(encoder.layers) == ["conv1", "conv2", "conv3", "features"]


def tiny():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def write(kind, path, tensors):
    if kind == "safetensors":
        save_file(tensors, path)
    elif kind == "npz":
        numpy.savez(path, **{k: v.numpy() for k, v in tensors.items()})
    else:
        torch.save({"state_dict": {f"module.{k}": v for k, v in tensors.items()}, "epoch": 3}, path)
    return path


@pytest.mark.parametrize("kind", ["safetensors", "npz", "pth"])
def test_weight_files(tmp_path, kind):
    source, module = tiny(), nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    path = write(kind, tmp_path / f"weights.{kind}", source.state_dict())
    match = encoders.load_weights(module, path)
    assert str(match) == "7 tensors loaded, 0 missing, 0 not used"
    assert all(
        torch.equal(a, b) for a, b in zip(source.state_dict().values(), module.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("kind", ["safetensors", "npz", "pth"])
@pytest.mark.parametrize("cut", [0, 20, -9])
def test_a_torn_weight_file(tmp_path, kind, cut):
    path = write(kind, tmp_path / f"weights.{kind}", tiny().state_dict())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match="cannot be read|holds"):
        encoders.read_weights(path)


class Trap:
    def __reduce__(self):
        return print, ("code in a weight file was run",)


def test_code_in_a_weight_file_is_not_run(tmp_path, capsys):
    torch.save({"a": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(ValueError, match="holds more than tensors"):
        encoders.read_weights(tmp_path / "trap.pth")
    assert capsys.readouterr().out == ""


def test_weights_that_do_not_fit_leave_the_module_untouched(tmp_path):
    module = tiny()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    full = tiny().state_dict()
    cases = {
        "missing 1.bias; not expected nothing": {k: v for k, v in full.items() if k != "1.bias"},
        "missing nothing; not expected extra": full | {"extra": torch.ones(1)},
        r"`0.weight` \(2, 2\) instead of \(4, 3\)": full | {"0.weight": torch.ones(2, 2)},
    }
    for message, tensors in cases.items():
        with pytest.raises(ValueError, match=message):
            encoders.load_weights(module, {k: v + 1 for k, v in tensors.items()})
    with pytest.raises(ValueError, match="do not fit"):
        encoders.load_weights(module, {"other": torch.ones(1)}, strict=False)
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    partial = encoders.load_weights(module, {"0.bias": torch.ones(4), "x": torch.ones(1)}, strict=False)
    assert partial.loaded == ["0.bias"] and partial.unexpected == ["x"] and (module[0].bias == 1).all()


def test_a_missing_or_empty_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a weight file"):
        encoders.read_weights(tmp_path / "none.pth")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(ValueError, match="holds no tensors"):
        encoders.read_weights(tmp_path / "empty.pth")


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
