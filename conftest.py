"""For all tests: one thread, for they are small and share the machine; `data`; torch in the doctests."""

import os

import pytest
import torch

torch.set_num_threads(1)
collect_ignore = ["tests/mutate.py"]  # a script: it needs mutmut, which no test needs


def pytest_collection_modifyitems(items):
    """Skip the tests marked `data` where no folder of data sets is named."""
    if os.environ.get("ADAPT_DATA"):
        return
    skip = pytest.mark.skip(reason="set ADAPT_DATA to the folder of the data sets")
    for item in items:
        if item.get_closest_marker("data"):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _torch_in_doctests(doctest_namespace):
    doctest_namespace["torch"] = torch
