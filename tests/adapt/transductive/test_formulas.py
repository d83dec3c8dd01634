"""Labels and losses of the room against slow references in float64, written from the papers."""

import math

import numpy
import pytest
import torch
from torch import Tensor

import losses
from adapt import fewshot
from adapt.engine import Step
from adapt.streams import Batch
from adapt.transductive import centroid_labels, confident_labels, label_propagation, nrc, shot, shot_im
from adapt.transductive._aad import attracted, dispersed
from adapt.transductive._nrc import reciprocal
from adapt.transductive.whole_target import nearest, unit_rows
from tests.adapt.engine.tiny import cloud, network

SEEDS = range(5)


def seeded(number):
    return torch.Generator().manual_seed(number)


def rows(number, n=12, d=3, classes=4):
    g = seeded(number)
    return torch.randn(n, d, generator=g), (3 * torch.randn(n, classes, generator=g)).softmax(1)


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b) or 1)


def slow_centroid_labels(features, probabilities, rounds):
    x = [[float(v) for v in row] + [1.0] for row in features]
    x = [[v / math.hypot(*row) for v in row] for row in x]
    K, d = probabilities.shape[1], len(x[0])
    w = probabilities.double().tolist()
    for _ in range(rounds + 1):
        total = [sum(row[k] for row in w) for k in range(K)]
        c = [
            [sum(w[i][k] * x[i][j] for i in range(len(x))) / total[k] for j in range(d)] if total[k] else None
            for k in range(K)
        ]
        labels = [max((k for k in range(K) if c[k]), key=lambda k: cosine(row, c[k])) for row in x]
        w = [[float(k == y) for k in range(K)] for y in labels]
    return labels


@pytest.mark.parametrize("rounds", [0, 1, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_centroid_labels(seed, rounds):
    x, p = rows(seed)
    assert centroid_labels(x, p, rounds=rounds).tolist() == slow_centroid_labels(x, p, rounds)


def test_an_empty_class_takes_no_row():
    """The authors' code for digits has a distance NaN there, and numpy's argmin gives all rows to the class."""
    x, p = rows(0)
    p = torch.cat([p[:, :2], torch.zeros(12, 1)], 1)
    assert set(centroid_labels(x, p).tolist()) <= {0, 1}


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_labels_at_extreme_scales(scale):
    x, p = rows(1)
    labels = centroid_labels(x.double() * scale, p)
    assert labels.min() >= 0 and labels.max() < 4  # 1e-20: the 1 at the end decides alone, without NaN
    half, same = rows(2, d=8)[0].half(), rows(2, d=8)[0].half().double()
    assert torch.equal(centroid_labels(half, p), centroid_labels(same, p))
    assert unit_rows(x * scale).isfinite().all()
    torch.testing.assert_close(unit_rows(x * scale), unit_rows(x))


def slow_confident_labels(p, share):
    p = p.double().tolist()
    K = len(p[0])
    predicted = [row.index(max(row)) for row in p]
    limit = []
    for k in range(K):
        own = sorted((row[k] for row, y in zip(p, predicted, strict=True) if y == k), reverse=True)
        limit.append(own[math.ceil(share * len(own)) - 1] if own else math.inf)
    ratio = [[row[k] / limit[k] for k in range(K)] for row in p]
    return [r.index(max(r)) if max(r) >= 1 else -1 for r in ratio]


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_confident_labels(seed, share):
    p = rows(seed, n=40)[1].double()
    assert confident_labels(p, share).tolist() == slow_confident_labels(p, share)


def test_confident_labels_are_balanced_and_of_three_tenths_three():
    p = torch.tensor([[0.9 + 0.001 * i, 0.1 - 0.001 * i] for i in range(30)] + [[0.4, 0.6]] * 1 + [[0.45, 0.55]] * 9)
    labels = confident_labels(p, 0.1)
    assert (labels == 0).sum() == 3 and (labels == 1).sum() == 1, "0.1 * 30 in floats is above 3"


def slow_nrc(z, S, index, features, K, M, r):
    p = z.double().softmax(1)
    unit = features.double() / features.double().norm(dim=1, keepdim=True)
    order = [sorted((j for j in range(len(unit)) if j != i), key=lambda j: -float(unit[i] @ unit[j]))
             for i in range(len(unit))]  # fmt: skip
    total = 0.0
    for row, i in enumerate(index.tolist()):
        for k in order[i][:K]:
            a = 1.0 if i in order[k][:M] else r
            total += a * float(S[k].double() @ p[row])
            total += r * sum(float(S[m].double() @ p[row]) for m in order[k][:M])
    mean = p.mean(0)
    return -total / len(index) + float((mean * mean.log()).sum())


@pytest.mark.parametrize("seed", SEEDS)
def test_nrc(seed):
    features, S = rows(seed, n=20, d=4)
    z, index = torch.randn(6, 4, generator=seeded(seed)).double(), torch.tensor([3, 0, 19, 7, 8, 4])
    unit = unit_rows(features.double())
    near = nearest(unit, index, 4)
    further = nearest(unit, near.flatten(), 3).view(6, 4, 3)
    found = reciprocal(z, S.double(), index, near, further, rest=0.1)
    assert float(found) == pytest.approx(slow_nrc(z, S, index, features, 4, 3, 0.1), rel=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_aad(seed):
    p, near = rows(seed, n=6)[1].double(), torch.stack([rows(i, n=6)[1].double() for i in range(3)], 1)
    attract = -sum(float(near[i, k] @ p[i]) for i in range(6) for k in range(3)) / 6
    disperse = sum(float(p[i] @ p[m]) for i in range(6) for m in range(6) if m != i) / 6
    assert float(attracted(p, near)) == pytest.approx(attract, rel=1e-9)
    assert float(dispersed(p)) == pytest.approx(disperse, rel=1e-9)
    assert float(dispersed(p[:1])) == pytest.approx(0, abs=1e-12)


def test_shot_is_information_and_the_cross_entropy_with_its_labels():
    encoder, head = network()
    data = cloud(40, seed=1)
    im, learned = shot(head, encoder=encoder, dataset=data)
    index = torch.tensor([5, 9, 30, 2])
    step = Step({"target": Batch(data.tensors[0][index], None, index)}, encoder)
    features = encoder(data.tensors[0])
    expected = slow_centroid_labels(features.detach(), head(features).softmax(1).detach(), 1)
    logits = head(features[index])
    cross = -sum(logits.log_softmax(1)[i, expected[j]] for i, j in enumerate(index.tolist())) / 4
    torch.testing.assert_close(learned(step), cross)
    assert learned.loss.labels.tolist() == expected
    torch.testing.assert_close(im(step), losses.information_maximization(logits))


def test_shot_freezes_the_head_and_nrc_does_not():
    encoder, head = network()
    nrc(head, encoder=encoder, dataset=cloud())
    assert all(p.requires_grad for p in head.parameters())
    shot_im(head)
    assert not any(p.requires_grad for p in head.parameters())


@pytest.mark.parametrize("seed", SEEDS)
def test_label_propagation_is_that_of_fewshot(seed):
    g = seeded(seed)
    source, target = torch.randn(9, 4, generator=g).double(), torch.randn(15, 4, generator=g).double()
    labels = torch.arange(9) % 3
    dense = fewshot.label_propagation(neighbours=4, share=0.7)(source, labels, target).exp()
    sparse = label_propagation(source, labels, target, neighbours=4, share=0.7)
    torch.testing.assert_close(sparse, dense, rtol=1e-5, atol=1e-7)


def test_label_propagation_on_hard_inputs():
    two = label_propagation([[1.0, 0.0], [0.0, 1.0]], [0, 1], [[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], neighbours=1)
    assert two.sum(1).tolist() == pytest.approx([1, 1, 1]) and two[0, 0] > 0.8
    assert label_propagation(torch.ones(3, 2), [0, 1, -1], numpy.ones((2, 2))).isfinite().all()  # copies
    far = label_propagation([[1.0, 0], [0.9, 0.1]], [0, 1], [[0, 1.0], [0.1, 0.9]], neighbours=1)
    assert far.tolist() == [[0.5, 0.5]] * 2, "no path to a label"
    for wrong in ([0.0, 1.0], [-1, -1], [0], [True, False], [-2, 0]):
        with pytest.raises(ValueError, match="`labels` must be"):
            label_propagation(torch.eye(2), wrong, torch.eye(2))
    with pytest.raises(ValueError, match="`target` must be finite"):
        label_propagation(torch.eye(2), [0, 1], torch.full((1, 2), torch.nan))
    with pytest.raises(ValueError, match="columns"):
        label_propagation(torch.eye(2), [0, 1], torch.eye(3))
    scaled: Tensor = label_propagation(1e20 * torch.eye(2).double(), [0, 1], 1e-20 * torch.eye(2).double())
    assert scaled.argmax(1).tolist() == [0, 1]
