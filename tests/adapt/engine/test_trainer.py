"""The trainer does what a plain loop does, and says clearly what does not fit."""

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

import adapt
import losses
from adapt import Phase, Stream, Term, Trainer, domain, encoders, heads, ramp
from adapt.engine import cosine, runtime
from adapt.randomness import untouched_randomness
from tests.adapt.engine.tiny import cloud, jitter, network, streams, trainer, two_phases, weights


def test_equals_a_plain_loop():
    made, _ = trainer(["dann", "dan"], schedule=cosine(), clip=0.5)
    made.fit(7)
    encoder, head = network()
    torch.manual_seed(3)
    critic = domain.dann(8, hidden=16).loss.discriminator
    parameters = [*encoder.parameters(), *head.parameters(), *critic.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, fused=True)
    batches = {name: s.batches(name, 0) for name, s in streams().items()}
    for step in range(7):
        source, target = next(batches["source"]), next(batches["target"])
        fs, ft = encoder(torch.cat([source.inputs, target.inputs])).split([12, 8])
        rise = ramp(1.0)(step / 7)
        loss = F.cross_entropy(head(fs), source.labels) + rise * losses.mmd(fs, ft)
        loss = loss + losses.domain_adversarial(critic(losses.reverse(fs, rise)), critic(losses.reverse(ft, rise)))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 0.5)
        optimizer.param_groups[0]["lr"] = 1e-3 * cosine()(step / 7)
        optimizer.step()
    for mine, plain in zip(made.network["encoder"].parameters(), encoder.parameters(), strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-5, atol=1e-6)


def test_adding_a_term_of_weight_zero_changes_nothing():
    alone, _ = trainer([], dtype=torch.float64)
    encoder, head = network(dtype=torch.float64)
    more = Trainer(
        encoder,
        [adapt.supervised(head, "source"), Term("spread", lambda s: s["source"].features.var(), 0.0)],
        streams(dtype=torch.float64),
        progress=False,
    )
    # both streams in one pass: other matrix sizes, so equal to rounding only
    torch.testing.assert_close(weights(more.fit(5)), weights(alone.fit(5)), rtol=1e-9, atol=1e-11)


def test_accumulation_averages_the_gradients_of_the_micro_batches():
    data = cloud(dtype=torch.float64)
    encoder, head = network(dtype=torch.float64)
    one = Trainer(
        encoder, [adapt.supervised(head, "source")], {"source": Stream(data, 24, shuffle=False)}, progress=False
    )
    encoder2, head2 = network(dtype=torch.float64)
    two = Trainer(
        encoder2,
        [adapt.supervised(head2, "source")],
        {"source": Stream(data, 12, shuffle=False)},
        accumulate=2,
        progress=False,
    )
    torch.testing.assert_close(weights(one.fit(4)), weights(two.fit(4)), rtol=1e-9, atol=1e-11)


def test_phases_update_only_what_they_name_and_restore_nothing_of_the_users():
    made, head = two_phases()
    critic = made.phases[0].update[0]
    before = [p.clone() for p in critic.parameters()]
    encoder_before = [p.clone() for p in made.encoder.parameters()]
    made.updates = made.updates[:1]
    made.fit(1)
    assert all(torch.equal(a, b) for a, b in zip(encoder_before, made.encoder.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(before, critic.parameters(), strict=True))
    assert all(p.requires_grad for p in made.network.parameters())
    assert made.updates[0].optimizer.state[next(critic.parameters())]["step"] == 2  # repeat=2


def test_a_phase_computes_no_gradient_of_what_it_leaves_alone():
    made, _ = two_phases()
    critic = made.phases[0].update[0]
    made.updates = made.updates[1:]
    made.fit(1)
    assert all(p.grad is None for p in critic.parameters()) and made.encoder.body[0].weight.grad is not None


def test_a_phase_without_the_encoder_builds_no_graph_for_it():
    made, _ = two_phases()
    seen = []
    made.phases[0].terms[0].loss, loss = (
        lambda s: (seen.append(s["source"].features.requires_grad), loss(s))[1],
        made.phases[0].terms[0].loss,
    )
    made.fit(1)
    assert seen == [False, False]


def test_encoder_runs_once_over_what_is_asked_for_and_heads_once_a_stream():
    calls = []
    encoder, head = network()
    encoder.register_forward_hook(lambda m, i, o: calls.append(len(o)))
    head.register_forward_hook(lambda m, i, o: calls.append(("head", len(o))))
    made = Trainer(
        encoder,
        [adapt.supervised(head, "source"), domain.mcc(head), domain.mcc(head, target="source")][:2],
        {**streams(), "idle": Stream(cloud(), 5)},
        progress=False,
    )
    made.fit(1)
    assert calls == [20, ("head", 12), ("head", 8)]


def test_separate_passes_give_each_stream_its_own_batch_statistics():
    sizes = []
    encoder, head = network(batch_norm=True)
    encoder.register_forward_hook(lambda m, i, o: sizes.append(len(o)))
    terms = [adapt.supervised(head, "source"), domain.dan()]
    Trainer(encoder, terms, streams(), passes="separate", progress=False).fit(1)
    assert sorted(sizes) == [8, 12]


def test_bf16_runs_losses_in_float32_and_stays_close():
    seen = []
    probe = Term("probe", lambda s: (seen.append(s["source"].features.dtype), s["source"].features.mean() * 0)[1])
    encoder, head = network()
    made = Trainer(
        encoder, [adapt.supervised(head, "source"), domain.dan(), probe], streams(), precision="bf16", progress=False
    )  # fmt: skip
    made.fit(10)
    assert set(seen) == {torch.float32} and next(encoder.parameters()).dtype == torch.float32
    full, _ = trainer(["dan"])
    torch.testing.assert_close(weights(made), weights(full.fit(10)), rtol=0.05, atol=0.02)


def test_compiled_encoder_equals_the_eager_one():
    f64 = {"dtype": torch.float64}  # in float32 Adam makes a step out of the rounding of a gradient near zero
    compiled, _ = trainer(["dan"], compile={"backend": "aot_eager", "fullgraph": True}, **f64)
    eager, _ = trainer(["dan"], **f64)
    torch.testing.assert_close(weights(compiled.fit(4)), weights(eager.fit(4)), rtol=1e-9, atol=1e-11)


def test_ema_is_an_average_and_evaluation_uses_it():
    made, head = trainer(["dan"], ema=0.9)
    made.fit(30)
    assert not torch.equal(made.ema.module["encoder"].body[0].weight, made.encoder.body[0].weight)
    data = cloud(seed=5)
    averaged = made.predict(head, data).features
    with torch.no_grad():
        torch.testing.assert_close(averaged, made.ema.module["encoder"].eval()(data.tensors[0]))


def test_encoder_scale_and_schedule_set_the_learning_rates():
    made, _ = trainer(["dann"], encoder_scale=0.1, schedule=lambda p: 1 - p)
    made.fit(4)
    rates = {g["name"]: g["lr"] for g in made.updates[0].optimizer.param_groups}
    assert rates == {"encoder": pytest.approx(1e-4 * 0.25), "heads": pytest.approx(1e-3 * 0.25)}


def test_fit_leaves_the_global_random_state_alone_and_depends_only_on_the_seed():
    runs = []
    for noise in (1, 2):
        made, _ = trainer(["dann"], network_options={"dropout": 0.3}, stream_options={"augment": jitter})
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        runs.append(weights(made.fit(5)))
        assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(*runs)
    other, _ = trainer(["dann"], network_options={"dropout": 0.3}, stream_options={"augment": jitter}, seed=1)
    assert not torch.equal(weights(other.fit(5)), runs[0])


def test_dropout_is_seeded_where_the_weights_are(monkeypatch):
    seeds = []
    monkeypatch.setattr(torch.mps, "manual_seed", seeds.append)
    with untouched_randomness():
        runtime.seed_dropout(5, torch.device("cpu"))
        drawn = torch.rand(3)
        runtime.seed_dropout(5, torch.device("mps"))
        assert torch.equal(torch.rand(3), drawn) and seeds == [5]


def test_step_generator_is_the_same_for_every_term_of_a_step_and_new_in_the_next():
    drawn = []
    encoder, head = network()

    def loss(step):
        drawn.append(torch.rand((), generator=step.generator).item())
        return step.output(head, "source").mean()

    draw = Term("draw", loss, modules=[head])
    Trainer(encoder, [draw], streams(), progress=False).fit(2)
    first = list(drawn)
    encoder, head = network()
    Trainer(encoder, [draw], streams(), progress=False)
    assert len(set(first)) == 2


def test_a_step_is_freed_when_it_is_done_without_the_garbage_collector():
    alive = []
    encoder, head = network()
    keep = Term("keep", lambda s: (alive.append(weakref.ref(s)), s.output(head, "source").mean())[1], modules=[head])
    made = Trainer(encoder, [keep, domain.dan(), domain.dann(8)], streams(), progress=False)
    gc.disable()
    try:
        made.fit(5)
        assert sum(ref() is not None for ref in alive) == 0
    finally:
        gc.enable()


@pytest.mark.claim
def test_learns_and_adapts():
    encoder, head = network()
    source, target = cloud(300), cloud(300, seed=1, shift=0.7)
    data = {"source": Stream(source, 32), "target": Stream(target, 32, labels=False)}
    made = Trainer(encoder, [adapt.supervised(head, "source"), domain.dan(weight=5.0)], data, progress=False)
    untrained = made.evaluate(head, source)
    made.fit(400)
    score = made.evaluate(head, source)
    assert score.low > untrained.high and score.value > 0.8 and score.n == 300


class Late(heads.Classifier):
    """Its measures ask its layers."""

    def forward(self, features):
        return features

    def loss(self, output, labels):
        return F.cross_entropy(self.linear(self.dropout(output)), labels)

    def measure(self, output, labels):
        assert not self.training and not torch.is_grad_enabled()
        return super().measure(self.linear(self.dropout(output)), labels)


def test_measures_that_ask_layers_of_the_head_ask_them_in_evaluation_mode():
    encoder, source, head = network()[0], cloud(60), Late(8, 3, dropout=0.9)
    made = Trainer(encoder, [adapt.supervised(head, "source")], {"source": Stream(source, 20)}, progress=False)
    made.fit(2)
    made.network.train()
    assert made.evaluate(head, source) == made.evaluate(head, source) and head.training and head.dropout.training


@pytest.mark.claim
def test_regressor():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(200, 6, generator=g)
    data = TensorDataset(x, x[:, 0] - 2 * x[:, 1])
    encoder, _ = network()
    head = heads.Regressor(8)
    made = Trainer(encoder, [adapt.supervised(head, "source")], {"source": Stream(data, 50)}, progress=False)
    before = made.evaluate(head, data)
    made.fit(300)
    assert made.evaluate(head, data).high < 0.5 * before.value


# ---- bad input ----


def build(terms=None, data=None, **options):
    encoder, head = network()
    return Trainer(
        encoder,
        terms(head) if terms else [adapt.supervised(head, "source")],
        data or streams(),
        progress=False,
        **options,
    )


BARE = TensorDataset(torch.zeros(5, 6))
EMPTY = TensorDataset(torch.zeros(0, 6))


def relabelled(labels):
    return {"source": Stream(TensorDataset(cloud().tensors[0], labels), 8)}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: build(data={"target": streams()["target"]}), KeyError, "unknown stream `source`.*`target`"),
        (
            lambda: build(lambda h: [adapt.supervised(h, "target")]),
            ValueError,
            "labels=False.*, and a supervised term learns",
        ),
        (lambda: build(data=relabelled(torch.full((48,), 3))), ValueError, r"in \[0, 3\).*found 3 to 3"),
        (lambda: build(data=relabelled(torch.randn(48))), ValueError, "integers"),
        (lambda: build(lambda h: [domain.dan(), domain.dan()]), ValueError, "names are unique"),
        (lambda: build(lambda h: [Term("a.b", lambda s: 0)]), ValueError, "without dots"),
        (lambda: build(lambda h: []), ValueError, "no terms"),
        (lambda: build(precision="fp8"), ValueError, "`precision` must be 'float32' or 'bf16'"),
        (lambda: build(passes="both"), ValueError, "`passes`"),
        (lambda: Trainer(network()[0], None, streams()), ValueError, "either `terms` or `phases`, got neither"),
        (lambda: Trainer(network()[0], [domain.dan()], {}), ValueError, "`streams` is empty"),
        (lambda: build(watch={"x": (heads.Classifier(8, 3), cloud())}), ValueError, "no term of this trainer owns"),
        (lambda: build(encoder_scale={"0": 0.1, "2": {"1": -0.1}}), ValueError, "`encoder_scale` must be .*got -0.1"),
        (
            lambda: build(encoder_scale=0.1, optimizer=lambda groups: torch.optim.SGD(groups[0]["params"], 0.1)),
            ValueError,
            "no parameter group named `encoder`",
        ),
        (
            lambda: Trainer(network()[0], phases=[Phase([domain.dan()])] * 2, streams=streams()),
            ValueError,
            "names of their own",
        ),
        (
            lambda: (lambda e, h: Trainer(e, [adapt.supervised(h, "source")], streams(), watch={"x": (h, EMPTY)}))(
                *network()
            ),
            ValueError,
            r"`watch\['x'\]` has no rows",
        ),
        (lambda: build().evaluate(network()[1], BARE), ValueError, "`dataset` has inputs without labels"),
        (lambda: Term("x", 3.0), TypeError, "must be callable"),
        (
            lambda: Trainer(network()[0], phases=[Phase([domain.dan()], update=[nn.Linear(2, 2)])], streams=streams()),
            ValueError,
            "neither the encoder nor in a term",
        ),
    ],
)
def test_what_does_not_fit_is_said_before_the_first_step(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("terms", "error", "message"),
    [
        (lambda h: [Term("rows", lambda s: s["source"].features.mean(1))], ValueError, r"`rows`.*scalar.*\(12,\)"),
        (lambda h: [Term("number", lambda s: 1.0)], ValueError, "`number` must return a scalar tensor, got float"),
        (lambda h: [Term("t", lambda s: s["sorce"].features.mean())], KeyError, "unknown stream `sorce`"),
        (lambda h: [Term("t", lambda s: s.output(h, "source").mean())], ValueError, "no term owns it.*modules="),
        (lambda h: [Term("t", lambda s: s["target"].labels.float().mean())], ValueError, "carries no labels"),
        (lambda h: [Term("t", lambda s: s["target"].views[1].features.mean())], IndexError, "has 1 views"),
        (lambda h: [Term("t", lambda s: s["source"].inputs.mean())], ValueError, "nothing would be learned"),
        (
            lambda h: [Term("t", lambda s: s["target"].features.mean(), streams=["source"])],
            ValueError,
            "`target` were asked for.*declare",
        ),
        (lambda h: [domain.dann(5)], ValueError, "must have size 5, got 8"),
        (lambda h: [Term("bad", lambda s: s["source"].features.mean() / 0)], FloatingPointError, "step 0.*`bad`"),
    ],
)
def test_what_goes_wrong_in_a_step_names_the_term_and_leaves_the_weights(terms, error, message):
    made = build(terms)
    before = weights(made)
    with pytest.raises(error, match=message):
        made.fit(3)
    assert torch.equal(weights(made), before) and made.step == 0


def test_nan_in_the_inputs_names_the_stream():
    source = cloud()
    source.tensors[0][17, 2] = float("nan")
    made = build(lambda h: [adapt.supervised(h, "source"), domain.dan()], {**streams(), "source": Stream(source, 12)})
    with pytest.raises(
        FloatingPointError, match="`supervised_source`, `dan` not finite; the inputs of stream `source`"
    ):
        made.fit(4)
    assert weights(made).isfinite().all()


def test_a_torchvision_encoder_trains():
    torch.manual_seed(0)
    encoder = encoders.load("resnet18")
    head = heads.Classifier(encoder.dim, 2)
    data = TensorDataset(torch.randn(8, 3, 32, 32), torch.arange(8) % 2)
    Trainer(encoder, [adapt.supervised(head, "source")], {"source": Stream(data, 4)}, progress=False).fit(1)
    assert encoder.dim == 512 and list(encoder.layers)[-1] == "layer4"


@pytest.mark.parametrize(("options", "steps"), [({}, 10), ({"accumulate": 3}, 4)])
def test_epochs_are_those_of_the_stream_with_the_most_batches(options, steps):
    by_epochs, _ = trainer(**options)  # 4 batches of the source, 5 of the target
    by_steps, _ = trainer(**options)
    assert by_epochs.fit(epochs=2).step == steps
    assert torch.equal(weights(by_epochs), weights(by_steps.fit(steps)))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({}, "either `steps` or `epochs`, got steps=None and epochs=None"),
        ({"steps": 3, "epochs": 1}, "got steps=3 and epochs=1"),
        ({"epochs": 0}, "at least 1, got 0"),
        ({"epochs": 0.5}, "got 0.5: for less give `steps`"),
    ],
)
def test_fit_takes_steps_or_epochs(numbers, message):
    with pytest.raises(ValueError, match=message):
        trainer()[0].fit(**numbers)
