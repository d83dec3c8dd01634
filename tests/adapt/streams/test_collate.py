"""From items to a batch: padding with lengths and masks, lists with one entry per row."""

import json

import pytest
import torch

from adapt.engine.recipes import describe, make
from adapt.streams import collate


def test_pads_one_axis_of_tensors():
    items = [(torch.ones(2, 3), 0), (torch.ones(2, 1), 1), (torch.ones(2, 2), 0)]
    batch, labels = collate.pad(axis=1, value=-9.0)(items)
    assert batch.keys() == {"values", "lengths", "mask"} and batch["values"].shape == (3, 2, 3)
    assert batch["lengths"].tolist() == [3, 1, 2] and labels.tolist() == [0, 1, 0]
    assert torch.equal(batch["mask"], torch.arange(3) < torch.tensor([[3], [1], [2]]))
    for row, mask in zip(batch["values"], batch["mask"], strict=True):
        assert row[:, mask].eq(1).all() and row[:, ~mask].eq(-9).all()
    alone = collate.pad()([torch.ones(2), torch.ones(3)])  # items without labels
    assert alone["values"].dtype == torch.float32 and alone["mask"].sum() == 5


def test_the_form_does_not_depend_on_the_lengths_of_the_batch():
    equal = collate.pad()([(torch.ones(2), 0), (torch.ones(2), 1)])[0]
    assert equal["mask"].all() and equal["lengths"].tolist() == [2, 2]


def test_pads_the_entries_of_mappings_and_keeps_their_own_mask():
    rows = [
        {"input_ids": [5, 6, 7], "attention_mask": [1, 1, 1], "speaker": 4, "labels": 0},
        {"input_ids": [8], "attention_mask": [1], "speaker": 2, "labels": 1},
    ]
    batch = collate.pad(value={"input_ids": 99})(rows)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 99, 99]] and batch["input_ids"].dtype == torch.long
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["speaker"].tolist() == [4, 2] and batch["labels"].tolist() == [0, 1]
    assert batch.keys() == rows[0].keys()
    bare = collate.pad()(
        [{"ids": torch.ones(2), "vector": torch.ones(2)}, {"ids": torch.ones(1), "vector": torch.ones(1)}]
    )
    assert bare["mask"].tolist() == [[True, True], [True, False]]


def test_chosen_entries_alone_are_padded():
    rows = [{"ids": torch.ones(n), "image": torch.ones(5, 2)} for n in (1, 3)]
    batch = collate.pad(keys=["ids"])(rows)
    assert batch["ids"].shape == (2, 3) and batch["image"].shape == (2, 5, 2) and batch["lengths"].tolist() == [1, 3]
    with pytest.raises(ValueError, match="must have one length along axis 0 for a mask"):
        collate.pad()(rows)


@pytest.mark.parametrize(("labels", "missing"), [([[1, 2], [3]], -1), ([[1.0, 2.0], [3.0]], float("nan"))])
def test_labels_of_unequal_length_are_padded_with_the_missing_label(labels, missing):
    _, found = collate.pad()([(torch.ones(len(y)), torch.tensor(y)) for y in labels])
    torch.testing.assert_close(
        found, torch.tensor([[labels[0][0], labels[0][1]], [labels[1][0], missing]]), equal_nan=True
    )


def test_lists_have_one_entry_per_row():
    items = [(torch.ones(3, 4), {"boxes": torch.ones(k, 4)}) for k in (0, 2)]
    inputs, labels = collate.as_lists(items)
    assert inputs.shape == (2, 3, 4) and isinstance(labels, list) and [len(y["boxes"]) for y in labels] == [0, 2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: collate.pad(-1), "`axis` must be a whole number of at least 0, got -1"),
        (lambda: collate.pad(2)([torch.ones(3)]), "expects inputs with this axis, got an input of 1 axes"),
        (lambda: collate.pad()([torch.ones(2, 3), torch.ones(2, 4)]), "must differ along axis 0 alone"),
        (lambda: collate.pad()([{"a": 1}, {"a": 2}]), "no entry of an item has axis 0"),
        (lambda: collate.as_lists([torch.ones(2)]), r"expects items \(input, label\), got a Tensor"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_mask_is_padded_with_zeros_whatever_the_value():
    rows = [{"x": torch.ones(n), "attention_mask": torch.ones(n).long()} for n in (1, 3)]
    batch = collate.pad(value=7.0)(rows)
    assert batch["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1]] and batch["x"].tolist()[0] == [1, 7, 7]


def test_a_saved_model_knows_how_to_pad():
    for made in (collate.pad(), collate.pad(1, {"input_ids": 3}, keys=["input_ids", "mask"])):
        assert make(json.loads(json.dumps(describe(made)))) == made
