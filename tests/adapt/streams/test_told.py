"""Labels and groups of all rows are told by a dataset, and no item is read for them but three."""

import numpy
import pytest
import scipy.sparse
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset

import adapt
from adapt import Stream, Trainer, datasets, encoders, heads
from adapt.streams.items import ItemForm
from adapt.streams.told import groups_told, labels_told

CLASSES = torch.tensor([0] * 16 + [1] * 4)


class Told(Dataset):
    """Tells its labels under one of two names, and counts how often an item is read."""

    def __init__(self, name="labels", values=CLASSES, change=None):
        self.read, self.change = 0, change
        setattr(self, name, values)

    def __len__(self):
        return len(CLASSES)

    def __getitem__(self, index):
        self.read += 1
        label = int(CLASSES[index])
        return torch.tensor([float(index)]), label if self.change is None else self.change(label)


@pytest.mark.parametrize("name", ["labels", "targets"])
@pytest.mark.parametrize("values", [CLASSES, CLASSES.tolist(), CLASSES.numpy()], ids=["tensor", "list", "numpy"])
def test_labels_are_told_by_a_name(name, values):
    data = Told(name, values)
    stream = Stream(data, 4, sampling="balanced")
    assert data.read == 4 and torch.equal(stream.all_labels(), CLASSES)
    drawn = torch.cat([b.labels for b, _ in zip(stream.batches("s", 0), range(200), strict=False)])
    assert abs(drawn.float().mean() - 0.5) < 0.08
    half = Subset(data, range(10, 20))
    assert Stream(half, 4).all_labels().tolist() == CLASSES[10:].tolist()
    both = ConcatDataset([half, TensorDataset(torch.zeros(2, 1), torch.tensor([5, 6]))])
    assert Stream(both, 4).all_labels().tolist() == [*CLASSES[10:].tolist(), 5, 6]
    assert Stream(data, 4, labels=False).all_labels() is None


@pytest.mark.parametrize(
    "data",
    [
        Told(values=["dog", "cat"]),  # names of classes
        Told(values=1 - CLASSES),  # something else than the items say
        Told(values=CLASSES[:5]),
        Told(values=None),
        Told("other"),
        ConcatDataset([Told(), Told("other")]),
    ],
)
def test_an_attribute_with_another_meaning_tells_nothing(data):
    assert Stream(data, 4).all_labels() is None
    with pytest.raises(ValueError, match="does not tell the labels without reading all items: give the groups, `by="):
        Stream(data, 4, sampling="balanced")


class Vision(Told):
    """As torchvision: targets, and a transform of the targets that changes one class alone."""

    target_transform = staticmethod(lambda y: y)


def test_transformed_targets_tell_nothing():
    assert labels_told(Vision("targets"), ItemForm()) is None
    plain = Vision("targets")
    plain.target_transform = None
    assert torch.equal(labels_told(plain, ItemForm()), CLASSES)


def test_lists_tell_their_labels():
    pairs = [(torch.zeros(1), int(y)) for y in CLASSES]
    rows = [{"x": torch.zeros(1), "labels": int(y)} for y in CLASSES]
    assert torch.equal(Stream(pairs, 4).all_labels(), CLASSES)
    assert torch.equal(Stream(rows, 4, label="labels").all_labels(), CLASSES)
    boxes = [(torch.zeros(1), {"boxes": torch.zeros(2, 4)})] * 4
    assert Stream(boxes, 4).all_labels() is None

    class Lazy(list):
        def __getitem__(self, index):
            return torch.zeros(1), super().__getitem__(index)

    assert Stream(Lazy(range(4)), 2).all_labels() is None
    ragged = [(torch.zeros(1), torch.zeros(i)) for i in range(4)]
    assert Stream(ragged, 4).all_labels() is None


def test_builders_tell_their_labels(tmp_path):
    for i in range(6):
        folder = tmp_path / ("dark" if i % 3 else "light")
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4), (i, i, i)).save(folder / f"{i}.png")
    images, texts = datasets.images(tmp_path), datasets.texts(["a", "b", "c"], ["x", "y", "x"])
    for data in (images, texts):
        stream = Stream(data, 2, sampling="balanced")
        assert torch.equal(stream.all_labels(), data.labels) and stream.all_labels().dtype == torch.int64


def test_labels_told_are_checked_before_the_first_step():
    encoder, head = encoders.wrap(torch.nn.Linear(1, 4), 4), heads.Classifier(4, 2)
    streams = {"a": Stream([(torch.zeros(1), 0)] * 9 + [(torch.zeros(1), 7)], 4)}
    with pytest.raises(ValueError, match=r"`labels` must be in \[0, 2\) .*found 0 to 7"):
        Trainer(encoder, [adapt.supervised(head, "a")], streams, progress=False, device="cpu")


def sparse():
    matrix = numpy.random.RandomState(0).poisson(0.3, (20, 7))
    return matrix, datasets.arrays(scipy.sparse.csr_array(matrix), CLASSES.numpy())


def test_a_sparse_batch_is_read_at_once(monkeypatch):
    matrix, data = sparse()
    streams = [Stream(data, 8), Stream(datasets.arrays(scipy.sparse.csr_array(matrix)), 8, labels=False)]
    monkeypatch.setattr(type(data), "__getitems__", lambda *_: pytest.fail("a row was read alone"))
    batch, bare = (next(s.batches("s", 0)) for s in streams)
    assert numpy.array_equal(batch.inputs.numpy(), matrix[batch.index])
    assert torch.equal(batch.labels, CLASSES[batch.index])
    assert bare.labels is None and numpy.array_equal(bare.inputs.numpy(), matrix[bare.index])
    monkeypatch.undo()
    both = ConcatDataset([Subset(data, [3, 1]), data])
    batch = next(Stream(both, 22, shuffle=False).batches("s", 0))
    assert numpy.array_equal(batch.inputs.numpy(), matrix[[3, 1, *range(20)]])


def test_sparse_items_and_a_subclass_of_them():
    matrix, data = sparse()
    assert numpy.array_equal(next(iter(DataLoader(data, 20)))[0].numpy(), matrix)

    class Doubled(type(data)):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return 2 * x, y

    data.__class__ = Doubled
    batch = next(Stream(data, 8).batches("s", 0))
    assert numpy.array_equal(batch.inputs.numpy(), 2 * matrix[batch.index])


def test_groups_are_told_and_balanced():
    data = datasets.windows(torch.arange(48.0)[:, None], 4, groups=["a"] * 40 + ["b"] * 8)
    assert groups_told(data).tolist() == [0] * 10 + [1] * 2
    assert groups_told(ConcatDataset([Subset(data, [0, 11]), data])).tolist() == [0, 1] + [2] * 10 + [3] * 2
    assert groups_told(TensorDataset(torch.zeros(2))) is None
    for by in ("groups", ["a"] * 10 + ["b"] * 2):
        stream = Stream(data, 4, labels=False, sampling="balanced", by=by)
        drawn = torch.cat([b.index for b, _ in zip(stream.batches("s", 0), range(200), strict=False)])
        assert abs((drawn >= 10).float().mean() - 0.5) < 0.08
    with pytest.raises(ValueError, match=r'`by` must be a group for each row, or "groups" where .*got \'domain\''):
        Stream(data, 4, labels=False, sampling="balanced", by="domain")
    with pytest.raises(ValueError, match="got 'groups' and a Told"):
        Stream(Told(), 4, sampling="balanced", by="groups")


def test_the_interval_of_a_score_is_over_the_groups_of_the_dataset():
    series = torch.randn(160, 1, generator=torch.Generator().manual_seed(0))
    data = datasets.windows(series, 4, labels=[0, 1] * 80, groups=[i // 16 for i in range(160)])
    encoder = encoders.wrap(torch.nn.Flatten(), 4)
    head = heads.Classifier(4, 2)
    made = Trainer(encoder, [adapt.supervised(head, "a")], {"a": Stream(data, 4)}, progress=False, device="cpu")
    by_group, by_row = made.evaluate(head, data), made.evaluate(head, data, unit=range(40))
    assert str(by_group) == str(made.evaluate(head, data, unit=data.groups)) != str(by_row)
