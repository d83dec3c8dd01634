"""Row 26: Ctrl-C and SIGTERM end a run between two steps, with a checkpoint; nothing of a step is lost or half done."""

import os
import signal
import threading

import pytest
import torch

from adapt.engine import checkpoint
from tests.adapt.engine.tiny import Items, cloud, trainer, two_phases, weights
from tests.ranks import run_ranks

OPTIONS = {"network_options": {"dropout": 0.2, "batch_norm": True}, "ema": 0.9, "accumulate": 2}


@pytest.fixture(autouse=True)
def heard():
    """A process that a shell starts in the background ignores Ctrl-C, and so do its children."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


def sent(number=signal.SIGINT):
    os.kill(os.getpid(), number)


def hit(made, at, where="update", number=signal.SIGINT, times=1):
    """Send signals inside of step `at`: before its update, after its update, or while the average is updated."""

    left = [number] * times

    def send(*_):
        while made.step == at and left:
            sent(left.pop())

    if where == "update":
        made.updates[-1].optimizer.register_step_pre_hook(send)
    elif where == "count":
        made.updates[-1].optimizer.register_step_post_hook(send)
    else:
        made.network["encoder"].register_forward_hook(send)
    return made


@pytest.fixture(scope="module")
def whole():
    return weights(trainer(["dann"], **OPTIONS)[0].fit(8))


@pytest.mark.parametrize("where", ["forward", "update", "count"])
@pytest.mark.parametrize("at", [0, 3, 7])
def test_ctrl_c_ends_after_the_step_and_fit_goes_on(whole, where, at):
    made = hit(trainer(["dann"], **OPTIONS)[0], at, where)
    with pytest.raises(KeyboardInterrupt):
        made.fit(8)
    assert made.step == at + 1 and not made.torn
    if at < 7:
        made.fit(8)
    assert torch.equal(weights(made), whole)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_the_run_of_a_folder_has_a_checkpoint(tmp_path, whole, number, error):
    made = hit(trainer(["dann"], log=tmp_path, **OPTIONS)[0], 4, "count", number)
    with pytest.raises(error) as found:
        made.fit(8)
    assert error is KeyboardInterrupt or found.value.code == 143
    assert [p.name for p in checkpoint.newest_first(tmp_path / "checkpoints")] == [checkpoint.name(5)]
    again = trainer(["dann"], log=tmp_path, **OPTIONS)[0].resume()
    assert again.step == 5 and torch.equal(weights(again.fit(8)), whole)
    assert torch.equal(weights(made.fit(8)), whole)


@pytest.mark.parametrize("where", ["forward", "update", "count"])
def test_a_second_signal_ends_at_once_and_the_run_is_refused_until_resume(tmp_path, whole, where):
    made = hit(trainer(["dann"], log=tmp_path, save_every=2, **OPTIONS)[0], 5, where, times=2)
    with pytest.raises(KeyboardInterrupt):
        made.fit(8)
    assert made.step == 5
    with pytest.raises(RuntimeError, match=r"step 5 did not end.*`trainer.resume\(\)`"):
        made.fit(8)
    with pytest.raises(RuntimeError, match="step 5 did not end"):
        made.save(tmp_path / "mine")
    assert made.resume().step == 4
    made.network["encoder"]._forward_hooks.clear()
    for update in made.updates:
        update.optimizer._optimizer_step_pre_hooks.clear()
        update.optimizer._optimizer_step_post_hooks.clear()
    assert torch.equal(weights(made.fit(8)), whole)


@pytest.mark.parametrize("times", [1, 2])
def test_the_scores_of_the_end_are_not_lost(tmp_path, times):
    def make(folder):
        made, head = trainer(["dann"], log=folder, save_every=2, log_every=1, watch_every=3)
        made.watch = {"source": (head, cloud(seed=5))}
        return made

    def rows(made):
        return [{tag: value for tag, value in row.items() if "speed" not in tag} for row in made.history]

    whole = make(tmp_path / "whole").fit(8)
    with pytest.raises(KeyboardInterrupt):
        hit(make(tmp_path / "run"), 7, "count", times=times).fit(8)
    again = make(tmp_path / "run").resume().fit(8)
    assert rows(again) == rows(whole) and rows(again)[-1]["step"] == 8
    before = (tmp_path / "run" / "history.jsonl").read_bytes()
    make(tmp_path / "run").resume().fit(8)
    assert (tmp_path / "run" / "history.jsonl").read_bytes() == before


def test_phases_that_alternate():
    made = hit(two_phases()[0], 3, "forward")
    with pytest.raises(KeyboardInterrupt):
        made.fit(8)
    assert torch.equal(weights(made.fit(8)), weights(two_phases()[0].fit(8)))


def test_any_error_inside_of_a_step_is_a_step_that_did_not_end():
    made = trainer(["dann"])[0]

    def break_down(*_):
        raise ValueError("no memory")

    made.updates[0].optimizer.register_step_post_hook(break_down)
    with pytest.raises(ValueError, match="no memory"):
        made.fit(8)
    with pytest.raises(RuntimeError, match="step 0 did not end"):
        made.fit(8)


class Ends(Items):
    """Sends a signal when a row is read."""

    def __getitem__(self, index):
        if index == 20:
            sent()
        return super().__getitem__(index)


def test_watched_sets_are_left_at_once_with_a_checkpoint(tmp_path):
    made, head = trainer(["dann"], log=tmp_path, watch_every=3)
    made.fit(3, planned=8)
    made.watch = {"slow": (head, Ends(cloud()))}
    with pytest.raises(KeyboardInterrupt):
        made.fit(8)
    assert made.step == 3 and checkpoint.newest(tmp_path / "checkpoints")[0].name == checkpoint.name(3)
    made.watch = {}
    assert torch.equal(weights(made.fit(8)), weights(trainer(["dann"])[0].fit(8)))


def test_the_wait_for_data_is_left_at_once():
    made = trainer(["dann"])[0]
    made.streams["target"].dataset = Ends(made.streams["target"].dataset)
    with pytest.raises(KeyboardInterrupt):
        made.fit(8)
    done = made.step
    made.streams["target"].dataset = made.streams["target"].dataset.data
    assert done < 8 and torch.equal(weights(made.fit(8)), weights(trainer(["dann"])[0].fit(8)))


def test_an_error_between_two_steps_saves_the_last_step(tmp_path):
    """Row 36: nothing is lost where a watched set fails at the end."""
    made, head = trainer(["dann"], log=tmp_path, watch_every=100)
    made.watch = {"late": (head, cloud())}
    measure = head.measure
    head.measure = lambda *a: [][1] if made.step else measure(*a)
    with pytest.raises(IndexError):
        made.fit(8)
    assert checkpoint.newest(tmp_path / "checkpoints")[0].name == checkpoint.name(8)


def test_a_handler_of_the_user_and_another_thread_are_left_alone():
    heard = []
    mine = lambda *_: heard.append(1)  # noqa: E731
    signal.signal(signal.SIGTERM, mine)
    try:
        made = hit(trainer(["dann"])[0], 2, "update", signal.SIGTERM)
        assert made.fit(4).step == 4 and heard == [1] and signal.getsignal(signal.SIGTERM) is mine
        other = trainer(["dann"])[0]
        thread = threading.Thread(target=lambda: other.fit(3))
        thread.start()
        thread.join()
        assert other.step == 3
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_the_body_of_the_loop_has_the_usual_handlers(whole):
    made = hit(trainer(["dann"], **OPTIONS)[0], 2, "update")
    seen = []
    with pytest.raises(KeyboardInterrupt):
        for step in made.steps(8):
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
            seen.append(step.number)
    assert seen == [0, 1] and made.step == 3
    with pytest.raises(KeyboardInterrupt):
        for _ in made.steps(8):
            sent()
    assert made.step == 4 and torch.equal(weights(made.fit(8)), whole)


def one_rank_is_asked(rank, world, folder):
    made = trainer(["dann"], log=folder / "run")[0]
    if rank == 1:
        hit(made, 5, "update", signal.SIGTERM)
    with pytest.raises(SystemExit):
        made.fit(400)
    return made.step, weights(made)


def test_all_ranks_end_at_the_same_step(tmp_path):
    first, second = run_ranks(one_rank_is_asked, 2, tmp_path)
    assert first[0] == second[0] < 400 and torch.equal(first[1], second[1])
    assert checkpoint.newest(tmp_path / "run" / "checkpoints")[0].name == checkpoint.name(first[0])
