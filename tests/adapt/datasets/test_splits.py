"""Splits, scaling and pairs of whole domains: keyed, disjoint, from the source alone, without labels."""

import numpy
import pytest
import torch
from torch.utils.data import TensorDataset

from adapt import datasets
from adapt.datasets import adaptation_pairs, splits, standardize

nan = float("nan")


def domain(rows=50):
    x = torch.randn(rows, 3, generator=torch.Generator().manual_seed(rows))
    return TensorDataset(x, torch.arange(rows))


def test_splits_are_disjoint_and_whole():
    parts = splits(domain(), "a", validation=0.1, test=0.3)
    assert [len(part) for part in parts] == [30, 5, 15]
    rows = torch.cat([part.tensors[1] for part in parts])
    assert rows.sort().values.tolist() == list(range(50)) and rows.tolist() != sorted(rows.tolist())
    for part in parts:
        assert torch.equal(part.tensors[0], domain().tensors[0][part.tensors[1]])


def test_splits_are_a_function_of_their_key():
    def rows(name="a", seed=0, labels=None):
        x, y = domain().tensors
        return [
            part.tensors[2].tolist()
            for part in splits(TensorDataset(x, y if labels is None else labels, y), name, seed=seed)
        ]

    state = torch.get_rng_state()
    torch.manual_seed(3)
    assert rows() == rows() and rows() != rows("b") and rows() != rows(seed=1)
    torch.set_rng_state(state)
    rows()
    assert torch.equal(state, torch.get_rng_state())
    assert rows() == rows(labels=torch.zeros(50))  # labels do not matter


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(), (2,), (1, 3, 3)])
def test_equal_rows_stay_together(shape, dtype):
    values = torch.randperm(60, generator=torch.Generator().manual_seed(0)).remainder(12).float()
    values[values == 3] = nan  # a missing value is equal to itself here
    x = values.view(-1, *[1] * len(shape)).expand(60, *shape).to(dtype)
    parts = [set(part.tensors[0].nan_to_num(-1).flatten().tolist()) for part in splits(TensorDataset(x), "a")]
    assert sum(map(len, parts)) == 12 == len(set.union(*parts))


def test_an_asked_part_is_never_empty():
    assert [len(part) for part in splits(domain(), "a", validation=0.0, test=0.0)] == [50, 0, 0]
    with pytest.raises(ValueError, match="2 rows of `a` are too few for test and validation"):
        splits(domain(2), "a")
    with pytest.raises(ValueError, match="are too few for validation and train"):
        splits(TensorDataset(torch.ones(9, 2)), "a")  # one group
    with pytest.raises(ValueError, match="too few"):
        splits(TensorDataset(torch.ones(0, 2)), "a")
    for shares in ({"validation": -0.1}, {"test": 1.0}, {"validation": 0.5, "test": 0.5}):
        with pytest.raises(ValueError, match=r"are shares of the rows|must be in \[0, 1\)"):
            splits(domain(), "a", **shares)


def test_scale_and_missing_values_come_from_the_source():
    generator = numpy.random.default_rng(0)
    s, t = generator.normal(3, 2, (40, 5)), generator.normal(-1, 5, (30, 5))
    s[generator.random(s.shape) < 0.3] = nan
    t[generator.random(t.shape) < 0.3] = nan
    s[:, 3], s[:, 4] = nan, 0.1  # a column the source lacks, and one that is the same in all its rows
    expected = [(x - numpy.nanmean(s[:, :3], 0)) / numpy.nanstd(s[:, :3], 0) for x in (s[:, :3], t[:, :3])]
    labels = torch.arange(30)
    source, target = standardize(TensorDataset(torch.tensor(s)), TensorDataset(torch.tensor(t), labels))
    for found, z in zip((source, target), expected, strict=True):
        assert found.tensors[0].dtype == torch.float32
        assert numpy.allclose(found.tensors[0][:, :3], numpy.nan_to_num(z), atol=1e-6)
        assert not found.tensors[0][:, 3:].any()
    assert torch.equal(target.tensors[1], labels)
    # nothing of the target is looked at
    (alone,) = standardize(TensorDataset(torch.tensor(s)))
    assert torch.equal(alone.tensors[0], source.tensors[0])


def domains(*shape):
    draw = numpy.random.default_rng(0)
    s, t = draw.normal(3, 2, (40, *shape)), draw.normal(-5, [[1.0]] if len(shape) == 1 else 9, (30, *shape))
    s.flat[::17], t.flat[::13] = nan, nan
    return s, t


@pytest.mark.parametrize("shape", [(4,), (3, 5, 6), (2, 9)], ids=["columns", "images", "windows"])
@pytest.mark.parametrize("by", ["source", "domain", "row"])
def test_one_scale_of_the_source_of_each_domain_or_of_each_row(shape, by):
    if by == "row" and len(shape) == 1:
        pytest.skip("refused")
    s, t = domains(*shape)
    found = standardize(*(TensorDataset(torch.tensor(x), torch.arange(len(x))) for x in (s, t)), by=by)
    for x, z in zip((s, t), found, strict=True):
        other = s if by == "source" else x
        axes = tuple(range(2, x.ndim)) if by == "row" else (0, *range(2, x.ndim))
        expected = (x - numpy.nanmean(other, axes, keepdims=True)) / numpy.nanstd(other, axes, keepdims=True)
        assert numpy.allclose(z.tensors[0], numpy.nan_to_num(expected), atol=1e-5)
        assert z.tensors[0].dtype == torch.float32 and torch.equal(z.tensors[1], torch.arange(len(x)))
    bytes_ = torch.randint(255, (20, *shape)).to(torch.uint8)
    assert standardize(TensorDataset(bytes_), by=by)[0].tensors[0].std() == pytest.approx(1, abs=0.1)
    constant = standardize(TensorDataset(torch.full((6, *shape), 0.1)), by=by)[0].tensors[0]
    assert not constant.any()


def test_scaling_refuses_what_it_cannot_read():
    with pytest.raises(ValueError, match=r"\(n, d\) .*columns or channels of the source, got \[\(2, 3\), \(2, 4\)\]"):
        standardize(TensorDataset(torch.ones(2, 3)), TensorDataset(torch.ones(2, 4)))
    with pytest.raises(ValueError, match=r"got \[\(2, 3, 4\), \(2, 3\)\]"):
        standardize(TensorDataset(torch.ones(2, 3, 4)), TensorDataset(torch.ones(2, 3)))
    with pytest.raises(ValueError, match=r"\(n, d\)"):
        standardize(TensorDataset(torch.ones(2)))
    with pytest.raises(ValueError, match="`by` must be .* got 'target'"):
        standardize(TensorDataset(torch.ones(2, 3)), by="target")
    with pytest.raises(ValueError, match="columns of a row have different units"):
        standardize(TensorDataset(torch.ones(2, 3)), by="row")
    with pytest.raises(TypeError, match="got a Tensor: give `TensorDataset"):
        standardize(torch.ones(2, 3))
    with pytest.raises(ValueError, match="infinite"):
        standardize(TensorDataset(torch.tensor([[1.0], [torch.inf]])))


def test_ring_of_the_largest():
    sizes = {"d": range(4), "a": range(9), "c": range(4), "b": range(4), "e": range(2)}
    assert adaptation_pairs(sizes, 4) == [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")]
    assert adaptation_pairs(dict(reversed(sizes.items())), 3) == adaptation_pairs(sizes, 3)
    for count in (1, 6):
        with pytest.raises(ValueError, match="between 2 and the 5 domains|at least 2, got 1"):
            adaptation_pairs(sizes, count)


def test_rows_of_one_group_stay_in_one_part():
    data = datasets.windows(torch.arange(120.0), 2, groups=[f"person {i // 12}" for i in range(120)])
    parts = splits(data, "walks")
    seen = [set(part.groups.tolist()) for part in parts]
    assert [len(groups) for groups in seen] == [6, 2, 2] and set.union(*seen) == set(range(10))
    assert parts.test.group_names == data.group_names and parts.test.inputs.shape == (12, 1, 2)
    given = splits(list(range(12)), "list", groups=torch.tensor([7, 7, 7, 9, 9, 9, 3, 3, 3, 5, 5, 5]))
    assert sorted(len(part) for part in given) == [3, 3, 6] and sorted(i for part in given for i in part) == [
        *range(12)
    ]
    assert all(len({i // 3 for i in part}) * 3 == len(part) for part in given)
    with pytest.raises(ValueError, match=r"`groups` must be one per row, \(12,\), got \(3,\)"):
        splits(list(range(12)), "list", groups=torch.tensor([1, 2, 3]))


def test_other_data_sets_are_split_without_reading_a_row():
    class Unread(torch.utils.data.Dataset):
        def __len__(self):
            return 10

        def __getitem__(self, index):
            raise AssertionError("read")

    parts = splits(Unread(), "files")
    assert [len(part) for part in parts] == [6, 2, 2]
    assert sorted(i for part in parts for i in part.indices) == list(range(10))


def test_the_names_stay():
    data = datasets.arrays(torch.arange(20.0).view(10, 2), list("abababcaba"))
    parts = splits(data, "letters")
    assert all(part.names == ["a", "b", "c"] for part in parts) and len(parts.test.labels) == 2


def test_equal_texts_stay_together_without_groups():
    texts = ["good", "bad", "good", "fine", "poor", "good", "bad", "well"]
    parts = splits(datasets.texts(texts, [0, 1] * 4), "texts", validation=0.25, test=0.25)
    held = [{texts[i] for i in part.indices} for part in parts]
    assert sum(map(len, parts)) == 8 and all(held)
    assert not (held[0] & held[1] or held[0] & held[2] or held[1] & held[2])
