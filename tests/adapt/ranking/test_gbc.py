"""GBC with a class of one row."""

import math

import numpy
import pytest
import torch

from adapt import ranking
from tests.adapt.ranking.rows import blobs


def test_a_class_of_one_row_has_the_others_variance():
    F, y = blobs(41, 3)
    y[40] = 3
    within = torch.stack([(F[i] - F[y == y[i]].mean(0)).square() for i in range(40)])
    x = (F - F.mean(0)).numpy()
    rotate = numpy.linalg.svd(x, full_matrices=False)[2].T
    x = x @ rotate
    var = {c: x[(y == c).numpy()].var(0) for c in range(3)}
    var[3] = sum(len(x[(y == c).numpy()]) * var[c] for c in range(3)) / 40
    assert var[3].sum() == pytest.approx(within.mean(0).sum().item())
    mean = {c: x[(y == c).numpy()].mean(0) for c in range(4)}
    total = 0.0
    for a in range(4):
        for b in range(a):
            m = (var[a] + var[b]) / 2
            d = ((mean[a] - mean[b]) ** 2 / m).sum() / 8 + 0.5 * numpy.log(m / numpy.sqrt(var[a] * var[b])).sum()
            total += 2 * math.exp(-d)
    assert ranking.gbc(ranking.Sample(F, y)).item() == pytest.approx(-math.log(total))
