"""NCE of predicted classes."""

import pytest
import torch

from adapt import ranking
from tests.adapt.ranking.references import slow_nce
from tests.adapt.ranking.rows import blobs, normal, refused, softmax_rows


def test_nce_of_predicted_classes():
    _, y = blobs()
    p = softmax_rows()
    z = 10**9 * p.argmax(1)  # whatever their numbers
    sample = ranking.Sample(normal(60, 2), y, source=z.numpy())
    assert ranking.nce(sample).mean().item() == pytest.approx(slow_nce(p, y), abs=1e-12)
    assert torch.equal(sample.take(torch.arange(0, 60, 2)).source, z[::2])
    refused("needs probabilities", lambda: ranking.leep(sample))
    scores = ranking.rank({"a": ranking.Pretrained(blobs()[0], z)}, y, halves=0).rows[0].scores
    assert "nce" in scores and "leep" not in scores
