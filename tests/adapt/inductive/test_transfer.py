"""The strategies in one line, and source models that must earn their name."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from adapt import encoders, engine, heads, inductive
from adapt.inductive._transfer import usual_steps
from adapt.streams import collate
from tests.adapt.engine.tiny import Items, cloud, jitter


def encoder(seed=0):
    torch.manual_seed(seed)
    body = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 8), nn.Tanh())
    return encoders.Encoder(body, 8, head=nn.Linear(8, 4), classes=["a", "b", "c", "d"])


@pytest.mark.claim
@pytest.mark.parametrize("learn", ["probe", 1, ["0"], "full", "bias", "adapters"])
def test_every_strategy_in_one_line(learn):
    pretrained, train, test = encoder(), cloud(60), cloud(300, seed=5)
    if learn == "adapters":
        encoders.lora(pretrained, 2)
    before = copy.deepcopy(pretrained.state_dict())
    model = inductive.transfer(pretrained, train, learn, classes=["x", "y", "z"], epochs=3, augment=jitter)
    assert model.evaluate(test).value > 0.7, "three classes"
    assert model.head.names == ["x", "y", "z"] and not model.encoder.training
    assert all(torch.equal(v, before[k]) for k, v in pretrained.state_dict().items()), "the pretrained one stays"
    moved = any(not torch.equal(v, before[k]) for k, v in model.encoder.state_dict().items())
    assert moved == (learn != "probe")
    again = inductive.transfer(pretrained, train, learn, classes=3, epochs=3, augment=jitter)
    assert torch.equal(again.head.linear.weight, model.head.linear.weight)


def test_lp_ft_begins_at_the_probe_and_plain_fine_tuning_at_random():
    pretrained, train = encoder(), cloud(60)
    solved = inductive.probe(*engine.features(pretrained, train).tensors, 3).head.linear.weight
    state = torch.get_rng_state()
    still = {
        s: inductive.transfer(pretrained, train, "full", classes=3, start=s, epochs=1, rate=1e-12)
        for s in ("probe", "random")
    }
    assert torch.equal(state, torch.get_rng_state())
    torch.testing.assert_close(still["probe"].head.linear.weight, solved)
    assert (still["random"].head.linear.weight - solved).abs().max() > 0.1


def test_direct_in_one_line():
    pretrained = encoder().eval()
    model = inductive.transfer(pretrained, None, "direct", classes=["c", "a"])
    x = torch.randn(5, 6)
    torch.testing.assert_close(model.outputs(TensorDataset(x)), pretrained.head(pretrained(x))[:, [2, 0]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learn": "direct", "classes": 2}, "must be names"),
        ({"learn": "direct", "classes": ["a", "tree"]}, "not among the 4"),
        ({"train": None}, "`train` is needed"),
        ({"start": "zero"}, '`start` must be "probe" or "random"'),
        ({"learn": "last 2"}, "a number of layers"),
    ],
)
def test_bad_transfers(change, message):
    arguments = {"train": cloud(30), "learn": "probe", "classes": 3} | change
    with pytest.raises(ValueError, match=message):
        inductive.transfer(encoder(), **arguments)


def adam(groups):
    return torch.optim.Adam(groups, lr=0.02)


@pytest.mark.claim
@pytest.mark.parametrize("items", [False, True])
def test_a_source_model_that_has_learned(items):
    """Classes that a class mean cannot tell apart: inside and outside of a ring."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(900, 2, generator=g)
    data = TensorDataset(x, (x.norm(dim=1) > 1.2).long())
    rows = [TensorDataset(*(t[a:b] for t in data.tensors)) for a, b in ((0, 600), (600, 900))]
    train, held_out = map(Items, rows) if items else rows
    torch.manual_seed(0)
    net = encoders.wrap(nn.Sequential(nn.Linear(2, 16), nn.Tanh()), 16)
    model = inductive.develop(net, heads.Classifier(16, 2), train, held_out, steps=150, optimizer=adam)
    assert model.better and str(model).startswith("yes: accuracy 0.9") and model.naive.keys() == {
        "the majority", "the nearest class mean"
    }  # fmt: skip
    y = rows[1].tensors[1]
    hits = model.model.outputs(held_out).argmax(1) == y
    common = int(rows[0].tensors[1].float().mean() > 0.5)
    assert model.naive["the majority"].value == pytest.approx(float(hits.float().mean() - (y == common).float().mean()))
    assert model.model.evaluate(held_out) == model.score


def test_a_source_model_that_has_not():
    g = torch.Generator().manual_seed(0)
    noise = TensorDataset(torch.randn(120, 6, generator=g), torch.randint(2, (120,), generator=g))
    with pytest.warns(UserWarning, match="does not beat every naive model; no: accuracy"):
        model = inductive.develop(encoder(), heads.Classifier(8, 2), noise, noise, steps=1)
    assert not model.better


@pytest.mark.claim
def test_a_source_model_of_numbers_is_compared_with_the_mean():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(300, 6, generator=g)
    y = x[:, 0] * 2 + 1
    data = TensorDataset(x, y)
    model = inductive.develop(encoder(), heads.Regressor(8, 1), data, data, steps=200, optimizer=adam)
    assert model.better and model.naive.keys() == {"the mean"}
    saved = ((y - y.mean()) ** 2 - (model.model.outputs(data).view_as(y) - y) ** 2).mean()
    assert model.naive["the mean"].value == pytest.approx(float(saved), rel=1e-4)


@pytest.mark.filterwarnings("ignore:the source model does not beat")
def test_a_model_trained_with_an_average_has_the_weights_of_the_average():
    def outputs(steps, **options):
        torch.manual_seed(0)
        head = heads.Classifier(8, 3)
        model = inductive.develop(encoder(), head, cloud(60), cloud(60, seed=5), steps=steps, **options)
        return model.model.outputs(cloud(20, seed=6))

    # an average that stays where it begins, after the first step
    torch.testing.assert_close(outputs(20, ema=1 - 1e-9), outputs(1), rtol=1e-4, atol=1e-5)
    assert (outputs(20) - outputs(1)).abs().max() > 0.01

    pretrained, train = encoder(), cloud(60)
    average, raw = (
        inductive.transfer(pretrained, train, "full", classes=3, epochs=20, **options)
        for options in ({"ema": 1 - 1e-9}, {})
    )
    moved = [(m.encoder.body[0].weight - pretrained.body[0].weight).abs().max() for m in (average, raw)]
    assert 0 < moved[0] < 0.5 * moved[1]


@pytest.mark.parametrize("items", [False, True])
def test_the_best_candidate_by_held_out_training_rows_is_kept(items, monkeypatch):
    import sys

    pretrained, train, calls = encoder(), cloud(30), []
    module, transfer = sys.modules["adapt.inductive._interpolated_fine_tuning"], inductive.transfer

    def watched(net, rows, learn, **options):
        calls.append((learn, len(rows)))
        return transfer(net, rows, learn, **options)

    monkeypatch.setattr(module, "transfer", watched)
    chosen = inductive.interpolated_fine_tuning(
        pretrained, Items(train) if items else train, [1, "full"], classes=3, epochs=2, shares=(0.5, 1.0)
    )
    assert calls[:9] == [("probe", 20), (1, 20), ("full", 20)] * 3 and set(calls[9:]) <= {
        ("probe", 30), (chosen.learn, 30)
    }  # fmt: skip
    assert list(chosen.held_out) == [("probe", 0.0), ("1", 0.5), ("1", 1.0), ("full", 0.5), ("full", 1.0)]
    assert all(s.n == 30 for s in chosen.held_out.values())
    assert chosen.held_out[str(chosen.learn), chosen.share].value == max(s.value for s in chosen.held_out.values())


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_a_candidate_lies_on_the_line_from_the_probe_to_the_tuned_model(share, monkeypatch):
    pretrained, train = encoder(), cloud(60)
    monkeypatch.setattr(heads.Classifier, "score", prefer_the_last(heads.Classifier.score))
    chosen = inductive.interpolated_fine_tuning(pretrained, train, classes=3, epochs=2, shares=(share,), folds=2)
    assert (chosen.learn, chosen.share) == ("full", share)
    probe, tuned = (inductive.transfer(pretrained, train, learn, classes=3, epochs=2) for learn in ("probe", "full"))
    for part in ("encoder", "head"):
        ours, a, b = (getattr(model, part).state_dict() for model in (chosen.model, probe, tuned))
        for name, weight in ours.items():
            torch.testing.assert_close(weight, (1 - share) * a[name] + share * b[name])
    assert not torch.equal(chosen.model.encoder.body[0].weight, pretrained.body[0].weight)


def prefer_the_last(score):
    calls = []

    def scored(self, measures, units=None):
        calls.append(None)
        return replace(score(self, measures), value=len(calls))

    return scored


def test_of_equal_candidates_the_nearest_to_the_probe_is_kept(monkeypatch):
    score = heads.Classifier.score
    monkeypatch.setattr(heads.Classifier, "score", lambda self, m, units=None: replace(score(self, m), value=0.5))
    chosen = inductive.interpolated_fine_tuning(encoder(), cloud(30), classes=3, epochs=1)
    assert (chosen.learn, chosen.share) == ("probe", 0.0) and len(chosen.held_out) == 5
    model = inductive.transfer(encoder(), cloud(30), "probe", classes=3)
    assert torch.equal(chosen.model.head.linear.weight, model.head.linear.weight)


def test_the_log_is_the_training_of_the_chosen_strategy_on_all_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(heads.Classifier, "score", prefer_the_last(heads.Classifier.score))
    chosen = inductive.interpolated_fine_tuning(
        encoder(), cloud(30), [1, "full"], classes=3, epochs=1, folds=2, log=tmp_path / "run"
    )
    steps = [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()]
    assert chosen.learn == "full" and len(steps) == 1


@pytest.mark.claim
def test_full_fine_tuning_is_kept_where_the_features_are_no_use():
    """An encoder that sees two inputs only, and a task that lies in the others."""
    g = torch.Generator().manual_seed(1)
    x = torch.randn(240, 6, generator=g)
    data = TensorDataset(x, (x[:, 3] > 0).long())
    pretrained = encoder()
    with torch.no_grad():
        pretrained.body[0].weight[:, 2:] = 0
    chosen = inductive.interpolated_fine_tuning(pretrained, data, classes=2, folds=2, epochs=30, rate=0.03)
    assert chosen.share >= 0.5 and chosen.held_out["full", 1.0].value > chosen.held_out["probe", 0.0].value + 0.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learn": []}, "at least one strategy"), ({"learn": "full"}, "a list of at"), ({"folds": 1}, "at least 2"),
        ({"shares": (0.0, 1.0)}, r"in \(0, 1\]"), ({"start": "random"}, "where the line begins"),
    ],
)  # fmt: skip
def test_bad_interpolations(options, message):
    with pytest.raises(ValueError, match=message):
        inductive.interpolated_fine_tuning(encoder(), cloud(30), **{"classes": 3} | options)


def test_interpolation_needs_rows_to_hold_out():
    with pytest.raises(ValueError, match="none can be held out"):
        inductive.interpolated_fine_tuning(encoder(), TensorDataset(torch.randn(2, 6), torch.tensor([0, 1])), classes=2)


def rows_of_numbers(n, unit=1.0, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, generator=g)
    return TensorDataset(x, (2 * x[:, 0] + x[:, 1] * x[:, 2] + 0.1 * torch.randn(n, generator=g) + 50) * unit)


@pytest.mark.parametrize("start", ["probe", "random"])
@pytest.mark.parametrize("learn", ["probe", "full"])
def test_numbers_are_transferred_alike_in_metres_and_in_millimetres(learn, start):
    models = {}
    for unit in (1.0, 1024.0):  # a power of two: rounding is the same
        train = rows_of_numbers(80, unit)
        models[unit] = inductive.transfer(encoder(), train, learn, outputs=1, start=start, epochs=10)
        assert isinstance(models[unit].head, heads.Regressor)
    x = rows_of_numbers(60, seed=5).tensors[0]
    torch.testing.assert_close(models[1024.0].outputs(x), 1024 * models[1.0].outputs(x), rtol=1e-4, atol=1e-2)
    found = models[1024.0].evaluate(rows_of_numbers(300, 1024.0, seed=5))
    assert found.metric == "mean absolute error" and 200 < found.value < 3000
    if learn == "full" and start == "probe":
        assert found.value < inductive.transfer(encoder(), rows_of_numbers(80, 1024.0), outputs=1).evaluate(
            rows_of_numbers(300, 1024.0, seed=5)
        ).value  # fmt: skip


def test_labels_outside_of_memory_have_a_natural_scale_too():
    train = rows_of_numbers(64, 1000.0)
    models = [
        inductive.transfer(encoder(), data, "full", outputs=1, start="random", epochs=2)
        for data in (train, Items(train))
    ]
    torch.testing.assert_close(models[1].head.mean, models[0].head.mean)
    assert models[0].head.mean.item() == pytest.approx(train.tensors[1].mean().item())


@pytest.mark.claim
@pytest.mark.parametrize("score", [None, "R2"])
def test_interpolated_fine_tuning_of_numbers_takes_the_least_error(score):
    train = rows_of_numbers(90)
    found = inductive.interpolated_fine_tuning(encoder(), train, outputs=1, score=score, epochs=20, rate=1e-2)
    values = {candidate: each.named(score) for candidate, each in found.held_out.items()}
    best = (max if score else min)(values, key=lambda c: values[c][0])
    assert best == ("probe" if found.share == 0 else str(found.learn), found.share)
    assert found.share > 0, "the labels hold a product that the probe cannot see"
    assert found.model.evaluate(rows_of_numbers(300, seed=5)).further["R2"] > 0.5


def test_the_named_score_chooses_the_candidate_and_the_weights():
    """Of the held-out scores that fine-tuning gives, the one with the best named value is taken."""
    g = torch.Generator().manual_seed(0)
    y = (torch.rand(160, generator=g) < 0.12).long()
    x = torch.randn(160, 6, generator=g)
    x[:, 0] += 1.3 * y
    train = TensorDataset(x, y)
    found = inductive.interpolated_fine_tuning(encoder(), train, classes=2, score="macro F1", epochs=2)
    named = {candidate: each.named("macro F1")[0] for candidate, each in found.held_out.items()}
    assert named["probe" if found.share == 0 else "full", found.share] == max(named.values())
    assert found.model.head.weight is not None, "balanced weights were better for the probe, and were kept"
    random = inductive.transfer(encoder(), train, "full", classes=2, weight="balanced", start="random", epochs=1)
    assert random.head.weight == found.model.head.weight
    with pytest.raises(ValueError, match="`score` must be one of accuracy"):
        inductive.interpolated_fine_tuning(encoder(), train, classes=2, score="F2", epochs=1)
    with pytest.raises(ValueError, match="give either `classes` or"):
        inductive.interpolated_fine_tuning(encoder(), train, epochs=1)
    with pytest.raises(ValueError, match="give either `classes` or"):
        inductive.transfer(encoder(), train)


@pytest.mark.parametrize(("rows", "steps"), [(40, 300), (70, 500), (1024, 640)])
def test_few_rows_are_trained_for_many_epochs(rows, steps):
    """At least 500 steps, at most 300 epochs, else 20 epochs; a given number of epochs is taken as it is."""
    assert usual_steps(rows // 32) == steps
    if rows == 40:
        model = inductive.transfer(encoder(), cloud(rows), "full", classes=3)
        assert model.card["steps"] == steps
        assert inductive.transfer(encoder(), cloud(rows), "full", classes=3, epochs=2).card["steps"] == 2


@pytest.mark.parametrize("learn, start", [("probe", "probe"), ("full", "probe"), ("full", "random")])
def test_rows_of_unequal_length_are_transferred_with_options_of_a_stream(learn, start):
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 4)

        def forward(self, inputs):
            mask = inputs["mask"][..., None]
            return (self.linear(inputs["values"]) * mask).sum(1) / mask.sum(1)

    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 9, (40,), generator=generator)
    rows = [
        {"x": torch.randn(n, 2, generator=generator) + (3 if i % 2 else -3), "class": i % 2}
        for i, n in enumerate(lengths.tolist())
    ]
    stream = {"label": "class", "input": "x", "collate": collate.pad(), "lengths": lengths, "sampling": "balanced"}
    del stream["sampling" if learn == "probe" else "lengths"]
    encoder = encoders.wrap(Mean(), 4)
    model = inductive.transfer(encoder, rows, learn, classes=2, start=start, epochs=5, batch_size=8, stream=stream)
    assert model.evaluate(rows).value == 1.0  # the model knows the form of the items
    with pytest.raises(ValueError, match=r"`stream` must have options of `Stream` .*, got augment, wrong"):
        inductive.transfer(encoder, rows, learn, classes=2, stream={"wrong": 1, "augment": None})
