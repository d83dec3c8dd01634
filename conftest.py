"""For all tests: one thread, since they are small and share the machine; torch in the doctests."""

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _torch_in_doctests(doctest_namespace):
    doctest_namespace["torch"] = torch
