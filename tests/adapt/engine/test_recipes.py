"""Plain descriptions make the same object again, for every kind of argument, and name the first difference."""

import json
from functools import partial

import pytest
import torch
from torch import nn
from torchvision.transforms import InterpolationMode

from adapt import encoders, heads
from adapt.engine.model_folder import _named_classes, described_and_tried
from adapt.engine.recipes import Lost, NoRecipe, describe, describe_module, make, make_module


def again(value):
    return make(json.loads(json.dumps(describe(value))))


@pytest.mark.parametrize(
    "value",
    [None, True, 3, 0.5, "word", [1, "a", [None]], (1, (2, "b")), {"a": 1, "b": (2,)}, torch.float16,
     InterpolationMode.BICUBIC],
    ids=repr,
)  # fmt: skip
def test_plain_values(value):
    found = again(value)
    assert found == value and type(found) is type(value)


def test_tensors_keep_their_dtype():
    for tensor in (torch.tensor([0.5, 1.5], dtype=torch.float64), torch.tensor([1, 2])):
        assert torch.equal(again(tensor), tensor) and again(tensor).dtype == tensor.dtype
    assert again(torch.zeros(64)).numel() == 64
    with pytest.raises(NoRecipe, match="has no plain description"):
        describe(torch.zeros(65))


def test_functions_and_partials():
    assert again(nn.functional.relu) is nn.functional.relu
    found = again(partial(nn.functional.leaky_relu, negative_slope=0.25))
    assert found.func is nn.functional.leaky_relu and found.keywords == {"negative_slope": 0.25} and found.args == ()
    found = again(partial(nn.functional.pad, (1, 2)))
    assert found.args == ((1, 2),) and found.keywords == {}


def own(x):
    return x


class Callable:
    def __call__(self, x):
        return x


@pytest.mark.parametrize("value", [own, Callable(), Lost("tests.own")], ids=["function", "object", "lost"])
def test_code_of_the_user_becomes_its_name(value):
    found = again(value)
    assert isinstance(found, Lost) and repr(found).startswith("Lost('tests.")
    with pytest.raises(NoRecipe, match=r"^the function `tests\..*` was not saved, because a function is code: give "):
        found(1)


def test_containers_keep_names_and_kinds():
    found = again(nn.ModuleDict({"left": nn.Linear(2, 3), "right": nn.ReLU()}))
    assert type(found) is nn.ModuleDict and list(found) == ["left", "right"] and found["left"].out_features == 3
    found = again(nn.ModuleList([nn.Linear(2, 3), nn.Tanh()]))
    assert type(found) is nn.ModuleList and len(found) == 2 and isinstance(found[1], nn.Tanh)
    found = again(nn.Sequential(nn.Linear(2, 3, bias=False), nn.Dropout(0.25)))
    assert found[0].bias is None and found[1].p == 0.25


@pytest.mark.parametrize(
    "plain, message",
    [
        ({"what": 1, "is": 2}, r"^a description with \['is', 'what'\] is of another version of this toolkit\.$"),
        ({"dtype": "Tensor"}, r"^`Tensor` is no dtype of torch\.$"),
        ({"dtype": "float17"}, r"^`float17` is no dtype of torch\.$"),
    ],
)
def test_descriptions_of_something_else(plain, message):
    with pytest.raises(NoRecipe, match=message):
        make(plain)


def test_the_first_difference_is_named():
    plain = describe_module(nn.Sequential(nn.Linear(2, 3), nn.Tanh()))
    plain["structure"][1] = plain["structure"][1].replace("out_features=3", "out_features=4")
    with pytest.raises(NoRecipe, match=r"structure: expected `0: Linear\(.*=4, .*`, got `0: Linear\(.*=3, "):
        make_module(plain)


@pytest.mark.parametrize(
    "change, expected, found", [(lambda s: s.pop(), "", "0.weight"), (lambda s: s.append("more"), "more", "")]
)
def test_a_line_more_and_a_line_less(change, expected, found):
    plain = describe_module(nn.Sequential(nn.Linear(2, 3)))
    change(plain["structure"])
    with pytest.raises(NoRecipe, match=rf"another structure: expected `{expected}`, got `{found}(: \(3, 2\))?`$"):
        make_module(plain)


def test_frozen_parameters_and_facts_of_an_encoder():
    encoder = encoders.wrap(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), 3)
    encoder.source, encoder.licence = "here", "MIT"
    encoder.body[0].bias.requires_grad_(False)
    encoder.keep_in_eval(["1"])
    found = make_module(json.loads(json.dumps(describe_module(encoder))))
    assert (found.source, found.licence, list(found.kept_in_eval)) == ("here", "MIT", ["1"])
    assert [n for n, p in found.named_parameters() if not p.requires_grad] == ["body.0.bias"] and not found.training


def test_a_description_is_tried_on_inputs():
    layer = nn.Linear(2, 3)
    plain = described_and_tried(layer, torch.randn(4, 2))
    assert plain["base"]["arguments"]["out_features"] == 3
    layer.forward = lambda x: torch.zeros(len(x), 3)  # the description does not tell
    with pytest.raises(NoRecipe, match="the module made from its description computes something else"):
        described_and_tried(layer, torch.randn(4, 2))


def test_the_largest_number_of_classes_of_a_description():
    assert _named_classes({"a": [{"classes": 3}, {"classes": "many", "b": {"classes": 7}}], "classes": 5}) == 7
    assert _named_classes({"classes": 9, "a": {"classes": 2}}) == 9
    assert _named_classes([]) == _named_classes("words") == _named_classes({"classes": None}) == 0


def test_a_head_keeps_its_names():
    head = again(heads.Classifier(4, ["a", "b"]))
    assert head.names == ["a", "b"]
