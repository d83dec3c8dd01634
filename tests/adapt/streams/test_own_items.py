"""Rows 5, 6 and 7 of the small inputs that failed: a data set's own items, randomness in items, preparation."""

import random

import numpy
import pytest
import torch
from torch import nn
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

import adapt
from adapt import Stream, Trainer, datasets, encoders, engine, heads, inductive, multitask

G = torch.Generator().manual_seed(0)
CLEAN, LABELS = torch.randn(24, 4, generator=G), torch.arange(24) % 3
RAW = 5 * CLEAN + 100


class Prepared(TensorDataset):
    """A subclass with its own items."""

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return (x - 100) / 5, y


OWN = {
    "alone": lambda: Prepared(RAW, LABELS),
    "subset": lambda: Subset(Prepared(RAW, LABELS), range(24)),
    "joined": lambda: ConcatDataset([Prepared(RAW[:9], LABELS[:9]), Prepared(RAW[9:], LABELS[9:])]),
    "splits": lambda: datasets.splits(Prepared(RAW, LABELS), "own", validation=0, test=0).train,
}


@pytest.mark.parametrize("kind", OWN)
@pytest.mark.parametrize("workers", [0, 2])
def test_the_items_of_a_subclass_are_read(kind, workers):
    """Row 5: in training, prediction, evaluation and features."""
    data = OWN[kind]()
    encoder, head = encoders.wrap(nn.Identity(), 4), heads.Classifier(4, 3)
    stream = Stream(data, 24, shuffle=False, workers=workers)
    trainer = Trainer(encoder, [adapt.supervised(head, "s")], {"s": stream}, progress=False, device="cpu")
    expected = torch.stack([data[i][0] for i in range(24)])
    assert expected.abs().max() < 10
    torch.testing.assert_close(next(stream.batches("s", 0)).inputs, expected)
    torch.testing.assert_close(trainer.predict(head, data, workers=workers).features, expected)
    torch.testing.assert_close(engine.features(encoder, data).tensors[0], expected)
    clean = TensorDataset(expected, torch.stack([torch.as_tensor(data[i][1]) for i in range(24)]))
    assert trainer.evaluate(head, data, workers=workers) == trainer.evaluate(head, clean)
    model = trainer.model(head)
    assert model.evaluate(data) == model.evaluate(clean)


class Draws(Dataset):
    """Items that draw from every global generator."""

    def __len__(self):
        return 80

    def __getitem__(self, index):
        return torch.tensor([numpy.random.rand(), random.random(), torch.rand(()).item()]), 0


@pytest.mark.parametrize("augment", [None, lambda x: x + torch.rand(()) + random.random() + numpy.random.rand()])
def test_randomness_in_items_differs_by_row_epoch_and_seed_and_not_by_worker(augment):
    """Row 6."""

    def read(seed, workers):
        batches = Stream(Draws(), 8, workers=workers, augment=augment).batches("s", seed)
        return torch.cat([next(batches).inputs for _ in range(20)])  # two epochs

    found = read(1, 0)
    assert len({tuple(row.tolist()) for row in found}) == 160
    if augment is None:
        assert torch.equal(found, read(1, 2)) and not torch.isin(found, read(2, 2)).any()


def test_a_preparation_is_no_augmentation():
    """Row 7: evaluation would read rows that the encoder has never seen."""
    data = TensorDataset(RAW, LABELS)
    with pytest.raises(ValueError, match="`augment` must be random, got 32 equal results.*belongs to the data set"):
        Stream(data, 6, augment=lambda x: (x - 100) / 5)
    with pytest.raises(ValueError, match="`augment` must be random"):
        Stream(data, 6, views=[lambda x: (x - 100) / 5, None])
    with pytest.raises(ValueError, match="`augment` must be random"):
        inductive.transfer(encoders.wrap(nn.Linear(4, 4), 4), data, "full", classes=3, augment=lambda x: x / 5)
    before = torch.get_rng_state(), random.getstate()
    for kept in (lambda x: x, lambda x: x + torch.randn(4), lambda x: x.flip(0) if random.random() < 0.9 else x):
        Stream(data, 6, augment=kept)
    Stream(data, 6, views=[None, lambda x: x / 5])  # a view of a teacher, say
    assert torch.equal(before[0], torch.get_rng_state()) and before[1] == random.getstate()
    prepared = Prepared(RAW, LABELS)  # the remedy
    encoder, head = encoders.wrap(nn.Identity(), 4), heads.Classifier(4, 3)
    trainer = Trainer(encoder, [adapt.supervised(head, "s")], {"s": Stream(prepared, 6)}, progress=False, device="cpu")
    clean = trainer.evaluate(head, TensorDataset(CLEAN, LABELS))
    assert trainer.evaluate(head, prepared).value == clean.value


def test_labels_of_a_watched_set_are_checked_before_the_first_step():
    """Row 36."""
    encoder, head = encoders.wrap(nn.Identity(), 4), heads.Classifier(4, 3)
    stream = {"s": Stream(TensorDataset(CLEAN, LABELS), 6)}
    for wrong in (LABELS + 1, LABELS.float(), LABELS[:, None]):
        with pytest.raises(ValueError, match=r"`watch\['late'\]`: `labels`"):
            Trainer(
                encoder, [adapt.supervised(head, "s")], stream, progress=False, device="cpu",
                watch={"late": (head, TensorDataset(CLEAN, wrong))},
            )  # fmt: skip


def test_a_shortcut_for_tensors_refuses_items_of_a_subclass():
    """Row 5: these functions take whole columns, and would leave the items out."""
    with pytest.raises(TypeError, match="without items of its own, got a Prepared: give `TensorDataset"):
        datasets.standardize(Prepared(RAW, LABELS))
    with pytest.raises(TypeError, match="without items of its own, got a Prepared: give `TensorDataset"):
        multitask.rows_with_label(Prepared(RAW, LABELS[:, None]), 0)
