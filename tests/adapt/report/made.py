"""Experiments made by hand: the truth is known, so a page must name it."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from adapt.heads import Score
from adapt.report import Data, Experiment, Record, Rows

CLASSES = 4


def experiment(records, methods, **more):
    """An experiment of hand-made records."""
    given = dict(tasks=[""], budgets=[None], seeds=sorted({r.seed for r in records}), baseline=methods[0], oracle=[],
                 data={"": None}, settings={}, quick=False, folder=Path("runs/made"), metric="accuracy",
                 higher_is_better=True)  # fmt: skip
    return Experiment(records, methods, **given | more)


def rows(rng, accuracy, *, n=240, confidence=0.9, features=None, bad_group=None, groups=None):
    labels = np.arange(n) % CLASSES
    keep = rng.random(n) < accuracy
    if bad_group is not None:
        keep &= (groups != bad_group) | (rng.random(n) < 0.35)
    told = np.where(keep, labels, (labels + 1 + rng.integers(0, CLASSES - 1, n)) % CLASSES)
    logits = rng.normal(0, 0.3, (n, CLASSES))
    high = np.log(confidence * (CLASSES - 1) / (1 - confidence))
    logits[np.arange(n), told] += high
    centres = np.eye(CLASSES, 8)[labels] * 3
    return Rows(logits, labels, (centres + rng.normal(size=(n, 8)) + (features or 0)).astype(np.float32))


def record(method, seed, value, *, task="", budget=None, rng, metric="accuracy", higher=True, harm=None, groups=None,
           confidence=None, shift=0.0, seconds=10.0, steps=600,
           seen="no", kept=True, fall=60, judge=None):  # fmt: skip
    if higher:
        test = rows(rng, value, confidence=confidence or value, bad_group=harm, groups=groups, features=shift)
        found = float((test.outputs.argmax(1) == test.labels).mean())
        source = rows(rng, 0.97, confidence=0.97)
        parts = {"test": test, "target": test._replace(labels=None), "source": source} if kept else {}
    else:
        found, parts = value, {}
    at = np.arange(0, steps + 1, 25)
    curve = found * (1 - np.exp(-at / 150)) + rng.normal(0, 0.01, len(at))
    loss = 2.3 * np.exp(-at / fall) + 0.2 + rng.normal(0, 0.005, len(at))
    curves = {f"{metric}/target": list(zip(at, curve, strict=True)), "loss/total": list(zip(at, loss, strict=True))}
    if judge is not None:
        curves["domain_accuracy/dann"] = [(x, judge + rng.normal(0, 0.01)) for x in at]
    return Record(
        method, task, seed, budget,
        scores={metric: Score(metric, found, found - 0.05, found + 0.05, 240, higher)},
        curves=curves,
        rows=parts,
        cost={"seconds": seconds + rng.random(), "processor_seconds": seconds, "peak_memory": 3e8, "parameters": 52_000,
              "device_memory": None, "energy": None, "why": {"energy": "no meter"}},
        provenance={"encoder": "small_conv", "weights": {"source": "random"}, "seed": seed,
                    "target labels": {"seen": seen, "by": []}, "versions": {"torch": "2.15.0"}},
    )  # fmt: skip


def planted(seeds=5, quick=False, kept=True):
    """One target, groups, a method that helps, one that harms, one that harms a group, one that is overconfident."""
    rng = np.random.default_rng(0)
    group = np.array(["day", "night"])[(np.arange(240) // CLASSES) % 2]
    truth = {
        "source only": dict(value=0.7),
        "DANN": dict(value=0.85, shift=0.2, judge=0.96),
        "collapsing": dict(value=0.45),
        "day only": dict(value=0.9, harm="night", groups=group, fall=400),
        "sure of itself": dict(value=0.72, confidence=0.995),
        "target only": dict(value=0.95, seen="yes"),
    }
    records = [
        record(m, s, rng=rng, seconds=10 + 5 * k, kept=kept, **how)
        for s in range(seeds)
        for k, (m, how) in enumerate(truth.items())
    ]
    return experiment(records, list(truth), oracle=["target only"], quick=quick,
                data={"": Data(groups={"light": group}, names=["circle", "square", "star", "cross"])})  # fmt: skip


def renamed(r, **new):
    return replace(r, **new)


def only(e, methods):
    oracle = [m for m in e.oracle if m in methods]
    return replace(e, records=[r for r in e.records if r.method in methods], methods=methods, oracle=oracle)


def many(methods, tasks, *, seeds=3, long_names=False):
    """Many methods and targets; the first method is the baseline, and the last one harms."""
    rng = np.random.default_rng(0)
    tail = " of a method with a name that nobody wanted to shorten" if long_names else ""
    names = ["source only", *(f"method-{k:02d}{tail}" for k in range(1, methods))]
    places = [f"target-{k:02d}{'_without_a_place_to_break' * long_names}" for k in range(tasks)] if tasks > 1 else [""]
    records = [
        record(m, s, 0.3 if k == methods - 1 else min(0.6 + 0.01 * k, 0.95), task=t, rng=rng, kept=False)
        for s in range(seeds) for t in places for k, m in enumerate(names)
    ]  # fmt: skip
    return experiment(records, names, tasks=places, data=dict.fromkeys(places))
