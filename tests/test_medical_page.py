"""The block of docs/medical.md runs, with the imports that the page names."""

import torch
from sklearn.linear_model import LogisticRegression
from torch.utils.data import TensorDataset

from adapt import datasets, encoders, inductive
from adapt.transductive import LabelShift
from tests.pages import blocks_of, run_block


def test_the_block_runs(capsys):
    names = {"torch": torch, "LogisticRegression": LogisticRegression, "TensorDataset": TensorDataset}
    names |= {"datasets": datasets, "encoders": encoders, "inductive": inductive, "LabelShift": LabelShift}
    (block,) = blocks_of("medical.md")
    run_block("medical.md", 0, block, names)
    assert capsys.readouterr().out.startswith("[]")
