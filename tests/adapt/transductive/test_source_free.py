"""From a saved model and unlabelled rows to a model of the target, and back where the signs say harm."""

import copy
import pickle
from functools import partial

import numpy
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import adapt
from adapt import Model, Stream, Term, Trainer, encoders, heads, transductive
from adapt.transductive import harm, source_free
from tests.adapt.engine.tiny import cloud, jitter, network
from tests.adapt.transductive.moved import moved

FEW = {"epochs": 2, "batch_size": 20}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A saved model of the source; the source is gone."""
    encoder, head = network(batch_norm=True)
    trained = Trainer(
        encoder, [adapt.supervised(head, "source")], {"source": Stream(cloud(100), 20)}, progress=False, device="cpu"
    ).fit(60)
    path = tmp_path_factory.mktemp("models") / "source"
    trained.model(head).save(path)
    return path


def parameters(model):
    return torch.cat([p.flatten() for p in [*model.encoder.parameters(), *model.head.parameters()]]).detach()


@pytest.mark.parametrize(
    "method", [transductive.shot, transductive.shot_im, transductive.nrc, transductive.cbst], ids=lambda m: m.__name__
)
def test_the_source_model_stays_and_the_adapted_model_is_a_model(method, folder, tmp_path):
    model, target = Model.load(folder), cloud(60, seed=1, shift=0.7)
    before, outputs = parameters(model), model.outputs(target)
    state = torch.get_rng_state(), numpy.random.get_state()[1].tolist()
    adapted = source_free(model, target, method=method, **FEW)
    assert torch.equal(torch.get_rng_state(), state[0]) and numpy.random.get_state()[1].tolist() == state[1]
    assert torch.equal(parameters(model), before) and torch.equal(model.outputs(target), outputs)
    assert not torch.equal(parameters(adapted), before) and not adapted.encoder.training
    facts = adapted.card["adaptation"]
    assert facts["adapted"] and facts["method"] == method.__name__ and facts["rows of the target"] == 60
    assert adapted.card["target label seen"] == "no"
    adapted.save(tmp_path / "adapted")
    again = Model.load(tmp_path / "adapted")
    assert torch.equal(again.outputs(target), adapted.outputs(target))
    assert torch.equal(pickle.loads(pickle.dumps(copy.deepcopy(adapted))).outputs(target), adapted.outputs(target))


def test_the_head_of_shot_stays_and_statistics_follow_the_target(folder):
    model, target = Model.load(folder), cloud(60, seed=1, shift=0.7)
    adapted = source_free(model, target, **FEW)
    assert torch.equal(adapted.head.linear.weight, model.head.linear.weight)
    assert not torch.equal(adapted.encoder.body[1].running_mean, model.encoder.body[1].running_mean)
    part = source_free(model, target, learn=["0"], **FEW)
    assert torch.equal(part.encoder.body[4].weight, model.encoder.body[4].weight)
    assert torch.equal(part.encoder.body[1].running_mean, model.encoder.body[1].running_mean)


@pytest.mark.parametrize("kind", ["data set", "tensor", "numpy", "half", "whole numbers"])
def test_batches_of_any_kind(kind, folder):
    x = cloud(40, seed=1).tensors[0]
    rows = {"data set": TensorDataset(x), "tensor": x, "numpy": x.numpy(), "half": x.double().float(),
            "whole numbers": x.round()}[kind]  # fmt: skip
    assert source_free(Model.load(folder), rows, epochs=1, augment=jitter).predict(x[:3]).shape == (3,)


def test_the_same_call_gives_the_same_model_and_labels_change_nothing(folder):
    x, y = cloud(40, seed=1).tensors
    models = [source_free(Model.load(folder), TensorDataset(x, labels), **FEW) for labels in (y, y, (y + 1) % 3)]
    assert torch.equal(parameters(models[0]), parameters(models[1]))
    assert torch.equal(parameters(models[0]), parameters(models[2]))


def collapsing(head, *, encoder, dataset, target):
    """A method that makes every row the class 0."""
    return Term("one", lambda step: -step.output(head, target).log_softmax(1)[:, 0].mean(), streams=[target],
                modules=[head])  # fmt: skip


def test_a_harmed_model_falls_back_to_the_source_model_in_words(folder):
    model, target = Model.load(folder), cloud(60, seed=1)
    with pytest.warns(UserWarning, match="the source model is kept: target predictions spread over 1.0 effective"):
        kept = source_free(model, target, method=collapsing, epochs=20, batch_size=20, rate=0.1)
    assert torch.equal(parameters(kept), parameters(model)) and kept.encoder is not model.encoder
    assert not kept.card["adaptation"]["adapted"] and "effective classes" in kept.card["adaptation"]["signs of harm"][0]
    assert "adaptation" not in model.card
    without = source_free(model, target, method=collapsing, epochs=20, batch_size=20, rate=0.1, guard=False)
    assert len(set(without.predict(target.tensors[0]))) == 1


def test_signs_of_harm():
    one = torch.eye(3).repeat(20, 1)  # three classes
    assert harm(one, one) == [] and harm(one.half(), one.numpy()) == []
    half = one.clone()
    half[:30] = half[:30].roll(1, 1)  # half of the predictions differ
    assert harm(half, one) == []
    assert "effective classes" in harm(torch.eye(3)[[0] * 60], one)[0]
    random = one[torch.randperm(60, generator=torch.Generator().manual_seed(0))]
    assert "as by chance" in harm(random, one)[0]
    assert "NaN or infinity" in harm(one * torch.nan, one)[0]
    assert (
        "would have to change the class"
        in harm(torch.eye(4)[[2] * 30 + [3] * 30], torch.eye(4)[[0] * 30 + [1] * 30])[0]
    )
    same = torch.eye(2)[[0] * 9]  # a source model of one class says nothing
    assert harm(same, same) == []
    with pytest.raises(ValueError, match="`adapted` and `source` must be logits of the same rows"):
        harm(one[:5], one)
    with pytest.raises(ValueError, match="`source`.*finite"):
        harm(one, one * torch.nan)


def test_what_is_no_model_no_method_and_too_few_rows(folder):
    model = Model.load(folder)
    with pytest.raises(TypeError, match="`model` must be an `adapt.Model`, got a Linear"):
        source_free(nn.Linear(2, 2), cloud())
    with pytest.raises(TypeError, match="`method` must be a function such as `transductive.shot`, got 'shot'"):
        source_free(model, cloud(), method="shot")
    for count in (0, 1):
        with pytest.raises(ValueError, match=f"`target` must have at least 2 rows, got {count}"):
            source_free(model, torch.zeros(count, 6))
    with pytest.raises(TypeError, match="`target` is raw, a str, and this model knows no preparation"):
        source_free(model, "folder")
    with pytest.raises(TypeError, match="`encoder`"):
        source_free(Model(nn.Linear(6, 8), heads.Classifier(8, 3)), cloud())
    with pytest.raises(ValueError, match="finite"):
        source_free(model, torch.full((4, 6), torch.nan))
    with pytest.raises(TypeError, match="exclusive classes"):
        source_free(Model(network()[0], heads.Regressor(8)), cloud())


@pytest.mark.claim
@pytest.mark.parametrize("name", ["shot_im", "shot", "nrc"])
def test_follows_a_shift_that_the_source_model_does_not(name):
    gains, method = [], getattr(transductive, name)
    for seed in range(3):
        torch.manual_seed(seed)
        encoder = encoders.Encoder(nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 8)), 8)
        head = heads.Classifier(8, 2)
        source = {"source": Stream(moved(200, 0.0, 1), 64)}
        trained = Trainer(encoder, [adapt.supervised(head, "source")], source, progress=False, seed=seed,
                          optimizer=partial(torch.optim.AdamW, lr=3e-3)).fit(300)  # fmt: skip
        model, test = trained.model(head), moved(1000, 0.8, 3)
        adapted = source_free(model, moved(200, 0.8, 2), method=method, epochs=30, seed=seed)
        gains.append(adapted.evaluate(test).value - model.evaluate(test).value)
    assert min(gains) > 0.03
