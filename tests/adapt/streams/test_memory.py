"""Rows in memory are taken at once; a dataset that prepares its items is never taken for one in memory."""

import pytest
import torch
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset, random_split

from adapt.streams import Stream
from adapt.streams.memory import columns

FIRST = TensorDataset(torch.arange(20.0)[:, None], torch.arange(20))
SECOND = TensorDataset(100 + torch.arange(7.0)[:, None], 100 + torch.arange(7))
DATA = {
    "tensors": FIRST,
    "subset": Subset(FIRST, [3, 1, 19, 4, 1]),
    "chain": ConcatDataset([FIRST, SECOND]),
    "nested": Subset(ConcatDataset([SECOND, Subset(FIRST, range(5, 15)), FIRST]), [0, 6, 7, 16, 17, 36, 8]),
    "split": random_split(FIRST, [12, 8], generator=torch.Generator().manual_seed(0))[1],
}


@pytest.mark.parametrize("name", DATA)
def test_rows_and_labels_are_those_of_the_items(name):
    data = DATA[name]
    index = torch.randperm(len(data), generator=torch.Generator().manual_seed(1))
    memory, items = columns(data), [data[int(i)] for i in index]
    assert torch.equal(memory.take(0, index), torch.stack([x for x, _ in items]))
    assert torch.equal(memory.take(1, index), torch.stack([y for _, y in items]))
    stream = Stream(data, 4)
    assert stream.all_labels().tolist() == [int(data[i][1]) for i in range(len(data))]
    batch = next(stream.batches("s", 0))
    assert torch.equal(batch.labels, torch.stack([data[int(i)][1] for i in batch.index]))
    assert Stream(data, 4, labels=False).all_labels() is None


class Doubled(TensorDataset):
    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return 2 * x, y


class Named(TensorDataset):
    names = ("a", "b")


class Shorter(TensorDataset):
    def __len__(self):
        return 5


class Listed(Dataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        return torch.tensor([float(index)]), index


def test_a_subclass_that_reads_as_its_parent_lies_in_memory():
    assert Stream(Named(*FIRST.tensors), 4).all_labels().tolist() == list(range(20))


@pytest.mark.parametrize(
    "data",
    [
        Doubled(*FIRST.tensors),
        Shorter(*FIRST.tensors),
        Subset(Doubled(*FIRST.tensors), range(9)),
        ConcatDataset([FIRST, Doubled(*SECOND.tensors)]),
        Listed(),
        ConcatDataset([FIRST, Listed()]),
    ],
)
def test_items_that_are_prepared_are_read(data):
    assert columns(data) is None and Stream(data, 2).all_labels() is None
    batch = next(Stream(Subset(data, range(4)), 4, shuffle=False).batches("s", 0))
    assert torch.equal(batch.inputs, torch.stack([data[i][0] for i in range(4)]))


def test_rows_of_two_shapes_are_read_one_by_one_and_their_labels_are_known():
    data = ConcatDataset([FIRST, TensorDataset(torch.ones(3, 2), torch.ones(3).long())])
    assert columns(data) is None and Stream(data, 2).all_labels().tolist() == [*FIRST.tensors[1].tolist(), 1, 1, 1]
