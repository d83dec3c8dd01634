"""LEEP of probabilities, and the identities that join LEEP and NCE."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adapt import ranking
from tests.adapt.ranking.references import slow_leep, slow_nce
from tests.adapt.ranking.rows import blobs, entropy, normal, softmax_rows


def test_heads_equal_slow_references():
    _, y = blobs()
    p = softmax_rows()
    sample = ranking.Sample(normal(60, 2), y, source=p)
    assert ranking.leep(sample).mean().item() == pytest.approx(slow_leep(p, y), abs=1e-12)
    assert ranking.nce(sample).mean().item() == pytest.approx(slow_nce(p, y), abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_leep_of_rounded_probabilities_is_that_of_rows_that_sum_to_one(dtype):
    _, y = blobs()
    p = softmax_rows().to(dtype)
    sample = ranking.Sample(normal(60, 2), y, source=p)
    assert sample.source.data_ptr() == p.data_ptr()  # looked at, not copied
    p = p.double() / p.double().sum(1, keepdim=True)
    assert ranking.leep(sample).mean().item() == pytest.approx(slow_leep(p, y), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(3, 30),
    z=st.integers(1, 6),
    classes=st.integers(2, 4),
    sharpness=st.floats(0, 30),
    seed=st.integers(0, 99),
)
def test_leep_and_nce_identities(n, z, classes, sharpness, seed):
    y = torch.cat([torch.arange(2), torch.randint(classes, (n - 2,), generator=torch.Generator().manual_seed(seed))])
    p = softmax_rows(n, z, seed, sharpness)
    sample = ranking.Sample(normal(n, 2), y, source=p)
    leep, nce = ranking.leep(sample).mean().item(), ranking.nce(sample).mean().item()
    # leep is the likelihood after one round of EM that starts at -H(Y)
    assert -entropy(y) - 1e-9 <= leep <= 1e-9
    assert -entropy(y) - 1e-9 <= nce <= 1e-9
    hard = torch.nn.functional.one_hot(p.argmax(1), z).double()
    assert ranking.leep(ranking.Sample(normal(n, 2), y, source=hard)).mean().item() == pytest.approx(nce, abs=1e-12)
    flat = torch.full((n, z), 1 / z).double()
    assert ranking.leep(ranking.Sample(normal(n, 2), y, source=flat)).mean().item() == pytest.approx(
        -entropy(y), abs=1e-9
    )
    wider = torch.cat([p.flip(1), torch.zeros(n, 2).double()], 1)  # other order, classes nobody answers
    assert ranking.leep(ranking.Sample(normal(n, 2), y, source=wider)).mean().item() == pytest.approx(leep, abs=1e-9)
