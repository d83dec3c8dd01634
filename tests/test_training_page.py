"""The blocks of docs/training.md run one after the other."""

import torch

from tests.pages import DOCS, blocks_of, run_block

PAGE = "training.md"


def test_every_block_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names = {}
    for number, block in enumerate(blocks_of(PAGE)):
        run_block(PAGE, number, block, names)
    assert "accuracy" in capsys.readouterr().out


def test_every_callback_is_on_the_page():
    from adapt.engine import callbacks

    text = (DOCS / PAGE).read_text()
    for name in set(callbacks.__all__) - {"Callback"}:
        assert f"callbacks.{name}" in text, name
