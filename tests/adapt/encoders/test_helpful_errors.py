"""Section 4 of the cases, encoders: each message has what was expected, what was found and a remedy that works."""

import re

import pytest
import torch
from torch import nn

from adapt import encoders

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
