"""Section 4 of the cases, encoders: each message has what was expected, what was found and a remedy that works."""

import re

import pytest
import torch
from torch import nn

import adapt
from adapt import Stream, Trainer, encoders, engine, heads, inductive
from adapt.datasets import arrays

X = torch.randn(4, 2)


def network():
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))


def under(prefix, module):
    return {f"{prefix}{name}": torch.ones_like(tensor) for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(("prefix", "rename"), [("backbone.", {"backbone.": ""}), ("model.net.", {"model.net.": ""})])
def test_names_under_a_beginning(prefix, rename, strict):
    module = network()
    weights = under(prefix, module)
    with pytest.raises(ValueError, match="No name is the same; the names fit after") as error:
        encoders.load_weights(module, weights, strict=strict)
    assert "strict=False" not in str(error.value)
    assert repr(rename) in str(error.value)
    encoders.load_weights(module, weights, strict=strict, rename=rename)
    assert all(bool((tensor == 1).all()) for tensor in module.state_dict().values())


def test_names_without_the_beginning_of_the_module():
    module = encoders.wrap(network(), 2)
    weights = under("", network())
    with pytest.raises(ValueError, match=re.escape("rename={'': 'body.'}")):
        encoders.load_weights(module, weights)
    encoders.load_weights(module, weights, rename={"": "body."})
    assert bool((module.body[0].weight == 1).all())


def test_names_of_another_architecture():
    with pytest.raises(ValueError, match='No name is the same: is it the same architecture.*rename={"old.": "new."}'):
        encoders.load_weights(network(), {"x": torch.ones(1)}, strict=False)
    with pytest.raises(ValueError, match="Pass `strict=False`"):
        encoders.load_weights(network(), {"0.bias": torch.ones(3)})
    with pytest.raises(ValueError, match="beginnings of names in the weights, got `there.`"):
        encoders.load_weights(network(), under("", network()), rename={"there.": ""})
    with pytest.raises(ValueError, match="two tensors the name `0.bias`"):
        encoders.load_weights(
            network(), {"a.0.bias": torch.ones(3), "b.0.bias": torch.ones(3)}, rename={"a.": "", "b.": ""}
        )


def test_a_file_of_timm_with_other_names(tmp_path):
    timm = pytest.importorskip("timm", reason="the extra `vision`")
    model = timm.create_model("lcnet_050")
    path = tmp_path / "weights.pt"
    torch.save(under("backbone.", model), path)
    with pytest.raises(ValueError, match=re.escape("rename={'backbone.': ''}")):
        encoders.from_timm("lcnet_050", path)
    encoder = encoders.from_timm("lcnet_050", path, rename={"backbone.": ""})
    assert bool((encoder.body.conv_stem.weight == 1).all())
    torch.save({"conv_stem.weight": torch.ones_like(model.conv_stem.weight), "other": torch.ones(1)}, path)
    with pytest.raises(ValueError, match="Pass `strict=False`"):
        encoders.from_timm("lcnet_050", path)
    assert bool((encoders.from_timm("lcnet_050", path, strict=False).body.conv_stem.weight == 1).all())
    for name in ("imagenet", "IMAGENET1K_V1"):
        with pytest.raises(FileNotFoundError, match=f"'pretrained' or the path of a weight file, got '{name}'"):
            encoders.from_timm("lcnet_050", name)


@pytest.mark.parametrize("name", ["IMAGENET1K_V2", "ResNet50_Weights.IMAGENET1K_V2", "imagenet"])
def test_names_of_weights_of_torchvision(name, monkeypatch):
    from torchvision.models import ResNet50_Weights

    asked = []

    def instead(weights, *args, **options):  # nothing is downloaded
        asked.append(weights)
        raise ConnectionError

    monkeypatch.setattr(ResNet50_Weights, "get_state_dict", instead)
    with pytest.raises(ConnectionError):
        encoders.load("resnet50", name)
    assert asked == [ResNet50_Weights.IMAGENET1K_V2]
    with pytest.raises(FileNotFoundError, match=r"one of \['IMAGENET1K_V1', 'IMAGENET1K_V2'.*got 'IMAGENET21K'"):
        encoders.load("resnet50", "IMAGENET21K")


def test_a_name_of_the_hub_where_a_folder_is_meant():
    pytest.importorskip("transformers", reason="the extra `text`")
    with pytest.raises(FileNotFoundError, match=r"AutoModel.from_pretrained\('bert-base-uncased'\)"):
        encoders.from_transformers("bert-base-uncased")


class Returns(nn.Module):
    """Returns features in another form than a tensor."""

    def __init__(self, kind):
        super().__init__()
        self.linear, self.kind = nn.Linear(8, 16), kind

    def forward(self, x):
        out = self.linear(x)
        if self.kind == "output":
            outputs = pytest.importorskip("transformers.modeling_outputs", reason="the extra `text`")
            return outputs.BaseModelOutput(last_hidden_state=out[:, None])
        return {"tuple": (out, x), "list": [out], "dict": {"out": out}}[self.kind]


class First(Returns):
    def forward(self, x):
        return super().forward(x)["out" if self.kind == "dict" else 0]


ROWS = arrays(torch.randn(24, 8, generator=torch.Generator().manual_seed(0)), torch.arange(24) % 3)
DOORS = {
    "wrap": lambda body: encoders.wrap(body, example=ROWS.inputs),
    "features": lambda body: engine.features(encoders.wrap(body, 16), ROWS),
    "probe": lambda body: inductive.transfer(encoders.wrap(body, 16), ROWS, classes=3),
    "transfer": lambda body: inductive.transfer(
        encoders.wrap(body, 16), ROWS, "full", classes=3, epochs=1, start="random"
    ),
    "trainer": lambda body: trained(encoders.wrap(body, 16)),
}


def trained(encoder):
    terms = [adapt.supervised(heads.Classifier(encoder, 3), on="rows")]
    Trainer(encoder, terms, {"rows": Stream(ROWS, 8)}, device="cpu", progress=False).fit(1)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", ["tuple", "list", "dict", "output"])
def test_an_encoder_that_returns_no_tensor(kind, door):
    names = {
        "output": "a BaseModelOutput of transformers: take `encoders.from_transformers",
        "dict": "a dict with .'out'",
    }
    with pytest.raises(ValueError, match=f"must return .*features.* got {names.get(kind, f'a {kind}: wrap a module')}"):
        DOORS[door](Returns(kind))
    if kind != "output":
        DOORS[door](First(kind))


@pytest.mark.parametrize("pixels", [16, 24, 33, 64])
def test_small_conv_at_other_sizes(pixels):
    from torchvision.transforms import Resize

    encoder, x = encoders.small_conv(), torch.rand(6, 3, pixels, pixels)
    with pytest.raises(
        ValueError, match=r"\(6, 3, .* small_conv takes images of 25 to 32 pixels.*Resize\(\(32, 32\)\)"
    ):
        engine.features(encoder, arrays(x))
    assert engine.features(encoder, arrays(Resize((32, 32))(x))).tensors[0].shape == (6, 128)


@pytest.mark.parametrize("start", ["random", "probe"])
def test_transfer_of_an_encoder_that_was_never_trained(start, recwarn):
    rows = arrays(torch.rand(24, 1, 28, 28), torch.arange(24) % 3)
    options = {"learn": "full", "classes": 3, "epochs": 1, "start": start}
    with pytest.warns(
        UserWarning, match=r"3 BatchNorm layers.*`batch_norm=\"frozen\"`.*batch_norm=\"follow\", encoder_scale"
    ):
        inductive.transfer(encoders.small_conv(1), rows, **options)
    recwarn.clear()
    inductive.transfer(encoders.small_conv(1), rows, batch_norm="follow", encoder_scale=1.0, **options)
    seen = encoders.small_conv(1)
    seen(rows.inputs)
    inductive.transfer(seen, rows, **options)
    assert not [w for w in recwarn if "BatchNorm" in str(w.message)]


def test_a_model_of_two_inputs_names_its_parts():
    transformers = pytest.importorskip("transformers", reason="the extra `text`")
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    image = {**small, "image_size": 32, "patch_size": 8}
    model = transformers.CLIPModel(
        transformers.CLIPConfig(text_config={**small, "vocab_size": 50}, vision_config=image)
    )
    with pytest.raises(ValueError, match="pass one part, `model.text_model` or `model.vision_model`"):
        encoders.from_transformers(model)
    assert encoders.from_transformers(model.vision_model)(torch.randn(2, 3, 32, 32)).shape == (2, 16)
    resnet = transformers.ResNetModel(
        transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    )
    x = torch.randn(2, 3, 32, 32)
    with pytest.raises(ValueError, match="`encoders.from_transformers\\(model, dim=16\\)`"):
        encoders.from_transformers(resnet, dim=3)(x)
    with pytest.raises(ValueError, match='`pool` of a map .* must be "mean" or "tokens", got \'first\''):
        encoders.from_transformers(resnet, pool="first")(x)
    assert encoders.from_transformers(resnet, pool="tokens")(x).shape == (2, 16, 16)
