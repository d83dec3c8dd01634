"""Every method on a small network: what all of them must pass runs over this table."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

import adapt
from adapt import Phase, Stream, Term, Trainer, domain, heads
from tests.adapt.engine.tiny import cloud, jitter, network

SOURCE, TARGET = 48, 40  # rows


class Case(NamedTuple):
    """`make(encoder, head)` gives terms beside a supervised one, or phases that hold it."""

    make: Callable
    phases: bool = False
    source_labels: bool = False  # whether its own loss looks at the source's labels
    few: bool = False  # needs a labelled target stream
    second: bool = False  # needs a second view of the target


def wide(features):
    """More features than rows."""
    return torch.cat([features, features.square(), features.sin(), features.cos()], 1)


def learn(*classifiers):
    return [adapt.supervised(head, "source", name=f"learn_{i}") for i, head in enumerate(classifiers)]


CASES = {
    "dann": Case(lambda e, h: [domain.dann(e, hidden=16)]),
    "dan": Case(lambda e, h: [domain.dan()]),
    "deep_coral": Case(lambda e, h: [domain.deep_coral(weight=10.0)]),
    "homm": Case(lambda e, h: [domain.homm(weight=10.0)]),
    "sliced": Case(lambda e, h: [domain.sliced(directions=16)]),
    "jan": Case(lambda e, h: [domain.jan(h)]),
    "dsan": Case(lambda e, h: [domain.dsan(h)], source_labels=True),
    "afn": Case(lambda e, h: [domain.afn()]),
    "bsp": Case(lambda e, h: [domain.bsp(weight=0.1)]),
    "rsd": Case(lambda e, h: [domain.rsd(level=wide, tradeoff=0)]),
    "cdan": Case(lambda e, h: [domain.cdan(h, hidden=16)]),
    "cdan entropy, random": Case(lambda e, h: [domain.cdan(h, entropy=True, randomized=12, hidden=16)]),
    "mdd": Case(lambda e, h: [domain.mdd(h, hidden=16)]),
    "dd": Case(lambda e, h: [domain.dd(heads.Regressor(8), hidden=16, strength=1.0)]),
    "mcc": Case(lambda e, h: [domain.mcc(h)]),
    "bnm": Case(lambda e, h: [domain.bnm(h)]),
    "im": Case(lambda e, h: [domain.im(h)]),
    "vat": Case(lambda e, h: [domain.vat(h, radius=1.0)]),
    "vada": Case(lambda e, h: [domain.vada(h, radius=1.0, hidden=16)]),
    "fixmatch": Case(lambda e, h: [domain.fixmatch(h, threshold=0.4)], second=True),
    "mean_teacher": Case(lambda e, h: [domain.mean_teacher(h, encoder=e, weight=1.0, threshold=0.0)]),
    "class_thresholds": Case(
        lambda e, h: [domain.class_thresholds(h, encoder=e, threshold=0.4, momentum=0.9)], second=True
    ),
    "atdoc": Case(lambda e, h: [domain.atdoc(h, rows=TARGET, weight=1.0)]),
    "deep_jdot": Case(lambda e, h: [domain.deep_jdot(h, plan="sinkhorn")], source_labels=True),
    "ccsa": Case(lambda e, h: [domain.ccsa(), adapt.supervised(h, "few")], source_labels=True, few=True),
    "mcd": Case(lambda e, h: _two_heads(domain.mcd, e, h), phases=True),
    "swd": Case(lambda e, h: _two_heads(domain.swd, e, h), phases=True),
    "wdgrl": Case(lambda e, h: domain.wdgrl(e, learn=learn(h), hidden=16, repeat=2), phases=True),
    "adda": Case(
        lambda e, h: [Phase(learn(h), update=[h], name="learn"), *domain.adda(e, hidden=16)], phases=True
    ),
}  # fmt: skip
NOT_A_TERM = {
    "DomainNorm",
    "adabn",
    "advent",
    "box_teacher",
    "class_mix",
    "masked_consistency",
}  # have tests of their own


def _two_heads(method, encoder, first):
    second = heads.Classifier(8, 3).to(next(first.parameters()).dtype)
    return method(first, second=second, encoder=encoder, learn=learn(first, second))


def made(name: str, *, dtype=torch.float32, network_options=None, **options) -> tuple[Trainer, nn.Module]:
    """A trainer of one method, and its classifier."""
    case, (encoder, head) = CASES[name], network(dtype=dtype, **(network_options or {}))
    torch.manual_seed(3)
    parts = case.make(encoder, head)
    for term in flatten_terms(parts):
        for module in term.modules:
            module.to(dtype)
    second = {"views": [None, jitter]} if case.second else {}
    streams = {
        "source": Stream(cloud(SOURCE, dtype=dtype), 12),
        "target": Stream(cloud(TARGET, seed=1, shift=0.7, dtype=dtype), 8, labels=False, **second),
    }
    if case.few:
        streams["few"] = Stream(cloud(12, seed=2, shift=0.7, dtype=dtype), 4)
    kind = {"phases": parts} if case.phases else {"terms": [adapt.supervised(head, "source"), *parts]}
    return Trainer(encoder, streams=streams, progress=False, device="cpu", **kind, **options), head


def flatten_terms(parts) -> list[Term]:
    flat: list[Term] = []
    for part in parts:
        flat += [part] if isinstance(part, Term) else flatten_terms(part.terms if isinstance(part, Phase) else part)
    return flat
