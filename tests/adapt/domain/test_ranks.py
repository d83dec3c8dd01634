"""Every method: two ranks with half batches train as one rank with whole batches."""

from functools import partial

import pytest
import torch

from tests.adapt.domain.cases import CASES, made
from tests.adapt.engine.tiny import weights
from tests.ranks import run_ranks

STEPS = 10
DTYPES = {torch.float64: 1e-10, torch.float32: 2e-5}


def trainer_of(name, dtype):
    # a critic's biases have gradients that cancel: Adam would make whole steps of their rounding in float32
    options = {"optimizer": partial(torch.optim.SGD, lr=0.02)} if name == "wdgrl" else {}
    return made(name, dtype=dtype, **options)[0]


def on_a_rank(rank, world):
    return {(name, dtype): weights(trainer_of(name, dtype).fit(STEPS)) for name in CASES for dtype in DTYPES}


@pytest.fixture(scope="module")
def ranks():
    return run_ranks(on_a_rank, 2)


@pytest.mark.filterwarnings("ignore:.*reached by no term")  # dd leaves the head to the supervised term
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_two_ranks_equal_one(ranks, name, dtype):
    trainer = trainer_of(name, dtype)
    start = weights(trainer)
    whole = weights(trainer.fit(STEPS))
    first, second = (found[name, dtype] for found in ranks)
    assert torch.equal(first, second), "the ranks drifted apart"
    assert (whole - start).norm() / start.norm() > 1e-3, "nothing was learned"
    assert (first - whole).norm() / whole.norm() < DTYPES[dtype]
