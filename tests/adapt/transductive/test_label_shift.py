"""Label shift: values of quapy and of slow references, the rate of the error, the guard, and hostile inputs."""

import copy
import pickle
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
import torch

from adapt.transductive import LabelShift, calibrate, shares

K = 4


def clouds(n, q, seed, distance=2.0):
    """Exact probabilities of Gaussian clouds for equal shares, and the classes."""
    draw = np.random.default_rng(seed)
    means = np.random.default_rng(7).normal(size=(len(q), 3)) * distance
    y = draw.choice(len(q), size=n, p=q)
    x = means[y] + draw.normal(size=(n, 3))
    z = -0.5 * ((x[:, None] - means) ** 2).sum(2)
    return calibrate.softmax(z), y


P, Y = clouds(800, np.full(K, 0.25), 0, 1.2)
Q = np.array([0.6, 0.3, 0.1, 0.0])
T, _ = clouds(500, Q, 1, 1.2)
SOURCE = np.bincount(Y) / len(Y)


def slow_em(p, prior):
    q = prior.copy()
    for _ in range(20_000):
        r = p * (q / prior)
        q = (r / r.sum(1, keepdims=True)).mean(0)
    return q


def test_em_is_the_fixed_point_of_the_plain_rounds():
    np.testing.assert_allclose(shares.em(T, SOURCE), slow_em(T, SOURCE), atol=1e-6)


def test_the_solutions_of_quapy_to_1e_6():
    quapy = pytest.importorskip("quapy")
    ag = quapy.method.aggregative
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ag.EMQ.MAX_ITER, most = 50_000, ag.EMQ.MAX_ITER
        em = ag.EMQ.EM(SOURCE, T, epsilon=1e-13)[0]
        ag.EMQ.MAX_ITER = most
    classes = np.arange(K)
    solve = ag.ACC.solve_adjustment
    soft = ag.PACC.getPteCondEstim(classes, Y, P)
    hard = ag.ACC.getPteCondEstim(classes, Y, P.argmax(1))
    how = {"method": "inversion", "solver": "exact-raise"}
    counted = np.bincount(T.argmax(1), minlength=K) / len(T)
    clip = quapy.functional.normalize_prevalence
    expected = {
        "em": em,
        "bbse": clip(solve(soft, T.mean(0), **how), method="clip"),
        "bbse_hard": clip(solve(hard, counted, **how), method="clip"),
    }
    for method, q in expected.items():
        ours = LabelShift(P, Y, method=method, calibration="none").estimate(T).estimate
        np.testing.assert_allclose(ours, q, atol=1e-6, err_msg=method)


@pytest.mark.parametrize("method", ["bbse", "bbse_hard"])
def test_bbse_solves_the_joint_confusion_of_the_paper(method):
    f = (lambda p: p) if method == "bbse" else lambda p: np.eye(K)[p.argmax(1)]
    C = sum(np.outer(f(P)[i], np.eye(K)[Y[i]]) for i in range(len(Y))) / len(Y)  # Lipton et al.: C w = mean, q = p w
    q = np.maximum(SOURCE * np.linalg.solve(C, f(T).mean(0)), 0)
    ours = LabelShift(P, Y, method=method, calibration="none").estimate(T).estimate
    np.testing.assert_allclose(ours, q / q.sum(), atol=1e-9)


@pytest.mark.parametrize("factor", [1.0, 300.0])
def test_rlls_minimises_its_objective(factor, monkeypatch):
    monkeypatch.setattr(shares, "ALPHA", shares.ALPHA * factor)  # the second penalty leaves the exact solution
    hard, n = np.eye(K)[P.argmax(1)], len(P)
    A, mean = shares.means_by_class(hard, Y, K), np.eye(K)[T.argmax(1)].mean(0)
    C, b = A * SOURCE, mean - (A * SOURCE).sum(1)
    log = np.log(2 * K / 0.05)
    rho = shares.ALPHA * 3 * (2 * log / (3 * n) + np.sqrt(2 * log / n))

    def objective(t):
        return np.linalg.norm(C @ t - b) + rho * np.linalg.norm(t)

    starts = (np.zeros(K) + 1e-3, np.linalg.solve(C, b))
    tight = {"xatol": 1e-11, "fatol": 1e-15, "maxiter": 20_000, "maxfev": 20_000}
    best = min((scipy.optimize.minimize(objective, s, method="Nelder-Mead", options=tight) for s in starts),
               key=lambda found: found.fun)  # fmt: skip
    w = np.maximum(SOURCE * (1 + best.x), 0)
    np.testing.assert_allclose(shares.rlls(A, mean, SOURCE, n), w / w.sum(), atol=1e-5)


def test_bias_correction_has_the_least_cross_entropy():
    distorted = calibrate.softmax(2.5 * np.log(P) + np.array([0.0, 1.0, -1.0, 0.5]))
    fitted = calibrate.bias_corrected(distorted, Y)(distorted)
    z = calibrate.logits_of(distorted)

    def cross_entropy(w):
        return -np.log(calibrate.softmax(w[0] * z + w[1:])[np.arange(len(Y)), Y]).mean()

    best = scipy.optimize.minimize(cross_entropy, np.eye(1, K + 1)[0], method="BFGS", options={"gtol": 1e-8})
    assert -np.log(fitted[np.arange(len(Y)), Y]).mean() == pytest.approx(best.fun, abs=1e-7)
    np.testing.assert_allclose(fitted.mean(0), SOURCE, atol=1e-5)  # at the minimum the means are the shares
    temperature = calibrate.temperature(distorted, Y)(distorted)
    raw, warm, corrected = (
        -np.log(p[np.arange(len(Y)), Y]).mean() for p in (distorted, temperature, fitted)
    )  # fmt: skip
    assert corrected < warm < raw


@pytest.mark.parametrize("method", ["em", "bbse", "bbse_hard", "rlls"])
def test_the_error_falls_with_the_root_of_the_rows(method):
    """100 times the rows on both sides: a tenth of the error, and of the length of the interval."""
    errors, lengths = [], []
    for n in (200, 20_000):
        gaps, inside = [], []
        for seed in range(8):
            p, y = clouds(n, np.full(K, 0.25), 100 + seed, 1.2)
            found = LabelShift(p, y, method=method).estimate(clouds(n, [0.4, 0.3, 0.2, 0.1], 200 + seed, 1.2)[0])
            gaps.append(found.estimate - [0.4, 0.3, 0.2, 0.1])
            inside.append((found.low <= [0.4, 0.3, 0.2, 0.1]) & ([0.4, 0.3, 0.2, 0.1] <= found.high))
            lengths.append((found.high - found.low).mean())
        errors.append(np.sqrt(np.mean(np.square(gaps))))
        assert 0.8 <= np.mean(inside)  # of 32 intervals of 95 %
    assert 6 < errors[0] / errors[1] < 16
    assert np.mean(lengths[:8]) / np.mean(lengths[8:]) == pytest.approx(10, rel=0.2)


def test_the_intervals_hold_the_truth():
    q = np.array([0.15, 0.25, 0.2, 0.4])
    inside = []
    for seed in range(150):
        p, y = clouds(300, np.full(K, 0.25), 1000 + seed, 1.2)
        found = LabelShift(p, y).estimate(clouds(200, q, 5000 + seed, 1.2)[0])
        inside.append((found.low <= q) & (q <= found.high))
    assert 0.91 < np.mean(inside) < 0.99


def test_correction_gains_where_shares_differ_and_abstains_where_not():
    estimator = LabelShift(P, Y)
    t, y = clouds(2000, [0.7, 0.2, 0.05, 0.05], 3, 1.2)
    found = estimator.estimate(t)
    assert found.shifted and found.p < 1e-6 and found.reason == ""
    assert (found.correct(t).argmax(1) == y).mean() > (t.argmax(1) == y).mean() + 0.04
    between = (found.target - found.source) / (found.estimate - found.source)
    assert np.ptp(between) < 1e-6 and 0.5 < between[0] < 1  # on the line from the source to the estimate
    abstained = 0
    for seed in range(20):
        t, y = clouds(200, SOURCE, 50 + seed, 1.2)
        none = estimator.estimate(t)
        abstained += not none.shifted
        if not none.shifted:
            assert none.reason and (none.weights == 1).all() and (none.target == none.source).all()
            np.testing.assert_allclose(none.correct(t), t, atol=1e-12)
    assert abstained >= 18


def test_the_guard_harms_less_than_no_guard():
    harmed = {True: 0, False: 0}
    for seed in range(60):
        t, y = clouds(100, SOURCE, 300 + seed, 0.8)
        p, labels = clouds(400, SOURCE, 600 + seed, 0.8)
        for guard in harmed:
            after = LabelShift(p, labels, guard=guard).estimate(t).correct(t).argmax(1) == y
            harmed[guard] += after.mean() < (t.argmax(1) == y).mean() - 0.0101
    assert harmed[True] <= 1 and harmed[False] >= 15


def test_the_risk_refuses_a_correction_that_the_source_rows_do_not_support():
    """Probabilities that are wrong in just the rows that the correction changes."""
    draw = np.random.default_rng(0)
    p = np.r_[np.tile([0.95, 0.05], (300, 1)), np.tile([0.55, 0.45], (60, 1)), np.tile([0.05, 0.95], (300, 1))]
    y = np.r_[np.zeros(300), (draw.random(60) < 0.1), np.ones(300)].astype(int)
    t = np.r_[np.tile([0.95, 0.05], (20, 1)), np.tile([0.55, 0.45], (60, 1)), np.tile([0.05, 0.95], (120, 1))]
    plain = {"calibration": "none", "method": "bbse"}
    assert "costs more than 1%" in LabelShift(p, y, **plain).estimate(t).reason
    assert LabelShift(p, y, risk=0.999999, **plain).estimate(t).shifted


def test_weights_serve_a_new_training():
    from sklearn.linear_model import LogisticRegression

    draw = np.random.default_rng(0)
    means = np.array([[0.0, 0.0], [1.5, 0.0]])

    def rows(n, share):
        y = (draw.random(n) < share).astype(int)
        return means[y] + draw.normal(size=(n, 2)), y

    (x, y), (held, labels), (new, truth) = rows(500, 0.5), rows(500, 0.5), rows(2000, 0.9)
    model = LogisticRegression().fit(x, y)
    found = LabelShift(model.predict_proba(held), labels, classes=model.classes_).estimate(model.predict_proba(new))
    again = LogisticRegression().fit(x, y, sample_weight=found.weights[y])
    assert again.score(new, truth) > model.score(new, truth) + 0.04


@pytest.mark.parametrize(("K", "calibration"), [(2, "bias_corrected"), (60, "bias_corrected"), (1000, "none")])
def test_two_and_a_thousand_classes(K, calibration):
    draw = np.random.default_rng(0)
    y = np.tile(np.arange(K), 5)
    p = 0.5 * np.eye(K)[y] + 0.5 * draw.dirichlet(np.ones(K), len(y))
    found = LabelShift(p, y, calibration=calibration).estimate(p[y < K // 2][:500])
    assert found.estimate.shape == (K,) and found.estimate.sum() == pytest.approx(1)
    assert np.isfinite(found.correct(p)).all()


@pytest.mark.parametrize(
    "labels",
    [Y.tolist(), Y.astype(np.uint8), Y.astype(np.int16), Y.astype(float), torch.tensor(Y), torch.tensor(Y).short()],
    ids=["list", "uint8", "int16", "whole floats", "tensor", "short"],
)
def test_every_kind_of_label(labels):
    np.testing.assert_array_equal(
        LabelShift(P, labels).estimate(T).estimate, LabelShift(P, Y).estimate(T).estimate
    )  # fmt: skip


def test_names_missing_labels_and_other_kinds_of_rows():
    names = ["Ünder", "b", "c", "d"]
    expected = LabelShift(P, Y).estimate(T)
    named = LabelShift(P.tolist(), [names[k] for k in Y], classes=np.array(names)).estimate(T)
    np.testing.assert_array_equal(named.estimate, expected.estimate)
    missing = LabelShift(np.r_[P, P[:50]], np.r_[Y, np.full(50, -1)]).estimate(np.asfortranarray(T))
    np.testing.assert_allclose(missing.estimate, expected.estimate, atol=1e-12)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        rows = torch.tensor(T, dtype=dtype, requires_grad=True)
        np.testing.assert_allclose(LabelShift(P, Y).estimate(rows).estimate, expected.estimate, atol=0.01)
    np.testing.assert_array_equal(LabelShift(P, Y).estimate(T[::-1][::-1]).estimate, expected.estimate)
    two = LabelShift(P[:, :2] / P[:, :2].sum(1, keepdims=True), Y > 1).estimate([[True, False]] * 9)
    assert two.estimate.shape == (2,)


@pytest.mark.parametrize(
    ("p", "y", "message"),
    [
        (np.where(P > 0.5, np.nan, P), Y, "must be finite"),
        (P * 2, Y, "sum to 1"),
        (P - 0.3, Y, "at least 0"),
        (P[:, 0], Y, "real numbers"),
        (P[:0], Y[:0], "n >= 1"),
        (P[:, :1], Y, "at least 2"),
        (P, Y[:-1], "one label for each"),
        (P, Y + 1, r"in \[0, 4\)"),
        (P, Y - 2, r"in \[0, 4\)"),
        (P, Y + 0.5, "whole numbers"),
        (P, np.full(len(Y), np.nan), "whole numbers"),
        (P, np.array(list("abcd"))[Y], "give `classes`"),
        (P, np.full(len(Y), -1), "all missing"),
    ],
)
def test_hostile_source(p, y, message):
    with pytest.raises(ValueError, match=message):
        LabelShift(p, y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "EM"}, "`method` must be one of em"),
        ({"method": ["em"]}, "`method` must be one of em"),
        ({"calibration": None}, "`calibration` must be one of"),
        ({"level": 0}, "between 0 and 1"),
        ({"risk": True}, "between 0 and 1"),
        ({"guard": 1}, "True or False"),
        ({"classes": ["a", "b"]}, "must name the 4 columns"),
        ({"classes": list("aabc")}, "each with another name"),
        ({"classes": list("abcd")}, "must be among"),
    ],
)
def test_refused_options(options, message):
    with pytest.raises(ValueError, match=message):
        LabelShift(P, Y, **options)


def test_few_rows_and_outputs_that_tell_nothing_abstain():
    assert "5 are needed" in LabelShift(P, Y).estimate(T[:4]).reason
    assert "5 are needed" in LabelShift(P[Y < 3], Y[Y < 3]).estimate(T).reason  # an empty class
    same = np.full((100, 2), 0.5)
    for method in ("em", "bbse", "bbse_hard", "rlls"):
        found = LabelShift(same, np.arange(100) % 2, method=method).estimate(same)
        assert not found.shifted and np.isfinite(found.target).all()
    with pytest.raises(ValueError, match="4 columns"):
        LabelShift(P, Y).estimate(T[:, :3])
    assert LabelShift(P, Y).estimate(np.tile(T[:1], (50, 1))).estimate.sum() == pytest.approx(1)  # duplicates


def test_certain_and_wrong_probabilities_stay_finite():
    hard = np.eye(3)[np.random.default_rng(0).integers(3, size=300)]
    y = np.random.default_rng(1).integers(3, size=300)
    for calibration in ("bias_corrected", "temperature", "none"):
        for method in ("em", "bbse", "bbse_hard", "rlls"):
            found = LabelShift(hard, y, method=method, calibration=calibration, guard=False).estimate(hard[:40])
            assert np.isfinite(found.estimate).all() and np.isfinite(found.correct(hard)).all()


def test_nothing_global_is_touched_and_the_estimator_can_be_copied():
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    estimator = LabelShift(P, Y)
    for other in (pickle.loads(pickle.dumps(estimator)), copy.deepcopy(estimator)):
        np.testing.assert_array_equal(other.estimate(T).correct(T), estimator.estimate(T).correct(T))
    pickle.loads(pickle.dumps(estimator.estimate(T))).correct(T)
    assert (np.random.get_state()[1] == before[0]).all() and torch.equal(torch.get_rng_state(), before[1])
    assert "corrected" in str(estimator.estimate(T)) and "0: 0.2" in str(estimator.estimate(T))


def test_the_block_of_the_page_runs():
    page = (Path(__file__).parents[3] / "docs" / "label_shift.md").read_text()
    given = {"probabilities": P, "labels": Y, "target_probabilities": T}
    exec(re.search("```python\n(.*?)```", page, re.DOTALL)[1], given)
    assert given["shares"].shifted and given["corrected"].shape == T.shape and len(given["sample_weight"]) == len(Y)
