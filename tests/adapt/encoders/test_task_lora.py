"""Adapters of each task against separately merged copies of the encoder.

The stream of each row is announced; the adapters are trained, balanced, resumed and copied.
"""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint
from torch.utils.data import TensorDataset

from adapt import Stream, Trainer, domain, encoders, heads, inductive, multitask
from adapt.engine import Step, features
from adapt.engine.evaluate import predict
from tests.adapt.engine.tiny import weights
from tests.ranks import run_ranks

ROWS = {"translation": 6, "tagging": 4, "speaker": 2}
STREAMS = tuple(ROWS)
S, OWN = 6 / 2**0.5, 5 / 3  # the scales of the shared and of the own adapters below


class Net(nn.Module):
    """A convolution, a layer on tokens (n, t, d), one on tokens behind each other (n t, d), one on rows."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, stride=2, padding=1, padding_mode="circular")
        self.tokens, self.places, self.out = nn.Linear(4, 4), nn.Linear(4, 2, bias=False), nn.Linear(18, 5)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        x = self.conv(x).tanh().flatten(2).transpose(1, 2)
        x = self.tokens(x).tanh()
        return self.out(self.places(x.flatten(0, 1)).tanh().reshape(len(x), 18))


def network(*, shared=True, dtype=torch.float64, streams=STREAMS, stirred=True):
    torch.manual_seed(0)
    encoder = encoders.wrap(Net(), 5).to(dtype)
    if shared:
        encoders.lora(encoder, 2, alpha=6)
    assert encoders.task_lora(encoder, streams, 3, alpha=5, rank_stabilized=False) == [
        "body.conv", "body.tokens", "body.places", "body.out"
    ]  # fmt: skip
    if stirred:
        stir(encoder)
    return encoder


def stir(encoder):
    """Adapters as if trained; each from its name, whatever the order."""
    with torch.no_grad():
        for name, p in encoder.named_parameters():
            if "lora_" in name:
                g = torch.Generator().manual_seed(sum(name.encode()))
                p.copy_(0.3 * torch.randn(p.shape, generator=g, dtype=p.dtype))


def images(rows=ROWS, *, seed=1, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    return {name: torch.randn(n, 1, 6, 6, generator=g, dtype=torch.float64).to(dtype) for name, n in rows.items()}


def merged(encoder, stream, x):
    """The rows of one stream through a network with its merged weights, slowly."""
    own = dict(encoder.body.named_parameters())
    plain = {}
    for name, p in Net().named_parameters():
        W = own[name]
        layer, kind = name.split(".")
        for scale, of in ((S, ""), (OWN, f"_{stream}")):
            if kind == "weight" and f"{layer}.lora_A{of}" in own:
                W = W + scale * torch.einsum(
                    "or,r...->o...", own[f"{layer}.lora_B{of}"].flatten(1), own[f"{layer}.lora_A{of}"]
                )
        assert W.shape == p.shape
        plain[name] = W
    return functional_call(Net(), plain, x)


def together(encoder, rows):
    encoder.announce_rows([(name, len(x)) for name, x in rows.items()])
    return dict(zip(rows, encoder(torch.cat(list(rows.values()))).split([len(x) for x in rows.values()]), strict=True))


@pytest.mark.parametrize("everything", [False, True], ids=["adapters", "weights too"])
@pytest.mark.parametrize("shared", [False, True], ids=["alone", "beside shared"])
def test_one_pass_is_a_pass_a_task_through_merged_weights(shared, everything):
    encoder, rows = network(shared=shared), images()
    if everything:
        encoder.requires_grad_(True)
    learning = {n: p for n, p in encoder.named_parameters() if p.requires_grad}
    assert everything or all("lora_" in name for name in learning)
    assert len(learning) == 4 * (2 * shared + 6) + 7 * everything
    found, expected = together(encoder, rows), {name: merged(encoder, name, x) for name, x in rows.items()}
    assert encoder.body.calls == 1
    loss, slow = (sum((k + z.square()).log().mean() for k, z in enumerate(zs.values(), 1)) for zs in (found, expected))
    for name in rows:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-12, atol=1e-13)
    for name, a, b in zip(
        learning, *(torch.autograd.grad(v, list(learning.values())) for v in (loss, slow)), strict=True
    ):
        assert b.abs().max() > 1e-6
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-13, msg=name)


def test_nothing_changes_before_training():
    encoder, rows = network(shared=False, stirred=False), images()
    torch.manual_seed(0)
    plain = Net().double()
    for name, z in together(encoder, rows).items():
        torch.testing.assert_close(z, plain(rows[name]), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("of", STREAMS)
def test_no_task_reaches_anothers_adapters(of):
    encoder, rows = network(), images()
    before = together(encoder, rows)
    before[of].square().sum().backward()
    for name, p in encoder.named_parameters():
        if any(name.endswith(other) for other in STREAMS):
            assert bool(p.grad.any()) == name.endswith(of), name
    with torch.no_grad():
        for name, p in encoder.named_parameters():
            if name.endswith(of):
                p.add_(1.0)
    for name, z in together(encoder, rows).items():
        assert torch.equal(z, before[name]) == (name != of)


def test_the_order_of_streams_does_not_matter():
    encoder, rows = network(), images()
    forth, back = together(encoder, rows), together(encoder, dict(reversed(rows.items())))
    for name in rows:
        torch.testing.assert_close(forth[name], back[name], rtol=1e-12, atol=1e-14)
    some = {name: rows[name] for name in ("speaker", "tagging")}
    for name, z in together(encoder, some).items():
        torch.testing.assert_close(z, forth[name], rtol=1e-12, atol=1e-14)


# ---- trained ----


def data(dtype):
    rows = images({name: 24 for name in STREAMS}, dtype=dtype)
    return {name: TensorDataset(x, (x.mean((1, 2, 3)) * 9 + k).long() % 3) for k, (name, x) in enumerate(rows.items())}


def trainer(balance=None, *, dtype=torch.float64, order=STREAMS, shared=True, **options):
    encoder = network(shared=shared, dtype=dtype, stirred=False)
    tops = {}
    for name in STREAMS:
        torch.manual_seed(len(name))
        tops[name] = heads.Classifier(5, 3).to(dtype)
    sets = data(dtype)
    streams = {name: Stream(sets[name], ROWS[name]) for name in order}
    terms = [multitask.task(name, tops[name], name) for name in STREAMS]
    return Trainer(encoder, terms, streams, balance=balance, progress=False, device="cpu", **options), tops


def test_training_takes_one_pass_a_step_and_any_order():
    one, _ = trainer()
    start = weights(one)
    one.fit(4)
    assert one.encoder.body.calls == 4
    assert (weights(one) - start).norm() > 1e-3
    other, apart = trainer(order=STREAMS[::-1])[0].fit(4), trainer(passes="separate")[0].fit(4)
    assert apart.encoder.body.calls == 12
    for made in (other, apart):
        torch.testing.assert_close(weights(made), weights(one), rtol=1e-8, atol=1e-10)


def test_a_term_with_passes_of_its_own_says_whose_they_are():
    made, tops = trainer()
    terms = [*made.terms, domain.vat(tops["tagging"], on="tagging", radius=1.0)]
    made = Trainer(made.encoder, terms, made.streams, progress=False, device="cpu").fit(1)
    assert made.encoder.body.calls == 3


def on_a_rank(rank, world):
    made, tops = trainer(multitask.imtl_g(), ema=0.5)
    made.fit(4)
    score = made.evaluate(tops["tagging"], data(torch.float64)["tagging"], "tagging")
    return weights(made), str(score)


def test_two_ranks_equal_one():
    (first, score), (second, _) = run_ranks(on_a_rank, 2)
    whole, own = on_a_rank(0, 1)
    assert torch.equal(first, second) and score == own
    torch.testing.assert_close(first, whole, rtol=1e-9, atol=1e-11)


def test_resumed_is_never_stopped(tmp_path):
    path = trainer(multitask.imtl_g(), dtype=torch.float32)[0].fit(2).save(tmp_path / "half")
    again, _ = trainer(multitask.imtl_g(), dtype=torch.float32)
    again.resume(path)
    again.planned = 4
    whole = trainer(multitask.imtl_g(), dtype=torch.float32)[0].fit(4)
    assert torch.equal(weights(again.fit(4)), weights(whole))


def test_in_bfloat16():
    made, tops = trainer(dtype=torch.float32, precision="bf16")
    made.fit(3)
    assert weights(made).isfinite().all()
    score = made.evaluate(tops["tagging"], data(torch.float32)["tagging"], "tagging")
    assert score.n == 24
    encoder, rows = network(), images()
    expected = together(encoder, rows)
    half = {name: x.bfloat16() for name, x in rows.items()}
    for name, z in together(encoder.bfloat16(), half).items():
        assert z.dtype == torch.bfloat16
        torch.testing.assert_close(z.double(), expected[name], rtol=0.1, atol=0.1)


class Spy:
    def __init__(self, at):
        self.at, self.seen = at, []

    def __call__(self, losses, gram=None):
        self.seen.append(gram)
        return torch.tensor([0.5, 3.0, 2.0]).to(losses)


@pytest.mark.parametrize("at", ["features", "parameters"])
def test_under_a_balance_own_adapters_have_their_tasks_weight(at):
    spy = Spy(at)
    made, _ = trainer(spy)
    stir(made.encoder)
    slow, _ = trainer()
    stir(slow.encoder)
    step = Step({n: next(s.batches(n, slow.seed)) for n, s in slow.streams.items()}, slow.encoder)
    learning = [(n, p) for n, p in slow.encoder.named_parameters() if p.requires_grad]
    J = []
    for term, share in zip(slow.terms, (0.5, 3.0, 2.0), strict=True):
        value = term(step)
        found = torch.autograd.grad(value, [p for _, p in learning], retain_graph=True)
        for (_, p), g in zip(learning, found, strict=True):
            p.grad = share * g + (0 if p.grad is None else p.grad)
        if at == "features":
            found = torch.autograd.grad(value, [made.features for made in step.passes], retain_graph=True)
        J.append(torch.cat([g.flatten() for g in found]))
    made.fit(1)
    for (name, p), q in zip(learning, [q for q in made.encoder.parameters() if q.requires_grad], strict=True):
        torch.testing.assert_close(q.grad, p.grad, rtol=1e-9, atol=1e-13, msg=name)
    J = torch.stack(J)
    torch.testing.assert_close(spy.seen[0], J @ J.T, rtol=1e-8, atol=1e-13)


# ---- whose adapters ----


def test_evaluation_says_whose(tmp_path):
    sets = data(torch.float64)
    made, tops = trainer(ema=0.5, log=tmp_path, watch_every=2)
    made.watch = {"tags": (tops["tagging"], sets["tagging"], "tagging")}
    made.fit(3)
    average = made.ema.module["encoder"]
    for name in STREAMS:
        found = made.predict(tops[name], sets[name], name).features
        with torch.no_grad():
            torch.testing.assert_close(found, merged(average, name, sets[name].tensors[0]), rtol=1e-10, atol=1e-12)
    with pytest.raises(ValueError, match="In evaluation name the"):
        made.evaluate(tops["tagging"], sets["tagging"])
    with pytest.raises(ValueError, match="stream `other` has no adapters"):
        made.predict(tops["tagging"], sets["tagging"], "other")
    with pytest.raises(ValueError, match="the stream of these rows is not known"):  # not those of the step before
        made.encoder(sets["tagging"].tensors[0][:12])
    made.watch = {"tags": (tops["tagging"], sets["tagging"])}
    with pytest.raises(ValueError, match=r"watch=\{name: \(head, dataset, \"translation\"\)\}"):
        made.fit(5)


def test_a_stream_without_adapters_is_an_error_in_the_first_step():
    made, _ = trainer()
    streams = {**made.streams, "photos": Stream(data(torch.float64)["speaker"], 2)}
    term = multitask.task("photos", heads.Classifier(5, 3).double(), "photos")
    made = Trainer(made.encoder, [*made.terms, term], streams, progress=False, device="cpu")
    with pytest.raises(ValueError, match="stream `photos` has no adapters"):
        made.fit(1)


def test_what_is_announced_is_what_comes():
    encoder, x = network(), images()["tagging"]
    for rows in (2, 3, 8):
        encoder.announce_rows([("tagging", rows)])
        with pytest.raises(ValueError, match="numbers must agree|expected rows first"):
            encoder(x)
    encoder.announce_rows([("tagging", 4)])  # all views of a stream bear its name
    torch.testing.assert_close(encoder(x), merged(encoder, "tagging", x), rtol=1e-12, atol=1e-13)
    with pytest.raises(ValueError, match="the stream of these rows is not known"):
        encoder(x)
    with pytest.raises(ValueError, match="a call by the encoder alone"):
        encoder.body(x)


class Thrifty(nn.Module):
    """Calls its layer again in the backward pass."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return checkpoint(self.second, self.first(x), use_reentrant=False)


def test_activation_checkpoints_are_an_error():
    encoder = Thrifty()
    encoders.task_lora(encoder, ["a"])
    encoder.announce_rows([("a", 3)])
    features = encoder(torch.randn(3, 4))
    with pytest.raises(ValueError, match="activation checkpoints"):
        features.sum().backward()
    # torch keeps the rest of a failed backward until the next backward, and crashes at the end of the process otherwise
    torch.zeros(1, requires_grad=True).sum().backward()


# ---- copied, kept ----


@pytest.mark.parametrize("shared", [False, True])
def test_the_encoder_of_one_task(shared, tmp_path):
    encoder, rows = network(shared=shared), images()
    expected = together(encoder, rows)
    for name, x in rows.items():
        alone = encoders.single_task(encoder, name)
        assert not hasattr(alone, "announce_rows")
        assert [n for n, p in alone.named_parameters() if p.requires_grad] == [
            f"body.{layer}.lora_{k}" for layer in ("conv", "tokens", "places", "out") for k in "AB"
        ]
        torch.testing.assert_close(alone(x), expected[name], rtol=1e-12, atol=1e-13)
        encoders.merge(alone)
        plain = Net().double()
        plain.load_state_dict({n: w for n, w in alone.body.state_dict().items() if "lora_" not in n})
        torch.testing.assert_close(plain(x), expected[name], rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(alone(x), expected[name], rtol=1e-12, atol=1e-13)
    encoders.merge(encoder)  # the shared ones alone
    torch.testing.assert_close(together(encoder, rows)["speaker"], expected["speaker"], rtol=1e-12, atol=1e-13)
    alone = encoders.single_task(encoder, "speaker")
    torch.testing.assert_close(alone(rows["speaker"]), expected["speaker"], rtol=1e-12, atol=1e-13)
    with pytest.raises(ValueError, match="must be one with adapters of its own, got 'other'"):
        encoders.single_task(encoder, "other")
    with pytest.raises(ValueError, match="`task_lora` makes them"):
        encoders.single_task(alone, "speaker")
    found = predict(alone, nn.Identity(), TensorDataset(rows["speaker"])).features
    torch.testing.assert_close(found, expected["speaker"].detach(), rtol=1e-12, atol=1e-13)


def test_features_are_cached_of_one_task():
    encoder, rows = network(dtype=torch.float32), images(dtype=torch.float32)
    with pytest.raises(ValueError, match="single_task"):
        features(encoder, TensorDataset(rows["tagging"]))
    found = features(encoders.single_task(encoder, "tagging"), TensorDataset(rows["tagging"]))
    torch.testing.assert_close(found.tensors[0], merged(encoder, "tagging", rows["tagging"]).detach())


def test_a_copy_has_its_own_rows():
    encoder, rows = network(), images()
    other = copy.deepcopy(encoder)
    encoder.announce_rows([("speaker", 4)])
    other.announce_rows([("tagging", 4)])
    x = rows["tagging"]
    torch.testing.assert_close(other(x), merged(encoder, "tagging", x), rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(encoder(x), merged(encoder, "speaker", x), rtol=1e-12, atol=1e-13)


def test_what_learned_is_saved(tmp_path):
    encoder, rows = network(), images()
    path = encoders.save_trainable_state(encoder, tmp_path / "learned.safetensors")
    again = network(stirred=False)
    encoders.load_trainable_state(again, path)
    expected = together(encoder, rows)
    assert all(torch.equal(z, expected[name]) for name, z in together(again, rows).items())
    inductive.strategy(encoder, "adapters")
    assert encoders.trainable_state(encoder).keys() == encoders.trainable_state(again).keys()


def test_transformer_layers():
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0).eval()
    encoders.lora(block, 2)
    assert encoders.task_lora(block, ["a", "b"], 2) == ["linear1", "linear2"]
    stir(block)
    x = torch.randn(5, 3, 8)
    with torch.no_grad():  # torch's fast path reads weights without calling the layers
        block.announce_rows([("a", 2), ("b", 3)])
        found = block(x)
    for name, rows in (("a", slice(0, 2)), ("b", slice(2, 5))):
        torch.testing.assert_close(found[rows], encoders.single_task(block, name)(x[rows]), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="batch_first=True"):
        encoders.task_lora(nn.TransformerEncoderLayer(8, 2, 16), ["a"])


@pytest.mark.parametrize(
    ("streams", "options", "message"),
    [
        ([], {}, "different names, at least one"),
        ("tagging", {}, "different names"),
        (["a", "a"], {}, "different names"),
        (["a.b"], {}, "without dots"),
        (["a"], {"rank": 0}, "`rank` must be .*at least 1"),
        (["a"], {"alpha": -1.0}, "`alpha` must be a positive number, got -1.0"),
        (["a"], {"only": ["fc9"]}, "fits none of the layers"),
    ],
)
def test_bad_input(streams, options, message):
    with pytest.raises(ValueError, match=message):
        encoders.task_lora(encoders.wrap(Net(), 5), streams, **options)


def test_adapters_are_made_once_and_the_shared_ones_first():
    encoder = network()
    with pytest.raises(ValueError, match="treats streams differently already"):
        encoders.task_lora(encoder, ["a"])
    with pytest.raises(ValueError, match="call `lora` before `task_lora`"):
        encoders.lora(network(shared=False))
    encoder = encoders.wrap(Net(), 5)
    encoders.lora(encoder, 2)
    encoder.requires_grad_(False)  # trained before, and held
    encoders.task_lora(encoder, ["a"])
    assert len(encoders.trainable_state(encoder)) == 8 and all(
        name.endswith("_a") for name in encoders.trainable_state(encoder)
    )


def test_compiled():
    encoder, rows = network(dtype=torch.float32), images(dtype=torch.float32)
    expected = together(encoder, rows)
    encoder.compile(backend="eager", fullgraph=True)
    for name, z in together(encoder, rows).items():
        torch.testing.assert_close(z, expected[name])
