"""Evaluation keeps measures, batch by batch, and never the outputs of a whole dataset."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.data import TensorDataset

import adapt
from adapt import Stream, Trainer, encoders, engine, heads
from tests.adapt.engine.any_batch import FORMS, make
from tests.adapt.engine.any_batch import Items as Made
from tests.adapt.engine.tiny import Items, cloud, network, trainer
from tests.ranks import run_ranks


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss differs between systems")
def test_the_outputs_of_a_whole_dataset_are_never_in_memory():
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "tests.adapt.engine.peak_memory"]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    assert float(found) < 200  # 1,600 x 64 x 64 x 19 numbers are 475 MB


def whole(made, head, data):
    """The score of all outputs at once."""
    outputs, _, labels = made.predict(head, data)
    return head.score(head.measure(outputs, labels))


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_batches_give_the_score_of_all_outputs_at_once(batch_size):
    made, head = trainer(["dan"])
    score = made.evaluate(head, cloud(31), batch_size=batch_size)
    expected = whole(made, head, cloud(31))
    assert score.further == pytest.approx(expected.further)
    assert replace(score, further={}) == replace(expected, further={})


def test_workers_keep_the_order():
    made, head = trainer(["dan"])
    data = Items(cloud(31))
    alone, shared = (made.predict(head, data, batch_size=4, workers=w) for w in (0, 2))
    assert all(torch.equal(a, b) for a, b in zip(alone, shared, strict=True))
    assert made.evaluate(head, data, batch_size=4, workers=2) == made.evaluate(head, data, batch_size=4)
    model = adapt.inductive.transfer(network()[0], cloud(), "probe", classes=3)
    assert model.evaluate(data, workers=2) == model.evaluate(data) == model.evaluate(cloud(31))


def test_features_are_left_out_where_they_are_not_asked_for():
    made, head = trainer(["dan"])
    with_features, without = (made.predict(head, cloud(31), features=f) for f in (True, False))
    assert without.features is None and with_features.features.shape == (31, 8)
    assert torch.equal(without.outputs, with_features.outputs) and torch.equal(without.labels, with_features.labels)


def test_units_may_be_texts_numbers_or_tensors():
    made, head = trainer(["dan"])
    data, number = cloud(31), torch.arange(31) // 4
    by_number = made.evaluate(head, data, unit=number)
    assert by_number.n == 8 and by_number.value == pytest.approx(made.evaluate(head, data).value)
    assert by_number == made.evaluate(head, data, unit=[f"person {i}" for i in number.tolist()])
    other = made.evaluate(head, data, unit=torch.arange(31) % 8)
    assert other.n == 8 and (other.low, other.high) != (by_number.low, by_number.high)
    with pytest.raises(ValueError, match="`unit` must have one entry for each of the 31 rows of `dataset`, got 30"):
        made.evaluate(head, data, unit=number[:30])


def test_measures_may_be_ragged():
    made, head = make("boxes")
    data = Made(FORMS["boxes"][0])
    outputs, _, labels = made.predict(head, data)
    errors = [abs(z - len(y["boxes"])) for z, y in zip(outputs.tolist(), labels, strict=True)]
    score = made.evaluate(head, data, batch_size=5)
    assert score.value == pytest.approx(sum(errors) / len(errors)) and score.n == len(data)


class First(heads.Classifier):
    """Its measures are views of the outputs."""

    def measure(self, logits, labels):
        return (logits[:, 0], [labels[i] for i in range(len(labels))])


def test_first_rows_are_kept_and_measures_do_not_hold_the_outputs():
    encoder, data = network()[0], cloud(31)
    found = engine.measure(encoder, First(8, 3), data, first=9, batch_size=4)
    with torch.no_grad():
        torch.testing.assert_close(found.features, encoder.eval()(data.tensors[0][:9]))
    assert torch.equal(found.labels, data.tensors[1][:9])
    assert torch.equal(torch.stack(found.measures[1]), data.tensors[1])
    assert found.measures[0].untyped_storage().nbytes() == 4 * 31
    assert all(y.untyped_storage().nbytes() == 8 for y in found.measures[1])
    assert engine.measure(encoder, First(8, 3), data).features is None
    assert len(engine.measure(encoder, First(8, 3), data, first=99).features) == 31


def returning(value):
    head = heads.Classifier(8, 3)
    head.measure = lambda logits, labels: value(logits, labels)
    return head


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (lambda z, y: (z.argmax(1) == y).float().mean(), ValueError, "one entry for each of the 31 rows .* one number"),
        (lambda z, y: {"hit": [1, 2]}, ValueError, "of the 31 rows of a batch, got 2 entries"),
        (lambda z, y: (z, 0.5), TypeError, "must return tensors and lists .* got a float"),
    ],
)
def test_measures_without_one_entry_per_row_are_refused(value, error, message):
    with pytest.raises(error, match=f"`measure` of the Classifier .*{message}"):
        engine.measure(network()[0], returning(value), cloud(31))


def test_a_head_without_measures_is_refused():
    class Old(nn.Linear):
        def loss(self, output, labels): ...
        def score(self, output, labels): ...
        def check(self, labels): ...

    with pytest.raises(TypeError, match=re.escape("without `measure`: take `heads.Classifier")):
        engine.measure(network()[0], Old(8, 3), cloud(31))


def test_a_dataset_without_labels_is_refused():
    model = adapt.inductive.transfer(network()[0], cloud(), "probe", classes=3)
    with pytest.raises(ValueError, match="`dataset` has inputs without labels"):
        model.evaluate(TensorDataset(torch.zeros(3, 6)))


def on_a_rank(rank, world):
    made, head = trainer(["dan"])
    found = engine.measure(made.encoder, First(8, 3), cloud(31), first=9, batch_size=4)
    boxes = make("boxes")
    ragged = boxes[0].evaluate(boxes[1], Made(FORMS["boxes"][0]), batch_size=3)
    return found, made.evaluate(head, cloud(31), unit=torch.arange(31) // 4, batch_size=4), str(ragged)


def test_ranks_measure_a_share_each_and_have_all_measures_in_order():
    torch.manual_seed(0)
    made, head = trainer(["dan"])
    encoder = made.encoder
    alone = engine.measure(encoder, First(8, 3), cloud(31), first=9)
    boxes = make("boxes")
    ragged = str(boxes[0].evaluate(boxes[1], Made(FORMS["boxes"][0])))
    for found, score, text in run_ranks(on_a_rank, 2):
        torch.testing.assert_close(found.features, alone.features)
        assert torch.equal(found.labels, alone.labels)
        assert torch.equal(torch.stack(found.measures[1]), torch.stack(alone.measures[1]))
        assert len(found.measures[0]) == 31
        assert str(score) == str(made.evaluate(head, cloud(31), unit=torch.arange(31) // 4)) and text == ragged


def test_the_log_has_the_confusion_matrix_of_the_head(tmp_path):
    encoder = encoders.wrap(nn.Linear(6, 8), 8)
    head = heads.OneVsAll(8, 3)
    term, data = adapt.supervised(head, "rows"), cloud()
    Trainer(
        encoder, [term], {"rows": Stream(data, 12)}, watch={"own": (head, data)}, log=tmp_path, progress=False,
        device="cpu",
    ).fit(1)  # fmt: skip
    assert "confusion/own" in EventAccumulator(str(tmp_path)).Reload().Tags()["images"]
