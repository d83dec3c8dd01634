"""What holds for every strategy, and the errors of the door."""

from functools import partial

import numpy
import pytest
import torch

from adapt.fewshot import NoProbabilities, query, strategies

ALL = strategies.__all__
WITHOUT = {"random", "k_centre", "max_herding", "typiclust"}
BY_CHANCE = {"random", "badge", "typiclust", "clue"}


def rows(n=50, d=5, classes=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=g) + 3, (2 * torch.randn(n, classes, generator=g)).softmax(1)


def is_a_choice(found, budget, labelled, n):
    """Whether the rows are `budget` different rows without a label."""
    rows, left = set(found.tolist()), set(range(n)) - set(labelled)
    return (
        found.dtype == torch.long
        and found.device.type == "cpu"
        and found.shape == (len(rows),) == (budget,)
        and rows <= left
    )


@pytest.mark.parametrize("labelled", [[], [3], list(range(49)), list(range(0, 40, 2))], ids=len)
@pytest.mark.parametrize("strategy", ALL)
def test_rows_are_different_and_have_no_label(strategy, labelled):
    x, p = rows()
    for budget in {1, 50 - len(labelled)}:
        assert is_a_choice(query(x, p, labelled, budget, strategy), budget, labelled, 50)


@pytest.mark.parametrize("strategy", ALL)
def test_equal_seeds_give_equal_rows_and_the_global_state_stays(strategy):
    x, p = rows()
    torch.manual_seed(0)
    before = torch.get_rng_state(), numpy.random.get_state()[1].copy()
    found = [query(x, p, [1], 8, strategy, seed=s) for s in (0, 0, 1, 2, 3)]
    assert found[0].equal(found[1])
    assert any(not found[0].equal(other) for other in found[2:]) == (strategy in BY_CHANCE)
    assert torch.get_rng_state().equal(before[0]) and (numpy.random.get_state()[1] == before[1]).all()


@pytest.mark.parametrize("strategy", sorted(set(ALL) - BY_CHANCE))
def test_the_order_of_the_rows_changes_no_choice(strategy):
    x, p = (part.double() for part in rows())
    order = torch.randperm(50, generator=torch.Generator().manual_seed(1))
    labelled = torch.tensor([4, 9])
    place = order.argsort()
    for given in (labelled, labelled[:0]):
        expected = query(x, p, given, 6, strategy)
        assert order[query(x[order], p[order], place[given], 6, strategy)].equal(expected)


@pytest.mark.parametrize("strategy", sorted(set(ALL) - {"random"}))
def test_rows_count_in_the_order_of_the_probabilities(strategy):
    """A strategy that reads other rows of probabilities or features would not see the exchange."""
    x, p = rows()
    exchanged = query(x.flip(0), p.flip(0), [1], 8, strategy)
    assert not exchanged.equal(query(x, p, [1], 8, strategy))
    sees_p = any(not query(x, p.flip(0), [1], 8, strategy, seed=s).equal(query(x, p, [1], 8, strategy, seed=s))
                 for s in range(3))  # fmt: skip
    assert sees_p == (strategy not in WITHOUT)


@pytest.mark.parametrize("scale", [1e-12, 1e4, 1e30])
@pytest.mark.parametrize("strategy", ALL)
def test_the_scale_of_the_features_changes_no_choice(strategy, scale):
    x, p = (part.double() for part in rows())
    assert query(scale * x, p, [1], 8, strategy).equal(query(x, p, [1], 8, strategy))


@pytest.mark.parametrize("scale", [2.0**-100, 2.0**100])
@pytest.mark.parametrize("strategy", ALL)
def test_squares_beyond_single_precision_change_no_choice(strategy, scale):
    x, p = rows()
    assert query(scale * x, p, [1], 8, strategy).equal(query(x, p, [1], 8, strategy))


@pytest.mark.parametrize("strategy", ALL)
def test_half_precision_and_arrays(strategy):
    x, p = rows()
    half = x.bfloat16(), p.bfloat16()
    found = query(*half, [1], 8, strategy)
    assert is_a_choice(found, 8, [1], 50)
    assert found.equal(query(half[0].float(), half[1].float(), [1], 8, strategy))
    as_arrays = query(x.numpy(), p.numpy(), numpy.array([1]), 8, strategy)
    assert as_arrays.equal(query(x, p, torch.arange(50) == 1, 8, strategy))
    x.requires_grad_()
    assert not query(x, p, [1], 8, strategy).requires_grad


@pytest.mark.parametrize("strategy", ALL)
def test_equal_rows_and_1000_classes(strategy):
    p = torch.randn(30, 1000, generator=torch.Generator().manual_seed(0)).softmax(1)
    assert is_a_choice(query(torch.ones(30, 4), p.bfloat16(), [2], 29, strategy), 29, [2], 30)
    assert is_a_choice(query(torch.zeros(30, 4), torch.eye(1000)[:30], [2], 9, strategy), 9, [2], 30)


@pytest.mark.parametrize("strategy", sorted(WITHOUT))
def test_before_the_first_probabilities(strategy):
    assert is_a_choice(query(rows()[0], None, None, 8, strategy), 8, [], 50)


@pytest.mark.parametrize("strategy", sorted(set(ALL) - WITHOUT))
def test_probabilities_are_asked_for(strategy):
    with pytest.raises(NoProbabilities, match="needs `probabilities`"):
        query(rows()[0], None, None, 8, strategy)


X, P = rows()
BAD = X.clone()
BAD[3, 1] = float("nan")
WRONG = {
    "`budget` must be at most .* got 49 for 48 of 50 rows: ask for 48": (X, P, [0, 1], 49),
    "`labelled` leaves no row: all 50": (X, P, range(50), 1),
    "`budget` must be a whole number of at least 1, got 0": (X, P, [], 0),
    r"`features` must be \(n, d\) real numbers with n >= 1, got shape \(0, 5\)": (X[:0], P[:0], [], 1),
    "`features` must be finite, got 1 of 50 rows": (BAD, P, [], 1),
    "`probabilities` must be finite": (X, P / 0, [], 1),
    "`probabilities` must have the 50 rows .* at least 2 classes": (X, torch.ones(50, 1), [], 1),
    "`probabilities` must have the 50 rows": (X, P[:-1], [], 1),
    "`probabilities` must be at least 0 and sum to 1": (X, P.log(), [], 1),
    "`probabilities` must be .* in rows that sum to 1.03": (X, 1.03 * P, [], 1),
    r"`labelled` must be row numbers in \[0, 50\), found 3 to 50": (X, P, [3, 50], 1),
    r"`labelled` must be \(50,\) booleans": (X, P, [0.5], 1),
    "`labelled` must be an array, .* got str": (X, P, "ab", 1),
    "`labelled` must be an array, .* got list": (X, P, [None], 1),
    "`features` must be an array, .* got list": ([["a"]], P, [], 1),
    "`features` must be an array, a tensor or lists of numbers, got list": ([[1.0], [1.0, 2.0]], P, [], 1),
    "`strategy` must be an array, .* got NoneType": (X, P, [], 2, lambda pool: None),
    "`strategy` must be one of badge, clue": (X, P, [], 1, "margins"),
    "`strategy` must return 2 row numbers": (X, P, [], 2, lambda pool: torch.tensor([1.0, 2.0])),
    "`strategy` must return 2 row numbers in": (X, P, [], 2, lambda pool: torch.tensor([1, 50])),
    "`strategy` returned a row twice": (X, P, [], 2, lambda pool: [1, 1]),
    "`strategy` returned a row twice or": (X, P, [1], 2, lambda pool: [1, 2]),
    "`temperature` must be a positive number, got 0": (X, P, [], 2, partial(strategies.clue, temperature=0)),
    "`neighbours` must be a whole number": (X, P, [], 2, partial(strategies.typiclust, neighbours=0)),
    "`bandwidth` must be a positive number": (X, P, [], 2, partial(strategies.max_herding, bandwidth=0.0)),
    "`origin` must be True or False": (X, P, [], 2, partial(strategies.badge, origin=1)),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_arguments(message):
    with pytest.raises(ValueError, match=message):
        query(*WRONG[message])


@pytest.mark.parametrize("kind", ["uint8", "uint16", "uint64", "int32"])
def test_row_numbers_of_every_whole_type(kind):
    expected = query(X, P, [1, 2], 4, "margin")
    assert query(X, P, numpy.array([1, 2], kind), 4, "margin").equal(expected)
    assert query(X, P, [0], 2, lambda pool: numpy.array([1, 2], kind)).tolist() == [1, 2]


def test_a_function_of_your_own():
    assert query(X, P, [0], 2, lambda pool: (~pool.labelled).nonzero()[: pool.budget, 0]).tolist() == [1, 2]
