"""The example of accents runs; no target label is read by a method but the oracle."""

import sys
from types import SimpleNamespace

import numpy
import pytest
import torch

from tests.examples.loaded import example_of

example = example_of("accents")
pytestmark = pytest.mark.data


@pytest.fixture
def random_features(monkeypatch):
    """The encoder of words is not needed to see whether everything runs."""
    kept = example.features

    def features(synthetic, method):
        if method == example.NONE:
            return kept(synthetic, method)
        return torch.randn(len(example.recordings(synthetic)[1]), 8, generator=torch.Generator().manual_seed(0))

    monkeypatch.setattr(example, "features", features)


def test_quick_run(tmp_path, monkeypatch, capsys, random_features):
    monkeypatch.setattr(sys, "argv", ["accents.py", "--quick", "--out", str(tmp_path)])
    example.main()
    said = capsys.readouterr().out
    assert said.count("mean of 2 speakers") == 6 and "| jackson | words, centroids |" in said
    assert (tmp_path / "report.png").exists() and (tmp_path / "report.html").exists()


@pytest.mark.parametrize("method", [example.BASELINE, example.PROPAGATED, example.CENTROIDS, example.ORACLE])
def test_labels_of_the_target_are_read_by_the_oracle_alone(monkeypatch, random_features, method):
    waves, y, names, rate = example.recordings(False)
    given = []

    class Spied(example.LogisticRegression):
        def fit(self, x, labels):
            given.append(labels.tolist())
            return super().fit(x, labels)

    def propagated(x, labels, target):
        given.append(labels.tolist())
        return kept(x, labels, target)

    kept = example.transductive.label_propagation
    monkeypatch.setattr(example.transductive, "label_propagation", propagated)
    monkeypatch.setattr(example, "LogisticRegression", Spied)
    settings = example.Settings(share=0.5)
    before = example.scored(SimpleNamespace(task="American", method=method, seed=0), settings, {})
    assert [len(labels) for labels in given] == ([200, 200] if method == example.ORACLE else [400])
    target = torch.from_numpy(numpy.isin(names, example.TASKS["American"]))
    wrong = torch.where(target, 9 - y, y)
    monkeypatch.setattr(example, "recordings", lambda synthetic: (waves, wrong, names, rate))
    after = example.scored(SimpleNamespace(task="American", method=method, seed=0), settings, {})
    first, second = given[: len(given) // 2], given[len(given) // 2 :]
    assert before.n == after.n == 400 and (first == second) == (method != example.ORACLE)
