"""A run killed at a random step and resumed is the run never killed: weights, optimizer and log, bit for bit."""

import random
import time

import pytest
import torch

from adapt import store
from adapt.engine import checkpoint
from tests.adapt.engine.run_and_die import run
from tests.adapt.engine.tiny import jitter, trainer, two_phases, weights
from tests.programs import Program

STEPS = 30


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    tags = [t for t in events.Tags()["scalars"] if not t.startswith("speed/")]
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags}


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_and_resumed_equals_never_killed(tmp_path, workers):
    assert Program(run, tmp_path / "whole", workers, STEPS).wait() == 0
    process = Program(run, tmp_path / "killed", workers, STEPS, "--slow")
    die_after = 5 + random.randrange(STEPS - 10)  # a checkpoint every 4 steps
    process.until((tmp_path / "killed" / "checkpoints" / checkpoint.name(die_after // 4 * 4)).exists)
    time.sleep(random.random() * 0.2)  # into the steps after it, or into the next writing
    process.kill()
    assert not (tmp_path / "killed" / "checkpoints" / checkpoint.name(STEPS)).exists()
    again = Program(run, tmp_path / "killed", workers, STEPS, "--resume", cold=workers == 0)  # sets in another order
    assert again.wait() == 0 and "resumed at" in again.text

    whole, again = (
        checkpoint.read(tmp_path / name / "checkpoints" / checkpoint.name(STEPS)) for name in ("whole", "killed")
    )
    assert all(torch.equal(whole[0][name], again[0][name]) for name in whole[0]) and whole[0].keys() == again[0].keys()
    for one, other in zip(whole[1]["optimizers"], again[1]["optimizers"], strict=True):
        assert one["param_groups"] == other["param_groups"]
        torch.testing.assert_close(one["state"], other["state"], rtol=0, atol=0)
    torch.testing.assert_close(whole[1]["ema"], again[1]["ema"], rtol=0, atol=0)
    assert scalars(tmp_path / "whole") == scalars(tmp_path / "killed")
    assert len(scalars(tmp_path / "whole")["loss/dann"]) == STEPS


def fitted(folder=None, steps=8, **options):
    made, _ = trainer(["dann"], log=folder, save_every=4, **options)
    return made.fit(steps)


def test_resumes_from_a_path_and_goes_on(tmp_path):
    path = fitted(steps=4).save(tmp_path / "mine")
    made, _ = trainer(["dann"])
    made.resume(path)
    assert made.step == 4
    whole, _ = trainer(["dann"])
    with pytest.warns(UserWarning, match="planned for 4 steps, of which 4 are done; schedules now follow 8"):
        whole.fit(4).fit(8)
    with pytest.warns(UserWarning, match="planned for 4 steps"):
        assert torch.equal(weights(made.fit(8)), weights(whole))


def test_another_plan_for_the_steps_is_said(tmp_path):
    trainer(["dann"], log=tmp_path, save_every=4)[0].fit(4, planned=8)
    again, _ = trainer(["dann"], log=tmp_path)
    with pytest.warns(UserWarning, match="planned for 8 steps"):
        again.resume().fit(6)


def test_a_torn_checkpoint_is_passed_over_with_a_warning(tmp_path):
    fitted(tmp_path)
    newest, before = checkpoint.newest_first(tmp_path / "checkpoints")
    weights_file = newest / "weights.safetensors"
    weights_file.write_bytes(weights_file.read_bytes()[:-7])
    made, _ = trainer(["dann"], log=tmp_path)
    with pytest.warns(UserWarning, match="is torn.*The one before it is used"):
        assert made.resume().step == 4
    with pytest.raises(checkpoint.TornCheckpoint, match="expected .* bytes.*found"):
        made.resume(newest)
    (newest / "state.pt").unlink()
    with pytest.raises(checkpoint.TornCheckpoint):
        made.resume(newest)
    assert before.exists()


def resealed(path, change):
    """Change a checkpoint as somebody with an editor would, and write a manifest with the right hashes."""
    change(path)
    (path / store.MANIFEST).unlink()
    store.seal(path, checkpoint.FORMAT)


@pytest.mark.parametrize("key", [*checkpoint.KEYS, "all"])
def test_a_checkpoint_without_a_key_is_refused(tmp_path, key):
    """Row 40: missing keys of the state, with hashes that are right."""
    path = fitted(steps=1).save(tmp_path / "mine")
    state = {k: v for k, v in torch.load(path / "state.pt", weights_only=True).items() if key not in (k, "all")}
    resealed(path, lambda p: torch.save(state if key != "all" else 3, p / "state.pt"))
    with pytest.raises(checkpoint.CheckpointError, match="mine"):
        trainer(["dann"])[0].resume(path)


@pytest.mark.parametrize("name", ["state.pt", "weights.safetensors"])
def test_a_hostile_file_inside_a_checkpoint_is_refused(tmp_path, name):
    """Row 40 and section 3: brackets instead of a state, with hashes that are right."""
    path = fitted(steps=1).save(tmp_path / "mine")
    resealed(path, lambda p: (p / name).write_bytes(b"(" * 300_000))
    with pytest.raises(checkpoint.CheckpointError, match="mine.*that Trainer.save did not write"):
        trainer(["dann"])[0].resume(path)


@pytest.mark.parametrize("files", ["{}", '{"state.pt": "x"}'])
def test_a_manifest_without_the_files_is_refused(tmp_path, files):
    """Row 40: a manifest with `"files": {}` skips no hash."""
    path = fitted(steps=1).save(tmp_path / "mine")
    (path / store.MANIFEST).write_text(f'{{"format": "{checkpoint.FORMAT}", "files": {files}}}')
    with pytest.raises(checkpoint.CheckpointError, match="mine"):
        trainer(["dann"])[0].resume(path)


def test_a_flipped_byte_is_noticed(tmp_path):
    path = fitted(steps=2).save(tmp_path / "one")
    data = bytearray((path / "weights.safetensors").read_bytes())
    data[-5] ^= 1
    (path / "weights.safetensors").write_bytes(data)
    with pytest.raises(checkpoint.TornCheckpoint):
        trainer(["dann"])[0].resume(path)


@pytest.mark.parametrize("content", [None, "{}", '{"format": "other"}', "not json"])
def test_a_foreign_folder_or_file_is_said_to_be_foreign(tmp_path, content):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    made, _ = trainer(["dann"])
    before = weights(made)
    found = "is not a checkpoint of this toolkit, or not one of this version"
    remedy = "expected a folder that Trainer.save wrote. For bare weights use encoders.load_weights"
    with pytest.raises(checkpoint.CheckpointError, match=f"{found}: {remedy}"):
        made.resume(tmp_path)
    assert torch.equal(before, weights(made))


def test_nothing_to_resume_from(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a checkpoint"):
        trainer(["dann"], log=tmp_path)[0].resume()
    with pytest.raises(FileNotFoundError, match="expected a checkpoint folder"):
        trainer(["dann"])[0].resume(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="has no folder"):
        trainer(["dann"])[0].resume()


@pytest.mark.parametrize("change", [{"seed": 7}, {"clip": 3.0}, {"accumulate": 2}, {"ema": 0.5}])
def test_another_configuration_is_refused_and_named(tmp_path, change):
    path = fitted(steps=2).save(tmp_path / "one")
    made, _ = trainer(["dann"], **change)
    before = weights(made)
    with pytest.raises(checkpoint.CheckpointError, match=f"another configuration: {next(iter(change))}"):
        made.resume(path)
    assert torch.equal(before, weights(made)) and made.step == 0


def test_other_terms_are_refused(tmp_path):
    path = fitted(steps=2).save(tmp_path / "one")
    with pytest.raises(checkpoint.CheckpointError, match="another configuration: terms"):
        trainer(["dan"])[0].resume(path)


def test_other_phases_are_refused_before_anything_is_loaded(tmp_path):
    path = two_phases()[0].fit(2).save(tmp_path / "one")
    made, _ = two_phases()
    made.settings["phases"] = made.settings["phases"].replace("2 x", "3 x")
    before = weights(made)
    with pytest.raises(checkpoint.CheckpointError, match="another configuration: phases"):
        made.resume(path)
    assert torch.equal(before, weights(made))


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    made = fitted(tmp_path)
    with torch.no_grad():
        next(made.encoder.parameters())[0] = float("inf")
    with pytest.raises(FloatingPointError, match="weight `encoder.body.0.weight` is not finite; nothing was saved"):
        made.save(tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


def test_a_failed_write_leaves_no_checkpoint(tmp_path, monkeypatch):
    made = fitted(steps=2)
    monkeypatch.setattr(torch, "save", lambda *a, **k: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        made.save(tmp_path / "one")
    assert not (tmp_path / "one").exists()


def test_only_the_newest_are_kept(tmp_path):
    trainer(["dann"], log=tmp_path, save_every=2, keep=3)[0].fit(12)
    assert [p.name for p in checkpoint.newest_first(tmp_path / "checkpoints")] == [
        checkpoint.name(step) for step in (12, 10, 8)
    ]


def test_dropout_and_augmentation_do_not_depend_on_workers():
    options = {"network_options": {"dropout": 0.3}}
    runs = [
        weights(trainer(["dann"], stream_options={"augment": jitter, "workers": w, "items": True}, **options)[0].fit(6))
        for w in (0, 2)
    ]
    assert torch.equal(*runs)
