"""The example of tables of word vectors runs; no corpus of a table holds a text of its own task."""

import json
import sys

import pytest

from tests.examples.loaded import example_of

pytest.importorskip("transformers", reason="the extra `text`")
example = example_of("word_tables")
pytestmark = pytest.mark.data


def test_quick_run(tmp_path, monkeypatch, capsys):
    read = []
    learn = example.encoders.learn_word_vectors
    monkeypatch.setattr(
        example.encoders, "learn_word_vectors", lambda texts, dim: read.extend(texts) or learn(texts, dim)
    )
    monkeypatch.setattr(example.encoders, "contextual_word_vectors", lambda texts, *_: learn(texts, 5, least=2))
    monkeypatch.setattr(sys, "argv", ["word_tables.py", "--quick", "--out", str(tmp_path)])
    example.main()
    text = capsys.readouterr().out
    assert all(f"\n{task}: known words reviews" in text for task in example.TASKS) and "ranked first: " in text
    assert "\ngood\n  reviews: " in text and "MiniLM: " in text
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["quick"] and not found["failed"]["cells"]
    assert [len(target["scores"]) for target in found["verdict"]["targets"]] == [6, 6, 6]
    assert (tmp_path / "report.png").read_bytes()[:4] == b"\x89PNG" and (tmp_path / "report.html").exists()
    for name in example.TASKS:
        texts, y = example.task(name)
        assert len(texts) == len(set(texts)) == len(y) and not set(texts) & set(read)
