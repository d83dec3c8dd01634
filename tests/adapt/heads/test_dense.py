"""A class for each pixel."""

import copy
import pickle
from functools import partial

import numpy
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import jaccard_score
from torch import nn
from torch.utils.data import TensorDataset

import adapt
import losses
from adapt import Model, Stream, Term, Trainer, domain, encoders, heads, multitask
from tests.ranks import run_ranks


def network():
    """A pyramid with maps of 1/4, 1/2 and of the size of the images."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1)]
    whole = encoders.wrap(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), 8)
    return encoders.pyramid(whole, example=torch.zeros(1, 3, 13, 10))


def street(rows=12, missing=-1, seed=0):
    """Images with a bright rectangle of class 1 or 2, and pixels without a class."""
    g = torch.Generator().manual_seed(seed)
    images, masks = 0.2 * torch.randn(rows, 3, 13, 10, generator=g), torch.zeros(rows, 13, 10, dtype=torch.long)
    for i in range(rows):
        top, left = (int(torch.randint(6, (), generator=g)) for _ in range(2))
        images[i, i % 2, top : top + 5, left : left + 4] += 2
        masks[i, top : top + 5, left : left + 4] = 1 + i % 2
        masks[i, : i % 4] = missing  # other numbers of labelled pixels in each image
    return images, masks


def example(dtype=torch.float64, classes=4):
    g = torch.Generator().manual_seed(1)
    logits = torch.randn(5, classes, 6, 7, generator=g, dtype=dtype).requires_grad_()
    labels = torch.randint(3, (5, 6, 7), generator=g)
    labels[torch.rand(5, 6, 7, generator=g) < 0.3] = -1
    labels[2] = -1
    return logits, labels


@pytest.mark.parametrize("weight", [None, (1.0, 2.0, 0.5, 3.0)])
def test_the_loss_is_the_mean_over_labelled_pixels(weight):
    head, (logits, labels) = heads.Dense(6, 4, weight=weight, channels=4), example()
    w = weight or [1.0] * 4
    found, weights = [], []
    for n, i, j in (labels != -1).nonzero().tolist():
        k = labels[n, i, j]
        found.append(-w[k] * logits[n, :, i, j].log_softmax(0)[k])
        weights.append(w[k])
    expected = torch.stack(found).sum() / sum(weights)
    loss = head.loss(logits, labels)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    mine, theirs = (torch.autograd.grad(value, logits)[0] for value in (loss, expected))
    torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-15)
    assert mine.movedim(1, -1)[labels == -1].eq(0).all() and head.count(labels) == pytest.approx(sum(weights))
    assert head.loss(logits, torch.full_like(labels, -1)) == 0
    other = heads.Dense(6, 4, weight=weight, missing=255, channels=4)
    as_bytes = labels.masked_fill(labels == -1, 255).to(torch.uint8)
    assert torch.equal(other.loss(logits, as_bytes), loss) and other.count(as_bytes) == head.count(labels)


def test_labels_are_never_resized():
    """Logits of half the size are brought to the labels, bilinear; loss and score see all pixels."""
    head, (_, labels) = heads.Dense(6, 4, channels=4), example()
    small = torch.randn(5, 4, 3, 4, dtype=torch.float64, requires_grad=True)
    large = F.interpolate(small, size=(6, 7), mode="bilinear", align_corners=False)
    assert torch.equal(head.loss(small, labels), head.loss(large, labels))
    one, other = head.measure(small, labels), head.measure(large, labels)
    assert all(map(torch.equal, one["pairs"], other["pairs"]))


def test_miou_is_the_jaccard_index_of_all_pixels():
    head, (logits, labels) = heads.Dense(6, ["a", "b", "c", "never"], channels=4), example()
    logits = logits.detach()
    logits[:, 3] = -9
    parts = [head.measure(logits[s], labels[s]) for s in (slice(0, 2), slice(2, 5))]  # batch by batch
    score = head.score({"pairs": parts[0]["pairs"] + parts[1]["pairs"]})
    there = labels != -1
    true, guessed = labels[there].numpy(), logits.argmax(1)[there].numpy()
    each = jaccard_score(true, guessed, average=None)
    assert score.value == pytest.approx(each.mean(), abs=1e-15) and score.metric == "mIoU" and score.n == 4
    assert [score.further[f"IoU of {k}"] for k in "abc"] == pytest.approx(each, abs=1e-15)
    assert score.further["pixel accuracy"] == pytest.approx((true == guessed).mean())
    assert score.further["absence of never"] == 1 and "IoU of never" not in score.further
    images = [jaccard_score(y[y >= 0], z[y >= 0], average="macro") for y, z in
              zip(labels.numpy(), logits.argmax(1).numpy(), strict=True) if (y >= 0).any()]  # fmt: skip
    assert abs(score.value - numpy.mean(images)) > 1e-3  # the mean of ratios is another number
    table = numpy.zeros((4, 4), int)
    numpy.add.at(table, (true, guessed), 1)
    assert numpy.array_equal(head.confusion({"pairs": parts[0]["pairs"] + parts[1]["pairs"]}), table)


@pytest.mark.parametrize("units", [None, [0, 0, 7, 7, 3]])
def test_the_interval_is_over_units(units):
    """The interval is the interval of the linear part of the mIoU: numeric derivatives in the weight of each unit."""
    head, (logits, labels) = heads.Dense(6, 4, channels=4), example()
    found = head.measure(logits.detach(), labels)
    score = head.score(found, None if units is None else torch.tensor(units))
    unit = numpy.array(units or range(5))

    def miou(weights):
        table = numpy.zeros((4, 4))
        for w, rows in zip(weights, found["pairs"], strict=True):
            for true, guessed, count in rows.tolist():
                table[true, guessed] += w * count
        inside = numpy.diag(table)
        return (inside / (table.sum(0) + table.sum(1) - inside)).mean()

    seen = [u for u in sorted(set(unit)) if any(len(found["pairs"][i]) for i in numpy.flatnonzero(unit == u))]
    step = 1e-6
    slopes = [(miou(1 + step * (unit == u)) - miou(1 - step * (unit == u))) / (2 * step) for u in seen]
    n = len(seen)
    half = 1.959964 * numpy.sqrt(n / (n - 1) * numpy.square(slopes).sum())
    assert score.n == n and score.high - score.value == pytest.approx(half, rel=1e-6)
    alone = head.score(found, torch.zeros(5, dtype=torch.long))
    assert alone.value == pytest.approx(score.value, abs=1e-15) and alone.high == float("inf") and alone.n == 1


def trained(accumulate=1, precision="float32", **options):
    torch.manual_seed(0)
    encoder, head = network(), heads.Dense(network(), ["road", "car", "bus"], channels=8, **options)
    images, masks = street(missing=options.get("missing", -1))
    stream = Stream(TensorDataset(images, masks), 4 // accumulate)
    trainer = Trainer(encoder, [adapt.supervised(head, on="rows")], {"rows": stream}, progress=False, device="cpu",
                      accumulate=accumulate, precision=precision, optimizer=torch.optim.SGD)  # fmt: skip
    trainer.fit(steps=3)
    score = trainer.evaluate(head, TensorDataset(images, masks), batch_size=5)
    weights = torch.cat([v.detach().flatten() for v in trainer.network.state_dict().values()])
    return weights, None if score is None else (score.value, score.low, score.n)


def of_rank(rank, world, options):
    return trained(**options)


@pytest.mark.parametrize("options", [{}, {"weight": [1.0, 5.0, 2.0], "missing": 255}])
def test_two_ranks_equal_one(options):
    alone, score = trained(**options)
    for weights, found in run_ranks(of_rank, 2, options):
        torch.testing.assert_close(weights, alone, rtol=1e-5, atol=1e-6)
        assert found is None or found == pytest.approx(score, abs=1e-6)


def test_micro_batches_equal_a_batch():
    torch.testing.assert_close(trained(accumulate=2)[0], trained()[0], rtol=1e-5, atol=1e-6)


def test_a_run_from_training_to_a_program(tmp_path):
    images, masks = street(24)
    torch.manual_seed(0)
    encoder = network()
    head = heads.Dense(encoder, ["road", "car", "bus"], weight="balanced", channels=8)
    data = TensorDataset(images, masks)
    trainer = Trainer(encoder, [adapt.supervised(head, on="rows")], {"rows": Stream(data, 8)}, progress=False,
                      device="cpu", seed=0, optimizer=partial(torch.optim.AdamW, lr=1e-2),
                      watch={"rows": (head, data), "unlabelled": (head, TensorDataset(images))},
                      log=tmp_path / "run")  # fmt: skip
    trainer.fit(steps=40)
    score = trainer.evaluate(head, data)
    assert score.value > 0.6 and score.n == 24
    assert trainer.evaluate(head, data, unit=[i // 6 for i in range(24)]).n == 4
    model = trainer.model(head)
    predicted = model.predict(images)
    assert predicted.shape == (24, 13, 10) and predicted.dtype == numpy.int64 and model.names == ["road", "car", "bus"]
    assert (predicted == masks.numpy())[masks.numpy() >= 0].mean() == pytest.approx(score.further["pixel accuracy"])
    assert model.probabilities(images[:2]).shape == (2, 3, 13, 10)
    again = Model.load(model.save(tmp_path / "model"))
    assert numpy.array_equal(again.predict(images), predicted)
    assert again.evaluate(data).value == score.value and again.head.weight == head.weight
    program = torch.export.load(model.export(tmp_path / "model.pt2")).module()
    torch.testing.assert_close(program(images[:5]), model.outputs(images[:5]), rtol=1e-4, atol=1e-5)


def test_bf16_trains():
    weights, score = trained(precision="bf16")
    torch.testing.assert_close(weights, trained()[0], rtol=0.1, atol=0.02)
    assert 0 <= score[0] <= 1


def test_a_map_of_one_place_and_other_sizes():
    for channels in (1, 2, 3, 8, 9, 64):
        head = heads.Dense({"coarse": 8, "fine": 4}, 3, channels=channels)
        for size in (1, 2, 7):
            maps = {"coarse": torch.randn(1, 8, 1, size), "fine": torch.randn(1, 4, 2, 2 * size - 1)}
            if channels > 1 or size > 1:
                assert head(maps).shape == (1, 3, 2, 2 * size - 1)


def test_copies_compute_the_same():
    head = heads.Dense(network(), 3, channels=8).eval()
    features = network()(street(2)[0])
    for other in (copy.deepcopy(head), pickle.loads(pickle.dumps(head))):
        assert torch.equal(other(features), head(features))


class Stacked(nn.Module):
    """The same map alone, or in a pyramid of one map."""

    def __init__(self, mapping):
        super().__init__()
        self.layer, self.mapping = nn.Conv2d(3, 6, 3, padding=1), mapping

    def forward(self, x):
        z = self.layer(x)
        return {"z": z} if self.mapping else z


@pytest.mark.parametrize("balance", [None, multitask.imtl_g, multitask.dwa])
def test_a_pyramid_of_one_map_trains_as_the_map(balance):
    """Joint passes, domain terms and the balancing of tasks at the features see the same numbers."""
    found = []
    for mapping in (False, True):
        torch.manual_seed(0)
        encoder = encoders.Encoder(Stacked(mapping), 6, dims={"z": 6} if mapping else None)
        one, two = heads.Dense(encoder, 3, channels=4), heads.Dense(encoder, 3, channels=4)
        images, masks = street()
        terms = [multitask.task("a", one, on="source"), multitask.task("b", two, on="source")]
        terms += [domain.dann(encoder, level="pooled"), domain.advent(one, hidden=2)]
        streams = {"source": Stream(TensorDataset(images, masks), 4), "target": Stream(images, 4, labels=False)}
        more = {} if balance is None else {"balance": balance()}
        trainer = Trainer(encoder, terms, streams, progress=False, device="cpu", **more).fit(steps=2)
        found.append(torch.cat([v.flatten() for v in trainer.network.state_dict().values()]))
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-7)


def test_a_term_of_the_user_on_masks():
    images, masks = street()
    encoder = network()
    head = heads.Dense(encoder, 3, channels=8)

    def overlap(step):
        y = step["rows"].labels
        return losses.dice(step.output(head, "rows"), y, weights=y != -1)

    terms = [adapt.supervised(head, on="rows"), Term("dice", overlap, modules=[head])]
    trainer = Trainer(encoder, terms, {"rows": Stream(TensorDataset(images, masks), 4)}, progress=False, device="cpu")
    before = trainer.evaluate(head, TensorDataset(images, masks)).value
    assert trainer.fit(steps=60).evaluate(head, TensorDataset(images, masks)).value > before + 0.1


def test_a_pyramid_is_no_row_of_features():
    encoder = network()
    trainer = Trainer(
        encoder, [adapt.supervised(heads.Classifier(encoder, 2), on="rows")],
        {"rows": Stream(TensorDataset(street(4)[0], torch.arange(4) % 2), 4)}, progress=False, device="cpu",
    )  # fmt: skip
    with pytest.raises(ValueError, match="tensor of size 8, got a dict: a pyramid of maps is for heads.Dense"):
        trainer.fit(1)


HALF = heads.Dense({"coarse": 8, "fine": 4}, 3, channels=4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: heads.Dense(4, 1), "at least 2, got 1"),
        (lambda: heads.Dense({}, 3), "at least one map"),
        (lambda: heads.Dense({"a": 0}, 3), r"`encoder\['a'\]`.*at least 1, got 0"),
        (lambda: heads.Dense(4, 2, missing=1), "`missing` must be no class, got 1"),
        (lambda: heads.Dense(4, 2, weight=[1.0]), "one finite number per class"),
        (lambda: heads.Dense(4, 2)(torch.zeros(3, 4)), r"maps \(n, 4, h, w\), got \(3, 4\): take `encoders.pyramid"),
        (lambda: heads.Dense(4, 2)({"a": torch.zeros(3, 4)}), "got a dict"),
        (lambda: HALF(torch.zeros(2, 8, 3, 3)), r"maps \['coarse', 'fine'\], got \(2, 8, 3, 3\)"),
        (lambda: HALF({"coarse": torch.zeros(2, 8, 3, 3)}), r"got \['coarse'\]"),
        (lambda: HALF({"coarse": torch.zeros(2, 8, 3, 3), "fine": torch.zeros(2, 5, 6, 6)}), r"got \(2, 5, 6, 6\)"),
        (lambda: HALF.check(torch.full((1, 2, 2), 255)), "255 to 255.*another `missing`"),
        (lambda: HALF.check(torch.zeros(2, 2).long()), r"\(n, h, w\) integers, got shape \(2, 2\)"),
        (lambda: HALF.check(torch.full((1, 2, 2), float("nan"))), "missing class is -1"),
        (lambda: HALF.check([[0, 1]]), "got a list"),
        (lambda: HALF.score(HALF.measure(torch.zeros(1, 3, 2, 2), torch.full((1, 2, 2), -1))), "all missing"),
        (lambda: HALF.score({"pairs": [torch.tensor([[0, 0, 1]])]}, torch.zeros(2)), "`units` must have one entry"),
        (lambda: heads.Dense(4, 2, weight="balanced").loss(torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2)), "balanced"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
