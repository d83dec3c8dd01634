"""The block of docs/series.md runs, with the imports that the page names."""

from datetime import timedelta

import numpy
import pandas
import torch
from sklearn.linear_model import Ridge

from adapt import datasets, report
from tests.pages import blocks_of, run_block


def test_the_block_runs(capsys):
    names = {"numpy": numpy, "pandas": pandas, "torch": torch, "timedelta": timedelta, "Ridge": Ridge}
    (block,) = blocks_of("series.md")
    run_block("series.md", 0, block, names | {"datasets": datasets, "report": report})
    assert "DieboldMariano" in capsys.readouterr().out
