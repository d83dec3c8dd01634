"""The block of docs/sensors.md runs, with the imports that the page names."""

import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from torch.utils.data import TensorDataset

from adapt import datasets, heads, report
from tests.pages import blocks_of, run_block


def test_the_block_runs(capsys):
    torch.manual_seed(0)
    names = {"torch": torch, "TensorDataset": TensorDataset, "datasets": datasets, "heads": heads, "report": report}
    (block,) = blocks_of("sensors.md")
    run_block("sensors.md", 0, block, names | {"HistGradientBoostingClassifier": HistGradientBoostingClassifier})
    said = capsys.readouterr().out
    assert said.startswith("[]") and "n = 3" in said
