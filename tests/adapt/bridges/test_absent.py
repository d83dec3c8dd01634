"""A bridge to an absent library says which line installs it."""

import sys

import pytest
import sklearn
import torch

from adapt import bridges


@pytest.mark.parametrize("name", ["pytorch_adapt", "pytorch_adapt.hooks", "pkg_resources"])
def test_pytorch_adapt(monkeypatch, name):
    for loaded in [m for m in sys.modules if m.split(".")[0] in ("pytorch_adapt", "torchmetrics")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    with pytest.raises(ImportError, match=r'pip install "adapt-losses\[pytorch-adapt\]"'):
        bridges.pytorch_adapt.hook(object())


def test_skada(monkeypatch):
    routing = sklearn.get_config()["enable_metadata_routing"]
    monkeypatch.setitem(sys.modules, "skada", None)
    with pytest.raises(ImportError, match=r'needs skada: `pip install "adapt-losses\[classical\]"`'):
        bridges.skada.run(["coral"], torch.randn(4, 2), torch.arange(4) % 2, torch.randn(4, 2))
    assert sklearn.get_config()["enable_metadata_routing"] == routing


def test_torchjd(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchjd.aggregation", None)
    with pytest.raises(ImportError, match=r'needs torchjd: `pip install "adapt-losses\[multitask\]"`'):
        bridges.torchjd(torch.nn.Identity())
