"""The blocks of docs/training.md run one after the other."""

import re
import warnings
from pathlib import Path

import pytest
import torch

PAGE = (Path(__file__).parents[1] / "docs" / "training.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)


def test_every_block_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names = {}
    for number, block in enumerate(BLOCKS):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)
                exec(compile(block, f"block {number}", "exec"), names)
        except Exception as error:
            pytest.fail(f"block {number} of docs/training.md: {error!r}\n{block}")
    assert "accuracy" in capsys.readouterr().out


def test_every_callback_is_on_the_page():
    from adapt.engine import callbacks

    for name in set(callbacks.__all__) - {"Callback"}:
        assert f"callbacks.{name}" in PAGE, name
