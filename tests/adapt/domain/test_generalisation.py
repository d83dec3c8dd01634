"""Generalisation without a target: equal to slow references, and right on the cases the methods were made for."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import TensorDataset

import adapt
import losses
from adapt import Stream, Trainer, domain, encoders, heads
from adapt.engine import switch
from tests.adapt.domain.several import SOURCES, make, step
from tests.adapt.domain.test_multi_source import moved

F64 = torch.float64


def slow_risk(head, view):
    z, y = head(view.features), view.labels
    return sum(-z[i].log_softmax(0)[y[i]] for i in range(len(y))) / len(y)


def test_pairwise_coral_is_the_mean_over_pairs():
    encoder, _, term = make("pairwise_coral", dtype=F64)
    now = step(encoder, dtype=F64)
    f = [now[s].features.detach().numpy() for s in SOURCES]
    slow = 0.0
    for i, j in ((0, 1), (0, 2), (1, 2)):
        a, b = f[i], f[j]
        slow += ((np.cov(a.T) - np.cov(b.T)) ** 2).mean() + ((a.mean(0) - b.mean(0)) ** 2).mean()
    assert term(now).item() == pytest.approx(slow / 3, rel=1e-10)


def test_group_dro_moves_its_weights_by_exponentiated_gradient():
    encoder, head, term = make("group_dro", dtype=F64)
    now = step(encoder, dtype=F64)
    R, q = [slow_risk(head, now[s]).item() for s in SOURCES], [1 / 3] * 3
    for _ in range(4):
        q = [w * math.exp(0.5 * r) for w, r in zip(q, R, strict=True)]
        q = [w / sum(q) for w in q]
        value = term(now)
        assert value.item() == pytest.approx(sum(w * r for w, r in zip(q, R, strict=True)), rel=1e-6)  # q is float32
    np.testing.assert_allclose(term.loss.q.numpy(), q, rtol=1e-6)
    slow = sum(w * slow_risk(head, now[s]) for w, s in zip(q, SOURCES, strict=True))
    found, right = (torch.autograd.grad(v, encoder.body[0].weight, retain_graph=True)[0] for v in (value, slow))
    torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-9)


def test_group_dro_survives_any_risk():
    encoder, head, term = make("group_dro")
    with torch.no_grad():
        head.linear.weight.mul_(1e5)
    assert term(step(encoder)).isfinite() and term.loss.q.sum() == pytest.approx(1.0)


def test_vrex_is_the_variance_of_the_risks():
    encoder, head, term = make("vrex", dtype=F64)
    now = step(encoder, dtype=F64)
    assert term(now).item() == pytest.approx(np.var([slow_risk(head, now[s]).item() for s in SOURCES]), rel=1e-10)


@pytest.mark.parametrize("kind", [heads.Classifier, heads.Regressor])
@pytest.mark.parametrize("unbiased", [False, True])
def test_irm_is_the_squared_derivative_by_a_factor_on_the_output(unbiased, kind):
    encoder, _, _ = make("irm", dtype=F64)
    torch.manual_seed(5)
    head = kind(8, 3 if kind is heads.Classifier else 1).double()
    term, now, h = domain.irm(head, sources=SOURCES, unbiased=unbiased), step(encoder, dtype=F64), 1e-5
    slow = 0.0
    for s in SOURCES:
        z, y = head(now[s].features).detach(), now[s].labels
        parts = [(z[0::2], y[0::2]), (z[1::2], y[1::2])] if unbiased else [(z, y), (z, y)]
        slopes = [((head.loss((1 + h) * a, b) - head.loss((1 - h) * a, b)) / (2 * h)).item() for a, b in parts]
        slow += slopes[0] * slopes[1] / 3
    assert term(now).item() == pytest.approx(slow, rel=1e-6)


def test_irm_can_be_differentiated_twice():
    _, head, term = make("irm", dtype=F64)
    x = torch.randn(6, 8, generator=torch.Generator().manual_seed(0), dtype=F64).requires_grad_()

    def penalty(x):
        return term.loss.slope(head(x), torch.arange(6) % 3).square()

    assert torch.autograd.gradcheck(penalty, x) and torch.autograd.gradgradcheck(penalty, x)


def test_fishr_is_the_spread_of_the_variances_of_per_sample_gradients():
    encoder, head, term = make("fishr", dtype=F64)
    now = step(encoder, dtype=F64)
    v = []
    for s in SOURCES:
        rows = []
        for f, y in zip(now[s].features.detach(), now[s].labels, strict=True):
            grads = torch.autograd.grad(F.cross_entropy(head(f[None]), y[None]), list(head.parameters()))
            rows.append(np.concatenate([g.numpy().ravel() for g in grads]))
        v.append(np.var(rows, axis=0))
    running = [0 * x for x in v]
    for _ in range(3):
        running = [0.95 * old + 0.05 * new for old, new in zip(running, v, strict=True)]
        spread = np.array(running) / 0.05
        expected = ((spread - spread.mean(0)) ** 2).mean()
        assert term(now).item() == pytest.approx(expected, rel=1e-9)


def test_the_gradient_of_fishr_does_not_depend_on_the_momentum_in_the_first_step():
    def gradient(momentum):
        encoder, head, _ = make("fishr", dtype=F64)
        domain.fishr(head, sources=SOURCES, momentum=momentum)(step(encoder, dtype=F64)).backward()
        return encoder.body[0].weight.grad

    torch.testing.assert_close(gradient(0.95), gradient(0.0), rtol=1e-6, atol=0)


@pytest.mark.parametrize("mix", ["inputs", "features"])
def test_mixup_mixes_each_domain_with_the_next_of_a_ring(mix):
    encoder, head, _ = make("mixup", dtype=F64)
    term, now = domain.mixup(head, sources=SOURCES, alpha=1.0, mix=mix), step(encoder, dtype=F64, seed=3)
    value = term(now).item()
    x = [now[s].inputs if mix == "inputs" else now[s].features for s in SOURCES]
    y = [now[s].labels for s in SOURCES]
    twin = step(encoder, dtype=F64, seed=3)  # its generator draws the same again
    ring = torch.randperm(3, generator=twin.generator).tolist()
    _, lam = losses.draw_mixup(3, alpha=1.0, generator=step(encoder, seed=3).generator)
    total = 0.0
    for e in range(3):
        p, share = ring[(ring.index(e) + 1) % 3], lam[e].double()
        for i in range(len(x[e])):
            j = math.floor(i * len(x[p]) / len(x[e]))
            mixed = (share * x[e][i] + (1 - share) * x[p][j])[None]
            log_p = head(encoder(mixed) if mix == "inputs" else mixed)[0].log_softmax(0)
            total -= (share * log_p[y[e][i]] + (1 - share) * log_p[y[p][j]]).item()
    assert value == pytest.approx(total / sum(len(rows) for rows in x), rel=1e-6)  # the shares are float32


def test_methods_over_risks_take_a_regressor():
    encoder, _, _ = make("vrex")
    for method in (domain.vrex, domain.group_dro, domain.irm):
        encoder.zero_grad()
        method(heads.Regressor(8), sources=SOURCES)(step(encoder)).backward()
        assert encoder.body[0].weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("error", "call", "message"),
    [
        (
            ValueError,
            lambda: domain.vrex(heads.Classifier(8, 3), sources="ab"),
            "at least two different streams, got 'ab'",
        ),
        (
            ValueError,
            lambda: domain.group_dro(heads.Classifier(8, 3), sources=SOURCES, step_size=0.0),
            "`step_size` must be",
        ),
        (
            TypeError,
            lambda: domain.fishr(heads.Regressor(8), sources=SOURCES),
            "must be a heads.Classifier, got Regressor",
        ),
        (
            ValueError,
            lambda: domain.fishr(heads.Classifier(8, 3), sources=SOURCES, momentum=1.0),
            r"must be in \[0, 1\)",
        ),
        (
            TypeError,
            lambda: domain.mixup(heads.Regressor(8), sources=SOURCES),
            "`head` of mixup must tell exclusive classes",
        ),
        (ValueError, lambda: domain.mixup(heads.Classifier(8, 3), sources=SOURCES, mix="tokens"), "`mix` must be"),
        (
            ValueError,
            lambda: domain.mixup(heads.Classifier(8, 3), sources=SOURCES, alpha=0.0),
            "`alpha` must be a positive",
        ),
    ],
)
def test_mistakes_are_named(error, call, message):
    with pytest.raises(error, match=message):
        call()


def test_streams_that_do_not_fit_are_named_before_the_first_step():
    encoder, head, _ = make("mixup")
    data = TensorDataset(torch.zeros(4, 6), torch.tensor([0, 1, 2, 3]))
    with pytest.raises(KeyError, match="unknown stream `b`"):
        Trainer(encoder, [domain.mixup(head, sources=["a", "b"])], {"a": Stream(TensorDataset(*data[:3]), 2)})
    with pytest.raises(ValueError, match=r"must be in \[0, 3\)"):
        Trainer(encoder, [domain.vrex(head, sources=["a", "b"])], {"a": Stream(data, 2), "b": Stream(data, 2)})
    one = {s: Stream(TensorDataset(*data[:3]), 1) for s in SOURCES}
    with pytest.raises(ValueError, match="`unbiased` needs at least 2 rows in a batch of `a`"):
        Trainer(encoder, [domain.irm(head, sources=SOURCES, unbiased=True)], one)


def fitted(method, data, seed, *, steps=300, lr=1e-2, batch=250):
    torch.manual_seed(seed)
    body = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.ReLU(), torch.nn.Linear(16, 8))
    encoder, head = encoders.Encoder(body, 8), heads.Classifier(8, 2)
    names = list(data)
    learn = [adapt.supervised(head, s) for s in names]
    terms = {
        "erm": lambda: learn,
        "irm": lambda: [*learn, domain.irm(head, sources=names, weight=switch(1.0, 1e4, at=0.2))],
        "irm unbiased": lambda: [
            *learn,
            domain.irm(head, sources=names, unbiased=True, weight=switch(1.0, 1e4, at=0.2)),
        ],
        "vrex": lambda: [*learn, domain.vrex(head, sources=names, weight=switch(1.0, 1e4, at=0.2))],
        "fishr": lambda: [*learn, domain.fishr(head, sources=names, weight=switch(0.0, 1e3, at=0.2))],
        "pairwise_coral": lambda: [*learn, domain.pairwise_coral(sources=names, weight=10.0)],
        "group_dro": lambda: [domain.group_dro(head, sources=names, step_size=0.1)],
        "mixup": lambda: [domain.mixup(head, sources=names)],
    }[method]()
    made = Trainer(
        encoder, terms, {n: Stream(d, batch) for n, d in data.items()}, progress=False, seed=seed,
        optimizer=lambda groups: torch.optim.Adam(groups, lr=lr),
    ).fit(steps)  # fmt: skip
    return made, head


def coloured(agree, seed, rows=2000):
    """Coloured MNIST in two bits: the shape agrees with the label in 75 %, the colour in a share that varies."""
    g = torch.Generator().manual_seed(seed)
    flip = lambda bits, p: torch.where(torch.rand(rows, generator=g) < p, 1 - bits, bits)  # noqa: E731
    shape = torch.randint(2, (rows,), generator=g)
    y = flip(shape, 0.25)
    return TensorDataset(torch.stack([shape, flip(y, 1 - agree)], 1) * 2.0 - 1, y)


def spurious(method, seed):
    made, head = fitted(method, {"a": coloured(0.9, 1), "b": coloured(0.8, 2)}, seed, batch=1000)
    return made.evaluate(head, coloured(0.1, 3)).value


def crossed(axis, seed, rows=1000):
    """The label is the side of one axis: two groups by the first, one by the second."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 2, generator=g)
    return TensorDataset(x, (x[:, axis] > 0).long())


def worst_group(method, seed):
    made, head = fitted(method, {"a": crossed(0, 1), "b": crossed(0, 2), "c": crossed(1, 3)}, seed)
    return min(made.evaluate(head, crossed(axis, 4 + axis)).value for axis in (0, 1))


def beyond(method, seed):
    """Both coordinates of a domain are moved together; the unseen one further than all that were seen."""
    data = {name: moved(by, 240, i) for i, (name, by) in enumerate(zip("abc", (-0.9, 0.0, 0.6), strict=True))}
    made, head = fitted(method, data, seed, batch=120, lr=3e-3)
    return made.evaluate(head, moved(2.0, 1000, 8)).value


def between(method, seed):
    """Few rows whose classes overlap, in two domains; cross-entropy on a domain that lies between them."""

    def overlapping(offset, rows, number):
        g = torch.Generator().manual_seed(number)
        y = torch.arange(rows) % 2
        x = torch.stack([2.0 * y - 1, torch.full((rows,), offset)], 1)
        return TensorDataset(x + torch.randn(rows, 2, generator=g), y)

    made, head = fitted(method, {"a": overlapping(-2.0, 60, 1), "b": overlapping(2.0, 60, 2)}, seed, batch=60)
    outputs, _, labels = made.predict(head, overlapping(0.0, 1000, 3))
    return F.cross_entropy(outputs, labels).item()


@pytest.mark.claim
@pytest.mark.parametrize("method", ["irm", "irm unbiased", "vrex", "fishr"])
def test_a_spurious_colour_is_ignored(method):
    assert spurious(method, 0) > 0.7  # 0.75 is the best without the colour


@pytest.mark.claim
def test_plain_training_follows_the_spurious_colour():
    assert spurious("erm", 0) < 0.2


@pytest.mark.claim
def test_group_dro_lifts_the_worst_group():
    assert worst_group("group_dro", 0) > worst_group("erm", 0) + 0.05


@pytest.mark.claim
def test_pairwise_coral_reaches_further():
    assert beyond("pairwise_coral", 0) > beyond("erm", 0) + 0.05


@pytest.mark.claim
def test_mixup_is_less_wrong_between_the_domains():
    assert between("mixup", 0) < between("erm", 0) - 0.1
