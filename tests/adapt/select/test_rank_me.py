"""RankMe and LiDAR against the papers' equations."""

import numpy as np
import pytest
import torch

from adapt import select


def entropy_rank(values, epsilon=1e-7):
    p = values / values.sum() + epsilon
    return float(np.exp(-sum(q * np.log(q) for q in p)))


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_rank_me_is_the_entropy_of_the_singular_values():
    z = drawn(30, 6) * [3, 2, 1, 1, 0.1, 0.01]
    eigenvalues = np.linalg.eigvalsh(z.T @ z)
    assert select.rank_me(z) == pytest.approx(entropy_rank(np.sqrt(eigenvalues)), rel=1e-9)
    assert select.rank_me(1e-20 * z) == pytest.approx(select.rank_me(1e20 * z), rel=1e-9)
    assert 1 < select.rank_me(z) < 6


def test_lidar_is_the_rank_of_a_discriminant_analysis():
    z = drawn(12, 1, 5) * [2, 1, 1, 0.5, 0.1] + 0.3 * drawn(12, 4, 5, seed=1) * [0.1, 1, 0.5, 0.5, 3]
    mu = z.mean((0, 1))
    between, within = np.zeros((5, 5)), 1e-4 * np.eye(5)
    for row in z:
        between += np.outer(row.mean(0) - mu, row.mean(0) - mu) / 11
        for view in row:
            within += np.outer(view - row.mean(0), view - row.mean(0)) / (12 * 3)
    values, vectors = np.linalg.eigh(within)
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    expected = entropy_rank(np.linalg.eigvalsh(root @ between @ root))
    assert select.lidar(z) == pytest.approx(expected, rel=1e-9)


def test_lidar_leaves_out_what_varies_between_views():
    rows = torch.from_numpy(drawn(200, 1, 4)).expand(200, 8, 4)
    noise = torch.from_numpy(drawn(200, 8, 4, seed=1))
    both = torch.cat([rows, noise], 2)
    assert select.rank_me(both.flatten(0, 1)) > 7.5 and 3.8 < select.lidar(both) < 4.3


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.int64, torch.bool])
def test_any_kind_of_number_is_taken(kind):
    z = torch.tensor([[1, 0], [0, 1], [1, 1]])
    assert select.rank_me(z.to(kind)) == pytest.approx(select.rank_me(z.tolist()))


def test_collapsed_features_have_rank_one():
    for z in (np.zeros((5, 3)), np.ones((5, 3)), np.ones((1, 3))):
        assert select.rank_me(z) == pytest.approx(1, abs=1e-4)
    assert select.lidar(np.zeros((5, 2, 3))) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad):
    for measure, shape in ((select.rank_me, (4, 3)), (select.lidar, (4, 2, 3))):
        z = drawn(*shape)
        z.flat[5] = bad
        with pytest.raises(ValueError, match="must be finite"):
            measure(z)


@pytest.mark.parametrize("shape", [(4, 3), (1, 2, 3), (4, 1, 3), (4, 2, 0)])
def test_lidar_needs_rows_and_views(shape):
    with pytest.raises(ValueError, match="`views` must be"):
        select.lidar(np.zeros(shape))
    with pytest.raises(ValueError, match="`features` must be"):
        select.rank_me(np.zeros(3))
