"""The six streams: every row once, domains in order or mixed, classes close together where the name says so."""

import numpy
import pytest
import torch

from adapt.transductive import ARRIVALS, arrivals

LABELS = torch.arange(60) % 5


def stream(kind, **options):
    found = list(arrivals(kind, LABELS, 3, **{"batch_size": 8, "levels": 3} | options))
    return found, *(torch.cat([a[column] for a in found]) for column in range(3))


@pytest.mark.parametrize("kind", ARRIVALS)
def test_every_row_of_every_domain_arrives_once_and_the_seed_decides(kind):
    states = numpy.random.get_state()[1].copy(), torch.get_rng_state()
    found, domain, level, row = stream(kind)
    assert sorted(zip(domain.tolist(), row.tolist(), strict=True)) == [(d, r) for d in range(3) for r in range(60)]
    assert all(1 <= len(a.row) <= 8 for a in found) and domain.dtype == torch.int64
    assert torch.equal(row, stream(kind)[3]) and not torch.equal(row, stream(kind, seed=1)[3])
    assert (states[0] == numpy.random.get_state()[1]).all() and torch.equal(states[1], torch.get_rng_state())
    assert [a.reset for a in found].count(True) == (3 if kind == "reset" else 0)
    _, _, _, some = stream(kind, rows=10)
    assert len(some) == 30
    chosen = sorted(zip(*map(torch.Tensor.tolist, stream(kind, rows=10)[1:4:2]), strict=True))
    assert chosen == sorted(zip(*map(torch.Tensor.tolist, stream("reset", rows=10)[1:4:2]), strict=True))
    if kind != "gradual":
        assert set(level.tolist()) == {2}
    if not kind.startswith("mixed"):
        assert domain.tolist() == sorted(domain.tolist())
        assert all(len(set(a.domain.tolist())) == 1 for a in found)
    else:
        assert len(set(domain[:20].tolist())) == 3


def test_gradual_climbs_and_falls():
    _, domain, level, _ = stream("gradual")
    for d in range(3):
        steps = level[domain == d]
        assert steps.unique_consecutive().tolist() == [0, 1, 2, 1, 0] and steps.bincount().tolist() == [24, 24, 12]
    assert set(stream("gradual", levels=1)[2].tolist()) == {0}


def same_as_before(kind, **options):
    row = stream(kind, **options)[3]
    return (LABELS[row][1:] == LABELS[row][:-1]).double().mean()


def test_classes_are_close_together_where_the_name_says_so():
    for kind in ARRIVALS:
        assert (same_as_before(kind) > 0.6) == kind.endswith("correlated")
        if kind.endswith("correlated"):
            assert same_as_before(kind, concentration=0) > 0.9 > same_as_before(kind, concentration=100)
    _, domain, _, row = stream("correlated", concentration=0)
    assert all(len(LABELS[row[domain == d]].unique_consecutive()) == 5 for d in range(3))


def test_labels_of_any_kind_and_refusals():
    kinds = [LABELS, LABELS.numpy().astype("uint8"), LABELS.tolist(), [f"c{i}" for i in LABELS.tolist()]]
    rows = [torch.cat([a.row for a in arrivals("correlated", y, 2, batch_size=7)]) for y in kinds]
    assert all(torch.equal(rows[0], other) for other in rows)
    assert len(list(arrivals("mixed and correlated", [1], 1, batch_size=5))) == 1
    with pytest.raises(ValueError, match="`kind` must be one of reset, .*, got 'iid'"):
        arrivals("iid", LABELS, 3, batch_size=8)
    for wrong in ([], [[1, 2]], [0.5, 1.0]):
        with pytest.raises(ValueError, match="`labels` must be .r,. classes"):
            arrivals("mixed", wrong, 3, batch_size=8)
    with pytest.raises(ValueError, match="`labels` must have a label in every row"):
        arrivals("mixed", [1, None], 3, batch_size=8)
    with pytest.raises(ValueError, match="`rows` must be from 1 to the 60 labels"):
        arrivals("mixed", LABELS, 3, batch_size=8, rows=61)
