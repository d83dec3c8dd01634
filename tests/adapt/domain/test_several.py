"""What holds for every method over several domains or unequal label sets."""

import pytest
import torch

from adapt import domain
from tests.adapt.domain.several import METHODS, PUBLIC, WITHOUT_LABELS, make, step, trainer
from tests.adapt.engine.tiny import weights
from tests.ranks import run_ranks

DTYPES = {torch.float64: 1e-10, torch.float32: 1e-5}
STEPS = 20


def test_every_method_is_public():
    assert set(domain.__all__) >= PUBLIC


@pytest.mark.parametrize("name", METHODS)
def test_gradient_reaches_the_encoder_and_all_that_learns(name):
    encoder, _, term = make(name)
    state = torch.get_rng_state()
    term(step(encoder)).backward()
    assert torch.equal(state, torch.get_rng_state())
    learning = [*encoder.parameters(), *(p for m in term.modules for p in m.parameters())]
    idle = {"ovanet": 2, "mdan hard": 12}.get(name, 0)  # the closed classifier; the discriminators of two sources
    reached = [p.grad is not None and p.grad.abs().max() > 0 for p in learning]
    if name == "pairwise_coral":  # moving all features moves nothing: the last bias has no gradient but rounding
        reached, idle = [reached[0], reached[2]], 0
    assert reached.count(False) == idle


@pytest.mark.parametrize("name", METHODS)
def test_bf16_changes_little(name):
    encoder, _, term = make(name, seed=1)
    full = term(step(encoder))
    encoder, _, term = make(name, seed=1)  # buffers as they were
    half = term(step(encoder, autocast=torch.autocast("cpu", torch.bfloat16)))
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full, rtol=0.05, atol=0.01)


@pytest.mark.parametrize("name", METHODS)
def test_small_and_unequal_batches_that_lack_classes(name):
    encoder, _, term = make(name)
    rows = {"a": 3, "b": 2, "c": 7, "target": 1}
    value = term(step(encoder, rows=rows, labels=lambda n: torch.full((n,), 2)))
    value.backward()
    assert value.isfinite() and all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize("name", METHODS)
def test_permuted_labels_matter_where_labels_are_used(name):
    def value(labels):
        encoder, _, term = make(name)
        return term(step(encoder, labels=labels)).item()

    one, other = value(lambda n: torch.arange(n) % 3), value(lambda n: (torch.arange(n) + 1) % 3)
    assert (one == other) == (name in WITHOUT_LABELS)


def train(name, dtype):
    return weights(trainer(name, dtype=dtype)[0].fit(STEPS))


def on_a_rank(rank, world):
    return {(name, dtype): train(name, dtype) for name in METHODS for dtype in DTYPES}


@pytest.fixture(scope="module")
def ranks():
    return run_ranks(on_a_rank, 2)  # one start for all: it costs more than what they do


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", METHODS)
def test_two_ranks_equal_one(ranks, name, dtype):
    first, second = (found[name, dtype] for found in ranks)
    start, whole = weights(trainer(name, dtype=dtype)[0]), train(name, dtype)
    assert torch.equal(first, second), "the ranks drifted apart"
    assert (whole - start).norm() / start.norm() > 1e-3, "nothing was learned"
    assert (first - whole).norm() / whole.norm() < DTYPES[dtype]


@pytest.mark.parametrize("name", METHODS)
def test_resumed_equals_never_stopped(name, tmp_path):
    made, _ = trainer(name)
    made.fit(3)
    made.planned = 6  # the schedules of the whole run
    path = made.save(tmp_path / "half")
    again, _ = trainer(name)
    again.resume(path)
    assert torch.equal(weights(again), weights(made))
    assert torch.equal(weights(again.fit(6)), weights(made.fit(6)))


@pytest.mark.parametrize(("name", "buffer"), [("pada", "share"), ("group_dro", "q"), ("fishr", "variances")])
def test_buffers_are_saved(name, buffer, tmp_path):
    made, _ = trainer(name)
    before = getattr(made.terms[-1].loss, buffer).clone()
    path = made.fit(3).save(tmp_path / "one")
    other, _ = trainer(name)
    other.resume(path)
    after = getattr(other.terms[-1].loss, buffer)
    assert not torch.equal(before, after) and torch.equal(after, getattr(made.terms[-1].loss, buffer))


@pytest.mark.parametrize("name", METHODS)
def test_logging_steps_report_finite_numbers(name):
    encoder, _, term = make(name)
    now = step(encoder, logging=True)
    term(now)
    assert all(torch.as_tensor(v).isfinite() for v in now.reports.values())
