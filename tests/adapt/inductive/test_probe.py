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
    with pytest.raises(ValueError, match="must be positive"):
        inductive.probe(*cloud(30).tensors, 3, penalties=[0.0])
