"""Drift in a stream: the statistic, false alarms, the delay, bounded memory, exact resume, and the reactions."""

import copy
import json
import pickle

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from adapt.transductive import Drift, StreamClassifier


def errors(seed, *parts):
    draw = np.random.default_rng(seed)
    return np.concatenate([draw.random(n) < p for n, p in parts]).astype(float)


def slow_alarm(e, threshold):
    """The first alarm over all splits, without blocks."""

    def likelihood(part):
        p = min(max(part.mean(), 1e-12), 1 - 1e-12)
        return part.sum() * np.log(p) + (len(part) - part.sum()) * np.log(1 - p)

    for n in range(2, len(e) + 1):
        rising = [k for k in range(1, n) if e[k:n].mean() > e[:k].mean()]
        best = max((likelihood(e[:k]) + likelihood(e[k:n]) - likelihood(e[:n]) for k in rising), default=0.0)
        if best > threshold:
            return n - 1
    return None


def test_the_statistic_is_the_likelihood_ratio():
    for seed in range(5):
        e = errors(seed, (60, 0.1), (60, 0.7))
        assert abs(Drift(threshold=6.0).update(e)[0].row - slow_alarm(e, 6.0)) <= 3  # blocks leave some splits out


def test_false_alarms_in_10_000_rows_and_the_delay():
    alarms = [len(Drift().update(errors(seed, (10_000, 0.1)))) for seed in range(3)]
    assert sum(alarms) <= 3
    for seed in range(5):
        found = Drift().update(errors(seed, (2000, 0.1), (300, 0.5)))
        assert len(found) == 1 and 2000 <= found[0].row < 2060
        assert abs(found[0].start - 2000) < 40 and found[0].after > 0.4 > 0.15 > found[0].before > 0.07


def test_a_falling_rate_gives_no_alarm():
    assert Drift().update(errors(1, (2000, 0.5), (2000, 0.05))) == []


def test_memory_is_bounded_and_the_window_forgets():
    drift = Drift(window=1000)
    drift.update(errors(0, (20_000, 0.2)))
    assert sum(drift.counts) <= 1000 and len(drift.counts) < 120 and drift.rows == 20_000
    free = Drift(threshold=1e9)
    free.update(errors(0, (10_000, 0.2)))
    assert len(free.counts) < 160 and sum(free.counts) == 10_000
    assert sum(free.sums) == errors(0, (10_000, 0.2)).sum()


def test_resume_is_exact_in_any_parts():
    e = errors(3, (500, 0.1), (400, 0.5), (500, 0.9))
    whole = Drift()
    expected = whole.update(e)
    assert len(expected) == 2
    found, drift = [], Drift()
    for part in np.split(e, [1, 7, 300, 520, 555, 900]):
        found += drift.update(part)
        state = json.loads(json.dumps(drift.state_dict()))
        drift = Drift()
        drift.load_state_dict(state)
    assert found == expected and drift.state_dict() == whole.state_dict()
    with pytest.raises(ValueError, match="state_dict of Drift"):
        drift.load_state_dict({"rows": 1})
    drift.reset()
    assert drift.update(e) == expected


def test_rows_without_a_label_count_for_the_number_alone():
    e = errors(4, (500, 0.1), (200, 0.8))
    with_gaps = np.full(2 * len(e), np.nan)
    with_gaps[::2] = e
    plain, gaps = Drift().update(e)[0], Drift().update(with_gaps)[0]
    assert gaps.row == 2 * plain.row and gaps[2:] == plain[2:]


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor, lambda v: torch.tensor(v).bfloat16()])
def test_kinds_of_errors(kind):
    e = errors(5, (300, 0.1), (100, 0.9)).tolist()
    expected = Drift().update(e)
    assert Drift().update(kind(e)) == expected
    assert Drift().update([bool(v) for v in e]) == expected and Drift().update(np.array(e, int)) == expected
    assert Drift().update([]) == [] and Drift().update([1.0]) == []


@pytest.mark.parametrize("wrong", [[2.0], [-0.1], [[0.0]], [np.inf], ["a"], 0.5])
def test_refused_errors(wrong):
    with pytest.raises(ValueError, match="`errors` must be"):
        Drift().update(wrong)


def test_river_adwin_waits_longer():
    river = pytest.importorskip("river.drift")
    delays = []
    for seed in range(5):
        e, adwin = errors(seed, (2000, 0.1), (1000, 0.3)), river.ADWIN()
        first = next(row for row, v in enumerate(e) if adwin.update(v) or adwin.drift_detected)
        delays.append((Drift().update(e)[0].row, first))
    assert np.mean(delays, 0)[0] <= np.mean(delays, 0)[1]


def stream(seed=0, n=1600, names=None):
    """Two clouds whose labels are exchanged in the middle."""
    draw = np.random.default_rng(seed)
    y = draw.integers(2, size=n)
    x = draw.normal(size=(n, 3)) + 2.0 * y[:, None]
    turned = np.where(np.arange(n) < n // 2, y, 1 - y)
    return x, turned if names is None else np.array(names)[turned]


def run(online, x, y, batch=40):
    hits, alarms, asked = [], [], 0
    for start in range(0, len(x), batch):
        rows = slice(start, start + batch)
        hits += (online.predict(x[rows]) == y[rows]).tolist()
        wanted = online.ask(x[rows])
        asked += len(wanted)
        alarms += online.learn(x[rows], wanted, y[rows][wanted])
    return np.array(hits), alarms, asked


def test_the_reactions_in_their_order():
    x, y = stream()
    after, asked = {}, {}
    for reaction in ("none", "adapt", "reset", "query"):
        online = StreamClassifier(LogisticRegression(), reaction=reaction).fit(x[:100], y[:100])
        hits, alarms, asked[reaction] = run(online, x[100:], y[100:])
        assert len(alarms) == 1 and hits[:600].mean() > 0.9
        after[reaction] = hits[700:].mean()
    assert after["none"] < after["reset"] - 0.2 and after["none"] < after["adapt"]
    assert after["query"] > 0.85 and after["query"] >= after["reset"]
    assert asked["query"] == asked["reset"] + 50


def test_an_interrupted_stream_goes_on_exactly():
    x, y = stream(names=["spam", "ham"])
    online = StreamClassifier(LogisticRegression(), audit=0.3, seed=4).fit(x[:100], y[:100])
    first, _, _ = run(online, x[100:700], y[100:700])
    copies = [pickle.loads(pickle.dumps(online)), copy.deepcopy(online)]
    expected = run(online, x[700:], y[700:])
    for other in copies:
        found = run(other, x[700:], y[700:])
        np.testing.assert_array_equal(found[0], expected[0])
        assert found[1:] == expected[1:]


def test_memory_and_the_global_state():
    x, y = stream()
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    online = StreamClassifier(LogisticRegression(), audit=1.0, memory=150, reaction="none").fit(x[:400], y[:400])
    run(online, x[400:], y[400:])
    assert len(online.x) == len(online.y) == len(online.weight) == len(online.when) == 150
    assert (np.random.get_state()[1] == before[0]).all() and torch.equal(torch.get_rng_state(), before[1])


def test_the_audit_alone_reaches_the_detector():
    x, y = stream()
    online = StreamClassifier(LogisticRegression(), audit=0.2).fit(x[:100], y[:100])
    online.owed = 20
    wanted = online.ask(x[100:200])
    online.learn(x[100:200], wanted, y[100:200][wanted])
    assert len(wanted) == len(online.audited) + 20 and online.detector.rows == len(online.audited)
    assert online.owed == 0


def test_hostile_streams():
    x, y = stream()
    with pytest.raises(TypeError, match="without predict_proba"):
        StreamClassifier(object.__new__(type("Model", (), {"fit": 0, "predict": 0})))
    with pytest.raises(ValueError, match="takes no `sample_weight`"):
        StreamClassifier(KNeighborsClassifier(), reaction="adapt")
    with pytest.raises(ValueError, match="must be one of none, adapt"):
        StreamClassifier(LogisticRegression(), reaction="forget")
    online = StreamClassifier(LogisticRegression())
    with pytest.raises(ValueError, match="call `fit`"):
        online.predict(x)
    online.fit(x[:50], y[:50])
    with pytest.raises(ValueError, match="one label for each of 2 rows"):
        online.learn(x, [0, 1], [1])
    with pytest.raises(ValueError, match=r"in \[0, 1600\)"):
        online.learn(x, [-1], [1])
    assert online.learn(x, [], []) == []
    online.ask(x[:1])
    assert online.learn(x[:1], [0], y[:1]) == []
