"""LogME where published code fails, at the bound of the noise, and of values."""

import numpy
import pytest
import torch

from adapt import ranking
from tests.adapt.ranking.references import slow_evidence, slow_logme
from tests.adapt.ranking.rows import blobs, normal


def relu_features():
    return (1000 * normal(100, 768).relu()).float()


Y4 = torch.arange(100) % 4


LOGME = {
    "more features than rows": (normal(100, 768), Y4),
    "rank deficient": (normal(100, 5) @ normal(5, 64, seed=1), Y4),
    "rank deficient, signal": (blobs(100, 6, 4, signal=2.0)[0] @ normal(6, 40, seed=1), blobs(100, 6, 4)[1]),
    "scale 1000, float32": (relu_features(), Y4),
    "scale 1e-5": (1e-5 * normal(100, 30), Y4),
    "a missing class": (normal(100, 64), torch.where(Y4 == 2, 3, Y4)),
    "signal": blobs(100, 20, 4, signal=2.0),
}


@pytest.mark.parametrize("case", LOGME)
def test_logme_is_the_exact_maximum(case):
    F, y = LOGME[case]
    assert ranking.logme(ranking.Sample(F, y)).item() == pytest.approx(slow_logme(F, y), abs=1e-5)


def test_logme_of_separable_rows_is_that_with_the_least_noise():
    y = blobs(40)[1]
    F = torch.nn.functional.one_hot(y, 3).double() @ normal(3, 20)
    ours = ranking.logme(ranking.Sample(F, y)).item()
    assert ours == pytest.approx(slow_logme(F, y, noise=1e-6), abs=1e-5)
    assert ranking.logme(ranking.Sample(F, y), noise=1e-3).item() < ours < 7


def test_logme_of_values():
    F = normal(50, 8)
    t = torch.stack([F @ normal(8, seed=1) + normal(50, seed=2), 5 + normal(50, seed=3)], 1)
    slow = numpy.mean([slow_evidence(F, t[:, 0]), slow_evidence(F, t[:, 1])])
    assert ranking.logme(ranking.Sample(F, values=t)).item() == pytest.approx(slow, abs=1e-6)
