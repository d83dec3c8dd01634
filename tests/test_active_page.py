"""The blocks of docs/active.md and docs/verification.md run one after the other."""

import matplotlib
import torch

from adapt import datasets, report
from adapt.fewshot import strategies
from tests.pages import DOCS, blocks_of, run_block

matplotlib.use("Agg")


def test_the_blocks_run():
    from matplotlib import pyplot

    g = torch.Generator().manual_seed(0)
    rows, labels = torch.randn(60, 5, generator=g), torch.arange(60) % 3
    names = {"axes": pyplot.figure().subplots(), "labels": labels, "test_features": rows, "test_labels": labels}
    names |= {"features": torch.randn(60, 5, generator=g), "probabilities": torch.rand(60, 3, generator=g).softmax(1)}
    for number, block in enumerate(blocks_of("active.md")):
        run_block("active.md", number, block, names)
    assert names["rows"].shape == (20,) and names["first"].shape == (10,)
    assert set(names["found"].accuracy) == {"random", "margin", "typiclust"}
    pyplot.close("all")


def test_every_strategy_has_a_row():
    assert not [name for name in strategies.__all__ if f'| `"{name}"` |' not in (DOCS / "active.md").read_text()]


def test_the_blocks_on_verification_run():
    from matplotlib import pyplot

    rows = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    names = {"features": rows, "identities": torch.arange(60) // 3, "axes": pyplot.figure().subplots()}
    names |= {"new_features": rows[:4], "other_features": rows[:4]}
    names |= {"similarities": rows[:, 0], "labels": torch.arange(60) % 2, "report": report, "datasets": datasets}
    names |= {"first": [f"a{i // 2}" for i in range(60)], "second": [f"b{i}" for i in range(60)]}
    for number, block in enumerate(blocks_of("verification.md")):
        run_block("verification.md", number, block, names)
    assert names["found"].accepts(rows[:4], rows[:4], 0.01).all()
    pyplot.close("all")
