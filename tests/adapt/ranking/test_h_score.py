"""The H-score of many features."""

import torch

from adapt import ranking
from tests.adapt.ranking.rows import normal


def test_h_score_of_many_features_is_quick_and_does_not_saturate():
    import time

    F, y = normal(200, 2048), torch.arange(200) % 10
    sample = ranking.Sample(F, y)
    start = time.process_time()
    value = ranking.h_score(sample).item()
    assert time.process_time() - start < 1
    assert value < 1  # the plain H-score is 9 for these random rows
