"""AUC against scikit-learn; class weights and label smoothing against torch, in float64."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.utils.class_weight import compute_class_weight
from torch.utils.data import TensorDataset

import adapt
from adapt import Stream, Trainer, encoders, heads


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def classes(n, count, seed=1):
    return torch.randint(count, (n,), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize("step", [0.5, 4.0, 0.0])
def test_auc_is_scikit_learns_with_ties(count, step):
    logits, labels = numbers(400, count), classes(400, count)
    logits[torch.arange(400), labels] += 0.7
    logits = (logits / step).round() * step if step else logits
    head = heads.Classifier(3, count)
    p = logits.softmax(1)
    expected = roc_auc_score(labels, p[:, 1] if count == 2 else p, multi_class="ovr")
    missing = torch.cat([labels, torch.full((50,), -1)])
    found = head.score(head.measure(torch.cat([logits, numbers(50, count, seed=9)]), missing))
    assert found.further["AUC"] == pytest.approx(expected, abs=1e-12) and 0.5 < expected < 1


def test_auc_is_left_out_where_it_is_undefined():
    head = heads.Classifier(3, 3)
    one_class = head.score(head.measure(numbers(9, 3), torch.ones(9).long()))
    assert "AUC" not in one_class.further
    logits, labels = numbers(60, 3), classes(60, 2)  # the last class has no row
    parts = [roc_auc_score(labels == k, logits.softmax(1)[:, k]) for k in (0, 1)]
    assert head.score(head.measure(logits, labels)).further["AUC"] == pytest.approx(sum(parts) / 2)
    many = heads.Classifier(3, 101)
    assert "probabilities" not in many.measure(numbers(4, 101), classes(4, 101))


def test_auc_and_balanced_accuracy_of_labels_that_do_not_exclude_one_another():
    logits, labels = numbers(300, 4).round(), (numbers(300, 4, seed=5) > 0.5).long()
    labels[:, 3] = 1  # of one kind: undefined
    labels[::7, 1] = -1
    head = heads.MultiLabel(3, ["a", "b", "c", "d"])
    further = head.score(head.measure(logits, labels)).further
    kept = [(labels[:, k] != -1) for k in range(3)]
    auc = [roc_auc_score(labels[r, k], logits[r, k]) for k, r in enumerate(kept)]
    balanced = [balanced_accuracy_score(labels[r, k], logits[r, k] > 0) for k, r in enumerate(kept)]
    assert [further[f"AUC of {n}"] for n in "abc"] == pytest.approx(auc) and "AUC of d" not in further
    assert further["AUC"] == pytest.approx(sum(auc) / 3)
    assert further["balanced accuracy"] == pytest.approx(sum(balanced) / 3)


@pytest.mark.parametrize("weight", [None, [0.1, 2.0, 0.7], torch.tensor([0.0, 1.0, 3.0])])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_weights_and_smoothing_are_torchs(weight, smoothing):
    head = heads.Classifier(3, 3, weight=weight, label_smoothing=smoothing)
    logits, labels = numbers(50, 3).requires_grad_(), classes(50, 3)
    labels[::4] = -1
    plain = None if weight is None else torch.as_tensor(weight, dtype=torch.float64)
    expected = F.cross_entropy(logits, labels, plain, ignore_index=-1, label_smoothing=smoothing)
    torch.testing.assert_close(head.loss(logits, labels), expected, rtol=1e-12, atol=0)
    gradients = [torch.autograd.grad(value, logits)[0] for value in (head.loss(logits, labels), expected)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-15)
    share = (labels != -1).double() if plain is None else plain[labels] * (labels != -1)
    assert head.count(labels) == pytest.approx(share.sum().item())
    assert head.loss(logits, torch.full((50,), -1)) == 0


def balanced_run(labels, **options):
    torch.manual_seed(0)
    encoder = encoders.wrap(torch.nn.Linear(4, 5), 5)
    head = heads.Classifier(encoder, ["a", "b", "c"], weight="balanced")
    data = TensorDataset(numbers(60, 4).float(), labels)
    return head, Trainer(encoder, [adapt.supervised(head, "source")], {"source": Stream(data, 20)}, **options)


def test_balanced_weights_are_scikit_learns_and_come_from_the_stream(tmp_path):
    labels = torch.tensor([0] * 40 + [1] * 15 + [2] * 5)
    head, trainer = balanced_run(labels, progress=False)
    expected = compute_class_weight("balanced", classes=labels.unique().numpy(), y=labels.numpy())
    assert head.weight == pytest.approx(expected.tolist())
    assert str(round(head.weight[2], 3)) in repr(trainer.settings), "a resumed run must see other weights"
    trainer.fit(2)
    trainer.model(head).save(tmp_path / "model")
    assert adapt.Model.load(tmp_path / "model").head.weight == head.weight
    with pytest.raises(ValueError, match="a label of every class, found none of c: give one number"):
        balanced_run(torch.tensor([0] * 40 + [1] * 20))
    with pytest.raises(ValueError, match="needs the labels of all rows first"):
        heads.Classifier(3, 3, weight="balanced").loss(numbers(3, 3), classes(3, 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": [1.0, 2.0]}, "one finite number per class, 3 in all"),
        ({"weight": [1.0, -1.0, 1.0]}, "each a number of at least 0"),
        ({"weight": [0.0, 0.0, 0.0]}, "not all zero"),
        ({"weight": [1.0, torch.nan, 0.0]}, "each a number of at least 0"),
        ({"weight": "balance"}, '"balanced" or one number per class'),
        ({"label_smoothing": 1.0}, r"`label_smoothing` must be in \[0, 1\), got 1.0"),
        ({"label_smoothing": -0.1}, r"`label_smoothing` must be in \[0, 1\)"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        heads.Classifier(3, 3, **options)


def test_watched_sets_show_further_values_without_those_of_single_classes():
    labels = torch.tensor([0] * 40 + [1] * 15 + [2] * 5)
    data = TensorDataset(numbers(60, 4).float(), labels)
    encoder = encoders.wrap(torch.nn.Linear(4, 5), 5)
    head = heads.Classifier(encoder, 3)
    best = adapt.engine.callbacks.EarlyStopping("macro_F1/source", better="higher")
    run = Trainer(
        encoder, [adapt.supervised(head, "source")], {"source": Stream(data, 20)}, watch={"source": (head, data)},
        watch_every=1, callbacks=[best], progress=False,
    )  # fmt: skip
    run.fit(2)
    expected = run.evaluate(head, data)
    logged = run.history[-1]
    assert logged["macro_F1/source"] == expected.further["macro F1"] == best.best
    assert {"AUC/source", "balanced_accuracy/source"} <= set(logged)
    assert not any(" of " in tag or "_of_" in tag for tag in logged)
    assert expected.named("AUC") == (expected.further["AUC"], True)
    assert expected.named("calibration error")[1] is False and expected.named(None) == (expected.value, True)
    with pytest.raises(ValueError, match="must be one of accuracy, calibration error, AUC.*got 'F1'"):
        expected.named("F1")
