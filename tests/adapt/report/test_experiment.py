"""Paired experiments: claim, run, keep."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy
import pytest
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector
from torch.utils.data import TensorDataset

from adapt import Model, encoders, heads, report, select
from adapt.heads import Score
from adapt.report import _choosing, _outcome
from tests.adapt.engine.tiny import DIM, cloud, trainer

TEST, SOURCE = cloud(50, seed=3, shift=0.7), cloud(60, seed=4)
DATA = report.Data(test=TEST, source=SOURCE)


def run(folder, methods, *arguments, **options):
    return report.experiment(folder, methods, *arguments, progress=False, **options)


def value(offset, calls=None):
    """A method that tells where it is, and notes that it was called."""

    def method(cell):
        if calls is not None:
            calls.append((cell.method, cell.task, cell.seed, cell.budget))
        return offset + 10 * cell.seed + 1000 * (cell.budget or 0)

    return method


def trained(*terms, steps=6, **options):
    def method(cell):
        made, head = trainer(terms, log=cell.folder, seed=cell.seed, log_every=2, save_every=2, **options)
        return made.fit(steps), head

    return method


def known(noise):
    """A model whose first weights are right, and the rest is noise."""

    def method(cell):
        head = heads.Classifier(DIM, 3)
        with torch.no_grad():
            head.linear.weight.mul_(noise).add_(torch.eye(3, DIM))
        return Model(encoders.Encoder(nn.Identity(), DIM), head)

    return method


# ---- the grid ----


def test_every_method_has_the_same_seeds_tasks_and_budgets(tmp_path):
    calls = []
    methods = {"plain": value(0, calls), "better": value(1, calls)}
    tasks = {"photo": DATA, "night": report.Data(test=SOURCE)}
    result = run(tmp_path, methods, [3, 7], "plain", data=tasks, budgets=[10, 20])
    assert calls == [(m, t, s, b) for s in (3, 7) for t in tasks for b in (10, 20) for m in methods]
    assert [(r.method, r.task, r.seed, r.budget) for r in result.records] == calls
    assert result.scores("night", 20) == {"plain": [20_030, 20_070], "better": [20_031, 20_071]}
    assert (result.metric, result.higher_is_better, result.failed) == ("score", True, [])
    assert (result.tasks, result.budgets, result.seeds) == (["photo", "night"], [10, 20], [3, 7])
    with pytest.raises(ValueError, match=r"`task` must be one of 'photo', 'night', got None"):
        result.scores(budget=10)


def test_a_done_cell_is_never_run_again_and_a_grid_grows(tmp_path):
    calls = []
    first = run(tmp_path, {"a": value(0.1, calls)}, 2)
    grown = run(tmp_path, {"a": value(9.9, calls), "b": value(0.2, calls)}, 3)
    assert calls == [("a", "", 0, None), ("a", "", 1, None), ("b", "", 0, None), ("b", "", 1, None),
                     ("a", "", 2, None), ("b", "", 2, None)]  # fmt: skip
    assert grown.scores()["a"][:2] == first.scores()["a"]
    more = run(tmp_path, {"a": value(0.1, calls)}, [0], data={"night": DATA}, budgets=[5])
    assert more.scores() == {"a": [5_000.1]} and len(calls) == 7


@pytest.mark.parametrize("ends", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_leaves_a_folder_that_goes_on(tmp_path, ends):
    calls = []

    def stops(cell):
        calls.append(cell.seed)
        if cell.seed == 1 and len(calls) == 2:
            raise ends
        return cell.seed

    with pytest.raises(ends):
        run(tmp_path, {"a": stops}, 3)
    assert run(tmp_path, {"a": stops}, 3).scores() == {"a": [0.0, 1.0, 2.0]}
    assert calls == [0, 1, 1, 2]


def test_a_failed_cell_says_why_and_is_tried_by_the_next_call_alone(tmp_path):
    calls = []

    def breaks(cell):
        calls.append(cell.seed)
        if cell.seed == 1 and len(calls) < 4:
            raise RuntimeError("the disk is red")
        return 1.0

    result = run(tmp_path, {"plain": value(0.5), "breaks": breaks}, 3, "plain")
    assert calls == [0, 1, 2]
    assert [(r.method, r.seed, r.error, r.score) for r in result.failed] == [
        ("breaks", 1, "RuntimeError: the disk is red", None)
    ]
    trace = next(tmp_path.rglob("traceback.txt")).read_text()
    assert "in breaks" in trace and "the disk is red" in trace
    with pytest.warns(UserWarning, match="the seeds 1 failed and are left out"):
        assert result.scores() == {"plain": [0.5, 20.5], "breaks": [1.0, 1.0]}
    again = run(tmp_path, {"plain": value(0.5), "breaks": breaks}, 3, "plain")
    assert calls == [0, 1, 2, 1] and not again.failed and not list(tmp_path.rglob("traceback.txt"))


def test_a_method_that_always_fails_leaves_the_others_their_seeds(tmp_path):
    result = run(tmp_path, {"plain": value(0.5), "breaks": lambda cell: {}["x"]}, 2, "plain")
    with pytest.warns(UserWarning, match="the methods breaks failed"):
        assert result.scores() == {"plain": [0.5, 10.5]}


def kept(labels, outputs=None):
    outputs = numpy.zeros((4, 2)) if outputs is None else outputs
    return report.Outcome({"score": 0.5}, rows=report.Rows(outputs, numpy.array(labels)))


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (None, "TypeError: the cell must return a number, a Score, .* got a NoneType"),
        (float("nan"), "the score 'score' of a cell must be a finite number or a Score .* got nan"),
        ({}, "the cell returned no score"),
        ({"error": "low"}, "the score 'error' of a cell must be a finite number .* got a str"),
        ({"accuracy": 0.5}, r"must have the names and directions of the other cells, score \(higher"),
        (Score("score", 0.5, 0, 1, 3, higher_is_better=False), r"got score \(lower is better\)"),
        (report.Outcome(trainer=3), "needs the head too"),
        (kept([0, 1, 1]), r"got the shapes outputs \(4, 2\), labels \(3,\): give one entry for each test row"),
        (kept([], numpy.zeros((0, 2))), r"got the shapes outputs \(0, 2\)"),
        (kept(["a", "b", "b", "a"]), "must hold numbers, got labels of <U1: number the classes"),
        (kept([0, 1, 2, 0]), "must be classes from 0 to 1, or -1 where missing, got 0 to 2: renumber"),
        (kept([0, 1, -100, 0]), "or -1 where missing, got -100 to 1"),
    ],
)  # fmt: skip
def test_what_is_no_score_is_a_failed_cell(tmp_path, returned, told):
    result = run(tmp_path, {"plain": value(0.5), "wrong": lambda cell: returned}, 1)
    assert [record.method for record in result.failed] == ["wrong"]
    with pytest.raises(AssertionError, match=told):
        raise AssertionError(result.failed[0].error)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"methods": {}}, "`methods` must be a mapping"),
        ({"methods": {"a": 3}}, r"`methods\['a'\]` must be a function of a cell, got a int"),
        ({"methods": {"": value(1)}}, "`methods` must have names that are texts"),
        ({"baseline": "b"}, "`baseline` must be among the methods a, got 'b'"),
        ({"oracle": ["b"]}, "`oracle` must be among the methods a, got 'b'"),
        ({"seeds": 0}, "`seeds` must be a whole number of at least 1"),
        ({"seeds": []}, "`seeds` must be different numbers, at least one"),
        ({"seeds": [1, 1]}, r"`seeds` must be different numbers, at least one, got \[1, 1\]"),
        ({"seeds": [0.5]}, "`seeds` must be a whole number of at least 0"),
        ({"budgets": []}, "`budgets` must be different numbers"),
        ({"budgets": [0]}, "`budgets` must be a whole number of at least 1"),
        ({"data": TEST}, "`data` must be a `report.Data`, or one for each task by name, got a TensorDataset"),
        ({"data": {"a": TEST}}, "got a TensorDataset under 'a'"),
        ({"data": report.Data(test=[])}, "`test` of `data` must be a data set with rows"),
        ({"data": report.Data(test=TEST, groups={"sex": ["f"]})}, r"`groups\['sex'\]` of `data` .* rows, got 1"),
        ({"settings": {"a": torch.ones(2)}}, "`settings` must be a mapping or a dataclass of numbers"),
        ({"settings": 3}, "`settings` must be a mapping or a dataclass of numbers, texts and lists, got a int"),
        ({"workers": -1}, "`workers` must be a whole number of at least 0"),
        ({"wait": 1}, "`wait` must be True or False"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_before_anything_is_written(tmp_path, changed, error):
    with pytest.raises((ValueError, TypeError), match=error):
        report.experiment(tmp_path / "new", **{"methods": {"a": value(1)}, "progress": False, **changed})
    assert not (tmp_path / "new").exists()


@dataclass
class Settings:
    steps: int = 600
    rate: float = 1e-3
    sizes: tuple = (8, 16)
    out: Path = Path("runs")


def test_a_folder_goes_on_with_the_same_settings_and_data_alone(tmp_path):
    same = {"settings": Settings(), "data": DATA}
    run(tmp_path, {"a": value(0.5)}, 1, **same)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    plain = {"steps": 600.0, "rate": numpy.float64(1e-3), "sizes": [8, 16], "out": "runs"}
    equal = report.Data(test=cloud(50, seed=3, shift=0.7), source=SOURCE)
    run(tmp_path, {"a": value(0.5)}, 1, settings=plain, data=equal)
    labels = TensorDataset(TEST.tensors[0], TEST.tensors[1].flip(0))
    for other, told in (
        ({"settings": Settings(steps=40)}, "settings steps: expected 600.0, found 40.0"),
        ({"settings": None}, "settings steps: expected 600.0, found None"),
        ({"quick": True}, "quick: expected false, found true"),
        ({"higher_is_better": False}, "higher is better: expected true, found false"),
        ({"data": report.Data(test=cloud(50, seed=9), source=SOURCE)}, "data of the rows test row 0 of other values"),
        ({"data": report.Data(test=cloud(51, seed=3), source=SOURCE)}, "number of rows: expected 50.0, found 51"),
        ({"data": report.Data(test=labels, source=SOURCE)}, "test .* of other values"),
        ({"data": report.Data(test=TEST, source=SOURCE, more={"train": TEST})}, "more: expected None"),
    ):
        with pytest.raises(ValueError, match=rf"holds an experiment that differs in .*{told}.* another folder"):
            run(tmp_path, {"a": value(0.5)}, 2, **{**same, **other})
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    (tmp_path / "experiment.json").write_text("[3]")
    with pytest.raises(ValueError, match="must be the file of an experiment, got something else"):
        run(tmp_path, {"a": value(0.5)}, 1, **same)


@pytest.mark.parametrize("damage", ["cut", "edit", "remove"])
def test_a_torn_or_changed_record_is_told_and_run_again(tmp_path, damage):
    wanted = run(tmp_path, {"a": value(0.5)}, 2).scores()
    file = next(tmp_path.rglob("record.json"))
    text = file.read_text()
    if damage == "remove":
        shutil.rmtree(file.parent)
        file.parent.mkdir()
    else:
        file.write_text(text[: len(text) // 2] if damage == "cut" else text.replace("0.5", "0.9"))
    with pytest.warns(UserWarning, match="record` is kept aside: .* The cell runs again"):
        again = run(tmp_path, {"a": value(0.5)}, 2)
    assert again.scores() == wanted and not again.failed


def test_names_of_any_kind_have_folders_of_their_own(tmp_path):
    names = ["a b", "a/b", "a-b", "../a", "é" * 200, ".."]
    result = run(tmp_path / "new", {name: value(k) for k, name in enumerate(names)}, 1)
    assert [scores[0] for scores in result.scores().values()] == list(range(6))
    assert len(list((tmp_path / "new" / "cells").iterdir())) == 6 and list(tmp_path.iterdir()) == [tmp_path / "new"]


def test_randomness_is_the_seed_of_the_cell_and_the_callers_stays(tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state(), numpy.random.get_state()[1].copy()
    draws = lambda cell: {"torch": torch.rand(()).item(), "numpy": numpy.random.rand()}  # noqa: E731
    result = run(tmp_path, {"a": draws, "b": draws}, 2)
    assert torch.equal(torch.get_rng_state(), before[0]) and (numpy.random.get_state()[1] == before[1]).all()
    assert result.scores()["a"] == result.scores()["b"] and len(set(result.scores()["a"])) == 2
    torch.manual_seed(1)
    assert result.scores()["a"][1] == torch.rand(()).item()
    assert result.scores(metric="numpy")["a"][0] != result.scores()["a"][0]


# ---- models ----


def test_a_trainer_is_evaluated_and_its_rows_and_curves_are_kept(tmp_path):
    data = report.Data(test=TEST, source=SOURCE, target=cloud(30, seed=8, shift=0.7))
    result = run(tmp_path, {"source only": trained(), "dann": trained("dann")}, 1, data=data)
    assert not result.failed, result.failed
    record = result.records[1]
    made, head = trainer(["dann"], seed=0)
    found = made.fit(6).predict(head, TEST)
    assert record.score == made.evaluate(head, TEST) and result.metric == "accuracy"
    assert result.scores(metric="macro F1")["dann"] == [made.evaluate(head, TEST).further["macro F1"]]
    rows = record.rows["test"]
    assert (rows.outputs == found.outputs.numpy()).all() and (rows.labels == TEST.tensors[1].numpy()).all()
    assert (rows.features == found.features.numpy()).all()
    assert (record.rows["source"].labels == SOURCE.tensors[1].numpy()).all()
    assert record.rows["target"].labels is None and record.rows["target"].outputs.shape == (30, 3)
    assert [step for step, _ in record.curves["loss/total"]] == [0, 2, 4]
    assert record.provenance["target labels"]["seen"] == "no" and record.provenance["names"] == ["0", "1", "2"]
    assert record.cost["seconds"] > 0 and record.cost["flops"]["not_counted"] == {}
    assert record.cost["parameters"] == record.cost["trainable"] == report.parameters(made).total
    assert record.provenance["data"]["target"]["rows"] == 30


def test_a_model_and_a_trainer_are_the_same_record(tmp_path):
    def model(cell):
        made, head = trainer(["dann"], seed=cell.seed)
        return made.fit(6).model(head)

    result = run(tmp_path, {"trainer": trained("dann"), "model": model}, 1, data=DATA)
    one, two = result.records
    assert one.scores == two.scores and (one.rows["target"].outputs == two.rows["target"].outputs).all()
    assert one.rows["target"].outputs.shape == (50, 3)  # without target rows, the test rows


@pytest.mark.parametrize("ema", [None, 0.5])
def test_the_distance_of_the_domains_after_each_layer_is_kept(tmp_path, monkeypatch, ema):
    seen = []

    def layers(encoder, *inputs, **options):
        seen.append((parameters_to_vector(encoder.parameters()).detach(), *map(len, inputs)))
        return report.layers(encoder, *inputs, **options)

    monkeypatch.setattr(_outcome, "layers", layers)
    record = run(tmp_path, {"a": trained(ema=ema)}, 1, data=DATA).records[0]
    made, head = trainer([], seed=0, ema=ema)
    encoder = made.fit(6).model(head).encoder  # with averaged weights
    ((weights, *rows),) = seen
    assert torch.equal(weights, parameters_to_vector(encoder.parameters())) and rows == [60, 50]
    found = record.layers["a_distance"]
    assert list(found) == list(encoder.layers) and all(0 <= low <= v <= high <= 2 for v, low, high in found.values())
    kept = record.rows["source"].features, record.rows["target"].features
    value, low, high = found[list(found)[-1]]
    assert low < report.discrepancy(*kept, permutations=2).a_distance.value < high, "features of the kept rows"


def no_layers(cell):
    return Model(encoders.Encoder(nn.Linear(DIM, DIM), DIM, layers=[]), heads.Classifier(DIM, 3))


def half_the_rows(cell):
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.all = nn.Linear(DIM, DIM), nn.Linear(DIM, DIM)

        def forward(self, x):
            return self.all(x) + self.layer(x[::2]).mean()

    return Model(encoders.wrap(Half(), DIM), heads.Classifier(DIM, 3))


def test_layers_that_cannot_be_measured_cost_no_cell(tmp_path):
    result = run(tmp_path, {"none": no_layers, "half": half_the_rows}, 1, data=DATA)
    assert not result.failed and result.records[0].layers == {}
    why = result.records[1].layers["why"]
    assert why.startswith("ValueError: layer `layer` gives 30 rows for 60 inputs: leave this name out")
    few = run(tmp_path / "few", {"a": trained()}, 1, data=report.Data(test=TEST, source=cloud(9))).records[0]
    alone = run(tmp_path / "alone", {"a": trained()}, 1, data=report.Data(test=TEST)).records[0]
    assert few.layers == alone.layers == {}


def test_an_outcome_adds_scores_curves_and_rows(tmp_path):
    def method(cell):
        rows = report.Rows(torch.zeros(4, 2), [0, 1, 1, 0])
        return report.Outcome({"F1": 0.5, "time": 3}, rows=rows, curves={"own": [(0, 1.0)]}, seen=["the head"])

    record = run(tmp_path, {"a": method}, 1).records[0]
    assert list(record.scores) == ["F1", "time"] and record.score.value == 0.5
    assert record.rows["test"].labels.tolist() == [0, 1, 1, 0] and "source" not in record.rows
    assert record.curves == {"own": [(0, 1.0)]} and record.provenance["seen"] == ["the head"]


def test_many_rows_keep_a_drawn_part_with_features(tmp_path):
    data = report.Data(test=cloud(2_100, seed=3), source=cloud(2_100, seed=4))
    rows = run(tmp_path, {"a": trained(steps=1)}, 1, data=data).records[0].rows
    assert rows["test"].outputs.shape == (2_100, 3) and rows["test"].features is None
    assert rows["source"].features.shape == rows["target"].features.shape == (2_000, 8)
    assert (numpy.isin(rows["target"].outputs[:, 0], rows["test"].outputs[:, 0])).all()


def test_a_killed_cell_goes_on_with_its_steps(tmp_path):
    steps = []

    def method(cell, dies=[True]):  # noqa: B006

        def told(logged):
            steps.append(logged.step)
            if logged.step == 4 and dies.pop(0):
                raise SystemExit

        return trained(steps=8, callbacks=[told])(cell)

    with pytest.raises(SystemExit):
        run(tmp_path / "killed", {"a": method}, 1, data=DATA)
    with pytest.warns(UserWarning, match="goes on at step 4"):
        killed = run(tmp_path / "killed", {"a": lambda cell: method(cell, [False])}, 1, data=DATA).records[0]
    whole = run(tmp_path / "whole", {"a": trained(steps=8)}, 1, data=DATA).records[0]
    assert steps[-4:] == [4, 4, 6, 8], steps
    assert (killed.rows["test"].outputs == whole.rows["test"].outputs).all() and killed.cost["resumed"]


def test_a_failed_cell_that_trains_in_another_way_now_starts_again(tmp_path):
    def fails(cell):
        trained(steps=4)(cell)
        raise RuntimeError("late")

    assert run(tmp_path, {"a": fails}, 1, data=DATA).failed
    with pytest.warns(UserWarning, match="the cell had failed before, and trains in another way now"):
        again = run(tmp_path, {"a": trained(steps=4, clip=0.5)}, 1, data=DATA)
    assert not again.failed


def test_the_choice_inside_of_an_experiment(tmp_path):
    methods = {"source only": known(1.5), "dann": known(1.0), "dan": known(0.5), "deep_coral": known(0.2)}
    methods |= {"oracle": known(0.0), "pixels": lambda cell: {"accuracy": 0.4}}
    result = run(tmp_path, methods, 2, "source only", data=DATA, oracle=["oracle"])
    choice = result.choose(others=False)
    candidates = {
        name: [_choosing._candidate(record) for record in result.records if record.method == name]
        for name in ("source only", "dann", "dan", "deep_coral")
    }
    plain = candidates.pop("source only")
    wanted = select.choose([c for of in candidates.values() for c in of], plain, others=False)
    assert choice.name == wanted.name and choice.table == wanted.table
    assert choice.out["pixels"] == "no source and target rows were kept" and "oracle" not in choice.table
    scores = {name: numpy.mean(values) for name, values in result.scores().items() if name != "oracle"}
    regret = result.regret(choice)
    assert regret.best == max(scores, key=scores.get)
    assert regret.regret.value == pytest.approx(scores[regret.best] - scores[regret.chosen])
    assert regret.gain.value == pytest.approx(scores[regret.chosen] - scores["source only"])


def test_methods_that_see_target_labels_are_no_candidates_without_rows_too(tmp_path):
    methods = {"source only": known(1.0), "dann": known(0.5), "oracle": lambda cell: {"accuracy": 0.9}}
    result = run(tmp_path, methods, 1, "source only", data=DATA, oracle=["oracle"])
    assert "oracle" not in result.choose(others=False).out


def test_an_audit_of_an_experiment_numbers_rows_that_were_all_kept(tmp_path, monkeypatch):
    methods = {"source only": known(1.5), "dann": known(1.0), "dan": known(0.5), "deep_coral": known(0.2)}
    result = run(tmp_path, methods, 1, "source only", data=DATA)
    audit = torch.arange(20), TEST.tensors[1][:20]
    assert result.choose(others=False, audit=audit).name == result.choose(others=False).name
    wrong = result.choose(others=False, audit=(audit[0], (audit[1] + 1) % 3))
    assert wrong.name == "no choice" and "target rows with known labels" in wrong.reasons[0]
    monkeypatch.setattr(_choosing, "MOST", 40)
    with pytest.raises(ValueError, match="a draw of 40 of the 50 rows"):
        result.choose(others=False, audit=audit)
