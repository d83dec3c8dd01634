"""The loop under `fit`, parts of a plan, and micro-batches that come one by one."""

import warnings

import numpy
import pytest
import torch

import adapt
from adapt import Stream, Term, Trainer, domain, ramp
from adapt.engine import cosine
from tests.adapt.engine.tiny import cloud, jitter, network, streams, trainer, two_phases, weights

NOISY = {"network_options": {"dropout": 0.3}, "stream_options": {"augment": jitter, "items": True}}


@pytest.fixture(autouse=True)
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def plain(**options):
    """A run in which nothing depends on the progress."""
    encoder, head = network()
    return Trainer(encoder, [adapt.supervised(head, "source")], streams(), progress=False, device="cpu", **options)


# ---- the loop ----


def test_fit_is_the_loop_exhausted_and_the_body_may_draw():
    fitted, _ = trainer(["dann"], **NOISY)
    fitted.fit(6)
    stepped, _ = trainer(["dann"], **NOISY)
    torch.manual_seed(5)
    torch.rand(1)
    expected = torch.rand(6)
    torch.manual_seed(5)
    torch.rand(1)
    drawn = [torch.rand(1) for _ in stepped.steps(6)]
    assert torch.equal(weights(stepped), weights(fitted)) and torch.equal(torch.cat(drawn), expected)


def test_a_step_tells_number_progress_and_scalars():
    made, _ = trainer(["dan"], schedule=cosine(), clip=1.0)
    taken = list(made.steps(4))
    assert [(s.number, s.progress) for s in taken] == [(0, 0), (1, 0.25), (2, 0.5), (3, 0.75)]
    assert [s.scalars["learning_rate/all"] for s in taken] == [1e-3 * cosine()(p / 4) for p in range(4)]
    assert taken[2].scalars["loss/total"] == pytest.approx(
        taken[2].scalars["weighted/supervised_source"] + taken[2].scalars["weighted/dan"]
    )
    assert len({s.scalars["loss/total"] for s in taken}) == 4 and "gradient/norm" in taken[1].scalars


def test_scalars_on_demand_are_those_of_the_log(tmp_path):
    logged, _ = two_phases(log=tmp_path / "a", log_every=1)
    unlogged, _ = two_phases()
    for one, other in zip(logged.steps(3), unlogged.steps(3), strict=True):
        assert other.scalars.items() <= one.scalars.items() and "loss/critic/critic" in other.scalars


def test_fit_keeps_no_scalars_for_readers():
    made, _ = trainer(["dan"])
    held = []
    inner = made._step
    made._step = lambda *a: (inner(*a), held.append(made.seen))[0]
    made.fit(2)
    assert held == [None, None]


def test_leaving_early_leaves_a_trainer_that_goes_on(tmp_path):
    whole, head = trainer(["dann"], **NOISY)
    whole.fit(8)
    made, head = trainer(["dann"], log=tmp_path, save_every=100, **NOISY)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    for step in made.steps(8):
        if step.number == 2:
            made.evaluate(head, cloud())
            break
    assert made.step == 3 and torch.equal(before, torch.get_rng_state())
    path = made.save(tmp_path / "mine")
    assert torch.equal(weights(made.fit(8)), weights(whole))
    again, _ = trainer(["dann"], **NOISY)
    assert torch.equal(weights(again.resume(path).fit(8)), weights(whole))


def test_leaving_early_ends_the_workers():
    import torch.multiprocessing as mp

    made, _ = trainer([], stream_options={"items": True, "workers": 1})
    for _ in made.steps(3):
        assert mp.active_children()
        break
    assert not mp.active_children()


def test_a_second_loop_inside_of_a_loop_is_refused():
    made, _ = trainer(["dan"])
    with pytest.raises(RuntimeError, match="a loop of `trainer.steps` is open"):
        for _ in made.steps(5):
            made.fit(5)
    assert made.step == 1 and made.fit(5).step == 5


def test_resume_inside_of_a_loop_is_refused(tmp_path):
    made, _ = trainer(["dan"])
    with pytest.raises(RuntimeError, match="moved from step 3 to step 1 inside of its own loop"):
        for step in made.steps(5):
            if step.number == 0:
                path = made.save(tmp_path / "one")
            if step.number == 2:
                made.resume(path)


# ---- plans ----


@pytest.mark.parametrize("parts", [(10,), (1, 2, 3, 9, 10), (4, 10)])
def test_parts_of_a_plan_are_one_run(tmp_path, parts):
    whole, _ = trainer(["dann"], schedule=cosine(warmup=0.2), ema=0.9, **NOISY)
    whole.fit(10)
    made, _ = trainer(["dann"], schedule=cosine(warmup=0.2), ema=0.9, log=tmp_path, **NOISY)
    for part in parts:
        made.fit(part, planned=10)
    assert torch.equal(weights(made), weights(whole))
    assert torch.equal(made.ema.module["encoder"].body[0].weight, whole.ema.module["encoder"].body[0].weight)


def test_epochs_have_a_plan_too():
    whole, _ = trainer(["dann"])
    made, _ = trainer(["dann"])
    made.fit(epochs=1, planned=3)
    assert (made.step, made.planned) == (5, 15)
    assert torch.equal(weights(made.fit(epochs=3)), weights(whole.fit(epochs=3)))


@pytest.mark.parametrize("steps", [20, 10])
def test_a_call_with_nothing_to_train_is_said(steps):
    made = plain().fit(20)
    with pytest.warns(UserWarning, match=rf"nothing to train: the run has done 20 steps, and `fit\({steps}\)`"):
        made.fit(steps)
    assert made.step == 20


def test_another_plan_is_said_where_something_follows_the_progress():
    encoder, head = network()
    read = Term("read", lambda s: s.output(head, "source").mean() * (1 + s.progress), modules=[head])
    followers = [
        plain(schedule=cosine()),
        trainer(["dann"])[0],
        Trainer(encoder, [read], streams(), progress=False),
        Trainer(encoder, [domain.dan(weight=ramp(1.0))], streams(), progress=False),
    ]
    for made in followers:
        made.fit(2)
        with pytest.warns(UserWarning, match="planned for 2 steps, of which 2 are done; schedules now follow 3"):
            made.fit(3)


def test_a_run_of_constants_has_no_plan_to_keep():
    whole, made = plain().fit(6), plain()
    for steps in range(1, 7):
        made.fit(steps)
    assert torch.equal(weights(made), weights(whole))


def test_the_plan_is_known_after_a_resume(tmp_path):
    path = trainer(["dann"])[0].fit(2, planned=6).save(tmp_path / "two")
    made, _ = trainer(["dann"])
    whole, _ = trainer(["dann"])
    assert torch.equal(weights(made.resume(path).fit(6)), weights(whole.fit(6)))
    with pytest.warns(UserWarning, match="planned for 6 steps, of which 2"):
        trainer(["dann"])[0].resume(path).fit(4)


@pytest.mark.parametrize("steps", [2.5, -3, 0, True, "ten"])
def test_steps_are_a_whole_number(steps):
    with pytest.raises(ValueError, match="`steps` must be a whole number of at least 1"):
        plain().steps(steps)
    with pytest.raises(ValueError, match="`planned` must be a whole number of at least 1"):
        plain().fit(1, planned=steps)


def test_a_plan_is_not_shorter_than_the_call():
    with pytest.raises(ValueError, match="`planned` .* must be at least `steps`, got 5 and 6"):
        plain().fit(6, planned=5)


def test_numbers_of_numpy_become_plain_numbers(tmp_path):
    made = plain(log=tmp_path).fit(numpy.int64(2), planned=numpy.int32(4))
    assert type(made.planned) is int and plain(log=tmp_path).resume().planned == 4


# ---- micro-batches ----


def watched_moves(made):
    events = []
    made._to_device = lambda batch: (events.append("move"), batch)[1]
    for update in made.updates:
        loss = update.phase.terms[0].loss
        update.phase.terms[0].loss = lambda s, loss=loss: (events.append("loss"), loss(s))[1]
    return events


def test_micro_batches_come_one_by_one():
    encoder, head = network()
    made = Trainer(
        encoder, [adapt.supervised(head, "source")], {"source": Stream(cloud(), 12)}, accumulate=3, progress=False
    )
    events = watched_moves(made)
    made.fit(1)
    assert events == ["move", "loss"] * 3


@pytest.mark.parametrize("accumulate", [1, 2])
def test_every_update_of_a_step_sees_the_same_micro_batches(accumulate):
    made, _ = two_phases(accumulate=accumulate)
    events, seen = watched_moves(made), []
    for update in made.updates:
        loss = update.phase.terms[0].loss
        update.phase.terms[0].loss = lambda s, loss=loss: (seen.append(s["source"].index.tolist()), loss(s))[1]
    made.fit(1)
    parts = [seen[i : i + accumulate] for i in range(0, len(seen), accumulate)]
    assert len(parts) == 3 and parts[0] == parts[1] == parts[2] and len({str(p) for p in parts[0]}) == accumulate
    assert events.count("move") == (2 if accumulate == 1 else 2 * 2 * 3)
