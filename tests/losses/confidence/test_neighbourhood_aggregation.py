"""Neighbourhood aggregation and the banks, also on several ranks."""

import pytest
import torch
import torch.nn.functional as F

import losses
from tests.losses.confidence import references
from tests.ranks import run_ranks

N, D, C = 9, 3, 4


def rows(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def filled(**options):
    bank = losses.NeighbourhoodBank(N, D, C, **options)
    bank.update(torch.arange(N), rows(N, D), rows(N, C, 1))
    return bank


def test_a_row_is_not_its_own_neighbour():
    bank = filled(balanced=False)
    i = torch.tensor([4])
    x, z = bank.features[i], rows(1, C, 2)
    other = bank.probabilities.clone()
    other[4] = torch.tensor([0.0, 0.0, 0.0, 1.0])
    of = lambda q, index: losses.neighbourhood_aggregation(x, z, bank.features, q, index, neighbours=1)  # noqa: E731
    assert of(other, i) == of(bank.probabilities, i)
    torch.testing.assert_close(of(other, None), F.cross_entropy(z, torch.tensor([3])))


def test_default_is_five_neighbours():
    bank = filled()
    arguments = rows(3, D, 5), rows(3, C, 6), bank.features, bank.probabilities, torch.tensor([0, 3, 8])
    default = losses.neighbourhood_aggregation(*arguments)
    assert default == losses.neighbourhood_aggregation(*arguments, neighbours=5)
    assert default != losses.neighbourhood_aggregation(*arguments, neighbours=4)


def test_features_get_no_gradient_and_their_length_does_not_matter():
    bank = filled()
    x, z = rows(3, D, 5).requires_grad_(), rows(3, C, 6).requires_grad_()
    value = losses.neighbourhood_aggregation(x, z, bank.features, bank.probabilities)
    assert torch.autograd.grad(value, x, allow_unused=True, retain_graph=True) == (None,)
    assert value == losses.neighbourhood_aggregation(7 * x, z, 3 * bank.features, bank.probabilities)


def test_empty_places_are_nobodys_neighbours():
    bank = losses.NeighbourhoodBank(N, D, C, balanced=False)
    x, z = rows(3, D, 5), rows(3, C, 6).requires_grad_()
    empty = losses.neighbourhood_aggregation(x, z, bank.features, bank.probabilities)
    assert empty == 0 and (torch.autograd.grad(empty, z)[0] == 0).all()
    places = torch.tensor([1, 6, 7])
    bank.update(places, -x, rows(3, C, 1))  # opposite directions: a cosine below that of an empty place
    for index in (places, torch.tensor([1, 0, 7])):  # the second time one row has three neighbours and two have two
        few = losses.neighbourhood_aggregation(x, z, bank.features, bank.probabilities, index)
        wanted = references.neighbourhood_aggregation(
            x.numpy(), z.detach().numpy(), bank.features.numpy(), bank.probabilities.double().numpy(), index.numpy()
        )
        assert few.item() == pytest.approx(wanted, rel=1e-6)


def test_zero_features_are_finite():
    bank = filled()
    z = rows(2, C, 6).requires_grad_()
    value = losses.neighbourhood_aggregation(torch.zeros(2, D), z, bank.features * 0, bank.probabilities)
    assert value.isfinite() and torch.autograd.grad(value, z)[0].isfinite().all()


def test_nan_in_the_features_is_seen():
    bank = filled()
    x, z = rows(3, D, 5), rows(3, C, 6)
    x[1, 0] = torch.nan
    assert losses.neighbourhood_aggregation(x, z, bank.features, bank.probabilities).isnan()


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("temperature", [0.5, 1.3])
def test_what_is_written(balanced, temperature):
    bank = filled(balanced=balanced, temperature=temperature)
    wanted = references.sharpened(rows(N, C, 1).tolist(), temperature=temperature, balanced=balanced)
    torch.testing.assert_close(bank.probabilities.double(), torch.tensor(wanted, dtype=torch.float64))
    torch.testing.assert_close(bank.features.double(), rows(N, D))
    default = filled()
    assert torch.equal(default.probabilities, filled(balanced=True, temperature=0.5).probabilities)


def test_a_row_replaces_the_old_one_and_the_last_of_two_wins():
    bank = filled()
    before = bank.features.clone()
    new = rows(4, D, 9).float()
    bank.update(torch.tensor([2, 5, 2, 7]), new, rows(4, C, 9))
    assert torch.equal(bank.features[2], new[2])  # not a mixture: there is no momentum
    assert torch.equal(bank.features[5], new[1]) and torch.equal(bank.features[7], new[3])
    assert torch.equal(bank.features[[0, 1, 3, 4, 6, 8]], before[[0, 1, 3, 4, 6, 8]])


def test_bank_survives_a_checkpoint_and_keeps_no_graph():
    bank, other = filled(), losses.NeighbourhoodBank(N, D, C)
    other.load_state_dict(bank.state_dict())
    assert sorted(bank.state_dict()) == ["features", "probabilities"]
    assert torch.equal(other.features, bank.features) and torch.equal(other.probabilities, bank.probabilities)
    bank.update(torch.arange(2), rows(2, D).requires_grad_(), rows(2, C).requires_grad_())
    assert not bank.features.requires_grad and not bank.probabilities.requires_grad


def test_errors():
    bank = filled()
    x, z = rows(2, D), rows(2, C)
    of = losses.neighbourhood_aggregation
    with pytest.raises(ValueError, match="`bank_probabilities`"):
        of(x, z, bank.features, bank.probabilities[:, :2])
    with pytest.raises(ValueError, match=r"`bank_features` \(N, d\)"):
        of(x[:, :2], z, bank.features, bank.probabilities)
    with pytest.raises(ValueError, match=r"`logits` must be \(n, classes\)"):
        of(x, z[:1], bank.features, bank.probabilities)
    with pytest.raises(ValueError, match="`index` must hold one place"):
        of(x, z, bank.features, bank.probabilities, torch.tensor([0]))
    for neighbours, message in ((0, "at least 1, got 0"), (10, "size of the bank, 9, got 10")):
        with pytest.raises(ValueError, match=message):
            of(x, z, bank.features, bank.probabilities, neighbours=neighbours)
    with pytest.raises(ValueError, match="`index`, `features` and `logits`"):
        bank.update(torch.tensor([0]), x, z)
    for wrong in ((x[:, :1], z), (x, z[:, :1])):  # these would be spread over the columns
        with pytest.raises(ValueError, match=r"must be \(n,\), \(n, 3\) and \(n, 4\)"):
            bank.update(torch.tensor([0, 1]), *wrong)
    with pytest.raises(ValueError, match="`size` must be a whole number of at least 1"):
        losses.NeighbourhoodBank(0, D, C)
    with pytest.raises(ValueError, match="`temperature` must be a positive number"):
        losses.NeighbourhoodBank(N, D, C, temperature=0)


def written(rank, world):
    """The states of both banks after two updates from this rank's share of the rows."""
    bank, flexmatch = losses.NeighbourhoodBank(N, D, C), losses.FlexMatch(N, C, threshold=0.6)
    for step, index in enumerate(([0, 3, 5, 3], [3, 8, 1, 0])):
        mine = slice(rank * 4 // world, (rank + 1) * 4 // world)
        i, x, z = torch.tensor(index)[mine], rows(4, D, step)[mine], 2 * rows(4, C, step + 10)[mine]
        bank.update(i, x, z)
        flexmatch.update(i, z)
    return [v.numpy() for v in (bank.features, bank.probabilities, flexmatch.selected, flexmatch.thresholds())]


def test_all_ranks_hold_the_bank_of_one_rank():
    alone = written(0, 1)
    assert len(set(alone[2].tolist())) > 2
    for rank in run_ranks(written, 2):
        for found, wanted in zip(rank, alone, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-7)
