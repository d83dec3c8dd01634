"""The blocks of docs/active.md run one after the other."""

import re
from pathlib import Path

import matplotlib
import torch

from adapt.fewshot import strategies

matplotlib.use("Agg")
PAGE = (Path(__file__).parents[1] / "docs" / "active.md").read_text()


def test_the_blocks_run():
    from matplotlib import pyplot

    g = torch.Generator().manual_seed(0)
    rows, labels = torch.randn(60, 5, generator=g), torch.arange(60) % 3
    names = {"axes": pyplot.figure().subplots(), "labels": labels, "test_features": rows, "test_labels": labels}
    names |= {"features": torch.randn(60, 5, generator=g), "probabilities": torch.rand(60, 3, generator=g).softmax(1)}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        exec(block, names)
    assert names["rows"].shape == (20,) and names["first"].shape == (10,)
    assert set(names["found"].accuracy) == {"random", "margin", "typiclust"}
    pyplot.close("all")


def test_every_strategy_has_a_row():
    assert not [name for name in strategies.__all__ if f'| `"{name}"` |' not in PAGE]
