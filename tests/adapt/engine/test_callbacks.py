"""Callbacks, history, early stopping and kept best weights, through kills and on two ranks."""

import json
import random
import sys
import time
import types
import warnings

import pandas
import pytest
import torch

import adapt
from adapt import Stream, Trainer, heads
from adapt.engine import checkpoint
from adapt.engine.callbacks import EarlyStopping, KeepBest, MLflow, WeightsAndBiases
from adapt.engine.history import History
from tests.adapt.engine.stop_and_die import make
from tests.adapt.engine.stop_and_die import run as program
from tests.adapt.engine.tiny import cloud, network, streams, trainer, weights
from tests.programs import Program
from tests.ranks import run_ranks


def run(steps=12, *, watch=("source",), **options):
    encoder, head = network()
    sets = {name: (head, cloud(seed=5)) for name in watch}
    options = {"watch_every": 4, "log_every": 3, "progress": False, "device": "cpu"} | options
    made = Trainer(encoder, [adapt.supervised(head, "source")], streams(), watch=sets, **options)
    return made.fit(steps) if steps else made


# ---- what callbacks are told ----


SCORES = {
    f"{value}/source" for value in ("accuracy", "balanced_accuracy", "macro_F1", "AUC", "calibration_error")
}  # fmt: skip


def test_a_callback_hears_scalars_and_scores_in_the_order_of_the_steps():
    heard = []
    made = run(callbacks=[heard.append])
    kinds = [(logged.step, "scores" if logged.scores is not None else "scalars") for logged in heard]
    assert kinds == [
        (0, "scores"), (0, "scalars"), (3, "scalars"), (4, "scores"), (6, "scalars"), (8, "scores"), (9, "scalars"),
        (12, "scores"),
    ]  # fmt: skip
    assert all(logged.trainer is made for logged in heard)
    assert heard[-1].scores["source"] == made.evaluate(made.watch["source"][0], cloud(seed=5))
    assert heard[-1].values.keys() == SCORES and heard[-1].values["accuracy/source"] == heard[-1].scores["source"].value
    assert {"loss/total", "share/supervised_source", "learning_rate/all"} <= heard[1].values.keys()


def test_callbacks_change_no_weight_and_cost_nothing_when_absent():
    plain = run()
    heard = []
    assert torch.equal(weights(run(callbacks=[heard.append])), weights(plain)) and heard
    silent = run(0, watch=())
    inner, logged = silent._step, []
    silent._step = lambda batches, logging: (logged.append(logging), inner(batches, logging))[1]
    silent.fit(7)
    assert not any(logged) and [row["step"] for row in silent.history] == []


def test_stop_ends_the_run_after_its_step_and_stays(tmp_path):
    stop = lambda logged: logged.trainer.stop("enough") if logged.step == 6 else None  # noqa: E731
    made = run(callbacks=[stop], log=tmp_path)
    assert made.step == 7 and made.stopped == "enough" and made.fit(12).step == 7
    again = run(0, callbacks=[stop], log=tmp_path).resume()
    assert again.stopped == "enough" and again.fit(12).step == 7
    again.stopped = None
    assert again.fit(12).step == 12


def test_the_loop_over_steps_ends_with_a_stop():
    made = run(0, callbacks=[lambda logged: logged.trainer.stop() if logged.step == 4 else None])
    assert [step.number for step in made.steps(12)] == [0, 1, 2, 3]


class Counter:
    def __init__(self):
        self.count, self.closed = 0, 0

    def __call__(self, logged):
        self.count += 1

    def close(self):
        self.closed += 1

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]


def test_states_of_callbacks_are_in_the_checkpoint_and_are_closed(tmp_path):
    first = [Counter(), Counter()]
    path = run(callbacks=first).save(tmp_path / "one")
    assert [c.closed for c in first] == [1, 1] and first[0].count == 8
    first[1].count = 3
    second = [Counter(), Counter(), Counter()]
    made = run(0, callbacks=second).resume(path)
    assert [c.count for c in second] == [8, 8, 0]
    made.fit(13)
    with pytest.raises(FloatingPointError):
        with torch.no_grad():
            made.encoder.body[0].weight.fill_(float("nan"))
        made.fit(14)
    assert second[0].closed == 2


@pytest.mark.parametrize(("wrong", "kind"), [(3, "int"), (EarlyStopping, "the class EarlyStopping")])
def test_what_is_no_callback_is_refused(wrong, kind):
    message = f"`callbacks` must be functions of one `Logged`, got {kind}: give a function or an object"
    with pytest.raises(TypeError, match=message):
        run(0, callbacks=[wrong])


# ---- history ----


def test_history_is_a_table_and_its_file_the_same_table(tmp_path):
    made = run(log=tmp_path)
    table = pandas.DataFrame(made.history)
    assert table.step.tolist() == [0, 3, 4, 6, 8, 9, 12]
    assert table.set_index("step")["accuracy/source"].notna().tolist() == [True, False, True, False, True, False, True]
    read = pandas.read_json(tmp_path / "history.jsonl", lines=True)
    pandas.testing.assert_frame_equal(read[table.columns], table, check_exact=False, rtol=1e-12)


def test_a_value_that_is_no_number_is_left_out():
    history = History()
    history.add(0, {"a": float("nan"), "b": 1.0})
    assert history.rows == [{"step": 0, "b": 1.0}]


def test_the_file_goes_on_behind_a_line_cut_by_a_kill(tmp_path):
    whole = run(12, log=tmp_path / "whole", save_every=5)
    made = run(0, log=tmp_path / "cut", save_every=5)
    for step in made.steps(12):
        if step.number == 10:
            break
    with (tmp_path / "cut" / "history.jsonl").open("a") as file:
        file.write('{"step": 11, "loss/to')
    again = run(0, log=tmp_path / "cut", save_every=5).resume()
    assert again.step == 10
    again.fit(12)
    assert (
        rows(tmp_path / "cut")
        == rows(tmp_path / "whole")
        == without_speed(whole.history)
        == without_speed(again.history)
    )


def without_speed(table):
    return [{k: v for k, v in row.items() if not k.startswith("speed/")} for row in table]


def rows(folder):
    return without_speed(json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines())


def test_a_watched_set_is_scored_without_a_log_folder():
    assert [row["step"] for row in run().history] == [0, 4, 8, 12]


# ---- early stopping and the best weights ----


def after(values):
    """A validator that returns `values` one after another."""
    left = list(values)
    return lambda made: left.pop(0)


@pytest.mark.parametrize(
    ("values", "better", "options", "step"),
    [
        ([1, 2, 3, 3, 3], "higher", {"patience": 2}, 16),
        ([3, 2, 1, 1.5, 1], "lower", {"patience": 2}, 16),
        ([1, 1.4, 1.8, 2.2, 2.3], "higher", {"patience": 2, "margin": 0.5}, 16),
        ([float("nan")] * 5, "higher", {"patience": 3}, 8),
    ],
)
def test_early_stopping_counts_readings_without_improvement(values, better, options, step):
    early = EarlyStopping(after([*values, *[0 if better == "higher" else 9] * 9]), better=better, **options)
    made = run(24, callbacks=[early])
    assert made.step == step and "has not improved in" in made.stopped


def test_a_watched_set_knows_its_direction():
    early = EarlyStopping("source", patience=1)
    made = run(400, callbacks=[early])
    accuracies = [row["accuracy/source"] for row in made.history if "accuracy/source" in row]
    assert made.step < 400 and accuracies[-1] <= accuracies[-2] == early.best
    assert accuracies[:-1] == sorted(accuracies[:-1]) and early.best_step == made.step - 4


def test_a_tag_of_the_log_can_be_followed():
    early = EarlyStopping("learning_rate/all", better="lower", patience=2)
    assert run(24, callbacks=[early]).step == 7  # read at 0, 3 and 6


def test_keep_best_has_the_weights_of_the_best_step(tmp_path):
    best = KeepBest(after([1, 3, 2, 3]), better="higher")
    made = run(12, log=tmp_path, callbacks=[best])
    at_four = run(4)
    assert (best.best, best.best_step) == (3, 4) and best.path.parent.parent == tmp_path / "best"
    assert [p.name for p in best.path.parent.iterdir()] == [checkpoint.name(4)]
    last = weights(made)
    best.load(made)
    assert torch.equal(weights(made), weights(at_four)) and not torch.equal(last, weights(made)) and made.step == 12
    assert torch.equal(weights(run(0, log=tmp_path / "other", callbacks=[again()]).resume(best.path)), weights(made))


def again():
    return KeepBest(after([0] * 9), better="higher")


def test_keep_best_keeps_the_average_that_evaluation_uses(tmp_path):
    best = KeepBest("source")
    made = run(12, log=tmp_path, callbacks=[best], ema=0.5)
    head = made.watch["source"][0]
    best.load(made)
    assert made.evaluate(head, cloud(seed=5)).value == best.best


SETUP = {
    "no folder": (lambda: run(0, callbacks=[KeepBest("source")]), "writes below the log folder.*`log=...`"),
    "unknown": (lambda: run(0, callbacks=[EarlyStopping("sorce")]), r"follows 'sorce'.*are \['source'\]"),
    "direction": (lambda: EarlyStopping("loss/total"), "`better` must say whether a higher or a lower `loss/total`"),
    "word": (lambda: EarlyStopping("source", better="more"), "`better` must be 'higher' or 'lower', got 'more'"),
    "patience": (lambda: EarlyStopping("source", patience=0), "`patience` must be a whole number of at least 1"),
    "margin": (lambda: EarlyStopping("source", margin=-1), "`margin` must be .*at least 0"),
    "number": (lambda: run(1, callbacks=[EarlyStopping(lambda made: 1.0)]), "`better` must say whether"),
    "too early": (lambda: KeepBest("source").path, "has read no value yet"),
}


@pytest.mark.parametrize("name", SETUP)
def test_what_does_not_fit_is_said(name):
    make_it, message = SETUP[name]
    with pytest.raises(ValueError, match=message):
        make_it()


def test_a_choice_by_labels_of_the_target_is_called_an_oracle():
    with pytest.warns(UserWarning, match="`EarlyStopping` chooses by the labels of 'target'.*an oracle choice"):
        made = run(0, watch=("source", "target"), callbacks=[EarlyStopping("target")])
    assert "an oracle choice" in made.settings["callbacks"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = run(0, watch=("source", "target"), callbacks=[EarlyStopping("source"), print])
    assert "oracle" not in made.settings["callbacks"] and "print" not in made.settings["callbacks"]


def test_a_tag_of_the_target_is_an_oracle_too_and_the_model_card_says_so():
    with pytest.warns(UserWarning, match="chooses by the labels of 'accuracy/target'.*an oracle choice"):
        made = run(1, watch=("source", "target"), callbacks=[EarlyStopping("accuracy/target", better="higher")])
    assert made.model(made.terms[0].loss.head).card["target label seen"].startswith("yes, for a choice: EarlyStopping(")
    for follow, seen in (("source", "no"), (lambda trainer: 1.0, "unknown: EarlyStopping(")):
        made = run(1, watch=("source", "target"), callbacks=[EarlyStopping(follow, better="higher")])
        assert made.model(made.terms[0].loss.head).card["target label seen"].startswith(seen)


def test_a_resumed_run_must_decide_alike(tmp_path):
    path = run(4, callbacks=[EarlyStopping("source")]).save(tmp_path / "one")
    with pytest.raises(checkpoint.CheckpointError, match="another configuration: callbacks"):
        run(0, callbacks=[EarlyStopping("source", patience=9)]).resume(path)
    run(0, callbacks=[EarlyStopping("source"), print]).resume(path)


def test_killed_and_resumed_stops_at_the_same_step_with_the_same_best_weights(tmp_path):
    whole, early, best = make(tmp_path / "whole")
    whole.fit(60)
    assert whole.step == 32 and best.best_step == 24
    process = Program(program, tmp_path / "killed", 60, "--slow")
    die_at = random.choice([10, 15, 20, 25, 30])
    process.until((tmp_path / "killed" / "checkpoints" / checkpoint.name(die_at)).exists)
    time.sleep(random.random() * 0.2)
    process.kill()
    again = Program(program, tmp_path / "killed", 60, "--resume")
    assert again.wait() == 0 and f"stopped at 32: {whole.stopped}; best 24" in again.text
    one, other = (
        checkpoint.read(next((tmp_path / name / "best").glob("*/step-000000024"))) for name in ("whole", "killed")
    )
    assert all(torch.equal(one[0][name], other[0][name]) for name in one[0])
    assert rows(tmp_path / "whole") == rows(tmp_path / "killed")


def on_a_rank(rank, world, folder):
    made, early, best = make(folder / "both")
    only_one = lambda logged: logged.trainer.stop("rank 1") if rank == 1 and logged.step == 5 else None  # noqa: E731
    made.fit(60)
    one = trainer(["dann"], callbacks=[only_one], log_every=1)[0].fit(60)
    return made.step, made.stopped, best.best, best.best_step, one.step, one.stopped


def test_all_ranks_stop_at_the_same_step(tmp_path):
    first, second = run_ranks(on_a_rank, 2, tmp_path)
    assert first == second and first[0] == 32 and first[3:] == (24, 6, "rank 1")
    assert [p.name for p in (tmp_path / "both" / "best").glob("*/*")] == [checkpoint.name(24)]


# ---- sets without labels ----


def test_a_set_without_labels_is_watched_by_its_outputs(tmp_path):
    encoder, _ = network()
    head = heads.Classifier(8, ["a", "b", "c"])
    rows_of = torch.utils.data.TensorDataset(cloud(seed=6).tensors[0])
    made = Trainer(
        encoder, [adapt.supervised(head, "source")], streams(), watch={"target": (head, rows_of)}, log=tmp_path,
        watch_every=5, progress=False, callbacks=[EarlyStopping("entropy/target", better="lower", patience=99)],
    )  # fmt: skip
    made.fit(10)
    p = made.predict(head, rows_of).outputs.softmax(1)
    last = made.history[-1]
    assert last["entropy/target"] == pytest.approx(float(-(p * p.log()).sum(1).mean()))
    shares = torch.bincount(p.argmax(1), minlength=3) / len(p)
    assert [last[f"predicted/target/{c}"] for c in "abc"] == pytest.approx(shares.tolist())
    assert last["largest predicted share/target"] == pytest.approx(float(shares.max()))
    metadata = next(tmp_path.rglob("metadata.tsv")).read_text().splitlines()
    assert [line.split("\t")[1] for line in metadata[1:]] == ["abc"[i] for i in p.argmax(1)]


def test_numbers_are_watched_by_mean_and_quantiles():
    encoder, _ = network()
    head = heads.Regressor(8, 2)
    x = cloud().tensors[0]
    data = torch.utils.data.TensorDataset(x, x[:, :2])
    rows_of = torch.utils.data.TensorDataset(x)
    made = Trainer(
        encoder, [adapt.supervised(head, "source")], {"source": Stream(data, 8)}, progress=False,
        watch={"new": (head, rows_of)},
    ).fit(2)  # fmt: skip
    out = made.predict(head, rows_of).outputs
    assert made.history[-1]["mean/new/1"] == pytest.approx(float(out[:, 1].mean()), rel=1e-5)
    assert made.history[-1]["quantile_95/new/0"] == pytest.approx(float(out[:, 0].quantile(0.95)), rel=1e-5)


def test_labels_and_known_classes_have_their_shares():
    head = heads.MultiLabel(8, ["x", "y"])
    seen = head.observe(torch.tensor([[1.0, -1.0], [1.0, 1.0]]))
    assert head.summary(seen) == {"predicted/x": 1.0, "predicted/y": 0.5}
    seen = heads.OneVsAll(8, ["x", "y"])
    found = seen.summary(seen.observe(torch.tensor([[1.0, 0, 1, 1], [1, 0, -1, 1], [0, 1, 1, 1], [0, 1, 1, -1]])))
    assert (found["predicted/x"], found["predicted/y"], found["predicted/unknown"]) == (0.25, 0.25, 0.5)


def test_a_head_that_needs_labels_says_so():
    encoder, _ = network()
    head = heads.wrap(torch.nn.Linear(8, 3), loss=torch.nn.functional.cross_entropy)
    rows_of = torch.utils.data.TensorDataset(torch.zeros(4, 6))
    with pytest.raises(TypeError, match=r"`watch\['new'\]`, whose dataset has inputs without labels.*`observe`"):
        Trainer(encoder, [adapt.supervised(head, "source")], streams(), watch={"new": (head, rows_of)}, progress=False)


def test_a_set_without_labels_cannot_be_followed_by_name():
    encoder, head = network()
    rows_of = torch.utils.data.TensorDataset(torch.zeros(4, 6))
    options = {"watch": {"new": (head, rows_of)}, "callbacks": [EarlyStopping("new")], "progress": False}
    with pytest.raises(ValueError, match=r"the labelled sets in `watch` are \[\]"):
        Trainer(encoder, [adapt.supervised(head, "source")], streams(), **options)


# ---- adapters ----


def fake_wandb(monkeypatch):
    told = {"runs": [], "lines": [], "ends": 0}

    class Run:
        def __init__(self, **options):
            told["runs"].append(options)
            self.id = options["id"] or "new-id"

        def log(self, values, step):
            told["lines"].append((step, values))

        def finish(self):
            told["ends"] += 1

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=Run))
    return told


def test_weights_and_biases(monkeypatch, tmp_path):
    told = fake_wandb(monkeypatch)
    made = run(callbacks=[WeightsAndBiases(project="digits")])
    assert told["runs"] == [{"config": made.settings, "resume": "allow", "project": "digits", "id": None}]
    assert [step for step, _ in told["lines"]] == [0, 0, 3, 4, 6, 8, 9, 12] and told["ends"] == 1
    assert told["lines"][0][1].keys() == SCORES
    run(0, callbacks=[WeightsAndBiases(project="digits")]).resume(made.save(tmp_path / "one")).fit(16)
    assert told["runs"][1]["id"] == "new-id" and told["ends"] == 2


def fake_mlflow(monkeypatch, active=None):
    told = {"runs": [], "lines": [], "parameters": [], "ends": 0, "experiments": []}

    def start_run(**options):
        told["runs"].append(options)
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=options["run_id"] or "new-id"))

    def end_run():
        told["ends"] += 1

    module = types.SimpleNamespace(
        start_run=start_run, end_run=end_run, active_run=lambda: active, set_experiment=told["experiments"].append,
        log_metrics=lambda values, step: told["lines"].append((step, values)), log_params=told["parameters"].append,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "mlflow", module)
    return told


def test_mlflow(monkeypatch, tmp_path):
    told = fake_mlflow(monkeypatch)
    made = run(callbacks=[MLflow(experiment="digits", run_name="plain")], watch=("source: a",))
    assert told["runs"] == [{"run_name": "plain", "run_id": None}] and told["experiments"] == ["digits"]
    assert told["lines"][0][1].keys() == {f"{tag}_ a" for tag in SCORES} and told["ends"] == 1
    assert len(told["parameters"]) == 1 and all(len(v) <= 500 for v in told["parameters"][0].values())
    path = made.save(tmp_path / "one")
    run(0, callbacks=[MLflow(experiment="digits", run_name="plain")], watch=("source: a",)).resume(path).fit(16)
    assert told["runs"][1]["run_id"] == "new-id" and len(told["parameters"]) == 1


def test_mlflow_leaves_a_run_of_the_caller_open(monkeypatch):
    told = fake_mlflow(monkeypatch, active="mine")
    run(callbacks=[MLflow()])
    assert told["runs"] == [] and told["ends"] == 0 and told["lines"] and told["parameters"]


@pytest.mark.parametrize(("adapter", "name"), [(WeightsAndBiases, "wandb"), (MLflow, "mlflow")])
def test_a_missing_package_is_said_before_the_first_step(monkeypatch, adapter, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=f"needs the package `{name}`: `pip install {name}`"):
        run(0, callbacks=[adapter()])
