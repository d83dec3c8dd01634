"""The balanced step against separate backward passes; resume, accumulation, precision, diagnostics."""

import pytest
import torch
from torch import nn

import adapt
from adapt import Stream, Term, Trainer, encoders, heads, multitask
from adapt.engine.tasks.parameter_gramian import ParameterGramian
from tests.adapt.engine.tiny import weights
from tests.adapt.multitask.cases import METHODS
from tests.adapt.multitask.tiny import labels, network, three_tasks, trainer


class Spy:
    """Fixed weights; remembers what it was shown."""

    def __init__(self, weights, at=None):
        self.weights, self.seen = torch.tensor(weights), []
        if at is not None:
            self.at = at

    def __call__(self, losses, gram=None):
        self.seen.append((losses, gram))
        return self.weights.to(losses)


def gradients(made, *, balance_weights=None):
    """A step's gradients, slowly: one backward a term."""
    from adapt.engine.step import Step

    batch = next(made.streams["rows"].batches("rows", made.seed))
    step = Step({"rows": batch}, made.encoder)
    encoder, found, losses, per_task = list(made.encoder.parameters()), {}, [], []
    for term in made.terms:
        value = term(step) * term.weight
        b = 1.0
        if term.task:
            b = 1.0 if balance_weights is None else balance_weights[len(losses)]
            losses.append(value / term.weight)
        parameters = [p for p in made.network.parameters() if p.requires_grad]
        grads = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
        for p, g in zip(parameters, grads, strict=True):
            if g is not None:
                share = b if any(p is q for q in encoder) else 1.0
                found[p] = found.get(p, 0) + share * g
        if term.task:
            raw = torch.autograd.grad(losses[-1], encoder, retain_graph=True)
            per_task.append(torch.cat([g.flatten() for g in raw]))
            at_z = torch.autograd.grad(losses[-1], step.passes[0].features, retain_graph=True)[0].flatten()
            per_task[-1] = (per_task[-1], at_z)
    return found, torch.stack(losses).detach(), per_task


@pytest.mark.parametrize("norm", [False, True], ids=["linear", "layer norm"])
@pytest.mark.parametrize("at", [None, "features", "parameters", "module"])
def test_a_step_is_what_separate_backward_passes_give(at, norm):
    b = [0.5, 3.0, 0.0]
    options = {"dtype": torch.float64, "norm": norm, "weights": (1.0, 2.0, 0.3)}
    slow = trainer(**options)
    expected, losses, per_task = gradients(slow, balance_weights=b)
    encoder = network(dtype=torch.float64, norm=norm)
    balance = Spy(b, at)
    if at == "module":
        made = trainer(**options)
        balance.at = made.encoder.body[3]
        made = Trainer(
            made.encoder, made.terms, made.streams, balance=balance, progress=False, device="cpu",
            optimizer=lambda groups: torch.optim.SGD(groups, lr=0.05),
        )  # fmt: skip
    else:
        made = trainer(balance, **options)
    made.fit(1)
    for (name, p), q in zip(made.network.named_parameters(), slow.network.parameters(), strict=True):
        torch.testing.assert_close(p.grad, expected[q], rtol=1e-10, atol=1e-12, msg=name)
    ((seen, gram),) = balance.seen
    torch.testing.assert_close(seen, losses, rtol=1e-10, atol=0)
    if at is None:
        assert gram is None
    elif at != "module":
        J = torch.stack([g[at == "features"] for g in per_task])
        torch.testing.assert_close(gram, J @ J.T, rtol=1e-8, atol=1e-12)
    else:
        P = sum(p.numel() for p in encoder.body[3].parameters())
        J = torch.stack([g[0][-P:] for g in per_task])
        torch.testing.assert_close(gram, J @ J.T, rtol=1e-8, atol=1e-12)


def test_weights_of_one_are_the_plain_sum():
    one, other = trainer(multitask.equal(), dtype=torch.float64), trainer(dtype=torch.float64)
    torch.testing.assert_close(weights(one.fit(5)), weights(other.fit(5)), rtol=1e-9, atol=1e-11)


class Twice(nn.Module):
    """A layer that is called twice, a convolution, a tied layer, a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.twice, self.conv, self.tied = nn.Linear(6, 6), nn.Conv1d(1, 2, 3, padding=1), nn.Linear(12, 12, bias=False)
        self.again = nn.Linear(12, 12, bias=False)
        self.again.weight = self.tied.weight
        self.shift = nn.Parameter(torch.randn(12))
        self.norm, self.unused = nn.LayerNorm(12), nn.Linear(2, 2)
        self.attention = nn.MultiheadAttention(12, 2, batch_first=True)

    def forward(self, x):
        x = self.twice(self.twice(x).tanh()).tanh()
        x = self.conv(x[:, None]).flatten(1).tanh()
        x = self.norm(self.again(self.tied(x).tanh()) + self.shift)
        tokens = x.view(-1, 2, 12)
        return self.attention(tokens, tokens, tokens)[0].reshape(-1, 12)


@pytest.mark.parametrize("rows", [4, 40])
def test_gramian_at_parameters_of_any_network(rows):
    torch.manual_seed(0)
    net = Twice().double()
    gram = ParameterGramian(net)
    z = net(torch.randn(rows, 6, dtype=torch.float64))
    D = [torch.randn_like(z) for _ in range(3)]
    learning = [p for p in net.parameters()]
    J = []
    for d in D:
        found = torch.autograd.grad(z, learning, d, retain_graph=True, allow_unused=True, materialize_grads=True)
        J.append(torch.cat([g.flatten() for g in found]))
    J = torch.stack(J)
    torch.testing.assert_close(gram([z], [[d] for d in D]).double(), J @ J.T, rtol=1e-6, atol=1e-8)


def test_gramian_at_parameters_with_activations_in_place():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Linear(8, 4)).double()
    gram = ParameterGramian(net)
    z = net(torch.randn(5, 6, dtype=torch.float64))
    D = [torch.randn_like(z) for _ in range(2)]
    J = torch.stack(
        [torch.cat([g.flatten() for g in torch.autograd.grad(z, [*net.parameters()], d, retain_graph=True)]) for d in D]
    )
    torch.testing.assert_close(gram([z], [[d] for d in D]), J @ J.T)


@pytest.mark.parametrize("everything", [False, True], ids=["adapters alone", "weights too"])
@pytest.mark.parametrize("add", [encoders.lora, encoders.ia3])
def test_gramian_at_parameters_sees_adapters(add, everything):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).double()
    add(net)
    for p in net.parameters():
        p.requires_grad_(everything or p.requires_grad)
        p.data.normal_()
    gram = ParameterGramian(net)
    z = net(torch.randn(5, 6, dtype=torch.float64))
    D = [torch.randn_like(z) for _ in range(3)]
    learning = [p for p in net.parameters() if p.requires_grad]
    J = torch.stack(
        [torch.cat([g.flatten() for g in torch.autograd.grad(z, learning, d, retain_graph=True)]) for d in D]
    )
    torch.testing.assert_close(gram([z], [[d] for d in D]), J @ J.T)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_and_resumes_exactly(name, tmp_path):
    whole = trainer(METHODS[name]()).fit(6)
    first = trainer(METHODS[name]()).fit(3)
    again = trainer(METHODS[name]())
    again.resume(first.save(tmp_path / "half"))
    again.planned = 6
    assert torch.equal(weights(again.fit(6)), weights(whole))
    assert not torch.equal(weights(whole), weights(trainer(METHODS[name]())))


def test_a_run_goes_on_with_its_balance(tmp_path):
    from adapt.engine.checkpoint import CheckpointError

    saved = trainer(multitask.imtl_g()).fit(1).save(tmp_path / "one")
    for other in (multitask.conflict_free(), multitask.equal(), None, multitask.imtl_g(at="parameters")):
        with pytest.raises(CheckpointError, match=r"balance: imtl_g\(at='features'\) there"):
            trainer(other).resume(saved)
    saved = trainer(multitask.famo()).fit(1).save(tmp_path / "two")
    with pytest.raises(CheckpointError, match=r"balance: famo\(rate=0.025, .* here"):
        trainer(multitask.famo(rate=0.1)).resume(saved)


@pytest.mark.parametrize("name", ["imtl_g", "upgrad", "uncertainty"])
def test_half_precision_accumulation_and_averages(name):
    made = trainer(METHODS[name](), precision="bf16", accumulate=2, ema=0.9, clip=1.0)
    assert weights(made.fit(3)).isfinite().all()


def test_each_micro_batch_has_its_own_weights():
    balance = Spy([1.0, 1.0, 1.0], "features")
    trainer(balance, accumulate=2).fit(3)
    assert len(balance.seen) == 6
    whole = Spy([1.0, 1.0, 1.0], "features")
    trainer(whole).fit(1)
    # the Gramian is of the losses, not of their halves
    torch.testing.assert_close(balance.seen[0][1], whole.seen[0][1])


@pytest.mark.parametrize("passes", ["joint", "separate"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_tasks_on_several_streams(passes, accumulate):
    """Against one backward a task; a term that is no task shares a head and its features with two of them."""
    from adapt.engine.step import Step

    b, u = [0.5, 3.0, 2.0], [1.0, 0.4, 1.0]
    data = {n: labels(seed=i, missing=0.0, dtype=torch.float64) for i, n in enumerate(("a", "b"))}
    streams = {n: Stream(d, 6) for n, d in data.items()}

    def make(balance):
        torch.manual_seed(5)
        number, other = heads.Regressor(6).double(), heads.Regressor(6).double()
        small = Term(
            "small", lambda s: (s.output(number, "a") + s["b"].features.sum()).square().mean(), modules=[number]
        )
        terms = [
            multitask.task("one", number, "a", label=0, scale=1.0, weight=u[0]),
            small,
            multitask.task("two", number, "b", label=0, scale=1.0, weight=u[1]),
            multitask.task("three", other, "b", label=2, scale=1.0, weight=u[2]),
        ]
        return Trainer(
            network(dtype=torch.float64), terms, streams, balance=balance, passes=passes, accumulate=accumulate,
            progress=False, device="cpu", optimizer=lambda groups: torch.optim.SGD(groups, lr=0.05),
        )  # fmt: skip

    slow, spy = make(None), Spy(b, "features")
    made, expected, grams = make(spy), {}, []
    batches = {n: s.batches(n, slow.seed) for n, s in streams.items()}
    for _ in range(accumulate):
        step = Step({n: next(x) for n, x in batches.items()}, slow.encoder, passes=passes)
        values = {t: t(step) for t in slow.terms}
        shared = [made_pass.features for made_pass in step.passes]
        tasks = [t for t in slow.terms if t.task]
        J = []
        for t, value in values.items():
            parameters = list(slow.network.parameters())
            grads = torch.autograd.grad(t.weight * value, parameters, retain_graph=True, allow_unused=True)
            share = b[tasks.index(t)] if t.task else 1.0
            for number, (p, g) in enumerate(zip(parameters, grads, strict=True)):
                if g is not None:
                    inside = any(p is q for q in slow.encoder.parameters())
                    expected[number] = expected.get(number, 0) + (share if inside else 1.0) * g / accumulate
            if t.task:
                found = torch.autograd.grad(value, shared, retain_graph=True, allow_unused=True)
                J.append(
                    torch.cat(
                        [
                            (torch.zeros_like(f) if g is None else g).flatten()
                            for g, f in zip(found, shared, strict=True)
                        ]
                    )
                )
        grams.append(torch.stack(J) @ torch.stack(J).T)
    made.fit(1)
    for number, p in enumerate(made.network.parameters()):
        torch.testing.assert_close(p.grad, expected[number], rtol=1e-10, atol=1e-12)
    for (_, seen), gram in zip(spy.seen, grams, strict=True):
        torch.testing.assert_close(seen, gram, rtol=1e-8, atol=1e-12)


def test_what_passes_by_the_features_keeps_its_plain_weight():
    first = trainer(other=False)
    weight = first.encoder.body[0].weight
    penalty = Term("penalty", lambda s: 3.0 * weight.square().sum() + 0.0 * s["rows"].features.sum(), task=True)
    streams, options = first.streams, {"progress": False, "device": "cpu"}
    before = weight.detach().clone()
    made = Trainer(first.encoder, [*first.terms[:1], penalty], streams, balance=Spy([0.0, 50.0], "features"), **options)
    made.fit(1)
    torch.testing.assert_close(weight.grad, 6.0 * before)


def test_a_task_that_asks_for_layers_is_not_weighed():
    made = trainer(other=False)
    deep = Term("deep", lambda s: s["rows"].layer("0").square().mean(), task=True, layers=["0"])
    with pytest.raises(ValueError, match="task `deep` asks for layers"):
        Trainer(made.encoder, [*made.terms, deep], made.streams, balance=multitask.equal(), device="cpu")


def test_preferences_are_not_seen_by_the_balance_and_kept():
    one, other = Spy([1.0, 1.0, 1.0], "parameters"), Spy([1.0, 1.0, 1.0], "parameters")
    trainer(one).fit(1)
    trainer(other, weights=(5.0, 0.1, 1.0)).fit(1)
    torch.testing.assert_close(one.seen[0][1], other.seen[0][1], rtol=1e-4, atol=1e-6)
    silent = Spy([1.0, 1.0, 1.0], "features")
    trainer(silent, weights=(0.0, 1.0, 1.0)).fit(1)
    losses, gram = silent.seen[0]
    assert losses[0].isnan() and gram[0].eq(0).all() and gram.isfinite().all()


def test_an_absent_task_is_neither_an_error_nor_a_zero():
    data = labels(missing=0.0)
    data.tensors[1][:, 0] = torch.nan
    data.tensors[1][:4, 0] = 1.0 + torch.arange(4.0)
    balance = Spy([2.0, 1.0, 1.0], "features")
    made = Trainer(
        network(),
        three_tasks(),
        {"rows": Stream(data, 4, shuffle=False)},
        balance=balance,
        progress=False,
        device="cpu",
    )
    made.fit(2)
    (first, _), (second, gram) = balance.seen
    assert first.isfinite().all() and second[0].isnan() and second[1:].isfinite().all() and gram[0].eq(0).all()


def test_what_stands_at_an_absent_task_is_not_looked_at():
    data = labels(missing=0.0)
    data.tensors[1][4:, 0] = torch.nan
    streams = {"rows": Stream(data, 4, shuffle=False)}
    balance = lambda losses: torch.where(losses.isnan(), torch.nan, 1.0)  # noqa: E731
    made = Trainer(
        network(), three_tasks(), streams, balance=lambda L, gram=None: balance(L), progress=False, device="cpu"
    )
    assert weights(made.fit(3)).isfinite().all()


def test_a_stream_that_no_task_reads():
    data = labels(missing=0.0)
    streams = {"rows": Stream(data, 6), "other": Stream(labels(seed=1), 6, labels=False)}
    other = Term("other", lambda s: s["other"].features.square().mean(), streams=["other"])
    options = {"passes": "separate", "progress": False, "device": "cpu"}
    for first in (True, False):
        found = []
        for balance in (None, Spy([1.0, 1.0, 1.0], "features")):
            terms = [other, *three_tasks()] if first else [*three_tasks(), other]
            made = Trainer(network(), terms, streams, balance=balance, **options)
            found.append([p.grad for p in made.fit(1).encoder.parameters()])
        torch.testing.assert_close(*found)


def test_diagnostics_in_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    made = trainer(multitask.imtl_g(), log=tmp_path, log_every=1, missing=0.8).fit(6)
    events = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0}).Reload()
    tags = events.Tags()
    for tag in (
        "task_gradient/units",
        "task_cosine/number_class",
        "tasks/cosine",
        "tasks/conflict_rate",
        "balance/class",
    ):
        assert tag in tags["scalars"]
    shares = [events.Scalars(f"share/{name}")[0].value for name in ("number", "class", "units", "small")]
    assert sum(shares) == pytest.approx(1.0) and max(shares[:3]) > 0
    assert "tasks/affinity" in tags["images"]
    assert "tasks/verdict/text_summary" in tags["tensors"]
    A = made.tasks.conflicts.affinity()
    torch.testing.assert_close(A.diagonal(), torch.ones(3))
    assert A.abs().max() <= 1 + 1e-5
    assert "differ in length by a factor of" in made.tasks.conflicts.verdict()


def test_diagnostics_change_no_weight(tmp_path):
    for balance in (None, "imtl_g"):
        make = (lambda: None) if balance is None else METHODS[balance]
        watched = trainer(make(), log=tmp_path / str(balance), log_every=1).fit(4)
        assert torch.equal(
            torch.cat([p.detach().flatten() for p in watched.network.parameters()]),
            torch.cat([p.detach().flatten() for p in trainer(make()).fit(4).network.parameters()]),
        )


def test_verdict():
    made = trainer()
    b = made.tasks.conflicts
    assert b.verdict() == ""
    b.watch(torch.ones(3), torch.eye(3))
    assert b.verdict().startswith("in 1 logged step,") and "too few steps for advice" in b.verdict()  # row 30
    for _ in range(9):
        b.watch(torch.ones(3), torch.eye(3))
    assert b.verdict().startswith("in 10 logged steps,") and "nothing to balance" in b.verdict()
    for _ in range(50):  # always in conflict, and hardly
        b.watch(torch.ones(3), torch.eye(3) * 1.04 - 0.04)
    assert "conflict in 83% of the pairs (mean cosine -0.03): nothing to balance" in b.verdict()
    b.watch(torch.ones(3), torch.diag(torch.tensor([1.0, 1.0, 1e6])))
    assert "a balance of lengths" in b.verdict()
    for _ in range(90):
        b.watch(torch.ones(3), torch.eye(3) * 2 - 0.5)
    assert "a projection (upgrad)" in b.verdict()


def test_nothing_to_balance_is_said():
    head = heads.Classifier(6, 3)
    streams = {"rows": Stream(labels(missing=0.0), 12)}
    with pytest.raises(ValueError, match="two or more terms that are tasks"):
        Trainer(network(), [multitask.task("class", head, "rows", label=1)], streams, balance=multitask.equal())
    frozen = network().requires_grad_(False)
    with pytest.raises(ValueError, match="With a frozen encoder"):
        Trainer(frozen, three_tasks(), streams, balance=multitask.equal(), device="cpu")
    with pytest.raises(ValueError, match="`at` of `balance`"):
        trainer(Spy([1.0, 1.0, 1.0], "heads"))
    with pytest.raises(ValueError, match="inside of the encoder"):
        trainer(multitask.mgda(at=nn.Linear(2, 2)))


def test_other_terms_can_be_tasks():
    encoder = network()
    head = heads.Classifier(6, 3)
    data = labels(missing=0.0)
    data = torch.utils.data.TensorDataset(data.tensors[0], data.tensors[1][:, 1].long())
    small = Term("small", lambda s: s["rows"].features.square().mean(), task=True)
    learn = adapt.supervised(head, "rows")
    learn.task = True
    balance = Spy([1.0, 2.0], "features")
    Trainer(encoder, [learn, small], {"rows": Stream(data, 12)}, balance=balance, progress=False, device="cpu").fit(2)
    assert len(balance.seen) == 2 and balance.seen[0][1].shape == (2, 2)
