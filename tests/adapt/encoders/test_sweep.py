"""A few of the architectures of ``tests/sweep_encoders.py``: features, layers, adapters and merging are right."""

import pytest

from tests.sweep_encoders import FAST, FAST_TIMM, check_timm, check_transformer, outcome


@pytest.mark.parametrize("kind", FAST)
def test_a_model_of_transformers(kind):
    pytest.importorskip("transformers", reason="the extra `text`")
    found, note = outcome(check_transformer, kind)
    assert found == "right", note


@pytest.mark.parametrize("name", FAST_TIMM)
def test_a_model_of_timm(name):
    pytest.importorskip("timm", reason="the extra `vision`")
    found, note = outcome(check_timm, name)
    assert found == "right", note
