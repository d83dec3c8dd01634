"""Small runs of every method over several domains: unequal batches, a target, and heads of three kinds."""

import torch
from torch import nn

import adapt
from adapt import Stream, Trainer, domain, encoders, heads
from adapt.engine import Step
from adapt.streams import Batch
from tests.adapt.engine.tiny import DIM, cloud

SOURCES = ("a", "b", "c")
ROWS = {"a": 12, "b": 8, "c": 6, "target": 10}
SHIFT = {"a": 0.0, "b": 0.5, "c": -0.5, "target": 1.0}
METHODS = (
    "m3sda", "mdan", "mdan hard", "pada", "iwan", "osbp", "ovanet", "pairwise_coral", "group_dro", "vrex", "irm",
    "irm unbiased", "fishr", "mixup", "mixup features",
)  # fmt: skip
PUBLIC = {name.split()[0] for name in METHODS}
WITHOUT_LABELS = {"m3sda", "iwan", "osbp", "ovanet", "pairwise_coral"}
ALONE = {"mdan", "mdan hard", "pada", "group_dro", "mixup", "mixup features"}  # they hold the source losses
ONE_SOURCE = {"pada", "iwan", "osbp", "ovanet"}


def make(name, *, dtype=torch.float32, seed=0):
    """Encoder, head and the method's own terms."""
    torch.manual_seed(seed)
    encoder = encoders.Encoder(nn.Sequential(nn.Linear(DIM, 16), nn.Tanh(), nn.Linear(16, 8)), 8)
    head = {"osbp": heads.Classifier(8, 4), "ovanet": heads.OneVsAll(8, 3)}.get(name) or heads.Classifier(8, 3)
    term = {
        "m3sda": lambda: domain.m3sda(sources=SOURCES),
        "mdan": lambda: domain.mdan(head, sources=SOURCES, hidden=16),
        "mdan hard": lambda: domain.mdan(head, sources=SOURCES, gamma=None, hidden=16),
        "pada": lambda: domain.pada(head, source="a", momentum=0.5, hidden=16),
        "iwan": lambda: domain.iwan(encoder, source="a", hidden=16),
        "osbp": lambda: domain.osbp(head),
        "ovanet": lambda: domain.ovanet(head),
        "pairwise_coral": lambda: domain.pairwise_coral(sources=SOURCES),
        "group_dro": lambda: domain.group_dro(head, sources=SOURCES, step_size=0.5),
        "vrex": lambda: domain.vrex(head, sources=SOURCES),
        "irm": lambda: domain.irm(head, sources=SOURCES, weight=1.0),
        "irm unbiased": lambda: domain.irm(head, sources=SOURCES, unbiased=True, weight=1.0),
        "fishr": lambda: domain.fishr(head, sources=SOURCES, weight=10.0),
        "mixup": lambda: domain.mixup(head, sources=SOURCES),
        "mixup features": lambda: domain.mixup(head, sources=SOURCES, mix="features"),
    }[name]()
    for module in (encoder, head, *term.modules):
        module.to(dtype)
    return encoder, head, term


def step(encoder, *, rows=ROWS, labels=None, dtype=torch.float32, **options):
    g = torch.Generator().manual_seed(0)
    batches = {}
    for name, n in rows.items():
        x = torch.randn(n, DIM, generator=g, dtype=torch.float64).to(dtype) + SHIFT[name]
        y = torch.randint(3, (n,), generator=g) if labels is None else labels(n)
        batches[name] = Batch(x, None if name == "target" else y, torch.arange(n))
    return Step(batches, encoder, **{"progress": 0.5, **options})


def supervised(name, head):
    """The terms that belong beside a method's own."""
    sources = () if name in ALONE else SOURCES[:1] if name in ONE_SOURCE else SOURCES
    return [adapt.supervised(head, source) for source in sources]


def trainer(name, *, dtype=torch.float32, **options):
    encoder, head, term = make(name, dtype=dtype)
    data = {
        s: Stream(cloud(36, seed=i, shift=SHIFT[s], dtype=dtype), ROWS[s], labels=s != "target")
        for i, s in enumerate(ROWS)
    }
    made = Trainer(encoder, [*supervised(name, head), term], data, progress=False, device="cpu", **options)
    return made, head
