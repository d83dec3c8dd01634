"""The estimators: the checks of scikit-learn, pipelines, searches, the routes of skada, and no label of the target."""

import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator
from torch import nn

import adapt
from adapt import domain, encoders, fewshot, select
from adapt.bridges.sklearn import FewShotClassifier, TransferClassifier, TransferRegressor, on_target

QUICK = {"steps": 40, "random_state": 0}


def domains(seed=0, n=120, m=90):
    """Two classes; the target is moved, and its labels are for the test alone."""
    draw = np.random.default_rng(seed)
    y, t = np.arange(n) % 2, np.arange(m) % 2
    X = draw.normal(size=(n, 3)) + 3 * y[:, None]
    target = draw.normal(size=(m, 3)) + 3 * t[:, None] + [1.0, -1.0, 0.5]
    names = np.array(["cold", "warm"])
    return X, names[y], target, names[t]


def mixed(hidden_labels):
    """Rows of both domains in a mixed order, with skada's numbers of domains."""
    X, y, target, t = domains()
    order = np.random.default_rng(1).permutation(len(X) + len(target))
    rows, numbers = np.concatenate([X, target])[order], np.repeat([1, -2], [len(X), len(target)])[order]
    return rows, np.concatenate([y, t if hidden_labels is None else np.full(len(t), hidden_labels)])[order], numbers


@pytest.mark.parametrize(
    "estimator",
    [
        TransferClassifier(steps=100),
        TransferRegressor(steps=150),
        FewShotClassifier(),
        FewShotClassifier("ridge"),
        FewShotClassifier("logistic"),
    ],
    ids=str,
)
def test_the_checks_of_scikit_learn(estimator):
    """One check does not apply: arrays of other libraries, which no estimator here claims to read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = check_estimator(estimator, on_skip=None)
    assert len(found) > 40
    assert {row["check_name"] for row in found if row["status"] != "passed"} <= {"check_array_api_input"}


def test_rows_by_target_and_by_domain_are_the_same_fit():
    X, y, target, _ = domains()
    rows, labels, numbers = mixed("never read")
    by_domain = TransferClassifier("coral", **QUICK).fit(rows, labels, sample_domain=numbers)
    source, other = rows[numbers > 0], rows[numbers < 0]
    by_target = TransferClassifier("coral", **QUICK).fit(source, labels[numbers > 0], X_target=other)
    assert np.array_equal(by_domain.predict_proba(target), by_target.predict_proba(target))
    assert by_domain.classes_.tolist() == ["cold", "warm"] and set(by_domain.predict(target)) == {"cold", "warm"}
    assert by_domain.score(X, y) > 0.9


def test_what_stands_beside_target_rows_changes_nothing():
    rows, labels, numbers = mixed(None)
    first = TransferClassifier("mcc", **QUICK).fit(rows, labels, sample_domain=numbers)
    labels = np.where(numbers < 0, np.roll(labels, 1), labels)
    again = TransferClassifier("mcc", **QUICK).fit(rows, labels, sample_domain=numbers)
    assert np.array_equal(first.predict_proba(rows), again.predict_proba(rows))
    values = np.where(numbers > 0, rows.sum(1), np.nan)
    assert TransferRegressor("coral", **QUICK).fit(rows, values, sample_domain=numbers).predict(rows).shape == (210,)


@pytest.mark.parametrize("method", ["coral", "mmd", "dann", "cdan", "mcc", "bnm", "im"])
def test_every_method_reads_the_target(method):
    X, y, target, _ = domains()
    plain = TransferClassifier("source only", **QUICK).fit(X, y, X_target=target)
    adapted = TransferClassifier(method, **QUICK).fit(X, y, X_target=target)
    assert adapted.method_ == method and np.isfinite(adapted.predict_proba(target)).all()
    assert not np.allclose(adapted.predict_proba(target), plain.predict_proba(target), atol=1e-4)


@pytest.mark.parametrize("method", ["coral", "mmd", "dann"])
def test_every_method_for_numbers(method):
    X, _, target, _ = domains()
    line = TransferRegressor(method, **QUICK | {"steps": 150}).fit(X, X.sum(1), X_target=target)
    assert line.score(X, X.sum(1)) > 0.8


def test_the_default_follows_the_target():
    X, y, target, _ = domains()
    assert TransferClassifier(**QUICK).fit(X, y).method_ == "source only"
    assert TransferClassifier(**QUICK).fit(X, y, X_target=target).method_ == "im"
    assert TransferRegressor(**QUICK).fit(X, X[:, 0], X_target=target).method_ == "source only"


def test_terms_of_your_own_and_an_encoder_of_your_own():
    X, y, target, _ = domains()

    def both(encoder, head):
        return [domain.deep_coral(), domain.bnm(head, weight=0.1)]

    encoder = encoders.wrap(nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU()), 5)
    before = [p.clone() for p in encoder.parameters()]
    images = [np.stack([rows, -rows], 1).astype(np.float32) for rows in (X, target)]
    classify = TransferClassifier(both, encoder=encoder, **QUICK).fit(images[0], y, X_target=images[1])
    assert classify.method_ == "own" and classify.predict(images[1]).shape == (90,)
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True))


def test_same_number_same_model_and_the_callers_randomness_stays():
    X, y, target, _ = domains()
    torch.manual_seed(3)
    state = torch.get_rng_state()
    one, two = (TransferClassifier("dann", **QUICK).fit(X, y, X_target=target) for _ in range(2))
    other = TransferClassifier("dann", steps=40, random_state=1).fit(X, y, X_target=target)
    assert np.array_equal(one.predict_proba(target), two.predict_proba(target))
    assert not np.array_equal(one.predict_proba(target), other.predict_proba(target))
    assert torch.equal(torch.get_rng_state(), state)
    copied = pickle.loads(pickle.dumps(one))
    assert np.array_equal(one.predict_proba(target), copied.predict_proba(target))
    assert clone(one).get_params() == one.get_params() and not hasattr(clone(one), "classes_")


def test_quiet_and_with_a_bar(capfd):
    X, y, _, _ = domains()
    TransferClassifier(**QUICK).fit(X, y)
    assert capfd.readouterr() == ("", "")
    TransferClassifier(verbose=1, **QUICK).fit(X, y)
    assert "40" in capfd.readouterr().err


def test_the_model_reads_columns_as_they_are(tmp_path):
    """The scales are folded into the first layer; another process predicts the names."""
    X, y, target, _ = domains()
    X, target = 7 * X + 40, 7 * target + 40
    classify = TransferClassifier("coral", **QUICK).fit(X, y, X_target=target)
    kept = classify.model()
    assert np.allclose(kept.probabilities(target.astype(np.float32)), classify.predict_proba(target), atol=1e-4)
    kept.save(tmp_path / "model")
    np.save(tmp_path / "rows.npy", target[:5].astype(np.float32))
    code = """if True:
        import adapt, numpy
        print(adapt.Model.load("model").predict(numpy.load("rows.npy")).tolist())"""
    here = {"PYTHONPATH": str(Path(adapt.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=here, capture_output=True, text=True)
    assert done.stdout.strip() == str(classify.predict(target[:5]).tolist()), done.stderr


def test_a_search_over_methods_without_a_target_label():
    X, y, target, _ = domains()
    grid = {"method": ["source only", "coral", "mcc"]}
    search = GridSearchCV(TransferClassifier(**QUICK), grid, scoring=on_target(target), cv=2, error_score="raise")
    search.fit(X, y, X_target=target)
    by_hand = []
    for method in grid["method"]:
        fit = TransferClassifier(method, **QUICK).fit(X, y, X_target=target)
        by_hand.append(select.information_maximization(torch.tensor(fit.predict_proba(target)).log()))
    assert search.best_params_["method"] == "mcc" == grid["method"][int(np.argmax(by_hand))]
    assert search.predict(target).shape == (90,)


def test_inside_a_pipeline():
    X, y, target, t = domains()
    scaled = make_pipeline(StandardScaler(), TransferClassifier("coral", **QUICK))
    scaled.fit(X, y, transferclassifier__X_target=StandardScaler().fit(X).transform(target))
    assert scaled.score(target, t) > 0.5
    assert cross_val_score(make_pipeline(StandardScaler(), TransferClassifier(**QUICK)), X, y, cv=2).mean() > 0.9


def test_inside_skada():
    """The cross-validation of skada, its label-free scorers, its pipeline; and a search over three methods."""
    skada, metrics = pytest.importorskip("skada"), pytest.importorskip("skada.metrics")
    from skada.model_selection import SourceTargetShuffleSplit

    rows, labels, numbers = mixed(None)
    labels = np.where(numbers > 0, labels == "warm", -1)  # the mask of skada
    split = SourceTargetShuffleSplit(n_splits=2, test_size=0.3, random_state=0)
    with config_context(enable_metadata_routing=True):  # the scorers ask for it when they are made
        scorers = metrics.PredictionEntropyScorer(), metrics.SoftNeighborhoodDensity(), metrics.CircularValidation()
        for scorer in scorers:
            found = cross_validate(
                TransferClassifier("coral", **QUICK), rows, labels, cv=split, params={"sample_domain": numbers},
                scoring=scorer, error_score="raise",
            )  # fmt: skip
            assert np.isfinite(found["test_score"]).all(), scorer
        grid = {"method": ["source only", "coral", "mcc"]}
        search = GridSearchCV(TransferClassifier(**QUICK), grid, cv=split, scoring=scorers[0], error_score="raise")
        search.fit(rows, labels, sample_domain=numbers)
        assert search.best_params_["method"] == grid["method"][np.argmax(search.cv_results_["mean_test_score"])]
        pipe = skada.make_da_pipeline(StandardScaler(), TransferClassifier("coral", **QUICK))
        pipe.fit(rows, labels, sample_domain=numbers)
        assert (pipe.predict(rows[numbers < 0], sample_domain=numbers[numbers < 0]) >= 0).all()


@pytest.mark.parametrize(
    ("more", "fit", "said"),
    [
        ({"method": "corral"}, {}, "`method` must be one of 'source only', 'coral'"),
        ({"method": "coral"}, {}, "reads rows of the target, and `fit` got none"),
        ({"steps": 0}, {}, "`steps`"),
        ({"learning_rate": -1.0}, {}, "`learning_rate`"),
        ({}, {"X_target": np.ones((2, 3)), "sample_domain": np.ones(120)}, "both name the target"),
        ({}, {"sample_domain": -np.ones(120)}, "0 source rows"),
        ({}, {"sample_domain": np.ones(3)}, "inconsistent numbers of samples"),
        ({}, {"X_target": np.ones((2, 4))}, "4 features"),
        ({}, {"X_target": np.full((2, 3), np.nan)}, "NaN"),
    ],
)
def test_what_is_refused(more, fit, said):
    X, y, _, _ = domains()
    with pytest.raises(ValueError, match=said):
        TransferClassifier(**QUICK | more).fit(X, y, **fit)
    with pytest.raises(TypeError, match="function"):
        TransferClassifier(3, **QUICK).fit(X, y, X_target=X)
    with pytest.raises(ValueError, match="two classes, got one class"):
        FewShotClassifier().fit(X, ["a"] * len(X))


def test_few_rows_of_a_class():
    X, y, target, t = domains()
    rows = [0, 1, 2, 3]
    few = FewShotClassifier().fit(X[rows], y[rows])
    plain = fewshot.fit(encoders.wrap(nn.Identity(), 3), torch.tensor(X[rows]).float(), list(y[rows]))
    assert few.predict(target).tolist() == plain.predict(torch.tensor(target).float()).tolist()
    assert few.model().names == ["cold", "warm"]
    for method in ("ridge", "logistic", fewshot.ridge()):
        assert FewShotClassifier(method).fit(X, y).score(X, y) > 0.8
    learned = encoders.wrap(nn.Linear(3, 8), 8)
    assert FewShotClassifier(encoder=learned).fit(X, y).predict(target).shape == t.shape
