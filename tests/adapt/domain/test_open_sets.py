"""Partial, open-set and universal adaptation: equal to slow references, and right where label sets differ."""

import math
from statistics import mean, median

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

import adapt
from adapt import Stream, Trainer, domain, encoders, heads, ramp
from tests.adapt.domain.several import make, step

F64 = torch.float64


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def gradient(loss, module):
    return [g.numpy() for g in torch.autograd.grad(loss, list(module.parameters()), retain_graph=True)]


def close(found, right):
    for a, b in zip(found, right, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def domain_loss(s, t, weights):
    source = -sum(w * math.log(1 / (1 + math.exp(-z))) for w, z in zip(weights, s, strict=True)) / sum(weights)
    return 0.5 * (source - sum(math.log(1 - 1 / (1 + math.exp(-z))) for z in t) / len(t))


def test_pada_weighs_both_losses_by_the_targets_mean_prediction():
    encoder, head, term = make("pada", dtype=F64)
    term.loss.temperature = 0.8
    share = np.full(3, 1 / 3)
    for _ in range(3):  # the same weights each time: only the buffer moves
        now = step(encoder, dtype=F64)
        value = term(now)
        with torch.no_grad():
            z, target = head(now["a"].features).numpy(), head(now["target"].features).numpy()
            s, t = (term.loss.discriminator(now[n].features).tolist() for n in ("a", "target"))
        share = 0.5 * share + 0.5 * softmax(target / 0.8).mean(0)
        y = now["a"].labels.tolist()
        w = [share[c] / share.max() for c in y]
        p = softmax(z)
        classify = sum(-w[i] * math.log(p[i, c]) for i, c in enumerate(y)) / sum(w)
        assert value.item() == pytest.approx(classify + domain_loss(s, t, w), rel=1e-7)  # share begins in float32
    np.testing.assert_allclose(term.loss.share.numpy(), share, rtol=1e-7)
    term.loss.strength = 0.0
    blind = gradient(term(step(encoder, dtype=F64)), encoder)
    encoder, _, term = make("pada", dtype=F64)
    term.loss.momentum = 0.0
    assert any(
        np.abs(a - b).max() > 1e-6
        for a, b in zip(blind, gradient(term(step(encoder, dtype=F64)), encoder), strict=True)
    )


def test_iwan_weighs_by_a_judge_that_the_encoder_never_hears():
    encoder, _, term = make("iwan", dtype=F64)
    now = step(encoder, dtype=F64)
    judge, D = term.loss.judge, term.loss.discriminator
    value = term(now)
    with torch.no_grad():
        (js, jt), (s, t) = ([m(now[n].features).tolist() for n in ("a", "target")] for m in (judge, D))
    w = [1 - 1 / (1 + math.exp(-z)) for z in js]
    assert value.item() == pytest.approx(domain_loss(js, jt, [1.0] * len(js)) + domain_loss(s, t, w), rel=1e-12)

    lam, weights = term.loss.strength(0.5), torch.tensor(w, dtype=F64)
    one, zero = D(now["a"].features), D(now["target"].features)
    plain = 0.5 * (-(weights * one.sigmoid().log()).sum() / weights.sum() - (1 - zero.sigmoid()).log().mean())
    close(gradient(value, encoder), [-lam * g for g in gradient(plain, encoder)])
    close(gradient(value, D), gradient(plain, D))


@pytest.mark.parametrize("t", [0.5, 0.3])
def test_osbp_is_the_papers_boundary_reversed_for_the_encoder(t):
    encoder, head, _ = make("osbp", dtype=F64)
    term = domain.osbp(head, boundary=t, strength=0.7)
    now = step(encoder, dtype=F64)
    p = head(now["target"].features).softmax(1)[:, 3]
    plain = (-t * p.log() - (1 - t) * (1 - p).log()).mean()
    value = term(now)
    slow = [-t * math.log(q) - (1 - t) * math.log(1 - q) for q in p.tolist()]
    assert value.item() == pytest.approx(sum(slow) / len(slow), rel=1e-12)
    close(gradient(value, head), gradient(plain, head))
    close(gradient(value, encoder), [-0.7 * g for g in gradient(plain, encoder)])


def test_osbp_is_safe_at_any_size_of_logit():
    encoder, head, term = make("osbp")
    with torch.no_grad():
        head.linear.weight.mul_(1e4)
    value = term(step(encoder))
    value.backward()
    assert value.isfinite() and encoder.body[0].weight.grad.isfinite().all()


def test_ovanet_is_the_entropy_of_each_yes_or_no():
    encoder, head, term = make("ovanet", dtype=F64)
    now = step(encoder, dtype=F64)
    o = head.open(now["target"].features).tolist()
    slow = 0.0
    for row in o:
        for z in row:
            p = 1 / (1 + math.exp(-z))
            slow += -p * math.log(p) - (1 - p) * math.log(1 - p)
    assert term(now).item() == pytest.approx(slow / (len(o) * 3), rel=1e-12)


def test_the_head_of_ovanet_learns_from_the_hardest_negative():
    head = heads.OneVsAll(4, 3).double()
    g = torch.Generator().manual_seed(0)
    output, y = torch.randn(7, 6, generator=g, dtype=F64), torch.tensor([0, 1, 2, 0, 1, 1, 0])
    slow = 0.0
    for row, c in zip(output.tolist(), y.tolist(), strict=True):
        z, p = row[:3], [1 / (1 + math.exp(-v)) for v in row[3:]]
        slow += -z[c] + math.log(sum(math.exp(v) for v in z))
        slow += 0.5 * (-math.log(p[c]) + max(-math.log(1 - p[k]) for k in range(3) if k != c))
    assert head.loss(output, y).item() == pytest.approx(slow / 7, rel=1e-12)
    assert head.names == ["0", "1", "2", "unknown"]


def test_the_head_of_ovanet_says_unknown_where_its_best_class_says_no():
    head = heads.OneVsAll(4, 2)
    output = torch.tensor([[3.0, 0.0, 1.0, 9.0], [3.0, 0.0, -1.0, 9.0], [0.0, 1.0, 0.0, 0.5]])
    assert head.predict(output).tolist() == [0, 2, 1]
    assert head.score(head.measure(output, torch.tensor([0, 2, 0]))).value == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match=r"must be in \[0, 2\)"):
        head.check(torch.tensor([0, 2]))


@pytest.mark.parametrize(
    ("error", "call", "message"),
    [
        (TypeError, lambda: domain.pada(heads.Regressor(8)), "`head` of pada must tell exclusive classes"),
        (ValueError, lambda: domain.pada(heads.Classifier(8, 3), momentum=1.0), r"`momentum` must be in \[0, 1\)"),
        (TypeError, lambda: domain.osbp(heads.Regressor(8)), "`head` of osbp must tell exclusive classes"),
        (ValueError, lambda: domain.osbp(heads.Classifier(8, 2)), "at least three classes"),
        (ValueError, lambda: domain.osbp(heads.Classifier(8, 3), boundary=1.0), "`boundary` must be between 0 and 1"),
        (TypeError, lambda: domain.ovanet(heads.Classifier(8, 3)), "must be a heads.OneVsAll, got Classifier"),
    ],
)
def test_mistakes_are_named(error, call, message):
    with pytest.raises(error, match=message):
        call()


CENTRES = torch.tensor([[2.0, 0.0], [1.0, 1.7], [-1.0, 1.7], [-2.0, 0.0], [-1.0, -1.7], [1.0, -1.7]])


def ring(classes, rows, seed, *, shift=(0.0, 0.0)):
    """Clouds on a ring."""
    g = torch.Generator().manual_seed(seed)
    y = torch.tensor(classes)[torch.arange(rows) % len(classes)]
    return TensorDataset(CENTRES[y] + 0.25 * torch.randn(rows, 2, generator=g) + torch.tensor(shift), y)


def fitted(terms, encoder, source, target, *, seed, momentum=0.9):
    data = {"source": Stream(source, 96), "target": Stream(target, 96, labels=False)}
    adam = lambda groups: torch.optim.AdamW(groups, lr=3e-3, betas=(momentum, 0.999))  # noqa: E731
    return Trainer(encoder, terms, data, progress=False, seed=seed, optimizer=adam).fit(300)


def network(seed):
    torch.manual_seed(seed)
    body = torch.nn.Sequential(torch.nn.Linear(2, 32), torch.nn.ReLU(), torch.nn.Linear(32, 8))
    return encoders.Encoder(body, 8)


def partial(method, seed, *, momentum=0.9):
    """Six classes in the source, two of them in the target, and an adversary that is strong."""
    encoder, head = network(seed), heads.Classifier(8, 6)
    learn, strong = adapt.supervised(head, "source"), {"strength": ramp(3.0), "hidden": 32}
    terms = {
        "source only": lambda: [learn],
        "dann": lambda: [learn, domain.dann(encoder, **strong)],
        "pada": lambda: [domain.pada(head, momentum=0.95, **strong)],
        "iwan": lambda: [learn, domain.iwan(encoder, **strong)],
    }[method]()
    target, test = (ring((0, 3), rows, i, shift=(-0.3, -0.3)) for i, rows in ((5, 120), (6, 600)))
    made = fitted(terms, encoder, ring(range(6), 360, 4), target, seed=seed, momentum=momentum)
    return made.evaluate(head, test).value


@pytest.mark.claim
def test_source_classes_beyond_the_targets_hurt_dann_and_not_pada():
    """DANN falls to 0.5 to 0.8 from three starts in four, and not at all from the fourth: the mean tells."""
    plain, dann, pada = ([partial(method, seed) for seed in range(4)] for method in ("source only", "dann", "pada"))
    assert median(plain) > 0.97 and mean(dann) < 0.93 and median(pada) > 0.97


@pytest.mark.claim
def test_iwan_suffers_less_than_dann():
    iwan, dann = ([partial(method, seed, momentum=0.5) for seed in range(5)] for method in ("iwan", "dann"))
    assert median(iwan) > 0.95 and mean(dann) < 0.93


def axes(classes, rows, seed, *, known, shift=0.0):
    """Each class on an axis of its own; those that are not known share the label `known`."""
    g = torch.Generator().manual_seed(seed)
    y = torch.tensor(classes)[torch.arange(rows) % len(classes)]
    return TensorDataset(2 * torch.eye(16)[y] + 0.25 * torch.randn(rows, 16, generator=g) + shift, y.clamp_max(known))


def recalls(terms, head, target, known, seed):
    """Of the known and of the unknown target rows, the share that is found. The target lacks some known classes too."""
    body = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.ReLU(), torch.nn.Linear(64, 16), torch.nn.ReLU())
    terms, test = [adapt.supervised(head, "source"), *terms], axes(target, 600, 6, known=known, shift=0.2)
    made = fitted(
        terms,
        encoders.Encoder(body, 16),
        axes(range(known), 480, 4, known=known),
        axes(target, 480, 5, known=known, shift=0.2),
        seed=seed,
    )
    outputs, _, labels = made.predict(head, test)
    predicted = head.predict(outputs) if isinstance(head, heads.OneVsAll) else outputs.argmax(1)
    hit = (predicted == labels).float()
    return hit[labels < known].mean().item(), hit[labels == known].mean().item()


@pytest.mark.claim
@pytest.mark.parametrize("seed", [1, 2])
def test_osbp_finds_target_classes_that_the_source_lacks(seed):
    def found(adapted):
        torch.manual_seed(seed)
        head = heads.Classifier(16, 5)
        return recalls([domain.osbp(head, strength=1.0)] if adapted else [], head, (0, 1, 2, 12, 13, 14), 4, seed)

    assert found(False)[1] == 0  # without it nothing is ever unknown
    known, unknown = found(True)
    assert known > 0.9 and unknown > 0.5


@pytest.mark.claim
@pytest.mark.parametrize("seed", [0, 1])
def test_ovanet_finds_target_classes_that_the_source_lacks(seed):
    def found(adapted):
        torch.manual_seed(seed)
        head = heads.OneVsAll(16, 8)
        return recalls([domain.ovanet(head)] if adapted else [], head, (0, 1, 2, 3, 12, 13, 14, 15), 8, seed)

    known, unknown = found(True)
    assert known > 0.97 and unknown > max(0.97, found(False)[1])
