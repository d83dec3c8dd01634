"""A bridge to an absent library says which line installs it."""

import sys

import pytest

from adapt import bridges


@pytest.mark.parametrize("name", ["pytorch_adapt", "pytorch_adapt.hooks", "pkg_resources"])
def test_pytorch_adapt(monkeypatch, name):
    for loaded in [m for m in sys.modules if m.split(".")[0] in ("pytorch_adapt", "torchmetrics")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    with pytest.raises(ImportError, match=r'pip install "adapt-losses\[pytorch-adapt\]"'):
        bridges.pytorch_adapt.hook(object())
