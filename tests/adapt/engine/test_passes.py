"""The encoder runs once for all phases and repeats between two of its updates, and never on what it was before."""

import pytest
import torch
import torch.nn.functional as F

import adapt
import losses
from adapt import Phase, Term, Trainer, heads
from adapt.engine import Step
from tests.adapt.engine.tiny import network, streams, two_phases, weights

BOTH = ["source", "target"]


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_equals_a_plain_loop_with_one_pass(precision):
    options = {"batch_norm": True, "dropout": 0.0}
    made, _ = two_phases(network_options=options, precision=precision)
    made.fit(6)
    encoder, head = network(**options)
    critic = heads.Discriminator(8, hidden=16)
    tell = torch.optim.AdamW(critic.parameters(), lr=1e-3, fused=True)
    hide = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=1e-3, fused=True)
    batches = {name: s.batches(name, 0) for name, s in streams().items()}

    def call(module, x):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            return module(x).float()

    for _ in range(6):
        source, target = next(batches["source"]), next(batches["target"])
        fs, ft = call(encoder, torch.cat([source.inputs, target.inputs])).split([12, 8])
        for _ in range(2):
            tell.zero_grad()
            losses.domain_adversarial(call(critic, fs.detach()), call(critic, ft.detach())).backward()
            tell.step()
        hide.zero_grad()
        supervised = F.cross_entropy(call(head, fs), source.labels)
        (supervised + losses.domain_adversarial(call(critic, ft), call(critic, fs))).backward()
        hide.step()
    for (name, mine), plain in zip(made.encoder.state_dict().items(), encoder.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-5, atol=1e-6, msg=name)
    assert encoder.body[1].num_batches_tracked == 6


def run(order, *, steps=3, network_options=None, **options):
    """Phases by letter: `e` updates the encoder, `c` a critic twice; capitals see the target alone, small letters both.

    Every phase asserts that its features are those of the encoder as it is. Returns the rows of each pass.
    """
    encoder, head = network(**(network_options or {}))
    critic = heads.Discriminator(8, hidden=16)
    sizes: list[int] = []

    def features(step, names):
        found = [step[name].features for name in names]
        with torch.no_grad():
            fresh = encoder.body(torch.cat([step[name].inputs for name in names]))
        torch.testing.assert_close(torch.cat(found).detach(), fresh, rtol=1e-5, atol=1e-6)
        return found

    def phase(number, letter):
        names = BOTH if letter.islower() else ["target"]
        learns = letter in "eE"
        sign = -1 if learns else 1
        value = lambda s: sign * sum(s.call(critic, f).square().mean() for f in features(s, names))  # noqa: E731
        term = Term(f"{letter}{number}", value, streams=names, modules=[critic, head])
        return Phase([term], update=[encoder if learns else critic], repeat=1 if learns else 2, name=str(number))

    encoder.register_forward_hook(lambda m, i, o: sizes.append(len(o)))
    sgd = lambda groups: torch.optim.SGD(groups, 0.1)  # noqa: E731
    phases = [phase(number, letter) for number, letter in enumerate(order)]
    Trainer(encoder, phases=phases, streams=streams(), progress=False, optimizer=sgd, **options).fit(steps)
    assert len(sizes) % steps == 0
    return sizes[: len(sizes) // steps]


@pytest.mark.parametrize(
    ("order", "options", "passes"),
    [
        ("ce", {}, [20]),  # WDGRL, ADDA: one pass for all
        ("CE", {}, [8]),
        ("cce", {}, [20]),
        ("ec", {}, [20, 20]),  # the encoder moved in between
        ("ece", {}, [20, 20]),
        ("cec", {}, [20, 20]),
        ("ceec", {}, [20, 20, 20]),
        ("ee", {}, [20, 20]),
        ("ecE", {}, [20, 20, 8]),  # MCD: other streams
        ("cCe", {}, [20, 8]),
        ("cc", {}, [20]),
        ("ce", {"accumulate": 2}, [20, 20, 20, 20]),  # no graph is kept for the second phase
        ("cc", {"accumulate": 2}, [20, 20]),
        ("ce", {"passes": "separate"}, [12, 8]),
        ("ec", {"passes": "separate"}, [12, 8, 12, 8]),
    ],
)
def test_passes_of_a_step(order, options, passes):
    assert run(order, **options) == passes


def test_features_asked_for_without_gradient_do_not_keep_a_later_phase_from_learning():
    made, _ = two_phases()
    loss = made.phases[0].terms[0].loss

    def without(step):
        with torch.no_grad():
            assert not step["source"].features.requires_grad
        return loss(step)

    made.phases[0].terms[0].loss = without
    plain, _ = two_phases()
    torch.testing.assert_close(weights(made.fit(3)), weights(plain.fit(3)), rtol=0, atol=0)


def test_dropout_of_the_encoder_is_drawn_once_a_pass_and_of_the_heads_once_an_update():
    features, outputs = [], []
    encoder, _ = network(dropout=0.5)
    head = heads.Classifier(8, 3, dropout=0.5)

    def probe(step):
        features.append(step["source"].features.detach())
        outputs.append(F.dropout(features[-1], 0.5))
        return step.output(head, "source").square().mean()

    phases = [
        Phase([Term("head", probe, modules=[head])], update=[head], repeat=2, name="head"),
        Phase([adapt.supervised(head, "source"), Term("all", probe, modules=[head])], name="all"),
    ]
    Trainer(encoder, phases=phases, streams=streams(), progress=False).fit(2)
    first, second = features[:3], features[3:]
    assert all(torch.equal(f, first[0]) for f in first) and all(torch.equal(f, second[0]) for f in second)
    assert not torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[1], outputs[2])


def test_resumes_exactly_with_dropout_and_batch_norm(tmp_path):
    options = {"network_options": {"dropout": 0.3, "batch_norm": True}}
    path = two_phases(**options)[0].fit(3).save(tmp_path / "half")
    resumed, whole = two_phases(**options)[0].resume(path), two_phases(**options)[0]
    assert torch.equal(weights(resumed.fit(6)), weights(whole.fit(3).fit(6)))


@pytest.mark.parametrize("learns", [True, False], ids=["learning", "frozen"])
def test_a_kept_pass_without_the_asked_layers_is_made_again(learns):
    encoder, _ = network()
    batches = {name: next(s.batches(name, 0)) for name, s in streams().items()}
    kept: dict = {}
    common = {"streams": BOTH, "kept": kept, "keep_graph": True}
    first = Step(batches, encoder, encoder_learns=False, **common)
    _ = first["source"].features
    name = list(encoder.layers)[0]
    second = Step(batches, encoder, encoder_learns=learns, layers=[name], **common)
    inner = second["target"].layer(name)
    torch.testing.assert_close(inner, encoder.layers[name](batches["target"].inputs))
    assert inner.requires_grad == learns and second["target"].features.requires_grad == learns
