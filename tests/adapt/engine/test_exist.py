"""A second run into the same folder goes on, takes a number, or is refused."""

import shutil
import time
import warnings

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import adapt
from adapt import Trainer
from adapt.engine import checkpoint, cosine, state
from adapt.engine.history import read
from tests.adapt.engine.tiny import network, streams, trainer, weights
from tests.programs import Program
from tests.ranks import run_ranks


@pytest.fixture
def another_process(monkeypatch):
    """Make what this process has trained look like the run of another process, and no warning pass."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield lambda: monkeypatch.setattr(state, "PROCESS", "another")


def plain(folder, **options):
    """A run in which nothing depends on the progress."""
    encoder, head = network()
    terms = [adapt.supervised(head, "source")]
    return Trainer(encoder, terms, streams(), log=folder, save_every=4, log_every=1, progress=False, **options)


def scheduled(folder, **options):
    return trainer(["dann"], log=folder, save_every=4, log_every=1, schedule=cosine(), **options)[0]


def interrupted(folder, after, **options):
    made = scheduled(folder, **options)
    for step in made.steps(12):
        if step.number == after - 1:
            break
    return made


def steps_of(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return [e.step for e in events.Scalars("loss/total")]


def files(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_same_run_goes_on_bit_for_bit(tmp_path, another_process):
    whole = weights(scheduled(tmp_path / "whole").fit(12))
    interrupted(tmp_path / "run", 7)
    another_process()
    made = scheduled(tmp_path / "run")
    assert torch.equal(weights(made.fit(12)), whole) and made.folder == tmp_path / "run"
    assert steps_of(tmp_path / "run") == [row["step"] for row in read(tmp_path / "run" / "history.jsonl")]
    assert steps_of(tmp_path / "run") == list(range(12))


def test_a_finished_run_is_there_at_once(tmp_path, another_process):
    whole = weights(scheduled(tmp_path).fit(12))
    before = files(tmp_path)
    another_process()
    made = scheduled(tmp_path)
    assert torch.equal(weights(made.fit(12)), whole) and made.step == 12 and files(tmp_path) == before


def test_steps_go_on_too(tmp_path, another_process):
    interrupted(tmp_path, 7)
    another_process()
    assert [step.number for step in scheduled(tmp_path).steps(12)] == list(range(4, 12))


def test_the_bar_says_where_the_run_goes_on(tmp_path, another_process, capsys):
    interrupted(tmp_path, 7)
    another_process()
    made = scheduled(tmp_path)
    made.progress = True
    made.fit(12)
    assert f"`{tmp_path}`: the run goes on at step 4 of 12." in capsys.readouterr().out


def test_a_run_of_an_earlier_trainer_of_this_process_is_said(tmp_path):
    plain(tmp_path).fit(4)
    with pytest.warns(UserWarning, match="the run of an earlier trainer of this process"):
        assert plain(tmp_path).fit(6).step == 6


CHANGES = {
    "rate": ({"optimizer": lambda groups: torch.optim.AdamW(groups, lr=0.5)}, "another configuration: optimizers"),
    "seed": ({"seed": 3}, "another configuration: seed"),
    "schedule": ({"schedule": cosine(end=0.5)}, "another configuration: schedule"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_another_configuration_is_an_error_and_nothing_is_changed(tmp_path, name):
    options, message = CHANGES[name]
    plain(tmp_path).fit(5)
    before = files(tmp_path)
    made = plain(tmp_path, **options)
    start = weights(made)
    with pytest.raises(checkpoint.CheckpointError, match=f'{message}.*exist="new"'):
        made.fit(5)
    assert files(tmp_path) == before and torch.equal(weights(made), start)
    assert plain(tmp_path, exist="new", **options).fit(5).folder == tmp_path.with_name(f"{tmp_path.name}-2")


def test_another_plan_is_another_run_where_schedules_follow(tmp_path):
    scheduled(tmp_path).fit(4)
    before = files(tmp_path)
    with pytest.raises(checkpoint.CheckpointError, match=r"holds a run of 4 planned steps, and this run has 8"):
        scheduled(tmp_path).fit(8)
    assert files(tmp_path) == before
    with pytest.warns(UserWarning, match="planned for 4 steps"):
        assert scheduled(tmp_path).resume().fit(8).step == 8


def test_a_run_of_constants_is_made_longer(tmp_path, another_process):
    plain(tmp_path).fit(4)
    another_process()
    assert torch.equal(weights(plain(tmp_path).fit(8)), weights(plain(tmp_path / "whole").fit(8)))


def test_a_shorter_call_than_the_run_is_said(tmp_path):
    plain(tmp_path).fit(8)
    with pytest.warns(UserWarning, match="nothing to train: the run has done 8 steps"):
        plain(tmp_path).fit(4)


def test_new_takes_the_next_free_number(tmp_path):
    (tmp_path / "run-2").mkdir()
    made = [plain(tmp_path / "run", exist="new").fit(4) for _ in range(3)]
    assert [m.folder.name for m in made] == ["run", "run-3", "run-4"]
    assert torch.equal(weights(made[0]), weights(made[2])) and not any((tmp_path / "run-2").iterdir())
    assert (tmp_path / "run-4" / "checkpoints" / checkpoint.name(4)).exists()


def test_error_changes_nothing(tmp_path):
    plain(tmp_path, exist="error").fit(4)
    before = files(tmp_path)
    with pytest.raises(FileExistsError, match=r"is not empty.*`log=...`.*Nothing was changed"):
        plain(tmp_path, exist="error").fit(4)
    assert files(tmp_path) == before
    assert plain(tmp_path, exist="error").resume().fit(6).step == 6  # as asked


def test_an_unknown_word_is_refused():
    with pytest.raises(ValueError, match="`exist` must be 'resume' or 'new' or 'error', got 'overwrite'"):
        plain(None, exist="overwrite")


def test_a_folder_without_a_checkpoint_starts_again(tmp_path, another_process):
    whole = weights(scheduled(tmp_path / "whole").fit(12))
    interrupted(tmp_path / "run", 3)
    (tmp_path / "run" / "notes.txt").write_text("mine")
    another_process()
    made = scheduled(tmp_path / "run")
    assert torch.equal(weights(made.fit(12)), whole)
    assert steps_of(tmp_path / "run") == list(range(12)) == [row["step"] for row in made.history]
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


def twelve_steps(folder, sleep_at=None):
    for step in scheduled(folder).steps(12):
        print(step.number, flush=True)
        if step.number == sleep_at:
            time.sleep(60)


def test_killed_before_the_first_checkpoint_and_run_again(tmp_path):
    """Row 35: the run starts again."""
    process = Program(twelve_steps, tmp_path / "run", 2)
    process.until(lambda: "2\n" in process.text)
    process.kill()
    again = Program(twelve_steps, tmp_path / "run")
    assert again.wait() == 0 and again.text.split() == [str(n) for n in range(12)]
    assert [row["step"] for row in read(tmp_path / "run" / "history.jsonl")] == list(range(12))


def test_a_torn_checkpoint_is_moved_aside_and_written_again(tmp_path):
    whole = weights(scheduled(tmp_path).fit(12))
    newest, before = checkpoint.newest_first(tmp_path / "checkpoints")
    (newest / "weights.safetensors").write_bytes(b"cut")
    with pytest.warns(UserWarning, match="is torn.*The one before it is used"):
        made = scheduled(tmp_path).fit(12)
    assert torch.equal(weights(made), whole) and before.exists()
    assert torch.equal(weights(scheduled(None).resume(newest)), whole)
    assert [p.name[-14:] for p in (tmp_path / "checkpoints").glob("aside-*")] == [newest.name]


def test_a_folder_of_torn_checkpoints_starts_again(tmp_path):
    whole = weights(scheduled(tmp_path).fit(12))
    for path in checkpoint.newest_first(tmp_path / "checkpoints"):
        (path / "state.pt").unlink()
    with pytest.warns(UserWarning, match="is torn"):
        made = scheduled(tmp_path).fit(12)
    assert torch.equal(weights(made), whole)


def test_only_folders_that_the_trainer_names_are_checkpoints(tmp_path):
    """Row 33."""
    made = plain(tmp_path, keep=1).fit(4)
    shutil.copytree(made.checkpoints / checkpoint.name(4), made.checkpoints / "step-000000004-best")
    (made.checkpoints / "step-999999999").symlink_to(made.checkpoints / checkpoint.name(4))
    made.fit(12)
    assert [p.name for p in checkpoint.newest_first(made.checkpoints)] == [checkpoint.name(12)]
    assert (made.checkpoints / "step-000000004-best").exists()


def test_a_trainer_resumed_elsewhere_does_not_take_the_run_of_a_folder(tmp_path):
    path = plain(tmp_path / "a").fit(4).save(tmp_path / "mine")
    plain(tmp_path / "b").fit(8)
    with pytest.raises(FileExistsError, match="has done 4 steps of another run"):
        plain(tmp_path / "b").resume(path).fit(8)


def on_a_rank(rank, world, folder):
    scheduled(folder / "run").fit(4, planned=8)
    again = scheduled(folder / "run").fit(8)
    new = scheduled(folder / "run", exist="new").fit(8)
    return again.step, new.folder.name, weights(again), weights(new)


def test_all_ranks_take_the_same_folder(tmp_path):
    first, second = run_ranks(on_a_rank, 2, tmp_path)
    assert first[:2] == second[:2] == (8, "run-2")
    assert torch.equal(first[2], second[2]) and torch.equal(first[2], first[3])
    assert (tmp_path / "run-2" / "checkpoints" / checkpoint.name(8)).exists()
