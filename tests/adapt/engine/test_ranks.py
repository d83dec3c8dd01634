"""Two ranks with half batches train as one rank with whole batches."""

import time

import pytest
import torch

from adapt.engine import loop, runtime
from tests.adapt.engine.tiny import cloud, every_term, network, trainer, two_phases, weights
from tests.ranks import run_ranks

TERMS = list(every_term(network()[1]))
RUNS = {
    **{name: {"terms": [name]} for name in TERMS},
    "all, clipped, accumulated, ema": {"terms": TERMS, "clip": 0.5, "accumulate": 2, "ema": 0.9},
    "batch norm": {"terms": ["dan"], "network_options": {"batch_norm": True}},
}
PHASES: dict[str, dict] = {
    "two phases": {},
    "two phases, batch norm": {"network_options": {"batch_norm": True}},
    "two phases, batch norm, accumulated": {"network_options": {"batch_norm": True}, "accumulate": 2},
}
DTYPES = {torch.float64: 1e-10, torch.float32: 1e-5}
STEPS = 20


def train(name, dtype):
    if name in PHASES:
        return two_phases(dtype=dtype, **PHASES[name])
    options = dict(RUNS[name])
    return trainer(options.pop("terms"), dtype=dtype, **options)


def on_a_rank(rank, world, folder):
    # one start of the processes for all tests: it costs more than what they do
    found = {f.__name__: f(rank) for f in (rank_statistics, nan_on_one, odd_batch, own_start)}
    found["half_way"] = half_way(folder)
    found["late"] = late(rank, folder / "late")
    for dtype in DTYPES:
        for name in (*RUNS, *PHASES):
            made, head = train(name, dtype)
            made.fit(STEPS)
            found[name, dtype] = weights(made), str(made.evaluate(head, cloud(31, seed=9, dtype=dtype)))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def ranks(folder):
    return run_ranks(on_a_rank, 2, folder, cold=True)  # sets in another order on each rank


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", (*RUNS, *PHASES))
def test_two_ranks_equal_one(ranks, name, dtype):
    made, head = train(name, dtype)
    start = weights(made)
    whole = weights(made.fit(STEPS))
    first, second = (found[name, dtype][0] for found in ranks)
    assert torch.equal(first, second), "the ranks drifted apart"
    assert (whole - start).norm() / start.norm() > 1e-3, "nothing was learned"
    assert (first - whole).norm() / whole.norm() < DTYPES[dtype]
    score = str(made.evaluate(head, cloud(31, seed=9, dtype=dtype)))
    assert [found[name, dtype][1] for found in ranks] == [score, score]


def rank_statistics(rank):
    made, _ = trainer(["dan"], network_options={"batch_norm": True}, batch_norm="rank")
    made.fit(3)
    before = made.encoder.body[1].running_mean.clone()
    made.predict(made.terms[0].loss.head, cloud())
    return before, made.encoder.body[1].running_mean.clone()


def test_statistics_of_each_rank_are_averaged_before_evaluation(ranks):
    (before0, after0), (before1, after1) = (found["rank_statistics"] for found in ranks)
    assert not torch.equal(before0, before1)
    assert torch.equal(after0, after1)
    torch.testing.assert_close(after0, (before0 + before1) / 2)


def nan_on_one(rank):
    made, _ = trainer(["dan"])
    _, rows = next(made.streams["source"].indices("source", 0, 0, 1, 2))
    made.streams["source"].dataset.tensors[0][rows] = float("nan")  # read by rank 1
    before = weights(made)
    try:
        made.fit(2)
    except FloatingPointError as error:
        return str(error), torch.equal(before, weights(made))


def test_a_nan_on_one_rank_stops_both_before_the_update(ranks):
    for message, untouched in (found["nan_on_one"] for found in ranks):
        assert "step 0" in message and untouched


def odd_batch(rank):
    made, _ = trainer(["dan"])
    made.streams["target"].batch_size = 7
    try:
        made.fit(1)
    except ValueError as error:
        return str(error)


def test_a_batch_that_does_not_divide(ranks):
    assert all("stream `target` must divide by the 2 ranks, got 7" in found["odd_batch"] for found in ranks)


def own_start(rank):
    return weights(trainer(["dan"], network_options={"seed": rank})[0])


def test_all_ranks_start_with_the_weights_of_rank_0(ranks):
    first, second = (found["own_start"] for found in ranks)
    assert torch.equal(first, own_start(0)) and torch.equal(second, own_start(0))
    assert not torch.equal(own_start(0), own_start(1))


def half_way(folder):
    """Ten steps that are interrupted after five."""
    made, _ = trainer(["dann", "dan"], log=folder, save_every=5, dtype=torch.float64)
    step = made._step

    def interrupted(*arguments):
        if made.step == 5:
            raise KeyboardInterrupt
        return step(*arguments)

    made._step = interrupted
    with pytest.raises(KeyboardInterrupt):
        made.fit(10)
    return made.step


def late(rank, folder):
    """Four steps; rank 1 comes to the end of the run when rank 0 has written the last checkpoint."""
    made, _ = trainer(["dann"], log=folder)
    finish = loop._finish

    def wait_and_finish(trainer, log):
        deadline = time.monotonic() + 3
        while rank == 1 and time.monotonic() < deadline and not (folder / "checkpoints" / "step-000000004").exists():
            time.sleep(0.01)
        finish(trainer, log)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_finish", wait_and_finish)
        made.fit(4)
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def test_a_late_rank_takes_part_in_the_last_save(ranks):
    assert [found["late"] for found in ranks] == [["step-000000004"]] * 2


def test_two_ranks_resume_on_one(ranks, folder):
    assert [found["half_way"] for found in ranks] == [5, 5]
    made, _ = trainer(["dann", "dan"], log=folder, save_every=5, dtype=torch.float64)
    whole, _ = trainer(["dann", "dan"], dtype=torch.float64)
    resumed = weights(made.resume().fit(10))
    torch.testing.assert_close(resumed, weights(whole.fit(10)), rtol=1e-9, atol=1e-11)


def test_one_rank_needs_no_group():
    assert runtime.rank() == 0 and runtime.world_size() == 1
    x = torch.ones(3)
    assert runtime.average(x) is x
