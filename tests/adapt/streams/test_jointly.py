"""Input and label are changed together, with keyed randomness."""

import pytest
import torch
from torch.utils.data import TensorDataset

import adapt
from adapt import Stream, Trainer, encoders, heads
from adapt.streams import collate, jointly

X = torch.arange(20 * 16.0).view(20, 1, 4, 4)
MASKS = TensorDataset(X, (X[:, 0] % 3).long())


def cut(image, mask):
    top, left = torch.randint(2, (2,)).tolist()
    return image[:, top : top + 3, left : left + 3], mask[top : top + 3, left : left + 3]


def take(count=6, **options):
    options = {"augment": jointly(cut)} | options
    stream = Stream(options.pop("dataset", MASKS), 4, **options)
    return [b for b, _ in zip(stream.batches("s", 0), range(count), strict=False)]


def test_image_and_mask_are_cut_at_one_place():
    batches = take()
    for batch in batches:
        assert batch.inputs.shape == (4, 1, 3, 3) and torch.equal((batch.inputs[:, 0] % 3).long(), batch.labels)
    corners = torch.cat([b.inputs[:, 0, 0, 0] - X[b.index, 0, 0, 0] for b in batches])
    assert sorted(corners.unique().tolist()) == [0, 1, 4, 5]


def test_the_randomness_is_keyed():
    for one, other in zip(take(), take(workers=2), strict=True):
        assert torch.equal(one.inputs, other.inputs) and torch.equal(one.labels, other.labels)


def test_further_views_are_augmented_alone():
    (batch,) = take(1, augment=None, views=[jointly(cut), torch.neg, None])
    assert torch.equal((batch.inputs[:, 0] % 3).long(), batch.labels)
    assert torch.equal(batch.more[0], -X[batch.index]) and torch.equal(batch.more[1], X[batch.index])


def test_mappings_lists_and_labels_of_boxes():
    rows = [{"image": X[i], "mask": MASKS[i][1]} for i in range(20)]
    (batch,) = take(1, dataset=rows, input="image", label="mask")
    assert torch.equal((batch.inputs[:, 0] % 3).long(), batch.labels)

    def whole(x, mask):
        image, mask = cut(x["image"], mask)
        return {"image": image}, mask

    (batch,) = take(1, dataset=rows, label="mask", augment=jointly(whole))
    assert torch.equal((batch.inputs["image"][:, 0] % 3).long(), batch.labels)

    def shifted(image, target):
        return image, {"boxes": target["boxes"] + 1}

    boxes = [(X[i], {"boxes": torch.zeros(i % 3, 4)}) for i in range(20)]
    (batch,) = take(1, dataset=boxes, augment=jointly(shifted), collate=collate.as_lists)
    assert all(y["boxes"].eq(1).all() for y in batch.labels)


def test_a_segmenter_learns_from_cut_images():
    torch.manual_seed(0)
    x = torch.randn(16, 1, 8, 8)
    data = TensorDataset(x, (x[:, 0] > 0).long())
    encoder = encoders.Encoder(torch.nn.Conv2d(1, 4, 1), 4)
    head = heads.wrap(torch.nn.Conv2d(4, 2, 1), loss=torch.nn.CrossEntropyLoss())
    streams = {"a": Stream(data, 8, augment=jointly(cut))}
    rate = lambda groups: torch.optim.Adam(groups, lr=0.05)  # noqa: E731
    made = Trainer(encoder, [adapt.supervised(head, "a")], streams, optimizer=rate, progress=False, device="cpu")
    found = made.fit(80).predict(head, data)
    assert found.outputs.shape == (16, 2, 8, 8) and (found.outputs.argmax(1) == found.labels).float().mean() > 0.95


def test_bad_input():
    with pytest.raises(ValueError, match=r"must return \(input, label\), got a Tensor"):
        take(1, augment=jointly(lambda x, y: x))
    with pytest.raises(ValueError, match="got `jointly` in a further view: make the joint augmentation the first"):
        take(1, augment=None, views=[None, jointly(cut)])
    with pytest.raises(ValueError, match="`jointly` changes input and label together, and `dataset` gives inputs"):
        take(1, dataset=TensorDataset(X), labels=False)
    with pytest.raises(TypeError, match="`function` of `jointly` must be callable"):
        jointly(3)
