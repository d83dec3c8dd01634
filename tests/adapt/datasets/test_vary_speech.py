"""Random variation of recordings as images."""

import numpy as np
import pytest
import torch

from adapt import datasets

X = torch.randn(1, 20, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
NONE = {"tract": 0, "tempo": 0, "tilt": 0, "bands": 0, "frames": 0}


def varied(seed=0, x=X, **options):
    torch.manual_seed(seed)
    return datasets.vary_speech(x, **NONE | options)


def test_options_of_zero_change_nothing():
    assert torch.allclose(varied(), X, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_a_vocal_tract_moves_all_bands_by_one_factor(seed):
    torch.manual_seed(seed)
    factor = 1 + 0.15 * (2 * torch.rand(5)[0].item() - 1)
    bands = np.arange(20)
    wanted = np.stack([np.interp((bands * factor).clip(0, 19), bands, column) for column in X[0].numpy().T], 1)
    np.testing.assert_allclose(varied(seed, tract=0.15)[0], wanted, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_a_tempo_stretches_about_the_middle_and_shifts(seed):
    torch.manual_seed(seed)
    draw = (2 * torch.rand(5) - 1).tolist()
    times = np.arange(30)
    there = ((times - 14.5) * (1 + 0.2 * draw[1]) + 14.5 + 0.1 * draw[2] * 14.5).clip(0, 29)
    wanted = np.stack([np.interp(there, times, row) for row in X[0].numpy()])
    np.testing.assert_allclose(varied(seed, tempo=0.2)[0], wanted, atol=1e-9)


def test_tilt_and_level_add_a_line():
    added = (varied(3, tilt=0.3) - X)[0]
    assert torch.allclose(added, added[:, :1].expand_as(added), atol=1e-12)
    steps = added[:, 0].diff()
    assert torch.allclose(steps, steps[0].expand_as(steps), atol=1e-12) and 0 < added.abs().max() <= 0.6


def test_masks_are_one_range_of_each_axis_at_most():
    sizes = set()
    for seed in range(200):
        changed = (varied(seed, bands=6, frames=4) != varied(seed))[0]
        rows, columns = changed.all(1).nonzero()[:, 0], changed.all(0).nonzero()[:, 0]
        assert len(rows) <= 6 and len(columns) <= 4 and all((part.diff() == 1).all() for part in (rows, columns))
        assert not changed[~changed.all(1)][:, ~changed.all(0)].any()
        sizes.add((len(rows), len(columns)))
    assert {rows for rows, _ in sizes} == set(range(7)) and {columns for _, columns in sizes} == set(range(5))


def test_the_input_stays_and_the_key_decides():
    before = X.clone()
    torch.manual_seed(1)
    first = datasets.vary_speech(X)
    torch.manual_seed(1)
    assert torch.equal(first, datasets.vary_speech(X)) and torch.equal(X, before) and not torch.equal(first, X)
    assert datasets.vary_speech(X.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    "x", [X[0], X.expand(2, -1, -1), X.long(), X[:, :3]], ids=["no channel", "two", "whole numbers", "small"]
)
def test_other_images_are_refused(x):
    with pytest.raises(ValueError, match=r"`x` must be \(1, bands, frames\) floating numbers with at least 6 bands"):
        datasets.vary_speech(x)
