"""Where a result comes from: fingerprints see changes, git may be absent, target labels are found."""

import json
import subprocess

import numpy
import pytest
import torch

import adapt
from adapt import Model, Stream, Trainer, heads, report
from adapt.engine.callbacks import KeepBest
from adapt.report import _provenance
from tests.adapt.engine.tiny import cloud, network, streams


def trained(learn_target=False, **options):
    encoder, head = network()
    given = streams()
    terms = [adapt.supervised(head, on="source")]
    if learn_target:
        given["target"] = Stream(cloud(40, seed=1, shift=0.7), 8)
        terms.append(adapt.supervised(head, on="target", name="few"))
    else:
        terms.append(adapt.Term("mean", lambda s: (s["source"].features.mean() - s["target"].features.mean()).abs()))
    trainer = Trainer(encoder, terms, given, progress=False, device="cpu", **options)
    return trainer.fit(steps=2), head


def test_of_a_trainer_and_of_its_model():
    trainer, head = trained(seed=5)
    found = report.provenance(trainer, report.Data(test=cloud(20, seed=3)))
    json.dumps(found)
    assert found["target labels"] == {"seen": "no", "by": []}
    assert found["settings"]["seed"] == 5 and found["steps"] == 2
    assert found["selection"] == "the weights after the last step, 2"
    assert found["data"]["test"]["rows"] == 20
    assert found["versions"]["torch"] == torch.__version__
    of_model = report.provenance(trainer.model(head), selection="as trained")
    assert of_model["weights"] == found["weights"] and of_model["selection"] == "as trained"
    assert of_model["target labels"] == found["target labels"]


def test_who_saw_target_labels():
    assert report.provenance(trained(learn_target=True)[0])["target labels"] == {
        "seen": "yes", "by": ["learned from, by few"],
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*oracle")
def test_a_choice_by_target_labels_is_told(tmp_path):
    encoder, head = network()
    trainer = Trainer(
        encoder, adapt.supervised(head, on="source"), streams(), progress=False, device="cpu",
        watch={"target": (head, cloud(20, seed=3))}, callbacks=[KeepBest("target")], log=tmp_path,
    )  # fmt: skip
    found = report.provenance(trainer.fit(steps=2))
    assert found["target labels"]["seen"] == "yes"
    assert "KeepBest('target'" in found["target labels"]["by"][0] and "KeepBest('target'" in found["selection"]


def test_plain_scores_have_no_encoder_and_do_not_fail():
    found = report.provenance(None)
    assert found["encoder"] == "unknown" and found["target labels"]["seen"] == "unknown"
    with pytest.raises(TypeError, match="`run` must be a trainer"):
        report.provenance(3)


def test_the_fingerprint_of_weights_sees_every_number_and_nothing_else():
    encoder, _ = network(seed=1)
    same, _ = network(seed=1)
    assert _provenance.weights_fingerprint(encoder) == _provenance.weights_fingerprint(same)
    with torch.no_grad():
        next(same.parameters())[0, 0] += 1e-6
    assert _provenance.weights_fingerprint(encoder) != _provenance.weights_fingerprint(same)


def rows(change=None):
    items = [({"x": torch.ones(2), "text": "a", "array": numpy.zeros(3)}, k) for k in range(5)]
    if change is not None:
        items[change[0]][0][change[1]] = change[2]
    return items


def test_the_fingerprint_of_data_sees_inputs_labels_and_the_number_of_rows():
    of = _provenance.data_fingerprint
    assert of(rows()) == of(rows())
    changes = [(2, "text", "b"), (0, "x", torch.ones(3)), (4, "array", numpy.ones(3))]
    marks = {of(rows()), of(rows()[:4]), *(of(rows(change)) for change in changes)}
    relabelled = [*rows()[:4], (rows()[4][0], 7)]
    assert len(marks | {of(relabelled)}) == 6


def test_random_rows_have_one_fingerprint_and_the_randomness_of_the_caller_stays():
    class Noisy(list):
        def __getitem__(self, index):
            return torch.rand(2)

    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    assert _provenance.data_fingerprint(Noisy([0, 1])) == _provenance.data_fingerprint(Noisy([0, 1]))
    assert torch.equal(torch.rand(1), expected)


def git(folder, *words):
    user = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", "-C", str(folder), *user, *words], check=True, capture_output=True, text=True).stdout


def test_the_state_of_git(tmp_path, monkeypatch):
    git(tmp_path, "init", "-b", "trunk")
    (tmp_path / "a.py").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "x")
    monkeypatch.chdir(tmp_path)
    commit = git(tmp_path, "rev-parse", "HEAD").strip()
    assert report.provenance(None)["git"] == {"commit": commit, "branch": "trunk", "changed": 0, "untracked": 0}
    (tmp_path / "a.py").write_text("2")
    (tmp_path / "b.py").write_text("2")
    assert report.provenance(None)["git"] == {"commit": commit, "branch": "trunk", "changed": 1, "untracked": 1}


def test_without_git_and_without_a_repository(tmp_path, monkeypatch):
    assert "no repository" in _provenance.git_state(tmp_path)["none"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "not there" in _provenance.git_state(tmp_path)["none"]


def test_a_head_that_a_model_names():
    encoder, head = network()
    found = report.provenance(Model(encoder, head))
    assert found["head"] == heads.Classifier.__name__ and found["encoder"] == "Encoder"
