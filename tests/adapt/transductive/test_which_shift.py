"""Which shift is it: each constructed kind is found, in any dtype, and the doors refuse."""

import numpy as np
import pytest
import torch

from adapt.transductive import calibrate, two_samples, which_shift

MEANS = np.random.default_rng(7).normal(size=(3, 4))


def rows(n, q, seed, move=0.0):
    """Three clouds with their exact probabilities; `move` draws rows along the first column, with equal p(y | x)."""
    draw = np.random.default_rng(seed)
    y = draw.choice(3, size=8 * n, p=q)
    x = 1.5 * MEANS[y] + draw.normal(size=(8 * n, 4))
    weight = np.exp(move * x[:, 0])
    kept = draw.choice(8 * n, size=n, p=weight / weight.sum())
    x, y = x[kept], y[kept]
    return x, y, calibrate.softmax(-0.5 * ((x[:, None] - 1.5 * MEANS) ** 2).sum(2))


EVEN = [1 / 3] * 3
X, Y, P = rows(300, EVEN, 0)


def found(kind, seed=1, **options):
    x, y, p = rows(300, [0.6, 0.3, 0.1] if kind == "label" else EVEN, seed, move=0.8 * (kind == "covariate"))
    if kind == "concept":
        y = np.where(x[:, 0] > 0, (y + 1) % 3, y)
    known = np.where(np.arange(300) < 80, y, -1)
    return which_shift(X, x, P, Y, p, target_labels=known, repeats=4, **options)


@pytest.mark.parametrize("kind", ["none", "label", "covariate", "concept"])
def test_each_kind_is_found(kind):
    shift = found(kind)
    assert shift.kind == kind and shift.confidence >= 0.75
    assert (shift.p_rest is None) == (shift.p_shares >= 0.02 / 3)
    assert str(shift).startswith(f"{kind} shift (confidence")


def test_without_labels_concept_shift_is_not_seen_and_the_answer_says_so():
    x, y, p = rows(300, EVEN, 1)
    shift = which_shift(X, x, P, Y, p, repeats=2)
    assert shift.kind == "none" and shift.p_concept is None and "cannot be seen" in str(shift)


def test_the_answer_is_a_function_of_the_seed_and_touches_nothing():
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    first, again = found("label"), found("label")
    assert first == again
    assert (np.random.get_state()[1] == before[0]).all() and torch.equal(torch.get_rng_state(), before[1])


def test_other_kinds_of_rows_and_scales():
    x, y, p = rows(200, [0.7, 0.2, 0.1], 2)
    expected = which_shift(X, x, P, Y, p, repeats=1)
    assert expected.kind == "label"
    for scale in (1e-20, 1e20):
        assert which_shift(X * scale, x * scale, P, Y, p, repeats=1).kind == "label"
    as_tensors = [torch.tensor(v, dtype=torch.float16, requires_grad=True) for v in (X, x, P, p)]
    assert which_shift(*as_tensors[:3], Y.tolist(), as_tensors[3], repeats=1).kind == "label"
    same = np.zeros((50, 2))
    shift = which_shift(same, same, P[:50], Y[:50], P[:50], repeats=1)
    assert shift.kind == "none"


def test_doors():
    with pytest.raises(ValueError, match="at least 10 rows"):
        which_shift(X[:9], X, P[:9], Y[:9], P)
    with pytest.raises(ValueError, match="equal columns"):
        which_shift(X, X[:, :2], P, Y, P)
    with pytest.raises(ValueError, match="must be finite"):
        which_shift(np.where(X > 2, np.nan, X), X, P, Y, P)
    with pytest.raises(ValueError, match="`source_labels` must be in"):
        which_shift(X, X, P, Y + 1, P)
    with pytest.raises(ValueError, match="`target_labels` must have one label"):
        which_shift(X, X, P, Y, P, target_labels=Y[:5])


def test_the_permutation_test_is_uniform_for_equal_clouds():
    draw = np.random.default_rng(0)
    p = [
        two_samples.mmd_test(*(torch.from_numpy(draw.normal(size=(40, 3))) for _ in range(2)), 60, draw)[1]
        for _ in range(60)
    ]  # fmt: skip
    assert 0.35 < np.mean(p) < 0.65
