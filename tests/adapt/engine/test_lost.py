"""Section 2 of the small inputs that failed: a run, a checkpoint or a file lost."""

import time
from pathlib import Path

import numpy
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import adapt
from adapt import Stream, Trainer, encoders, heads
from adapt.engine import checkpoint, cosine
from adapt.store import LOCK
from tests.adapt.engine.test_exist import plain, scheduled
from tests.adapt.engine.tiny import DIM, Items, cloud, network, streams, trainer, weights
from tests.programs import Program


def test_numbers_of_numpy_are_plain_in_a_checkpoint(tmp_path):
    """Row 32: every checkpoint can be read."""

    def rate(progress):
        return numpy.float64(1 - progress)

    rates = numpy.logspace(-4, -2, 3)
    options = {
        "optimizer": lambda groups: torch.optim.AdamW(groups, lr=rates[1], betas=(numpy.float64(0.9), 0.999)),
        "clip": numpy.float64(1), "ema": numpy.float32(0.5), "seed": numpy.int64(3), "accumulate": numpy.int8(2),
        "schedule": rate, "encoder_scale": rates[1], "save_every": numpy.int64(2), "keep": numpy.uint8(3),
    }  # fmt: skip
    made = trainer(["dann"], log=tmp_path, **options)[0].fit(numpy.int64(4), planned=numpy.int32(6))
    again = trainer(["dann"], log=tmp_path, **options)[0].resume()
    assert torch.equal(weights(again), weights(made)) and len(checkpoint.newest_first(made.checkpoints)) == 2


@pytest.mark.parametrize("keep", [0, -1, 1.5, None])
def test_at_least_one_checkpoint_is_kept(keep):
    """Row 33."""
    with pytest.raises((ValueError, TypeError), match="`keep`"):
        trainer(["dann"], keep=keep)


@pytest.mark.parametrize("name", ["step-old", "step-000000004-best", "step-4", "Step-000000001", "step-000000002.bak"])
def test_folders_of_the_user_beside_checkpoints_are_left(tmp_path, name):
    """Row 33: by no name but `step-<nine digits>`, and of these the numbers count, not the letters."""
    made = plain(tmp_path, keep=1)
    (made.checkpoints / name).mkdir(parents=True)
    (made.checkpoints / name / "mine").write_text("x")
    made.fit(12)
    assert (made.checkpoints / name / "mine").exists()
    assert [p.name for p in checkpoint.newest_first(made.checkpoints)] == [checkpoint.name(12)]
    assert sorted(p.name for p in made.checkpoints.iterdir()) == sorted([name, checkpoint.name(12)])


@pytest.mark.parametrize("content", [None, "", "{", "null", "{}", '{"files": {}}', "(" * 1000])
def test_a_folder_without_a_whole_manifest_is_passed_over_and_moved_aside(tmp_path, content):
    """Row 34: an empty folder, an empty or half manifest; the run goes on and writes this step again."""
    whole = weights(scheduled(tmp_path).fit(12))
    newest, before = checkpoint.newest_first(tmp_path / "checkpoints")
    for file in newest.iterdir():
        file.unlink()
    if content is not None:
        (newest / "manifest.json").write_text(content)
    with pytest.warns(UserWarning, match="The one before it is used"):
        made = scheduled(tmp_path).fit(12)
    assert torch.equal(weights(made), whole) and checkpoint.read(newest)[1]["step"] == 12 and before.exists()


def test_a_checkpoint_of_another_version_is_no_torn_checkpoint(tmp_path):
    """Row 34: nothing is trained again in its place."""
    plain(tmp_path).fit(4)
    manifest = checkpoint.newest(tmp_path / "checkpoints")[0] / "manifest.json"
    manifest.write_text(manifest.read_text().replace(checkpoint.FORMAT, "adapt-losses checkpoint 99"))
    with pytest.raises(checkpoint.CheckpointError, match="in the format 'adapt-losses checkpoint 99'"):
        plain(tmp_path).fit(4)


@pytest.mark.parametrize("labels", ["more classes", "fractions", "a column"])
@pytest.mark.parametrize("items", [False, True])
def test_labels_that_a_head_cannot_take_are_told_before_the_first_step(tmp_path, labels, items):
    """Row 36."""
    x, y = cloud().tensors
    wrong = {"more classes": y + 5, "fractions": y + 0.5, "a column": y[:, None]}[labels]
    made, head = trainer(["dann"], log=tmp_path)
    data = TensorDataset(x, wrong)
    made.watch = {"wrong": (head, Items(data) if items else data)}
    start = weights(made)
    with pytest.raises(ValueError, match="`labels`"):
        made.fit(450)
    assert made.step == 0 and torch.equal(start, weights(made))


class Own(nn.Module):
    """A body with state of a kind that `torch.save` and safetensors treat in their own ways."""

    def __init__(self, kind):
        super().__init__()
        self.layer, self.kind, self.calls = nn.Linear(DIM, 8), kind, 0
        whole = torch.arange(8.0)
        if kind == "shared buffers":
            self.register_buffer("one", whole)
            self.register_buffer("part", whole[2:5])
        elif kind == "expanded buffer":
            self.register_buffer("one", torch.ones(1, 3).expand(4, 3))
        elif kind == "transposed buffer":
            self.register_buffer("one", torch.arange(6.0).view(2, 3).T)
        elif kind == "part of a large buffer":
            self.register_buffer("one", torch.arange(100.0)[3:5])

    def forward(self, x):
        self.calls += self.training
        return self.layer(x)

    def get_extra_state(self):
        return {"calls": self.calls, "names": ["a"]} if self.kind != "an object" else {"path": Path("x")}

    def set_extra_state(self, state):
        self.calls = state["calls"]


def of_own(kind, folder, **options):
    torch.manual_seed(0)
    encoder, head = encoders.Encoder(Own(kind), 8), heads.Classifier(8, 3)
    return Trainer(encoder, [adapt.supervised(head, "source")], streams(), log=folder, save_every=2, progress=False,
                   **options)  # fmt: skip


KINDS = ["shared buffers", "expanded buffer", "transposed buffer", "part of a large buffer", "extra state"]


@pytest.mark.parametrize("kind", KINDS)
def test_state_of_any_kind_comes_back(tmp_path, kind):
    """Row 37."""
    made = of_own(kind, tmp_path)
    made.fit(2, planned=6)
    again = of_own(kind, tmp_path)
    for buffer in again.network.buffers():
        if kind != "expanded buffer":
            buffer.zero_()
    again.resume()
    assert again.encoder.body.calls == 2 and torch.equal(weights(made), weights(again))
    assert torch.equal(weights(made.fit(6)), weights(again.fit(6))) and again.encoder.body.calls == 6


def test_state_that_no_checkpoint_can_hold_is_told_before_the_first_step(tmp_path):
    """Row 37."""
    made = of_own("an object", tmp_path)
    with pytest.raises(checkpoint.CheckpointError, match=r"`encoder.body._extra_state.path` of this run is a .*Path"):
        made.fit(2)
    assert made.step == 0 and not any(tmp_path.iterdir())
    assert of_own("an object", None).fit(2).step == 2


def test_a_quantised_encoder_is_told_before_the_first_step(tmp_path):
    """Row 37."""
    torch.backends.quantized.engine = torch.backends.quantized.supported_engines[-1]
    body = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(DIM, 8)), {nn.Linear})
    head = heads.Classifier(8, 3)
    run = Trainer(encoders.Encoder(body, 8), [adapt.supervised(head, "source")], streams(), log=tmp_path,
                  progress=False)  # fmt: skip
    with pytest.raises(checkpoint.CheckpointError, match=r"_packed_params.* of this run is a tensor of torch.qint8"):
        run.fit(2)
    assert run.step == 0 and not any(tmp_path.iterdir())


@pytest.mark.parametrize("ema", [None, 0.5])
def test_weights_of_a_checkpoint_are_loaded_as_messages_say(tmp_path, ema):
    """Row 38: `encoders.load_weights` takes the folder of a checkpoint; averaged weights where the run keeps them."""
    made = trainer(["dann"], log=tmp_path, ema=ema)[0].fit(4)
    path, head = checkpoint.newest(tmp_path / "checkpoints")[0], heads.Classifier(8, 4)
    with pytest.raises(checkpoint.CheckpointError, match=r"load only the weights with encoders.load_weights"):
        trainer(["dan"], ema=ema)[0].resume(path)
    encoder = network(seed=3)[0]
    report = encoders.load_weights(encoder, path)
    wanted = (made.network if ema is None else made.ema.module)["encoder"].state_dict()
    assert not report.missing and not report.unexpected
    assert all(torch.equal(value, wanted[name]) for name, value in encoder.state_dict().items())
    with pytest.raises(ValueError, match=r"the folder of one checkpoint"):
        encoders.load_weights(encoder, tmp_path)
    with pytest.raises(ValueError, match=r"the weights do not fit the module"):
        encoders.load_weights(head, path)


def test_weights_of_one_of_two_encoders_and_of_tied_layers(tmp_path):
    """Row 38."""

    def tied():
        first, second = nn.Linear(DIM, DIM), nn.Linear(DIM, DIM)
        second.weight = first.weight
        return encoders.Encoder(nn.Sequential(first, second), DIM)

    pair, one = {"a": tied(), "b": network()[0]}, heads.Classifier(DIM, 3)
    rows = {"x": Stream(cloud(), 12, encoder="a"), "y": Stream(cloud(), 12, encoder="b")}
    terms = [adapt.supervised(one, "x"), adapt.supervised(network()[1], "y")]
    path = Trainer(pair, terms, rows, progress=False).fit(2).save(tmp_path / "mine")
    for name, fresh in (("a", tied()), ("b", network(seed=4)[0])):
        encoders.load_weights(fresh, path)
        wanted = pair[name].state_dict()
        assert all(torch.equal(value, wanted[n]) for n, value in fresh.state_dict().items())


def asleep_in_a_step(folder):
    for step in plain(folder).steps(4):
        print(step.number, flush=True)
        time.sleep(60)


def test_two_processes_cannot_train_into_one_folder(tmp_path):
    """Row 41: one wins, the other says so; the end of a process, however it comes, frees the folder."""
    other = Program(asleep_in_a_step, tmp_path)
    other.until(lambda: "0\n" in other.text)
    for exist in ("resume", "error"):
        made = plain(tmp_path, exist=exist)
        with pytest.raises(FileExistsError, match=rf"another process trains into .*\(process {other.pid} on "):
            made.fit(4)
        assert made.step == 0
    assert plain(tmp_path, exist="new").fit(4).folder.name == f"{tmp_path.name}-2"
    other.kill()
    assert plain(tmp_path).fit(4).step == 4
    assert not (tmp_path / LOCK).exists()


def test_each_call_of_fit_is_part_of_one_plan():
    """Row 27: `fit(1)`, `fit(2)`, ... under a schedule, and a call that trains nothing, are said."""
    made = trainer(["dann"], schedule=cosine())[0].fit(1)
    with pytest.warns(UserWarning, match="planned for 1 steps, of which 1 are done; schedules now follow 2"):
        made.fit(2)
    for steps in (1, 2):
        with pytest.warns(UserWarning, match=f"nothing to train: the run has done 2 steps, and `fit\\({steps}\\)`"):
            made.fit(steps)
