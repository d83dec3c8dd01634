"""Boxes around objects."""

import copy
import math
import pickle
from functools import partial

import faster_coco_eval
import numpy
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

import adapt
from adapt import Model, Stream, Trainer, encoders, heads
from adapt.heads.average_precision import average_precision, matches, overlaps
from adapt.heads.box_labels import Objects
from adapt.heads.box_targets import focal_sum, points_of, targets_of
from adapt.streams import collate
from tests.ranks import run_ranks


def network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1), nn.ReLU(), nn.Conv2d(12, 16, 3, 2, 1)]
    whole = encoders.wrap(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), 16)
    return encoders.pyramid(whole, ["4", "2"], example=torch.zeros(1, 3, 24, 32))


class Squares(Dataset):
    """Images with none to three bright rectangles of class 0 (red) or 1 (green)."""

    def __init__(self, rows, seed=0):
        self.rows, self.seed = rows, seed

    def __len__(self):
        return self.rows

    def __getitem__(self, index):
        g = torch.Generator().manual_seed(1000 * self.seed + index)
        image, boxes, classes = 0.1 * torch.randn(3, 24, 32, generator=g), [], []
        for k in range(index % 4):
            w, h = (int(torch.randint(5, 9, (), generator=g)) for _ in range(2))
            left, top = 10 * k + int(torch.randint(0, 2, (), generator=g)), int(torch.randint(0, 16, (), generator=g))
            kind = int(torch.randint(2, (), generator=g))
            image[kind, top : top + h, left : left + w] += 2
            boxes.append([left, top, min(left + w, 32), min(top + h, 24)])
            classes.append(kind)
        return image, {"boxes": torch.tensor(boxes).reshape(-1, 4).float(), "classes": torch.tensor(classes).long()}


def test_points_lie_at_the_centres_of_cells():
    points = points_of(torch.tensor([32.0, 24.0]), 3, 4)
    assert points[0].tolist() == [[4, 12, 20, 28]] * 3 and points[1].T.tolist() == [[4, 12, 20]] * 4


def test_the_targets_are_those_of_the_formulas():
    boxes = torch.tensor([[0.0, 0, 80, 60], [40, 20, 64, 52], [0, 0, 16, 16], [60, 50, 90, 70]])
    classes = torch.tensor([0, 1, 0, -1])
    size, h, w = torch.tensor([96.0, 80.0]), 10, 12
    found = targets_of(Objects(boxes, classes), 2, size, h, w)
    heat, owner, known = numpy.zeros((2, h, w)), numpy.full((h, w), -1), numpy.ones((h, w), bool)
    bells = numpy.zeros((4, h, w))
    for k, (box, kind) in enumerate(zip(boxes.tolist(), classes.tolist(), strict=True)):
        cells = [v / 8 for v in box]
        cx, cy = math.floor((cells[0] + cells[2]) / 2), math.floor((cells[1] + cells[3]) / 2)
        rx, ry = math.floor(0.27 * (cells[2] - cells[0])), math.floor(0.27 * (cells[3] - cells[1]))
        for i in range(h):
            for j in range(w):
                x, y = 8 * j + 4, 8 * i + 4
                if kind < 0:
                    known[i, j] &= not (box[0] <= x < box[2] and box[1] <= y < box[3])
                elif abs(j - cx) <= rx and abs(i - cy) <= ry:
                    sx, sy = (2 * rx + 1) / 6, (2 * ry + 1) / 6
                    bells[k, i, j] = math.exp(-((j - cx) ** 2) / (2 * sx**2) - (i - cy) ** 2 / (2 * sy**2))
                    heat[kind, i, j] = max(heat[kind, i, j], bells[k, i, j])
    areas = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).tolist()
    shares = numpy.zeros((h, w))
    for i in range(h):
        for j in range(w):
            there = [k for k in range(4) if bells[k, i, j] > 0]
            if there:
                owner[i, j] = min(there, key=lambda k: areas[k])
                shares[i, j] = bells[owner[i, j], i, j]
    for k in range(3):
        shares[owner == k] /= shares[owner == k].sum()
    numpy.testing.assert_allclose(found.heat, heat, rtol=1e-5)
    numpy.testing.assert_allclose(found.shares, shares, rtol=1e-5)
    assert numpy.array_equal(found.known, known) and not known.all()
    for i, j in zip(*numpy.nonzero(shares), strict=True):
        assert torch.equal(found.boxes[:, i, j], boxes[owner[i, j]])
    assert set(owner.ravel()) == {-1, 0, 1, 2}


def test_the_focal_loss_is_that_of_the_formula():
    g = torch.Generator().manual_seed(0)
    z = torch.randn(2, 3, 4, 5, generator=g, dtype=torch.float64, requires_grad=True)
    heat = torch.rand(2, 3, 4, 5, generator=g, dtype=torch.float64)
    heat[0, 1, 2, 3] = heat[1, 0, 0, 0] = 1
    known = torch.rand(2, 4, 5, generator=g) < 0.8
    known[1, 0, 0] = False  # a centre in a region of unknown content counts
    p, total = z.sigmoid(), 0
    for n, c, i, j in numpy.ndindex(2, 3, 4, 5):
        q, y = p[n, c, i, j], heat[n, c, i, j]
        if y == 1:
            total = total - (1 - q) ** 2 * q.log()
        elif known[n, i, j]:
            total = total - (1 - y) ** 4 * q**2 * (1 - q).log()
    loss = focal_sum(z, heat, known)
    torch.testing.assert_close(loss, total, rtol=1e-12, atol=0)
    assert torch.autograd.gradcheck(lambda x: focal_sum(x, heat, known), z)
    assert focal_sum(torch.full((1, 1, 1, 1), 80.0), torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1).bool()) == 80


def made_up(images, seed, kinds=3, unknown=False):
    """Found and true boxes of images: some right, some shifted, some of another class, some alone, equal scores."""
    draw = numpy.random.default_rng(seed)
    found, truth = [], []
    for i in range(images):
        k = int(draw.integers(0, 6)) if i else 0
        corner, side = draw.uniform(0, 80, (k, 2)), draw.uniform(5, 40, (k, 2))
        true, kind = numpy.concatenate([corner, corner + side], 1), draw.integers(0, kinds, k)
        near = true[: k // 2] + draw.normal(0, 2, (k // 2, 4))  # true boxes on top of each other
        true, kind = numpy.concatenate([true, near]), numpy.concatenate([kind, kind[: k // 2]])
        guess = numpy.concatenate([true + draw.normal(0, 2.5, true.shape), true + draw.normal(0, 6, true.shape)])
        alone = draw.uniform(0, 80, (3, 2))
        guess = numpy.concatenate([guess, numpy.concatenate([alone, alone + draw.uniform(5, 30, (3, 2))], 1)])
        guess[:, 2:] = numpy.maximum(guess[:, 2:], guess[:, :2] + 1)
        kinds_of = numpy.concatenate([kind, kind, draw.integers(0, kinds, 3)])
        kinds_of = numpy.where(draw.uniform(size=len(guess)) < 0.2, draw.integers(0, kinds, len(guess)), kinds_of)
        scores = draw.choice([0.1, 0.3, 0.5, 0.7, 0.9, 0.95], len(guess))
        if unknown and i % 2:
            true, kind = numpy.concatenate([true, [[20, 20, 90, 60]]]), numpy.concatenate([kind, [-1]])
        tensors = (torch.from_numpy(x) for x in (guess, scores, kinds_of))
        found.append(dict(zip(("boxes", "scores", "classes"), tensors, strict=True)))
        truth.append({"boxes": torch.from_numpy(true).reshape(-1, 4), "classes": torch.from_numpy(kind).long()})
    return found, truth


def of_coco(found, truth, kinds=3):
    """Average precisions of faster-coco-eval, ``(classes, 10)``; -1 where a class has no box."""
    annotations, results = [], []
    for image, (guess, true) in enumerate(zip(found, truth, strict=True)):
        for box, kind in zip(true["boxes"].tolist(), true["classes"].tolist(), strict=True):
            x, y, w, h = box[0], box[1], box[2] - box[0], box[3] - box[1]
            for k in [kind] if kind >= 0 else range(kinds):
                annotations.append({"id": len(annotations) + 1, "image_id": image, "category_id": k,
                                    "bbox": [x, y, w, h], "area": w * h, "iscrowd": int(kind < 0)})  # fmt: skip
        for box, score, kind in zip(*(guess[n].tolist() for n in ("boxes", "scores", "classes")), strict=True):
            results.append({"image_id": image, "category_id": kind, "score": score,
                            "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]]})  # fmt: skip
    categories = [{"id": k, "name": str(k)} for k in range(kinds)]
    images = [{"id": i, "width": 200, "height": 200} for i in range(len(found))]
    truth_ = faster_coco_eval.COCO({"images": images, "annotations": annotations, "categories": categories})
    done = faster_coco_eval.COCOeval_faster(
        truth_, truth_.loadRes(results), iouType="bbox", print_function=lambda *_: None
    )
    done.evaluate()
    done.accumulate()
    return numpy.asarray(done.eval["precision"])[:, :, :, 0, -1].mean(1).T


@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_average_precision_equals_that_of_coco(seed, unknown):
    found, truth = made_up(25, seed, unknown=unknown)
    theirs = of_coco(found, truth)
    names = ["a", "b", "c"]
    measures = [matches(f, y["boxes"], y["classes"], kinds=3) for f, y in zip(found, truth, strict=True)]
    score = average_precision(measures, names)
    assert score.value == pytest.approx(theirs.mean(), abs=1e-6) and 0.05 < score.value < 0.95
    assert score.further["mAP50"] == pytest.approx(theirs[:, 0].mean(), abs=1e-6)
    assert score.further["mAP75"] == pytest.approx(theirs[:, 5].mean(), abs=1e-6)
    for k, name in enumerate(names):
        assert score.further[f"AP of {name}"] == pytest.approx(theirs[k].mean(), abs=1e-6)
        assert score.further[f"AP50 of {name}"] == pytest.approx(theirs[k, 0], abs=1e-6)
    assert score.n == 25 and score.low < score.value < score.high


def test_a_class_without_boxes_is_left_out_and_named():
    found, truth = made_up(10, 0)
    measures = [matches(f, y["boxes"], y["classes"], kinds=4) for f, y in zip(found, truth, strict=True)]
    four = average_precision(measures, ["a", "b", "c", "d"])
    three = [m | {"counts": m["counts"][:3]} for m in measures]
    assert four.value == average_precision(three, ["a", "b", "c"]).value
    assert four.further["absence of d"] == 1 and "AP of d" not in four.further


def test_the_interval_leaves_units_out():
    found, truth = made_up(12, 1)
    measures = [matches(f, y["boxes"], y["classes"], kinds=3) for f, y in zip(found, truth, strict=True)]
    names, unit = ["a", "b", "c"], torch.arange(12) // 3
    score = average_precision(measures, names, unit)
    without = [average_precision([m for m, u in zip(measures, unit, strict=True) if u != g], names).value
               for g in range(4)]  # fmt: skip
    half = 1.959964 * math.sqrt(3 / 4 * numpy.square(numpy.array(without) - numpy.mean(without)).sum())
    assert score.n == 4 and score.high - score.value == pytest.approx(half, rel=1e-9)
    assert score.value == average_precision(measures, names).value
    assert average_precision(measures, names, torch.zeros(12)).high == float("inf")


def test_overlaps():
    one, other = numpy.array([[0.0, 0, 2, 2], [5, 5, 5, 5]]), numpy.array([[1.0, 1, 3, 3], [0, 0, 2, 2]])
    numpy.testing.assert_allclose(overlaps(one, other), [[1 / 7, 1], [0, 0]])
    numpy.testing.assert_allclose(overlaps(one, other, regions=True), [[1 / 4, 1], [0, 0]])


def trained(accumulate=1, precision="float32", steps=3, rows=12, **options):
    torch.manual_seed(0)
    encoder, head = network(), heads.Boxes(network(), ["red", "green"], channels=16, **options)
    stream = Stream(Squares(rows), 4 // accumulate, collate=collate.as_lists)
    trainer = Trainer(
        encoder, [adapt.supervised(head, on="rows")], {"rows": stream}, progress=False, device="cpu",
        accumulate=accumulate, precision=precision, optimizer=partial(torch.optim.AdamW, lr=3e-3),
    )  # fmt: skip
    return trainer.fit(steps=steps), head


def weights_and_score(rank=0, world=1, accumulate=1):
    trainer, head = trained(accumulate)
    score = trainer.evaluate(head, Squares(11), batch_size=3)
    weights = torch.cat([v.detach().flatten() for v in trainer.network.state_dict().values()])
    return weights, None if score is None else (score.value, score.n, score.further["mAP50"])


def test_two_ranks_and_micro_batches_equal_one():
    """Ranks and micro-batches hold other numbers of boxes, also none."""
    alone, score = weights_and_score()
    torch.testing.assert_close(weights_and_score(accumulate=4)[0], alone, rtol=1e-4, atol=1e-5)
    for weights, found in run_ranks(weights_and_score, 2):
        torch.testing.assert_close(weights, alone, rtol=1e-4, atol=1e-5)
        assert found is None or found == pytest.approx(score, abs=1e-3)


def test_a_run_from_training_to_a_program(tmp_path):
    trainer, head = trained(steps=250, rows=40)
    test = Squares(24, seed=1)
    score = trainer.evaluate(head, test)
    assert score.metric == "mAP50:95" and score.n == 24 and score.further["mAP50"] > 0.8 and score.value > 0.3
    model = trainer.model(head)
    images = torch.stack([test[i][0] for i in range(24)])
    found = model.predict(images, batch_size=7)
    assert len(found) == 24 and set(found[3]) == {"boxes", "scores", "classes"}
    assert set(found[3]["classes"]) <= {"red", "green"} and found[3]["boxes"].dtype == numpy.float32
    assert all((numpy.diff(f["scores"]) <= 0).all() and len(f["scores"]) <= 100 for f in found)
    again = Model.load(model.save(tmp_path / "model"), collate=collate.as_lists)
    assert numpy.array_equal(again.predict(images, batch_size=7)[3]["boxes"], found[3]["boxes"])
    assert again.evaluate(test).value == score.value
    program = torch.export.load(model.export(tmp_path / "model.pt2")).module()
    torch.testing.assert_close(
        program(images[:5]), head.eval()(trainer.encoder.eval()(images[:5])), rtol=1e-3, atol=1e-3
    )


def test_bf16_trains():
    trainer, head = trained(precision="bf16", steps=3)
    assert 0 <= trainer.evaluate(head, Squares(8)).value <= 1


def test_regions_of_unknown_content():
    """The loss of a point in a region is 0, except at a centre; a found box there is neither right nor wrong."""
    head = heads.Boxes(6, 2, stride=8, channels=4)
    output = head(torch.randn(1, 6, 3, 4))
    output = {k: v.detach().requires_grad_() for k, v in output.items()}
    everywhere = {"boxes": torch.tensor([[0.0, 0, 32, 24]]), "classes": torch.tensor([-1])}
    assert head.loss(output, [everywhere]) == 0 and head.count([everywhere]) == 1
    box = {"boxes": torch.tensor([[0, 0, 32, 24], [1, 1, 9, 9]]), "classes": torch.tensor([-1, 1])}
    grad = torch.autograd.grad(head.loss(output, [box]), output["centres"])[0]
    assert (grad != 0).sum() == 1 and grad[0, 1, 0, 0] < 0 and head.count([box]) == 2
    nothing = {"boxes": torch.zeros(0, 4), "classes": torch.zeros(0).long()}
    assert head.loss(output, [nothing]) > 0  # an image without boxes counts
    sure = {**output, "centres": output["centres"] + 9}
    counted = [int((~m["ignored"]).sum()) for m in head.measure({k: v.repeat(2, *[1] * (v.ndim - 1))
               for k, v in sure.items()}, [everywhere, nothing])]  # fmt: skip
    assert counted[0] < counted[1]


@pytest.mark.parametrize("kind", [numpy.asarray, list, torch.as_tensor])
def test_labels_of_any_kind(kind):
    head = heads.Boxes(6, 2, stride=8, channels=4)
    output = head(torch.randn(2, 6, 3, 4, generator=torch.Generator().manual_seed(0)))
    labels = [{"boxes": [[0, 0, 9, 9], [3, 4, 20, 22]], "classes": [1, 0]}, {"boxes": [], "classes": []}]
    given = [{k: kind(v) for k, v in y.items()} for y in labels]
    head.check(given)
    plain = [{"boxes": torch.tensor(y["boxes"]).reshape(-1, 4), "classes": torch.tensor(y["classes"]).long()}
             for y in labels]  # fmt: skip
    assert torch.equal(head.loss(output, given), head.loss(output, plain)) and head.count(given) == 4


def test_copies_compute_the_same():
    head = heads.Boxes(network(), 2, channels=8).eval()
    features = network()(torch.randn(2, 3, 24, 32))
    for other in (copy.deepcopy(head), pickle.loads(pickle.dumps(head))):
        assert torch.equal(other(features)["boxes"], head(features)["boxes"])


def test_a_torchvision_of_another_torch(monkeypatch):
    import builtins

    real = builtins.__import__

    def without(name, *more):
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")
        return real(name, *more)

    head = heads.Boxes(6, 2, stride=8)
    output = head(torch.randn(1, 6, 3, 4))
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="nms does not exist.*install the torchvision that fits torch"):
        head.predict(output)


ONE = heads.Boxes(4, 2, stride=8, channels=4)


def label(boxes=((0.0, 0.0, 2.0, 2.0),), classes=(0,)):
    return [{"boxes": torch.tensor(boxes), "classes": torch.tensor(classes)}]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: heads.Boxes(4, 0, stride=8), "at least 1, got 0"),
        (lambda: heads.Boxes(4, 2), "`stride` must be given for a single map"),
        (lambda: heads.Boxes({"a": 4}, 2)({"a": torch.zeros(1, 4, 2, 2)}), 'must hold the images, `"input"`'),
        (lambda: ONE(torch.zeros(3, 4)), r"maps \(n, 4, h, w\), got \(3, 4\)"),
        (lambda: ONE.check(torch.zeros(2)), "list with one mapping per image, got a Tensor.*as_lists"),
        (lambda: ONE.check([{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0)}]), "labels.* of torchvision"),
        (lambda: ONE.check([3]), "got int for image 0"),
        (lambda: ONE.check([{"boxes": [[0, 0, 1, 1]], "classes": ["a"]}]), "`classes` must be the numbers.*a list"),
        (lambda: ONE.check([{"boxes": [[0, 0, 1, 1], [1]], "classes": [0, 0]}]), "`boxes` must be numbers.*image 0"),
        (lambda: ONE.loss(ONE(torch.zeros(2, 4, 3, 3)), label()), "one entry for each of the 2 images, got 1"),
        (lambda: ONE.measure(ONE(torch.zeros(2, 4, 3, 3)), label()), "one entry for each of the 2 images, got 1"),
        (lambda: ONE.check(label(((0.0, 1.0, 2.0),))), r"\(k, 4\) left, top, right, bottom, got \(1, 3\)"),
        (lambda: ONE.check(label(classes=(0, 1))), r"\(1,\) integers, one for each box, got \(2,\)"),
        (lambda: ONE.check(label(classes=(0.5,))), "integers.*float32"),
        (lambda: ONE.check(label(((0.0, 0.0, float("nan"), 2.0),))), "finite.*class -1"),
        (lambda: ONE.check(label(((0.0, 0.0, float("inf"), 2.0),))), "finite"),
        (lambda: ONE.check(label(((0.0, 5.0, 2.0, 5.0),))), r"an area.*\[0.0, 5.0, 2.0, 5.0\] for image 0"),
        (lambda: ONE.check(label(((4.0, 5.0, 2.0, 9.0),))), "an area"),
        (lambda: ONE.check(label(classes=(2,))), r"in \[0, 2\).*found 2 for image 0"),
        (lambda: ONE.check(label(classes=(-2,))), "found -2"),
        (lambda: ONE.score([matches(f, y["boxes"][:0], y["classes"][:0], kinds=2)
                            for f, y in zip(*made_up(2, 0), strict=True)]), "hold no box"),
        (lambda: average_precision([], ["a"], torch.zeros(2)), "`units` must have one entry for each of the 0"),
    ],
)  # fmt: skip
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
