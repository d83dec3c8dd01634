"""The blocks of docs/test_time.md run, the page names every method, and the doctests of the room hold."""

import doctest
import importlib
import re
from pathlib import Path

import pytest
import torch

from adapt import transductive
from tests.adapt.transductive.small import batch, model

PAGE = (Path(__file__).parents[3] / "docs" / "test_time.md").read_text()


def test_the_blocks_run():
    names = {"model": model(), "batch": batch(6)}
    for code in re.findall(r"```python\n(.*?)```", PAGE, flags=re.S):
        exec(code, names)
    assert names["adapter"].adapted == 0 and names["adapter"](names["batch"]).shape == (6, 4)
    torch.testing.assert_close(transductive.Online(names["model"])(batch(6)).exp().sum(1), torch.ones(6))


def test_every_name_is_on_the_page():
    methods = ("adabn", "tent", "eata", "sar", "roid", "rdumb", "lame", "t3a")
    for name in (*methods, "Online", "Guard", "Clock", "arrivals"):
        assert f"transductive.{name}" in PAGE
    for kind in transductive.ARRIVALS:
        assert f'"{kind}"' in PAGE


@pytest.mark.parametrize("name", ["_online"])
def test_doctests(name):
    found = doctest.testmod(importlib.import_module(f"adapt.transductive.{name}"))
    assert found.attempted and not found.failed
