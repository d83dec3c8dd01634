"""Transfer around estimators of scikit-learn: values against slow references, gains, and hostile inputs."""

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from torch import nn

from adapt import encoders
from adapt.bridges import sklearn as bridge


def domains(seed=0, n=400, m=30, turned=0.3):
    """Source rows of which a share has another rule, few target rows, and new target rows."""
    draw = np.random.default_rng(seed)
    x, t, new = (draw.normal(size=(k, 4)) for k in (n, m, 600))
    y = np.where(draw.random(n) < turned, x[:, 1] > 0, x[:, 0] + 0.5 * x[:, 2] > 0).astype(int)
    of = [(rows[:, 0] + 0.5 * rows[:, 2] > 0).astype(int) for rows in (t, new)]
    return x, y, t, of[0], new, of[1]


def test_tradaboost_is_the_algorithm_of_the_paper():
    """Two classes: the product rule of the paper, step by step, is the vote."""
    x, y, t, yt, new, _ = domains(m=20)
    rounds, n, m = 9, len(x), 20
    weights = [1 / (n + m)] * (n + m)
    rows, labels = np.concatenate([x, t]), np.concatenate([y, yt])
    beta, betas, models = 1 / (1 + (2 * np.log(n) / rounds) ** 0.5), [], []
    for _ in range(rounds):
        total = sum(weights)
        share = np.array([w / total for w in weights])
        model = clone(DecisionTreeClassifier(max_depth=2, random_state=0)).fit(
            rows, labels, sample_weight=share * (n + m)
        )
        miss = np.abs(model.predict(rows) - labels)
        error = np.clip((share[n:] * miss[n:]).sum() / share[n:].sum(), 1e-6, 0.49)
        betas.append(error / (1 - error))
        models.append(model)
        weights = [
            w * (beta**d if i < n else betas[-1] ** -d) for i, (w, d) in enumerate(zip(weights, miss, strict=True))
        ]
    late = range(rounds // 2, rounds)
    left = np.prod([betas[k] ** -models[k].predict(new).astype(float) for k in late], 0)
    expected = (left >= np.prod([betas[k] ** -0.5 for k in late])).astype(int)
    ours = bridge.TrAdaBoost(DecisionTreeClassifier(max_depth=2, random_state=0), rounds=rounds).fit(x, y, t, yt)
    np.testing.assert_array_equal(ours.predict(new), expected)
    np.testing.assert_allclose(ours.votes, -np.log(betas))


def test_tradaboost_gains_over_the_source_and_over_all_rows_together():
    """A third of the source has the opposite rule. Not over the target alone, which is easy here: docs/bridges.md."""
    scores = []
    for seed in range(6):
        draw = np.random.default_rng(seed)
        x, t, new = (draw.normal(size=(k, 4)) for k in (400, 40, 600))
        rule = lambda rows: (rows[:, 0] + 0.5 * rows[:, 2] > 0).astype(int)  # noqa: E731
        y, tree = np.where(x[:, 3] > 0.3, 1 - rule(x), rule(x)), DecisionTreeClassifier(max_depth=3, random_state=0)
        boosted = bridge.TrAdaBoost(tree).fit(x, y, t, rule(t)).predict(new)
        others = [(x, y), (np.concatenate([x, t]), np.concatenate([y, rule(t)]))]
        scores.append(
            [(guess == rule(new)).mean() for guess in (boosted, *(tree.fit(*o).predict(new) for o in others))]
        )
    boosted, source, together = np.mean(scores, 0)
    assert boosted > source + 0.03 and boosted > together + 0.03


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_feature_augmentation_is_the_table_of_columns(kind):
    x, y, t, yt, new, truth = domains()
    zero = np.zeros_like
    rows = np.block([[x, x, zero(x)], [t, zero(t), t]])
    model = LogisticRegression().fit(rows, np.concatenate([y, yt]))
    expected = model.predict(np.block([new, zero(new), new]))
    ours = bridge.FeatureAugmentation(LogisticRegression()).fit(kind(x), y, kind(t), yt)
    np.testing.assert_array_equal(ours.predict(kind(new)), expected)
    assert (expected == truth).mean() > 0.85
    numbers = bridge.FeatureAugmentation(Ridge()).fit(x, x[:, 0], t, t[:, 1]).predict(new)
    assert np.isfinite(numbers).all()
    with pytest.raises(ValueError, match='"source" or "target"'):
        bridge.augmented(x, "other")


@pytest.mark.parametrize(
    "estimator",
    [SGDClassifier(random_state=0), GradientBoostingClassifier(n_estimators=20, random_state=0), LogisticRegression()],
    ids=lambda e: type(e).__name__,
)
def test_continued_training_gains_and_leaves_the_source_model(estimator):
    draw = np.random.default_rng(0)
    x, t, new = (draw.normal(size=(k, 4)) for k in (500, 60, 800))
    rule = lambda rows, tilt: (rows[:, 0] + tilt * rows[:, 1] > 0).astype(int)  # noqa: E731
    source = estimator.fit(x, rule(x, 0.0))
    before = source.score(new, rule(new, 1.0))
    model = bridge.continued(source, t, rule(t, 1.0), rounds=5)
    assert model is not source and source.score(new, rule(new, 1.0)) == before
    assert model.score(new, rule(new, 1.0)) > before + 0.03


def test_features_of_an_encoder_in_a_pipeline():
    torch.manual_seed(0)
    encoder = encoders.wrap(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), 3).train()
    x, y, *_ = domains()
    x = x.astype(np.float32)
    pipeline = make_pipeline(bridge.features(encoder, batch_size=7), LogisticRegression()).fit(x, y)
    with torch.no_grad():
        expected = encoder(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(pipeline[:-1].transform(x), expected, atol=1e-6)
    assert encoder.training and clone(pipeline).fit(x, y).score(x, y) == pipeline.score(x, y)


@pytest.mark.parametrize(
    "make", [lambda: bridge.TrAdaBoost(LogisticRegression()), lambda: bridge.FeatureAugmentation(LogisticRegression())]
)
def test_names_as_labels_and_hostile_rows(make):
    x, y, t, yt, new, truth = domains()
    names = np.array(["no", "Ü"])
    assert (make().fit(x, names[y], t, names[yt]).predict(new) == names[truth]).mean() > 0.85
    assert make().fit(x.tolist(), y.tolist(), t.tolist(), yt.tolist()).predict(new.tolist()).shape == (600,)
    assert make().fit(x, y, t[:1], yt[:1]).predict(new).shape == (600,)
    with pytest.raises(ValueError, match="one label for each row"):
        make().fit(x, y[:-1], t, yt)
    with pytest.raises(ValueError, match="one label for each row"):
        make().fit(x, y, t[:0], yt[:0])
    with pytest.raises(ValueError, match="equal columns"):
        make().fit(x, y, t[:, :2], yt)
    with pytest.raises(ValueError, match="NaN"):
        make().fit(np.where(x > 2, np.nan, x), y, t, yt)


def test_estimators_that_do_not_fit_are_refused():
    x, y, *_ = domains()
    with pytest.raises(ValueError, match="must take `sample_weight`"):
        bridge.TrAdaBoost(KNeighborsClassifier())
    with pytest.raises(TypeError, match="to go on"):
        bridge.continued(LinearSVC().fit(x, y), x, y)
    with pytest.raises(ValueError, match="not fitted"):
        bridge.continued(LogisticRegression(), x, y)


def test_three_classes_and_the_global_state():
    draw = np.random.default_rng(0)
    x, t, new = (draw.normal(size=(k, 2)) for k in (300, 30, 300))
    rule = lambda rows: np.digitize(rows[:, 0], [-0.5, 0.5])  # noqa: E731
    before = np.random.get_state()[1].copy()
    model = bridge.TrAdaBoost(DecisionTreeClassifier(max_depth=2, random_state=0)).fit(x, rule(x), t, rule(t))
    assert (model.predict(new) == rule(new)).mean() > 0.9
    assert (np.random.get_state()[1] == before).all()
