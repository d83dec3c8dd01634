"""What learns is what the strategy says, in a trainer; rates, surgical choice, direct use."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

import adapt
from adapt import Stream, Term, Trainer, encoders, heads, inductive
from tests.adapt.engine.tiny import cloud


def deep(seed=0):
    """Three layers; a BatchNorm and a dropout that belong to none by name, and a token before the first."""
    torch.manual_seed(seed)

    class Body(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(torch.zeros(6))
            self.one, self.norm, self.drop = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5)
            self.two, self.three = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8)), nn.Linear(8, 8)

        def forward(self, x):
            return self.three(F.relu(self.two(self.drop(F.relu(self.norm(self.one(x + self.token)))))))

    return encoders.Encoder(Body(), 8, layers=["one", "two", "three"])


def run(encoder, *, steps=3, head=None, terms=(), **options):
    torch.manual_seed(1)
    head = head or heads.Classifier(8, 3)
    trainer = Trainer(
        encoder, [adapt.supervised(head, on="target"), *terms],
        {"target": Stream(cloud(), 12)}, progress=False, device="cpu", **options,
    )  # fmt: skip
    trainer.fit(steps=steps)
    return trainer, head


def stop(encoder, steps, *, of, **options):
    """The first `steps` steps of a run of `of`."""

    class Stopped(Exception):
        pass

    def watch(step):
        if step.number == steps:
            raise Stopped
        return step["target"].features.sum() * 0

    with pytest.raises(Stopped):
        run(encoder, steps=of, terms=[Term("watch", watch)], **options)


def changed(encoder, before):
    return {name.removeprefix("body.") for name, v in encoder.state_dict().items() if not torch.equal(v, before[name])}


ONE = {"token", "one.weight", "one.bias", "norm.weight", "norm.bias"}
ONE_STATISTICS = {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}
TWO = {"two.0.weight", "two.0.bias", "two.1.weight", "two.1.bias"}
TWO_STATISTICS = {"two.1.running_mean", "two.1.running_var", "two.1.num_batches_tracked"}
THREE = {"three.weight", "three.bias"}
BIASES = {"one.bias", "norm.bias", "two.0.bias", "two.1.bias", "three.bias"}


@pytest.mark.parametrize(
    ("learn", "batch_norm", "expected"),
    [
        ("probe", "follow", set()),
        (1, "follow", THREE),
        (2, "follow", TWO | TWO_STATISTICS | THREE),
        (2, "frozen", TWO | THREE),
        (3, "follow", ONE | ONE_STATISTICS | TWO | TWO_STATISTICS | THREE),
        ("full", "follow", ONE | ONE_STATISTICS | TWO | TWO_STATISTICS | THREE),
        ("full", "frozen", ONE | TWO | THREE),
        (["one"], "follow", ONE | ONE_STATISTICS),
        (["two.0", "three"], "follow", {"two.0.weight", "two.0.bias"} | THREE),
        ("bias", "frozen", BIASES),
        ("norm", "frozen", {"norm.weight", "norm.bias", "two.1.weight", "two.1.bias"}),
    ],
)
def test_what_the_strategy_names_learns_and_nothing_else(learn, batch_norm, expected):
    encoder = inductive.strategy(deep(), learn, batch_norm=batch_norm)
    before = copy.deepcopy(encoder.state_dict())
    trainer, _ = run(encoder)
    found = changed(encoder, before)
    # a bias before a BatchNorm has no gradient but noise
    assert found - {"one.bias", "two.0.bias"} == expected - {"one.bias", "two.0.bias"}
    assert encoders.trainable_state(encoder).keys() == {f"body.{name}" for name in expected}


def test_adapters_learn_and_the_rest_is_as_it_was():
    encoder = deep()
    encoders.lora(encoder, 2)
    inductive.strategy(encoder, "adapters")
    before = copy.deepcopy(encoder.state_dict())
    run(encoder)
    assert changed(encoder, before) == {f"{n}.lora_{part}" for n in ("one", "two.0", "three") for part in "AB"}
    with pytest.raises(ValueError, match="leaves nothing to learn"):
        inductive.strategy(deep(), "adapters")


def test_a_frozen_prefix_has_no_dropout_and_no_gradient():
    encoder = inductive.strategy(deep(), 1).train()
    x = torch.randn(4, 6)
    assert torch.equal(encoder(x), encoder(x)) and encoder.training
    assert not encoder.body.two(encoder.body.one(x)).requires_grad and encoder(x).requires_grad
    inductive.strategy(encoder, "full")
    assert not torch.equal(encoder(x), encoder(x)), "what was held is released"


@pytest.mark.parametrize("learn", [1, 3, "full", "bias", "norm"])
def test_training_begins_at_the_function_that_was_evaluated(learn):
    encoder, x = deep(), 3 + 2 * torch.randn(16, 6)
    encoder.body.drop.p = 0.0
    evaluated = encoder.eval()(x)
    torch.testing.assert_close(inductive.strategy(encoder, learn).train()(x), evaluated)
    following = inductive.strategy(encoder, "full", batch_norm="follow").train()(x)
    assert (following - evaluated).abs().max() > 0.1


def test_held_layers_stay_held_in_copies_and_with_synchronised_norms():
    encoder = copy.deepcopy(inductive.strategy(deep(), "probe")).train()
    encoders.synchronize_batch_norm(encoder)
    assert not encoder.train().body.norm.training and isinstance(encoder.body.norm, encoders.GlobalBatchNorm)


@pytest.mark.parametrize(
    ("learn", "message"),
    [(0, "1 to 3 layers"), (4, "1 to 3 layers"), ("last 2", "a number of layers"), (["four"], "does not have"),
     ([], "does not have"), (True, "a number of layers")],
)  # fmt: skip
def test_strategies_that_are_not_there(learn, message):
    with pytest.raises(ValueError, match=message):
        inductive.strategy(deep(), learn)
    with pytest.raises(ValueError, match="names no `layers`"):
        inductive.strategy(encoders.wrap(nn.Flatten(), 3), 1)


def sgd(groups):
    return torch.optim.SGD(groups, lr=0.1)


def test_layer_decay_scales_every_layers_step():
    encoder = inductive.strategy(deep(), "full")
    scales = inductive.layer_decay(encoder, 0.5, top=0.2)
    assert scales == pytest.approx({"one": 0.05, "two": 0.1, "three": 0.2})
    encoder.body.drop.p = 0.0
    once = {}
    for name, scale in (("all", 1.0), ("decayed", scales)):
        net = copy.deepcopy(encoder)
        before = copy.deepcopy(net.state_dict())
        run(net, steps=1, optimizer=sgd, encoder_scale=scale)
        once[name] = {k: v - before[k] for k, v in net.state_dict().items()}
    for name, layer in (("token", "one"), ("norm.weight", "one"), ("two.0.weight", "two"), ("three.bias", "three")):
        whole, part = once["all"][f"body.{name}"], once["decayed"][f"body.{name}"]
        torch.testing.assert_close(part, scales[layer] * whole, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("optimizer", [sgd, lambda groups: torch.optim.AdamW(groups, lr=0.1, weight_decay=0.1)])
def test_gradual_unfreezing_begins_with_the_last_layer(optimizer):
    """3 layers, until=0.5 of 12 steps: the last begins at step 2, the middle at 4, the first at 6."""
    moved = {}
    for steps in (2, 4, 6, 7):
        encoder = inductive.strategy(deep(), "full")
        before = copy.deepcopy(encoder.state_dict())
        stop(encoder, steps, of=12, optimizer=optimizer, encoder_scale=inductive.gradual(encoder))
        moved[steps] = {name.split(".")[0] for name in changed(encoder, before)}
    assert moved[2] == set() and moved[4] == {"three"} and moved[6] == {"three", "two"}
    assert moved[7] >= {"three", "two", "one", "norm"}


def test_scales_must_fit_the_encoder():
    with pytest.raises(ValueError, match="must name the encoder's layers"):
        run(deep(), encoder_scale={"one": 1.0})
    with pytest.raises(TypeError, match="`encoder_scale` for each layer must offer .* got a Linear without"):
        run(nn.Linear(6, 8), encoder_scale={"one": 1.0})
    with pytest.raises(ValueError, match="no parameter group named `encoder.one`"):
        encoder = deep()
        run(
            encoder,
            encoder_scale=inductive.layer_decay(encoder),
            optimizer=lambda g: sgd([p for x in g for p in x["params"]]),
        )
    for make in (
        lambda: inductive.layer_decay(deep(), 1.5),
        lambda: inductive.gradual(deep(), until=1.0),
        lambda: inductive.gradual(deep(), scale={"one": 1.0}),
    ):
        with pytest.raises(ValueError):
            make()


def test_surgical_measures_gradient_against_weight_and_leaves_all_as_it_was():
    encoder, head, data = inductive.strategy(deep(), "probe"), heads.Classifier(8, 3), cloud(12)
    modes = [m.training for m in encoder.modules()]
    rgn = inductive.surgical(encoder, head, data, batch_size=12, batches=1)
    assert [m.training for m in encoder.modules()] == modes and not any(p.requires_grad for p in encoder.parameters())
    again = copy.deepcopy(encoder).requires_grad_(True).eval()
    F.cross_entropy(head(again(data.tensors[0])), data.tensors[1]).backward()
    for name, parameters in again.parameters_of().items():
        gradient = torch.cat([p.grad.flatten() for p in parameters]).norm()
        size = torch.cat([p.detach().flatten() for p in parameters]).norm()
        assert rgn[name] == pytest.approx(float(gradient / size), rel=1e-4)
    assert list(rgn.values()) == sorted(rgn.values(), reverse=True)


def test_surgical_finds_the_layer_that_was_harmed():
    """The target differs from the source by a map of its inputs: the first layer is to learn."""
    data = cloud(600, seed=3)
    encoder = encoders.Encoder(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh()), 8)
    head = heads.Classifier(8, 3)
    Trainer(
        encoder, [adapt.supervised(head, on="source")], {"source": Stream(data, 60)}, progress=False, device="cpu",
        optimizer=lambda groups: torch.optim.Adam(groups, lr=0.02),
    ).fit(steps=80)  # fmt: skip
    corrupted = TensorDataset(
        data.tensors[0] + 3 * torch.randn(6, generator=torch.Generator().manual_seed(5)), data.tensors[1]
    )
    assert next(iter(inductive.surgical(encoder, head, corrupted))) == "0"


def pretrained():
    torch.manual_seed(0)
    head = nn.Linear(8, 4)
    return encoders.Encoder(
        deep().body, 8, layers=["one", "two", "three"], head=head, classes=["Cat", "polar_bear", "crane", "crane"]
    )


def test_direct_takes_the_pretrained_rows_by_name():
    encoder = pretrained().eval()
    head = inductive.direct(encoder, ["polar bear", "kitty"], names={"kitty": "cat"})
    x = torch.randn(5, 6)
    torch.testing.assert_close(head(encoder(x)), encoder.head(encoder(x))[:, [1, 0]])
    assert head.names == ["polar bear", "kitty"] and "head" not in dict(encoder.named_modules())


@pytest.mark.parametrize(
    ("classes", "names", "message"),
    [
        (
            ["cat", "polar beer"],
            None,
            "1 of the 2 target classes are not among the 4 .*nearest to `polar beer`: .'polar bear'",
        ),
        (["cat", "crane"], None, "several classes named .'crane'"),
        (["cat", "polar bear"], {"dog": "cat"}, r"translates \['dog'\]"),
    ],
)
def test_direct_says_what_is_missing(classes, names, message):
    with pytest.raises(ValueError, match=message):
        inductive.direct(pretrained(), classes, names=names)


def test_direct_needs_the_own_head():
    with pytest.raises(ValueError, match="without its own head"):
        inductive.direct(deep(), ["a", "b"])
    with pytest.raises(ValueError, match="must name the 4 logits"):
        encoders.Encoder(nn.Flatten(), 8, head=nn.Linear(8, 4), classes=["a"])
