import numpy
import pytest
import torch
from skactiveml.pool import Badge

from adapt.fewshot import query, strategies
from tests.adapt.fewshot.strategies.pools import SEEDS, arrays, by_scikit_activeml, pool


def draws(a):
    return torch.rand(a.budget, generator=a.generator("badge"), dtype=torch.float64).tolist()


def slow(a, origin):
    """The gradients are built, and every distance is computed anew."""
    x, p, _, left = arrays(a)
    y = p.argmax(1)
    g = {i: numpy.outer(p[i] - numpy.eye(p.shape[1])[y[i]], x[i]).ravel() for i in left}
    picks = [max(left, key=lambda i: g[i] @ g[i])]
    for u in draws(a)[1:]:
        centres = [g[j] for j in picks] + ([0 * g[left[0]]] if origin else [])
        squares = numpy.array([min((g[i] - c) @ (g[i] - c) for c in centres) for i in left])
        share = numpy.cumsum(squares) / squares.sum()
        picks.append(left[int((share <= u).sum())])
    return picks


class SameDraws(Badge):
    """scikit-activeml's, with given random numbers in place of its own."""

    draws = ()

    def _validate_data(self, *args, **kwargs):
        checked = super()._validate_data(*args, **kwargs)
        numbers = iter(self.draws[1:])  # the first row is no draw

        class Given:
            def choice(self, n, size, replace, p):
                return numpy.cumsum(p).searchsorted([next(numbers)], side="right")

        self.random_state_ = Given()
        return checked


@pytest.mark.parametrize("origin", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_equal_to_the_formula(seed, origin):
    a = pool(seed)
    assert strategies.badge(a, origin=origin).tolist() == slow(a, origin)


@pytest.mark.parametrize("seed", SEEDS)
def test_equal_to_scikit_activeml_from_the_same_random_numbers(seed):
    a = pool(seed, budget=20)
    theirs = SameDraws(random_state=0)
    theirs.draws = draws(a)
    assert strategies.badge(a, origin=True).tolist() == by_scikit_activeml(theirs, a, classifier="clf")


def test_scikit_activeml_counts_the_origin_and_the_authors_do_not():
    found = [strategies.badge(pool(s, budget=20), origin=o).tolist() for s in SEEDS for o in (False, True)]
    assert any(a != b for a, b in zip(found[::2], found[1::2], strict=True))


def test_copies_of_a_chosen_row_come_last():
    """In float32 the distance between copies is not exactly 0."""
    g = torch.Generator().manual_seed(0)
    x = torch.cat([torch.randn(1, 50, generator=g).repeat(500, 1), torch.randn(3, 50, generator=g)])
    p = torch.cat([torch.tensor([[0.5, 0.3, 0.2]]).repeat(500, 1), torch.rand(3, 3, generator=g).softmax(1)])
    for seed in range(20):
        found = query(x, p, None, 4, "badge", seed=seed)
        assert (found < 500).sum() == 1 and len(found.unique()) == 4


def test_sure_predictions_are_drawn_by_chance():
    x, p = torch.randn(30, 3, generator=torch.Generator().manual_seed(0)), torch.eye(2)[torch.arange(30) % 2]
    assert len({tuple(query(x, p, [0], 5, "badge", seed=s).tolist()) for s in range(5)}) > 1


def test_no_matrix_of_gradients():
    """100 classes and 64 features: the gradients would have 100 times the memory of the features."""
    g = torch.Generator().manual_seed(0)
    x, p = torch.randn(2_000, 64, generator=g), torch.randn(2_000, 100, generator=g).softmax(1)
    with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        query(x, p, [0], 5, "badge")
    allocated = max(event.self_cpu_memory_usage for event in seen.events())
    assert 0 < allocated <= 1.01 * 4 * p.numel()
