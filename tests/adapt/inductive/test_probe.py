"""The solved probe against scikit-learn's, and its choice of the penalty."""

import numpy
import pytest
import torch

from adapt import heads, inductive
from tests.adapt.engine.tiny import cloud


@pytest.mark.parametrize("penalty", [1.0, 0.01])
def test_the_probe_is_logistic_regression_on_standardised_features(penalty):
    from sklearn.linear_model import LogisticRegression

    x, y = cloud(90).tensors
    x = x * torch.tensor([1.0, 10, 0.1, 5, 1, 1]) + 3
    head = inductive.probe(x, y, 3, penalties=[penalty]).head
    z = ((x.double() - x.double().mean(0)) / x.double().std(0, correction=0)).numpy()
    reference = LogisticRegression(C=1 / (penalty * 90), tol=1e-8, max_iter=2000).fit(z, y.numpy())
    with torch.no_grad():
        logits = head(x).double()
    torch.testing.assert_close(logits.softmax(1), torch.from_numpy(reference.predict_proba(z)), rtol=1e-3, atol=1e-4)


def test_the_penalty_is_the_one_with_the_least_held_out_loss():
    x, y = cloud(60).tensors
    noise = torch.randn(60, 40, generator=torch.Generator().manual_seed(2))
    found = inductive.probe(torch.cat([x, noise], 1), y, 3)
    assert found.held_out[found.penalty] == min(found.held_out.values()) and len(found.held_out) >= 3
    assert found.penalty > 1e-3, "forty directions of noise ask for a penalty"
    assert isinstance(found.head, heads.Classifier)
    assert found.penalty == inductive.probe(torch.cat([x, noise], 1), y, 3).penalty


def test_held_out_loss_is_that_of_rows_that_were_not_fitted():
    """Random labels: fitted rows would have a loss near zero, held-out ones have more than log 2."""
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 60, generator=g), torch.randint(2, (40,), generator=g)
    found = inductive.probe(x, y, 2, penalties=[1e-4, 1e-3])
    assert min(found.held_out.values()) > 0.69


def test_folds_share_every_class():
    from adapt.inductive._probe import folds_of

    y = numpy.array([0] * 11 + [1] * 5 + [2] * 2 + [3])
    fold = folds_of(y, 5, 0)
    assert fold[-1] == -1 and set(fold[11:16]) == set(range(5))
    assert max(numpy.bincount(fold[:-1])) - min(numpy.bincount(fold[:-1])) <= 1
    assert max(numpy.bincount(fold[:11])) - min(numpy.bincount(fold[:11])) <= 1


def test_absent_classes_constant_features_and_names():
    x, y = cloud(30).tensors
    x = torch.cat([x, torch.ones(30, 1)], 1)
    head = inductive.probe(x.bfloat16(), y, ["a", "b", "c", "d"]).head
    assert head.names == ["a", "b", "c", "d"] and head(x).argmax(1).max() <= 2
    assert all(p.isfinite().all() for p in head.parameters())
    assert inductive.probe(x[:3], torch.tensor([0, 1, 1]), 2).held_out
    assert not inductive.probe(x[:2], torch.tensor([0, 1]), 2).held_out, "nothing can be held out"


def test_the_search_ends_where_the_loss_has_risen_twice():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(60, 20, generator=g), torch.randint(3, (60,), generator=g)
    found = list(inductive.probe(x, y, 3).held_out.values())
    assert len(found) < 10 and found[-3] < found[-2] < found[-1]
    every = [inductive.probe(x, y, 3, penalties=[p, 1e3]).held_out[p] for p in (1e-4, 1e-5)]
    assert min(every) > min(found)


def test_more_features_than_rows():
    from sklearn.linear_model import LogisticRegression

    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(20, 50, generator=g), torch.randint(3, (20,), generator=g)
    head = inductive.probe(x, y, 3, penalties=[0.1]).head
    z = ((x.double() - x.double().mean(0)) / x.double().std(0, correction=0)).numpy()
    reference = LogisticRegression(C=1 / (0.1 * 20), tol=1e-8, max_iter=2000).fit(z, y.numpy())
    with torch.no_grad():
        found = head(x).double().softmax(1)
    torch.testing.assert_close(found, torch.from_numpy(reference.predict_proba(z)), rtol=1e-3, atol=1e-4)


def test_many_rows_hold_out_one_fifth():
    x, y = cloud(1000).tensors
    one, five = (inductive.probe(x, y, 3, penalties=[1.0, 0.1], folds=f).held_out for f in (None, 5))
    assert one.keys() == five.keys() and one != five and one[0.1] == pytest.approx(five[0.1], rel=0.3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:5], y), "with n labels"),
        (lambda x, y: (x[:, :, None], y), r"must be \(n, d\)"),
        (lambda x, y: (x, y + 1), r"must be in \[0, 3\)"),
        (lambda x, y: (x / 0, y), "not finite"),
        (lambda x, y: (x, y * 0), "one class"),
    ],
)
def test_bad_probes(change, message):
    with pytest.raises(ValueError, match=message):
        inductive.probe(*change(*cloud(30).tensors), 3)
    with pytest.raises(ValueError, match="a positive number"):
        inductive.probe(*cloud(30).tensors, 3, penalties=[0.0])


def numbers(n=80, outputs=1, unit=1.0):
    x = torch.randn(n, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 10, 0.1, 5, 1, 1]) + 3
    y = x @ torch.randn(6, outputs, generator=torch.Generator().manual_seed(1))
    y = y + torch.randn(n, outputs, generator=torch.Generator().manual_seed(2)) + 9
    return x, (y[:, 0] if outputs == 1 else y) * unit


@pytest.mark.parametrize("columns", [4, 60])
@pytest.mark.parametrize("penalty", [1.0, 0.01])
def test_the_probe_of_numbers_is_ridge_regression_in_the_units_of_the_labels(penalty, columns):
    from sklearn.linear_model import Ridge

    x = torch.randn(40, columns, generator=torch.Generator().manual_seed(3)) * 5 + 2
    y = 1000 * (x[:, :2] + torch.randn(40, 2, generator=torch.Generator().manual_seed(4))) + 1e4
    y[::3, 1] = torch.nan
    head = inductive.probe(x, y, outputs=2, penalties=[penalty]).head
    z = ((x.double() - x.double().mean(0)) / x.double().std(0, correction=0)).numpy()
    assert isinstance(head, heads.Regressor)
    for k in (0, 1):
        there = ~y[:, k].isnan().numpy()
        reference = Ridge(alpha=penalty * there.sum()).fit(z[there], y[there, k].double().numpy())
        with torch.no_grad():
            found = head(x)[:, k].double()
        torch.testing.assert_close(found, torch.from_numpy(reference.predict(z)), rtol=1e-4, atol=1.0)


@pytest.mark.parametrize("score", [None, "mean absolute error", "R2"])
def test_the_probe_of_numbers_chooses_alike_in_metres_and_in_millimetres(score):
    (x, y), (_, big) = numbers(), numbers(unit=1000.0)
    noise = torch.randn(80, 60, generator=torch.Generator().manual_seed(5))
    found, large = (inductive.probe(torch.cat([x, noise], 1), t, outputs=1, score=score) for t in (y, big))
    assert found.penalty == large.penalty and found.penalty > 1e-3
    best = max if score == "R2" else min
    assert found.held_out[found.penalty] == best(found.held_out.values())
    rows = torch.cat([x, noise], 1)
    torch.testing.assert_close(large.head(rows), 1000 * found.head(rows), rtol=1e-4, atol=1e-2)
    unit = 1000 if score == "mean absolute error" else 1
    assert large.held_out == pytest.approx({p: unit * v for p, v in found.held_out.items()}, rel=1e-4)


def test_held_out_numbers_were_not_fitted():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(60, 50, generator=g), torch.randn(60, generator=g)
    found = inductive.probe(x, y, outputs=1, score="R2", penalties=[1e-4, 1e-3])
    assert max(found.held_out.values()) < 0, "labels without any relation to the features"


def unequal(n=600, seed=0):
    """One class in twelve, hidden in noise."""
    g = torch.Generator().manual_seed(seed)
    y = (torch.rand(n, generator=g) < 1 / 12).long()
    x = torch.randn(n, 5, generator=g)
    x[:, 0] += 1.2 * y
    return x, y


def test_class_weights_are_scikit_learns():
    from sklearn.linear_model import LogisticRegression

    x, y = unequal()
    z = ((x.double() - x.double().mean(0)) / x.double().std(0, correction=0)).numpy()
    # scikit-learn does not divide by the sum of the weights, and has one vector for two classes: half of the penalty
    for weight, theirs, total in (
        ("balanced", "balanced", 600),
        ([1.0, 3.0], {0: 1.0, 1: 3.0}, 600 + 2 * int(y.sum())),
    ):
        head = inductive.probe(x, y, 2, penalties=[0.01], weight=weight).head
        made = LogisticRegression(C=2 / (0.01 * total), class_weight=theirs, tol=1e-8, max_iter=2000)
        reference = made.fit(z, y.numpy())
        with torch.no_grad():
            found = head(x).double().softmax(1)
        torch.testing.assert_close(found, torch.from_numpy(reference.predict_proba(z)), rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("score", ["macro F1", "balanced accuracy"])
def test_the_search_chooses_by_the_score_that_the_user_names(score):
    (x, y), (new, truth) = unequal(), unequal(4000, seed=1)
    plain, named = inductive.probe(x, y, 2), inductive.probe(x, y, 2, score=score)
    reached = [p.head.score(p.head.measure(p.head(new), truth)).named(score)[0] for p in (plain, named)]
    assert reached[1] > reached[0] + 0.05, "a rare class that the plain loss gives up"
    assert plain.head.weight is None and named.head.weight == pytest.approx(_balanced(y))
    assert named.held_out[named.penalty] == max(named.held_out.values())
    equal = inductive.probe(x, y, 2, score=score, weight=[1.0, 1.0])
    assert equal.held_out[equal.penalty] <= named.held_out[named.penalty] and equal.head.weight == (1.0, 1.0)


def _balanced(y):
    return (len(y) / (2 * torch.bincount(y).double())).tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give either `classes` or, for numbers to predict, `outputs`"),
        ({"classes": 3, "outputs": 1}, "give either `classes` or"),
        ({"outputs": 2}, r"must be \(30, 2\)"),
        ({"outputs": 1, "weight": "balanced"}, "`weight` is for classes"),
        ({"classes": 3, "score": "F1"}, "`score` must be one of accuracy, .*AUC.*macro F1.*got 'F1'"),
        ({"outputs": 1, "score": "accuracy"}, "`score` must be one of mean absolute error, R2"),
        ({"classes": 3, "weight": [1.0]}, "one finite number per class"),
    ],
)
def test_bad_kinds_scores_and_weights(options, message):
    with pytest.raises(ValueError, match=message):
        inductive.probe(*cloud(30).tensors, **options)
