"""The terms of fine-tuning: two ranks with half batches train as one rank with whole batches."""

from functools import partial

import pytest
import torch
from torch import nn

import adapt
from adapt import Stream, Trainer, encoders, heads, inductive
from tests.adapt.engine.tiny import cloud, jitter, weights
from tests.ranks import run_ranks

STEPS = 6
DTYPES = {torch.float64: 1e-10, torch.float32: 2e-5}
TERMS = {
    "bss": lambda e: inductive.bss(on="target", weight=0.1, count=2),
    "co_tuning": lambda e: inductive.co_tuning(
        e, on="target", relationship=torch.full((3, 3), 0.1) + 0.7 * torch.eye(3)
    ),
    "delta": lambda e: inductive.delta(e, on="target", attention={"0": torch.arange(5.0)}),
    "feature_distillation": lambda e: inductive.feature_distillation(e, teacher=e, on="target", teacher_dim=4),
    "l2_sp": lambda e: inductive.l2_sp(e, weight=1.0),
    "lwf": lambda e: inductive.lwf(e, on="target"),
    "supervised_contrastive": lambda e: inductive.supervised_contrastive(e, on="target", projection=3),
}


def trainer_of(name, dtype, batch_norm="follow"):
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 4))
    encoder = encoders.Encoder(body, 4, layers=["0", "3"], head=nn.Linear(4, 3).to(dtype)).to(dtype)
    inductive.strategy(encoder, "full", batch_norm=batch_norm)
    head, term = heads.Classifier(4, 3).to(dtype), TERMS[name](encoder)
    term.loss.to(dtype) if isinstance(term.loss, nn.Module) else None
    stream = Stream(cloud(dtype=dtype), 12, views=[jitter, jitter])
    return Trainer(
        encoder, [adapt.supervised(head, on="target"), term], {"target": stream}, progress=False, device="cpu",
        optimizer=partial(torch.optim.SGD, lr=0.1),
    )  # fmt: skip


def trained(name, dtype, batch_norm="follow"):
    return weights(trainer_of(name, dtype, batch_norm).fit(STEPS))


def on_a_rank(rank, world):
    found = {(name, dtype): trained(name, dtype) for name in TERMS for dtype in DTYPES}
    return found | {"frozen": trained("l2_sp", torch.float64, "frozen")}


@pytest.fixture(scope="module")
def ranks():
    return run_ranks(on_a_rank, 2)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", TERMS)
def test_two_ranks_equal_one(ranks, name, dtype):
    start, whole = weights(trainer_of(name, dtype)), trained(name, dtype)
    first, second = (found[name, dtype] for found in ranks)
    assert torch.equal(first, second), "the ranks drifted apart"
    assert (whole - start).norm() / start.norm() > 1e-3, "nothing was learned"
    assert (first - whole).norm() / whole.norm() < DTYPES[dtype]


def test_frozen_statistics_stay_in_training_on_any_number_of_ranks(ranks):
    made = trainer_of("l2_sp", torch.float64, "frozen")
    norm = made.encoder.body[1]
    made.fit(STEPS)
    assert torch.equal(norm.running_mean, torch.zeros(5).double()) and norm.num_batches_tracked == 0
    for found in ranks:
        torch.testing.assert_close(found["frozen"], weights(made), rtol=0, atol=1e-12)
