"""The example of translation and tagging runs, and no document is on two sides."""

import json
import sys
from dataclasses import replace

import pytest
import torch

from adapt import datasets
from tests.examples.loaded import example_of

example = example_of("translation_tagging")


@pytest.mark.data
def test_quick_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(example, "QUICK", replace(example.QUICK, seeds=1, steps=2))
    monkeypatch.setattr(sys, "argv", ["translation_tagging.py", "--quick", "--out", str(tmp_path)])
    example.main()
    printed = capsys.readouterr().out
    assert printed.count("| uncertainty |") == 3 * 2 + 1  # three scores against two baselines, and delta-m
    assert printed.count("at the features, the tasks' gradients differ in length") == 1
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["quick"] and list(found["scores"]["scores"]) == ["tagging error", "cross-entropy", "chrF"]
    assert len(found["verdict"]["targets"][0]["scores"]) == 1 + len(example.BALANCES)
    assert (tmp_path / "report.png").read_bytes()[:4] == b"\x89PNG" and (tmp_path / "report.html").exists()


@pytest.mark.data
def test_a_document_is_on_one_side():
    names = sorted(set(documents := datasets.ud_pud().documents))
    document = torch.tensor([names.index(name) for name in documents])
    learn, test = example.parts(document, 0, 1000)
    assert len(learn) >= 500 and sorted([*learn.tolist(), *test.tolist()]) == list(range(1000))
    assert not set(document[learn].tolist()) & set(document[test].tolist())
    few, same = example.parts(document, 0, 100)
    assert torch.equal(few, learn[:100]) and torch.equal(same, test), "more sentences include the fewer"
