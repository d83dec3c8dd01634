"""Further values of classifiers and regressors against slow references in float64."""

import math

import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score, r2_score

from adapt import heads


def rows(n=400, classes=5, seed=0):
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes - 1, (n,), generator=g)  # the last class has no row
    logits = torch.randn(n, classes, generator=g, dtype=torch.float64)
    return logits + 1.5 * torch.nn.functional.one_hot(labels, classes), labels


def reference(logits, labels, names):
    """Counts in plain python."""
    guesses = [max(range(len(z)), key=z.__getitem__) for z in logits.tolist()]
    truth = labels.tolist()
    recall, f1 = {}, []
    for k in range(len(names)):
        hits = sum(y == p == k for y, p in zip(truth, guesses, strict=True))
        if truth.count(k):
            recall[names[k]] = hits / truth.count(k)
        if truth.count(k) + guesses.count(k):
            f1.append(2 * hits / (truth.count(k) + guesses.count(k)))
    error = 0.0
    for b in range(15):
        gap = 0.0
        for z, y, p in zip(logits.tolist(), truth, guesses, strict=True):
            sure = 1 / sum(math.exp(v - z[p]) for v in z)
            if b / 15 < sure <= (b + 1) / 15:
                gap += (y == p) - sure
        error += abs(gap) / len(truth)
    found = {"balanced accuracy": sum(recall.values()) / len(recall), "macro F1": sum(f1) / len(f1)}
    return found | {"calibration error": error} | {f"accuracy of {k}": v for k, v in recall.items()}


NAMES = ["ant", "bee", "cat", "dog", "elk"]


def test_classifier():
    logits, labels = rows()
    head = heads.Classifier(3, NAMES)
    score = head.score(head.measure(logits, labels))
    further = {k: v for k, v in score.further.items() if k != "AUC"}  # see test_areas_and_weights.py
    assert further == pytest.approx(reference(logits, labels, NAMES), rel=1e-12)
    assert "accuracy of elk" not in score.further
    guesses = logits.argmax(1)
    assert score.further["balanced accuracy"] == pytest.approx(balanced_accuracy_score(labels, guesses))
    assert score.further["macro F1"] == pytest.approx(f1_score(labels, guesses, average="macro"))
    assert "F1" not in str(score)


def test_tokens_are_counted_as_rows_are():
    logits, labels = rows()
    missing = torch.rand(400, generator=torch.Generator().manual_seed(1)) < 0.3
    kept = reference(logits[~missing], labels[~missing], NAMES)
    head = heads.TokenClassifier(3, NAMES)
    labels = labels.masked_fill(missing, -1)
    measures = head.measure(logits.view(20, 20, 5), labels.view(20, 20))
    assert head.score(measures).further == pytest.approx(kept, rel=1e-12)
    assert torch.equal(head.confusion(measures), heads.confusion(logits, labels))
    assert len(measures["pairs"]) == 20 and len({len(table) for table in measures["pairs"]}) > 1


def test_a_row_without_label_does_not_count_and_an_unknown_class_is_refused():
    head = heads.Classifier(3, 2)
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0], [0.0, 4.0]])
    measures = head.measure(logits, torch.tensor([0, -1, 1, 1]))
    score = head.score(measures)
    assert score.n == 3 and score.value == pytest.approx(2 / 3) and score.further["accuracy of 1"] == 0.5
    assert head.confusion(measures).tolist() == [[1, 0], [1, 1]]
    with pytest.raises(ValueError, match=r"in \[0, 2\).*found 0 to 2.*unknown classes take heads.OneVsAll"):
        head.measure(logits, torch.tensor([0, -1, 2, 1]))


def test_one_vs_all_has_an_unknown_class():
    head = heads.OneVsAll(3, ["cat", "dog"])
    output = torch.tensor([[2.0, 0.0, 1.0, -1.0], [2.0, 0.0, -1.0, -1.0], [0.0, 2.0, 1.0, 1.0]])
    measures = head.measure(output, torch.tensor([0, 2, 0]))
    assert head.score(measures).further["accuracy of unknown"] == 1
    assert head.confusion(measures).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_r2():
    g = torch.Generator().manual_seed(0)
    labels = torch.randn(50, 3, generator=g, dtype=torch.float64) * torch.tensor([1.0, 10.0, 0.0]) + 7
    predicted = labels + torch.randn(50, 3, generator=g, dtype=torch.float64)
    head = heads.Regressor(4, 3)
    score = head.score(head.measure(predicted, labels))
    assert score.further == {"R2": pytest.approx(r2_score(labels[:, :2], predicted[:, :2]), rel=1e-12)}
    assert score.value == pytest.approx((predicted - labels).abs().mean().item(), rel=1e-12)
    constant = heads.Regressor(4)
    assert constant.score(constant.measure(torch.rand(5), torch.ones(5))).further == {}


def test_a_missing_number_does_not_count_and_a_prediction_of_nan_does():
    head, nan = heads.Regressor(4, 2), torch.nan
    labels = torch.tensor([[1.0, nan], [2.0, 2.0], [nan, nan], [3.0, 6.0]])
    predicted = torch.tensor([[2.0, 0.0], [2.0, 4.0], [0.0, 0.0], [3.0, 5.0]])
    score = head.score(head.measure(predicted, labels))
    assert score.n == 3 and score.value == pytest.approx((1 + 1 + 0.5) / 3)
    assert score.further["R2"] == pytest.approx(((1 - 1 / 2) + (1 - 5 / 8)) / 2)
    predicted[1, 0] = nan
    assert math.isnan(head.score(head.measure(predicted, labels)).value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: heads.Classifier(3, 2).measure(torch.zeros(2, 2), torch.zeros(2, 1).long()), r"\(n,\) integers"),
        (lambda: heads.Regressor(3).measure(torch.zeros(5), torch.zeros(5, 1)), r"must be \(5,\), got \(5, 1\)"),
        (
            lambda: heads.MultiLabel(3, 2).measure(torch.zeros(1, 2), torch.tensor([[0, 2]])),
            "must be 0, 1, or",
        ),
        (lambda: heads.TokenClassifier(3, 2).measure(torch.zeros(1, 1, 2), torch.tensor([[2]])), "more classes"),
    ],
)
def test_labels_are_checked(call, message):
    with pytest.raises(ValueError, match=message):
        call()
