"""The blocks of docs/sklearn.md run one after the other; the first block is a table of your own in six lines."""

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn import config_context

BLOCKS = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[1] / "docs" / "sklearn.md").read_text(), flags=re.S)


def test_every_block_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("skada")
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    y = np.array(["cold", "warm"])[np.arange(80) % 2]
    X = draw.normal(size=(80, 3)) + 3 * (np.arange(80) % 2)[:, None]
    target = draw.normal(size=(60, 3)) + 3 * (np.arange(60) % 2)[:, None] + 1
    names = {"X": X, "y": y, "X_target": target}
    names |= {"rows": np.concatenate([X, target]), "numbers": np.repeat([1, -2], [80, 60])}
    names["labels"] = np.concatenate([np.arange(80) % 2, np.arange(60) % 2])
    for block in BLOCKS:
        with config_context(enable_metadata_routing="cross_validate" in block):
            exec(block.replace("random_state=0", "random_state=0, steps=30"), names)
    out = capsys.readouterr().out
    assert "{'method':" in out and "['ada']" in out and (tmp_path / "models" / "table" / "weights.safetensors").exists()


def test_a_table_of_your_own_in_six_lines():
    assert len([line for line in BLOCKS[0].splitlines() if line]) <= 6
