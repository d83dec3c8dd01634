"""Wrong encoders, heads and options are refused before anything is computed, with the remedy."""

import re

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import adapt
from adapt import Stream, Trainer, encoders, heads, inductive
from tests.adapt.engine.tiny import cloud


class Untouched(nn.Module):
    """A network, not an encoder, that must not be run."""

    def forward(self, inputs):
        raise AssertionError("the network was run before the check")


def encoder():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4))
    return encoders.Encoder(body, 4, layers=["0", "2"], head=nn.Linear(4, 3))


def classifier():
    return heads.Classifier(4, 3)


PLAIN = Untouched()
WITHOUT_DIM = {
    "transfer": lambda: inductive.transfer(PLAIN, cloud(), "probe", classes=3),
    "direct transfer": lambda: inductive.transfer(PLAIN, None, "direct", classes=["a", "b"]),
    "interpolated_fine_tuning": lambda: inductive.interpolated_fine_tuning(PLAIN, cloud(), classes=3),
    "strategy": lambda: inductive.strategy(PLAIN, "full"),
    "develop": lambda: inductive.develop(PLAIN, classifier(), cloud(), cloud()),
    "surgical": lambda: inductive.surgical(PLAIN, classifier(), cloud()),
    "channel_attention": lambda: inductive.channel_attention(PLAIN, classifier(), cloud()),
    "relationship": lambda: inductive.relationship(PLAIN, cloud(), 3),
    "direct": lambda: inductive.direct(PLAIN, ["a", "b"]),
    "layer_decay": lambda: inductive.layer_decay(PLAIN),
    "gradual": lambda: inductive.gradual(PLAIN),
    "co_tuning": lambda: inductive.co_tuning(PLAIN, on="target", relationship=torch.ones(3, 3)),
    "delta": lambda: inductive.delta(PLAIN, on="target"),
    "lwf": lambda: inductive.lwf(PLAIN, on="target", head=nn.Linear(4, 3)),
    "feature_distillation": lambda: inductive.feature_distillation(PLAIN, teacher=PLAIN, on="target"),
    "supervised_contrastive": lambda: inductive.supervised_contrastive(PLAIN, on="target"),
}


@pytest.mark.parametrize("call", WITHOUT_DIM.values(), ids=WITHOUT_DIM)
def test_a_module_that_is_no_encoder(call):
    with pytest.raises(
        TypeError, match=r"`encoder` must .*got an? Untouched.*: wrap the module with `encoders\.wrap\("
    ):
        call()


HEADS = {
    "develop": lambda: inductive.develop(encoder(), nn.Linear(4, 3), cloud(), cloud()),
    "surgical": lambda: inductive.surgical(encoder(), nn.Linear(4, 3), cloud()),
    "channel_attention": lambda: inductive.channel_attention(encoder(), nn.Linear(4, 3), cloud()),
}


@pytest.mark.parametrize("call", HEADS.values(), ids=HEADS)
def test_a_linear_layer_is_no_head(call):
    with pytest.raises(TypeError, match=r"`head` must offer .*a Linear without .*heads\.Classifier\(.*heads\.wrap\("):
        call()


def test_distillation_is_for_classes():
    with pytest.raises(TypeError, match=r"a Regressor without `classes`: .*inductive\.feature_distillation"):
        inductive.distillation(heads.Regressor(4, 1), teacher=nn.Linear(6, 3), on="target")


@pytest.mark.parametrize("arguments", [(nn.Linear(4, 3), torch.zeros(5)), (torch.zeros(5, 4), [0, 1, 0, 1, 0])])
def test_a_probe_takes_tensors(arguments):
    with pytest.raises(TypeError, match=r"must be a tensor, got a .*: `rows, labels = engine\.features\("):
        inductive.probe(*arguments, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: inductive.bss(on="target", count=0), "`count` must be a whole number of at least 1, got 0"),
        (
            lambda: inductive.lwf(encoder(), on="target", temperature=0),
            "`temperature` must be a positive number, got 0",
        ),
        (
            lambda: inductive.distillation(classifier(), teacher=nn.Linear(6, 3), on="target", temperature=-1.0),
            "`temperature` must be a positive number, got -1",
        ),
        (
            lambda: inductive.supervised_contrastive(4, on="target", temperature=0.0),
            "`temperature` must be a positive number",
        ),
        (lambda: inductive.supervised_contrastive(4, on="target", projection=0), "`projection` must be a whole"),
        (
            lambda: inductive.feature_distillation(4, teacher=nn.Linear(6, 4), on="target", kind="l1"),
            "`kind` must be .*got 'l1'",
        ),
        (
            lambda: inductive.feature_distillation(encoder(), teacher=heads.Classifier(6, 4), on="target"),
            "the same feature size, got 4 and 6: give `teacher_dim=6`",
        ),
        (lambda: inductive.lwf(encoders.wrap(nn.Linear(6, 4), 4), on="target"), "without its own head"),
        (lambda: inductive.channel_attention(encoder(), classifier(), cloud(), ["9"]), "must name layers"),
        (
            lambda: inductive.relationship(encoder(), cloud(), 3, temperature=0),
            "`temperature` must be a positive number",
        ),
        (lambda: inductive.relationship(encoder(), TensorDataset(torch.zeros(4, 6)), 3), "`dataset` has no labels"),
        (lambda: inductive.surgical(encoder(), classifier(), cloud(), batches=0), "`batches` must be a whole"),
        (lambda: inductive.surgical(encoder(), classifier(), TensorDataset(torch.zeros(4, 6))), "without labels"),
        (lambda: inductive.transfer(encoder(), cloud(), "full", classes=3, epochs=0), "`epochs` must be a whole"),
        (lambda: inductive.transfer(encoder(), cloud(), "full", classes=3, batch_size=0), "`batch_size` must be"),
        (lambda: inductive.transfer(encoder(), cloud(), "full", classes=3, rate=0), "`rate` must be a positive number"),
        (lambda: inductive.transfer(encoder(), cloud(), "full", classes=1), "`classes` must be"),
        (
            lambda: inductive.develop(encoder(), classifier(), cloud(), TensorDataset(torch.zeros(4, 6))),
            "`held_out` has inputs without labels",
        ),
        (
            lambda: inductive.interpolated_fine_tuning(encoder(), TensorDataset(torch.zeros(4, 6)), classes=3),
            "`train` has inputs without labels",
        ),
    ],
)
def test_options_at_construction(call, message):
    with pytest.raises(ValueError, match=message):
        call()


TERMS = {
    "bss": lambda e, **o: inductive.bss(on="target", **o),
    "co_tuning": lambda e, **o: inductive.co_tuning(e, on="target", relationship=torch.full((3, 3), 1 / 3), **o),
    "delta": lambda e, **o: inductive.delta(e, on="target", **o),
    "distillation": lambda e, **o: inductive.distillation(classifier(), teacher=nn.Linear(6, 3), on="target", **o),
    "feature_distillation": lambda e, **o: inductive.feature_distillation(e, teacher=e, on="target", **o),
    "l2_sp": lambda e, **o: inductive.l2_sp(e, **o),
    "lwf": lambda e, **o: inductive.lwf(e, on="target", **o),
    "supervised_contrastive": lambda e, **o: inductive.supervised_contrastive(e, on="target", **o),
}


@pytest.mark.parametrize("name", TERMS)
def test_two_terms_of_a_kind_stand_side_by_side_under_two_names(name):
    network, make = encoder(), TERMS[name]
    assert make(network).name == name and make(network).supervises == ()
    terms = [adapt.supervised(classifier(), on="target"), make(network), make(network, name="second", weight=0.5)]
    trainer = Trainer(network, terms, {"target": Stream(cloud(), 12)}, progress=False, device="cpu")
    trainer.fit(steps=1)
    with pytest.raises(ValueError, match="cannot name a term"):
        Trainer(network, [make(network), make(network)], {"target": Stream(cloud(), 12)}, progress=False, device="cpu")


SETTINGS = {
    "bss": "on='target', count=1",
    "co_tuning": "on='target'",
    "delta": r"on='target', names=\['0', '2'\]",
    "distillation": "on='target', temperature=4.0, head=Classifier",
    "feature_distillation": "on='target', kind='mse'",
    "l2_sp": "per_parameter=False",
    "lwf": "on='target', temperature=2.0",
    "supervised_contrastive": "on='target', temperature=0.1",
}


@pytest.mark.parametrize("name", TERMS)
def test_a_term_shows_its_settings(name):
    term = TERMS[name](encoder(), weight=0.25)
    shown = repr(term)
    assert shown.startswith(f"Term('{name}', ") and "weight=0.25" in shown and "lambda" not in shown
    assert re.search(SETTINGS[name], shown), shown
