"""The page of this package runs as written, with small data in place of the reader's."""

import re
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from adapt import Stream, Trainer, encoders, heads, multitask

PAGE = Path(__file__).parents[3] / "docs" / "multitask.md"


class Recordings(Dataset):
    """Rows of numbers with a digit and a speaker."""

    def __len__(self):
        return 256

    def __getitem__(self, i):
        return torch.randn(16, generator=torch.Generator().manual_seed(i)), {"digit": i % 10, "speaker": i % 6}


def test_the_page_runs_as_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the page writes into runs/speech
    torch.manual_seed(0)
    x = torch.randn(64, 16)
    data = {"translation": TensorDataset(x, x.sum(1)), "tagging": TensorDataset(x, (x[:, 0] > 0).long())}
    names = {
        "encoders": encoders, "heads": heads, "multitask": multitask, "Stream": Stream, "Trainer": Trainer,
        "body": nn.Sequential(nn.Linear(16, 64), nn.Tanh(), nn.Linear(64, 64)), "recordings": Recordings(),
        "decoder": heads.Regressor(64), "tagger": heads.Classifier(64, 2), "test": data["tagging"],
        "streams": {name: Stream(rows, 8) for name, rows in data.items()},
    }  # fmt: skip
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S):
        exec(block.replace("1_000", "3"), names)
        assert names["trainer"].step == 3
    assert {p.name for p in (tmp_path / "runs").iterdir()} == {"speech"}
    assert names["alone"](x).shape == (64, 64) and names["trainer"].evaluate(
        names["tagger"], data["tagging"], "tagging"
    )
