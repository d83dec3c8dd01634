"""M3SDA and MDAN: equal to slow references, and better than the merged sources on a shifted toy."""

import math

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

import adapt
from adapt import Stream, Trainer, domain, encoders, heads
from tests.adapt.domain.several import SOURCES, make, step

F64 = torch.float64


def test_m3sda_is_the_papers_equation():
    encoder, _, term = make("m3sda", dtype=F64)
    now = step(encoder, dtype=F64)
    f = {name: now[name].features.detach().numpy() for name in (*SOURCES, "target")}
    expected = 0.0
    for k in (1, 2):
        moment = {name: np.array([sum(row[d] ** k for row in x) / len(x) for d in range(8)]) for name, x in f.items()}
        far = lambda i, j, m=moment: math.sqrt(sum((m[i] - m[j]) ** 2))  # noqa: E731
        expected += sum(far(s, "target") for s in SOURCES) / 3
        expected += (far("a", "b") + far("a", "c") + far("b", "c")) / 3
    assert term(now).item() == pytest.approx(expected, rel=1e-12)


def test_m3sda_of_equal_clouds_is_zero_with_a_finite_gradient():
    encoder, _, term = make("m3sda")
    now = step(encoder)
    same = torch.randn(5, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for name in (*SOURCES, "target"):
        now._features[name] = same
    value = term(now)
    value.backward()
    assert value == 0 and same.grad.isfinite().all()


@pytest.mark.parametrize("name", ["mdan", "mdan hard"])
@pytest.mark.parametrize("strength", [0.0, 0.7])
def test_mdan_is_the_papers_bound_and_its_gradient_is_weighted_and_reversed(name, strength):
    encoder, head, term = make(name, dtype=F64)
    term.loss.strength = strength
    now = step(encoder, dtype=F64)
    errors, told = [], []
    for D, s in zip(term.loss.discriminators, SOURCES, strict=True):
        z, y = head(now[s].features), now[s].labels
        errors.append(sum(-z[i].log_softmax(0)[y[i]] for i in range(len(y))) / len(y))
        one, zero = D(now[s].features), D(now["target"].features)
        told.append(0.5 * (-one.sigmoid().log().mean() - (1 - zero.sigmoid()).log().mean()))
    b = np.array([(e - d).item() for e, d in zip(errors, told, strict=True)])
    w = np.exp(10 * b) / np.exp(10 * b).sum() if name == "mdan" else np.eye(3)[b.argmax()]
    expected = np.log(np.exp(10 * b).sum()) / 10 if name == "mdan" else b.max()
    value = term(now)
    assert value.item() == pytest.approx(expected, rel=1e-12)

    def gradient(loss, parameters):
        return [g.numpy() for g in torch.autograd.grad(loss, parameters, retain_graph=True)]

    weighted = sum(float(w[i]) * errors[i] for i in range(3)), sum(float(w[i]) * told[i] for i in range(3))
    own, shared = list(term.loss.discriminators.parameters()), [*encoder.parameters(), *head.parameters()]
    for found, right in zip(gradient(value, own), gradient(weighted[1], own), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-9, atol=1e-12)
    for found, right in zip(
        gradient(value, shared),
        gradient(weighted[0] - strength * weighted[1], [*encoder.parameters()])
        + gradient(weighted[0], [*head.parameters()]),
        strict=True,
    ):
        np.testing.assert_allclose(found, right, rtol=1e-9, atol=1e-12)


def test_mdan_takes_any_head():
    encoder, _, _ = make("mdan")
    term = domain.mdan(heads.Regressor(8), sources=SOURCES, hidden=16)
    term(step(encoder)).backward()
    assert encoder.body[0].weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: domain.m3sda(sources="source"), "at least two different streams, got 'source'"),
        (lambda: domain.m3sda(sources=["a"]), "at least two different streams"),
        (lambda: domain.mdan(heads.Classifier(8, 3), sources=["a", "a"]), "at least two different streams"),
        (
            lambda: domain.mdan(heads.Classifier(8, 3), sources=SOURCES, gamma=0.0),
            "`gamma` must be a positive number, or None",
        ),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_source_without_labels_is_named():
    head, data = heads.Classifier(8, 3), TensorDataset(torch.zeros(4, 6), torch.zeros(4, dtype=torch.long))
    encoder, _, _ = make("mdan")
    data = {name: Stream(data, 2, labels=name == "a") for name in (*SOURCES, "target")}
    with pytest.raises(ValueError, match="stream `b` was made with `labels=False`"):
        Trainer(encoder, [domain.mdan(head, sources=SOURCES)], data)


def moved(shift, rows, seed):
    """Two classes along the first axis; a domain is moved along it, and lies at another place of the second."""
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(rows) % 2
    x = torch.stack([2.0 * y - 1, torch.zeros(rows)], 1) + 0.3 * torch.randn(rows, 2, generator=g)
    return TensorDataset(x + torch.tensor([shift, 0.6 * shift]), y)


def accuracy(method, seed, steps=300):
    torch.manual_seed(seed)
    body = torch.nn.Sequential(torch.nn.Linear(2, 32), torch.nn.ReLU(), torch.nn.Linear(32, 8))
    encoder, head = encoders.Encoder(body, 8), heads.Classifier(8, 2)
    learn = [adapt.supervised(head, s) for s in SOURCES]
    terms = {
        "source only": lambda: learn,
        "m3sda": lambda: [*learn, domain.m3sda(sources=SOURCES, weight=1.0)],
        "mdan": lambda: domain.mdan(head, sources=SOURCES, hidden=32),
        "mdan hard": lambda: domain.mdan(head, sources=SOURCES, gamma=None, hidden=32),
    }[method]()
    data = {s: Stream(moved(d, 120, i), 32) for i, (s, d) in enumerate(zip(SOURCES, (-0.9, 0.0, 0.6), strict=True))}
    data["target"] = Stream(moved(2.0, 120, 7), 32, labels=False)
    made = Trainer(
        encoder, terms if isinstance(terms, list) else [terms], data, progress=False, seed=seed,
        optimizer=lambda groups: torch.optim.AdamW(groups, lr=3e-3),
    ).fit(steps)  # fmt: skip
    return made.evaluate(head, moved(2.0, 1000, 8)).value


@pytest.fixture(scope="module")
def source_only():
    return accuracy("source only", 0)


@pytest.mark.claim
@pytest.mark.parametrize("method", ["m3sda", "mdan", "mdan hard"])
def test_a_target_beyond_all_sources_is_followed(method, source_only):
    assert source_only < 0.75 and accuracy(method, 0) > 0.85
