"""Test-time methods equal slow float64 references; the adapter keeps its word: state, reset, clock, guard, doors."""

import copy
import io
import pickle
from functools import partial

import numpy
import pytest
import torch
from torch import nn

import adapt
from adapt import encoders, heads
from adapt import transductive as tt
from tests.adapt.transductive import references
from tests.adapt.transductive.small import CLASSES, SIDE, batch, model

STREAM = [batch(9, 1), batch(4, 2, 0.0), batch(7, 3), batch(9, 4, -0.5), batch(5, 5)]


def answers(method, stream=STREAM, of=None, **options):
    adapter = tt.Online(of or model(), method, guard=None, **options)
    return [adapter(x) for x in stream], adapter


def close(found, expected, tolerance=2e-4):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert (a.double() - b).abs().max() < tolerance


# ---- formulas ----


def test_adabn_is_the_batch_the_mixture_and_the_prior():
    W = references.weights_of(model())
    for method, share in (
        (tt.adabn(), lambda n: 1),
        (tt.adabn(share=0.3), lambda n: 0.3),
        (tt.adabn(prior=16), lambda n: n / (n + 16)),
    ):

        def statistics(name, x, share=share):
            s, (mean, var) = share(len(x)), references.of_batch(name, x)
            return (
                (1 - s) * W[f"{name}.running_mean"] + s * mean,
                (1 - s) * W[f"{name}.running_var"] + s * var,
            )

        close(answers(method)[0], [references.logits(W, x, statistics).log_softmax(1) for x in STREAM])


def test_a_window_remembers_rows_with_their_distance():
    """The reference keeps every value of every row with its weight."""
    W, seen = references.weights_of(model()), {"1": [], "4": []}

    def statistics(name, x):
        keep, source = (1 - 1 / 8) ** len(x), (W[f"{name}.running_mean"], W[f"{name}.running_var"])
        seen[name] = [(w * keep, rows) for w, rows in seen[name]] + [(1 - keep, x)]
        first = 1 - sum(w for w, _ in seen[name])
        mean = first * source[0] + sum(w * rows.mean((0, 2, 3)) for w, rows in seen[name])
        square = first * (source[1] + source[0] ** 2) + sum(w * rows.square().mean((0, 2, 3)) for w, rows in seen[name])
        var = square - mean**2
        return 0.4 * source[0] + 0.6 * mean, 0.4 * source[1] + 0.6 * var

    expected = [references.logits(W, x, statistics).log_softmax(1) for x in STREAM]
    close(answers(tt.adabn(share=0.6, window=8))[0], expected)


def test_tent():
    close(answers(tt.tent(rate=0.05, rows=1))[0], references.tent(model(), STREAM, 0.05), 2e-3)


@pytest.mark.parametrize("source", [None, batch(6, 9)])
def test_eata(source):
    method = tt.eata(rate=0.05, rows=1, reliable=0.7, redundant=0.9, source=source, strength=5.0)
    expected, counts = references.eata(model(), STREAM, 0.05, 0.7, 0.9, source, 5.0)
    assert 0 < sum(counts) < sum(map(len, STREAM)) and counts[1:] != [len(x) for x in STREAM[1:]]
    close(answers(method)[0], expected, 2e-3)


@pytest.mark.parametrize("recovery", [0.0, 0.5])
def test_sar(recovery):
    method = tt.sar(rate=0.05, rows=1, reliable=0.7, radius=0.1, recovery=recovery)
    expected, starts = references.sar(model(), STREAM, 0.05, 0.7, 0.1, recovery)
    assert bool(starts) == bool(recovery)
    close(answers(method, of=model(layers=["5"]))[0], expected, 2e-3)  # no norm in the last layer: all norms learn


def test_sar_leaves_the_last_named_layer_out():
    found, adapter = answers(tt.sar(rate=0.05, rows=1, reliable=0.7), of=model(layers=["0", "4"]))
    close(found, references.sar(model(), STREAM, 0.05, 0.7, 0.05, 0.2, references.LEARNED[:2])[0], 2e-3)
    assert len(adapter._learner.tuner.learning) == 2


@pytest.mark.parametrize("augment", [None, lambda x: x.flip(3) + 0.1])
def test_roid(augment):
    found, _ = answers(tt.roid(rate=0.05, rows=1, augment=augment))
    close(found, references.roid(model(), STREAM, 0.05, 0.99, 1 / 3, augment), 3e-3)


def test_lame():
    found, _ = answers(tt.lame(neighbours=3))
    close(found, [references.lame(model(), x, 3) for x in STREAM])


@pytest.mark.parametrize("keep", [1, 4, 100])
def test_t3a(keep):
    close(answers(tt.t3a(keep=keep))[0], references.t3a(model(), STREAM, keep))


def test_rdumb_starts_again():
    again, _ = answers(tt.rdumb(tt.tent(rate=0.05, rows=1), every=2))
    first, _ = answers(tt.tent(rate=0.05, rows=1), STREAM[:2])
    later, _ = answers(tt.tent(rate=0.05, rows=1), STREAM[2:4])
    close(again[:4], first + later, 1e-6)
    longer, _ = answers(tt.tent(rate=0.05, rows=1))
    assert (again[2] - longer[2]).abs().max() > 1e-3


def test_small_batches_learn_in_proportion():
    found, _ = answers(tt.tent(rate=0.1, rows=18), [batch(9, 1)] * 2)
    close(found, references.tent(model(), [batch(9, 1)] * 2, 0.05), 2e-3)


@pytest.mark.parametrize("method", [tt.tent(rate=0.05, rows=1), tt.roid(rate=0.05), tt.eata(rate=0.05), tt.sar()])
def test_models_without_batchnorm_learn_the_weights_of_their_norms(method):
    """Group normalisation has no statistics of a batch: one row is enough."""
    found, adapter = answers(method, [batch(1), batch(6)], model(partial(nn.GroupNorm, 2)))
    assert all(x.isfinite().all() for x in found)
    assert len(adapter._learner.tuner.learning) == (2 if method.name == "sar" else 4)  # the last layer is left out
    if method.name == "tent":
        W = references.weights_of(model(partial(nn.GroupNorm, 2)))
        for n in references.LEARNED:
            W[n].requires_grad_(True)
        one = references.logits(W, batch(1), None).softmax(1)
        references.Adam().step(W, references._gradient(references.entropy(one).mean(), W), 0.05)
        close(found, [one.detach().log(), references.logits(W, batch(6), None).log_softmax(1).detach()], 1e-3)


# ---- every method ----

METHODS = {
    "default": None, "adabn": tt.adabn(), "window": tt.adabn(share=0.6, window=8),
    "tent": tt.tent(rate=0.02, rows=1), "eata": tt.eata(rate=0.02, rows=1, reliable=0.9, source=batch(4, 8)),
    "sar": tt.sar(rate=0.02, rows=1, reliable=0.9), "roid": tt.roid(rate=0.02, rows=1),
    "rdumb": tt.rdumb(tt.tent(rate=0.02), every=2), "lame": tt.lame(), "t3a": tt.t3a(keep=5),
}  # fmt: skip


def guard_of(method):
    return tt.Guard() if method is None or method.comparable else None


def online(method, **options):
    return tt.Online(model(), method, guard=guard_of(method), **options)


each_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


@each_method
def test_a_stopped_stream_goes_on_exactly(method):
    whole = online(method, clock=tt.Clock(cost=1.5))
    expected = [whole(x) for x in STREAM]
    first = online(method, clock=tt.Clock(cost=1.5))
    for x in STREAM[:3]:
        first(x)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    again = online(method, clock=tt.Clock(cost=1.5))
    again(batch(3, 7))
    again.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(again(STREAM[3]), expected[3]) and torch.equal(again(STREAM[4]), expected[4])
    assert (again.adapted, again.dropped, again.fallbacks) == (whole.adapted, whole.dropped, whole.fallbacks)


@each_method
def test_reset_copies_and_the_model_of_the_user(method):
    own = model()
    own.encoder.train()
    before = copy.deepcopy({**own.encoder.state_dict(), **own.head.state_dict()})
    state = torch.get_rng_state()
    adapter = tt.Online(own, method, guard=None)
    first = [adapter(x) for x in STREAM[:2]]
    adapter.reset()
    twin, frozen = copy.deepcopy(adapter), pickle.loads(pickle.dumps(adapter))
    for one in (adapter, twin, frozen):
        assert all(torch.equal(one(x), y) for x, y in zip(STREAM[:2], first, strict=True))
    after = {**own.encoder.state_dict(), **own.head.state_dict()}
    assert all(torch.equal(before[n], after[n]) for n in before) and own.encoder.training
    assert all(p.requires_grad and p.grad is None for p in own.encoder.parameters())
    assert torch.equal(state, torch.get_rng_state()) and torch.is_grad_enabled()


@each_method
def test_any_size_and_precision(method):
    for of in (model(), model(precision="bf16")):
        adapter = tt.Online(of, method, guard=guard_of(method))
        for rows in (1, 16, 1, 3, 2):
            found = adapter(batch(rows, rows))
            assert found.shape == (rows, CLASSES) and found.dtype == torch.float32 and not found.requires_grad
            assert found.exp().sum(1).sub(1).abs().max() < 1e-4
    with torch.no_grad():
        inside = online(method)(batch(5))
    assert torch.equal(inside, online(method)(batch(5)))
    array = online(method)(batch(5).permute(0, 1, 3, 2).numpy())
    assert torch.equal(array, online(method)(batch(5).permute(0, 1, 3, 2).contiguous()))


@each_method
def test_a_broken_batch_changes_nothing(method):
    adapter, twin = (
        online(method),
        online(method),
    )
    for bad in (float("nan"), float("inf")):
        x = batch(4)
        x[2, 0, 1, 1] = bad
        with pytest.raises(ValueError, match="`batch` has NaN or infinity: leave broken rows out"):
            adapter(x)
    with pytest.raises(ValueError, match="`x` has no rows"):
        adapter(batch(0))
    assert torch.equal(adapter(STREAM[0]), twin(STREAM[0])) and adapter.adapted == 1


@each_method
@pytest.mark.parametrize("scale", [1e-20, 1e20, 0.0])
def test_extreme_inputs_leave_a_working_adapter(method, scale):
    adapter = online(method)
    for _ in range(2):
        try:
            assert adapter(batch(4) * scale).isfinite().all()
        except ValueError as error:
            assert "the model gives NaN or infinity for `batch`" in str(error)
    assert adapter(batch(4)).isfinite().all()


def test_bf16_weights():
    of = model()
    of.encoder.bfloat16(), of.head.bfloat16()
    for method in METHODS.values():
        if method is not None and method.options.get("source") is not None:
            method = tt.eata(rate=0.02)
        found = tt.Online(of, method, guard=None)(batch(6).bfloat16())
        assert found.dtype == torch.float32 and found.isfinite().all()


def test_tables_and_one_row_of_them():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU())
    of = adapt.Model(encoders.wrap(body, 5), heads.Classifier(5, ["no", "yes"]))
    for method in METHODS.values():
        if method is not None and method.options.get("source") is not None:
            method = tt.eata()
        adapter = tt.Online(of, method, guard=guard_of(method))
        found = adapter.predict(torch.randn(1, 3, generator=torch.Generator().manual_seed(1)))
        assert found.shape == (1,) and found[0] in ("no", "yes")
        assert adapter.predict(numpy.zeros((2, 3), "float32")).shape == (2,)


class Both(nn.Module):
    """Reads two inputs by name."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, inputs):
        return self.norm(inputs["a"] + inputs["b"])


@each_method
def test_inputs_by_name(method):
    if method is not None and method.options.get("source") is not None:
        method = tt.eata()
    of = adapt.Model(encoders.wrap(Both(), 3), heads.Classifier(3, CLASSES))
    x = {"a": torch.randn(5, 3), "b": torch.randn(5, 3)}
    assert tt.Online(of, method, guard=guard_of(method))(x).shape == (5, CLASSES)
    with pytest.raises(ValueError, match="`batch` has NaN"):
        tt.Online(of, method, guard=guard_of(method))(x | {"b": torch.full((5, 3), numpy.nan)})


# ---- refusals ----


def test_a_model_without_what_a_method_changes_is_refused():
    plain = adapt.Model(encoders.wrap(nn.Flatten(), 3 * SIDE * SIDE), heads.Classifier(3 * SIDE * SIDE, CLASSES))
    with pytest.raises(ValueError, match="adabn replaces .* has none: take `transductive.tent"):
        tt.Online(plain)
    for method in (tt.tent(), tt.eata(), tt.sar(), tt.roid()):
        with pytest.raises(ValueError, match=f"{method.name} changes the weights .* has none"):
            tt.Online(plain, method, guard=guard_of(method))
    for method in (tt.lame(), tt.t3a()):
        assert tt.Online(plain, method, guard=guard_of(method))(batch(3)).shape == (3, CLASSES)
    with pytest.raises(ValueError, match="adabn replaces"):
        tt.Online(model(partial(nn.GroupNorm, 2)), tt.adabn())
    two = adapt.Model(model().encoder, heads.Classifier(8, CLASSES))
    two.head.linear = nn.Sequential(nn.Linear(8, 5), nn.Linear(5, CLASSES))
    with pytest.raises(ValueError, match="t3a replaces the vectors of one linear layer, and the head has 2"):
        tt.Online(two, tt.t3a(), guard=None)


def test_other_types_are_refused():
    regressor = adapt.Model(encoders.wrap(nn.Flatten(), 8), heads.Regressor(8))
    with pytest.raises(TypeError, match="`model` must have a head of exclusive classes, got a Regressor"):
        tt.Online(regressor)
    for wrong, what in (
        ({"model": nn.Linear(2, 2)}, "model"), ({"method": "tent"}, "method"), ({"guard": True}, "guard"),
        ({"clock": 3}, "clock"),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=f"`{what}` must be .*, got a "):
            tt.Online(**{"model": model(), **wrong})
    with pytest.raises(TypeError, match="`method` must be a method such as"):
        tt.rdumb("tent")
    with pytest.raises(TypeError, match="`source` must be a tensor"):
        tt.eata(source=[1])
    with pytest.raises(ValueError, match="`source` must have rows of finite"):
        tt.eata(source=torch.full((1, 3), numpy.nan))
    with pytest.raises(TypeError, match="`augment` must be a function"):
        tt.roid(augment=3)


def test_a_foreign_state_is_refused():
    state = tt.Online(model(), tt.t3a(), guard=None).state_dict()
    with pytest.raises(ValueError, match=r"must be the state of an adapter of tent\(rate=.*\), guard=Guard\("):
        tt.Online(model(), tt.tent()).load_state_dict(state)
    for method, other in ((tt.tent(), tt.tent(rate=0.1)), (tt.rdumb(tt.tent()), tt.rdumb(tt.tent(rate=0.1)))):
        with pytest.raises(ValueError, match=r"with the same method and guard"):
            tt.Online(model(), method).load_state_dict(tt.Online(model(), other).state_dict())
    adapter = tt.Online(model(), tt.adabn())
    other = tt.Online(model(partial(nn.BatchNorm2d, affine=False)), tt.adabn()).state_dict()
    with pytest.raises(ValueError, match="`state` is of another network"):
        adapter.load_state_dict(other)
    assert adapter(batch(3)).isfinite().all()
    with pytest.raises(ValueError, match="must be the state of an adapter"):
        adapter.load_state_dict({})


# ---- clock ----


@pytest.mark.parametrize(("cost", "adapted"), [(1, 12), (1.5, 8), (2, 6), (3, 4), (100, 1)])
def test_the_clock_drops_batches(cost, adapted):
    adapter = tt.Online(model(), tt.tent(rate=0.05), guard=None, clock=tt.Clock(cost=cost))
    for i in range(12):
        before = copy.deepcopy(adapter._learner.state_dict())
        count = adapter.adapted
        assert adapter(batch(4, i)).isfinite().all()
        moved = any(not torch.equal(v, before[n]) for n, v in adapter._learner.state_dict().items() if "state" not in n)
        assert moved == (adapter.adapted > count)
    assert (adapter.adapted, adapter.dropped) == (adapted, 12 - adapted)


@each_method
def test_a_dropped_batch_changes_no_state(method):
    adapter = online(method, clock=tt.Clock(cost=2))
    adapter(batch(6))
    before = adapter.state_dict()["learner"]
    adapter(batch(5, 1))
    after = adapter.state_dict()["learner"]
    assert adapter.dropped == 1
    assert all(torch.equal(before[n], after[n]) for n in before if isinstance(before[n], torch.Tensor))


def test_the_clock_measures_time():
    assert tt.Online(model(), clock=tt.Clock(seconds=1e-9)).method.name == "adabn"
    slow, fast = (tt.Online(model(), clock=tt.Clock(seconds=s)) for s in (1e-9, 1e9))
    for i in range(4):
        slow(batch(4, i)), fast(batch(4, i))
    assert (slow.adapted, fast.adapted) == (1, 4)
    for wrong in ({}, {"seconds": 1.0, "cost": 2.0}):
        with pytest.raises(ValueError, match="one of `seconds` and `cost` must be given"):
            tt.Clock(**wrong)


# ---- guard ----


def rows_of(confidence, predicted):
    """Log-probabilities of 4 classes: `confidence` for the predicted class of each row."""
    p = torch.full((len(predicted), CLASSES), (1 - confidence) / (CLASSES - 1))
    return p.scatter(1, torch.tensor(predicted)[:, None], confidence).log()


def test_the_guard_mixes_by_the_running_confidence_and_the_spread():
    """The reference keeps the means of every batch."""
    guard = tt.Guard(window=10, margin=0.05, softness=0.02, spread=0.1, order=0.3)
    watch, seen = guard.start(CLASSES), []
    draw = torch.Generator().manual_seed(0)

    def running(values, window):
        rest, total, norm = 1.0, 0.0, 0.0
        for (p, _), value in zip(reversed(seen), reversed(values), strict=True):
            keep = (1 - 1 / window) ** len(p)
            total, norm, rest = total + rest * (1 - keep) * value, norm + rest * (1 - keep), rest * keep
        return total / norm

    def entropy(p):
        return -float((p * p.log()).sum())

    found = []
    for n in (3, 1, 8, 6):
        p, q = ((2 * torch.randn(n, CLASSES, generator=draw).double()).softmax(1) for _ in range(2))
        if n > 5:  # one class; class by class
            q = torch.eye(CLASSES).double()[([0] * 8 if n == 8 else [0, 0, 0, 1, 1, 1])] * 0.96 + 0.04 / CLASSES
        if n == 8:
            p = (torch.eye(CLASSES).double()[[0, 1, 2, 3] * 2] + 0.1) / 1.4
        seen.append((p, q))
        a = running([float(p.amax(1).mean() - q.amax(1).mean()) for p, q in seen], 10)
        b = entropy(running([p.mean(0) for p, _ in seen], 40)) - entropy(running([q.mean(0) for _, q in seen], 40))
        answers = [int(k) for _, q in seen for k in q.argmax(1)][-20:]
        same = [one == other for i, one in enumerate(answers) for other in answers[:i]]
        if len(answers) > 10:
            same = [one == other for one, other in zip(answers, answers[5:], strict=False)]
        e, near = sum(same) / len(same), [one == other for one, other in zip(answers, answers[1:], strict=False)]
        r = max(0.0, sum(near) / len(near) - e - 2 * (e * (1 - e) / len(answers)) ** 0.5)
        found.append((b, r))
        w = 1 / (1 + numpy.exp(-(a + 0.1 * max(0, b - 0.5) - 0.3 * r + 0.05) / 0.02))
        assert watch(p.log(), q.log()).exp().numpy() == pytest.approx((w * p + (1 - w) * q).numpy(), abs=1e-9)
        assert float(watch.weight) == pytest.approx(w) and watch.trusts == (w >= 0.5)
    spreads, orders = zip(*found, strict=True)
    assert min(spreads) < 0.5 < max(spreads) and max(orders) > 0


def test_the_guard_trusts_the_surer_model_and_sees_a_collapse():
    every, one = list(range(CLASSES)) * 8, [0] * 32
    sure, unsure = rows_of(0.95, every), rows_of(0.8, every)
    watch = tt.Guard().start(CLASSES)
    assert (watch(sure, unsure) - sure).abs().max() < 0.02 and watch.trusts
    watch = tt.Guard().start(CLASSES)
    assert (watch(unsure, sure) - sure).abs().max() < 0.02 and not watch.trusts and not watch.collapsed
    watch = tt.Guard().start(CLASSES)
    collapsed = rows_of(0.99, one)
    assert torch.allclose(watch(collapsed, unsure), unsure) and watch.collapsed and not watch.trusts
    watch = tt.Guard().start(CLASSES)  # few classes in both: the stream, not the model
    watch(collapsed, rows_of(0.95, one))
    assert not watch.collapsed and watch.trusts


def test_one_window_row_is_the_batch_alone():
    watch = tt.Guard(window=1).start(CLASSES)
    for confidence in (0.9, 0.3):
        watch(rows_of(confidence, [1]), rows_of(0.6, [1]))
        assert watch.trusts == (confidence == 0.9)


def test_online_answers_as_its_guard_says():
    guard = tt.Guard(margin=0.0)
    adapter, alone, watch = tt.Online(model(), guard=guard), tt.Online(model(), guard=None), guard.start(CLASSES)
    source = model()
    for x in STREAM:
        q = torch.from_numpy(source.probabilities(x)).log()
        assert torch.allclose(adapter(x), watch(alone(x), q), atol=1e-5)
    assert adapter.adapted == len(STREAM) and alone.fallbacks == 0


def test_a_collapse_starts_the_method_again():
    method = tt.tent(rate=0.5, rows=1)
    adapter = tt.Online(model(), method, guard=tt.Guard(collapse=0.05, window=4))
    for i in range(30):
        adapter(batch(16, i))
    assert adapter.restarts > 0 and adapter.fallbacks >= adapter.restarts
    assert tt.Online(model(), method, guard=None)(batch(3)).isfinite().all()


def test_the_guard_keeps_a_stream_of_one_class_near_the_source():
    """Statistics of a batch of one class mislead; the source model is sure and right."""
    torch.manual_seed(0)
    means = 4 * torch.eye(4)[:, :3, None, None]
    body = nn.Sequential(nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    x = means.repeat_interleave(50, 0) + torch.randn(200, 3, 4, 4)
    body[0].momentum = None
    body.train()(x)
    of = adapt.Model(encoders.wrap(body.eval(), 3), heads.Classifier(3, CLASSES))
    centres = body(means + torch.zeros(1, 1, 4, 4)).detach()
    with torch.no_grad():
        of.head.linear.weight.copy_(4 * centres), of.head.linear.bias.copy_(-2 * centres.square().sum(1))
    labels = torch.arange(CLASSES).repeat_interleave(50)
    source = float((torch.from_numpy(of.probabilities(x)).argmax(1) == labels).double().mean())
    found = {}
    for guard in (None, tt.Guard()):
        adapter = tt.Online(of, tt.adabn(), guard=guard)
        found[guard] = float((torch.cat([adapter(part) for part in x.split(10)]).argmax(1) == labels).double().mean())
    assert source > 0.95 and found[None] < 0.7 and found[tt.Guard()] > source - 0.01


@pytest.mark.parametrize("method", [tt.roid(), tt.t3a(), tt.rdumb(tt.t3a())], ids=lambda m: m.name)
def test_a_guard_that_would_always_choose_the_source_model_is_refused(method):
    with pytest.raises(ValueError, match=f"`guard` compares .* {method.name} .* Give `guard=None`"):
        tt.Online(model(), method)
    assert tt.Online(model(), method, guard=None)(batch(4)).shape == (4, CLASSES)
