"""Other libraries as references: a test that needs an absent library is skipped, and the tests beside it run."""

import pytest


@pytest.fixture(scope="session")
def layers():
    """The losses of pytorch-adapt."""
    return pytest.importorskip("pytorch_adapt.layers")
