"""Detectors of torchvision as encoder and head."""

import copy
import socket
import urllib.request
from functools import partial

import numpy
import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision import models
from torchvision.models.detection.transform import GeneralizedRCNNTransform

import adapt
from adapt import Model, Stream, Trainer, encoders, heads
from adapt.streams import collate
from tests.adapt.heads.test_boxes import Squares

RCNN, SSD = "fasterrcnn_mobilenet_v3_large_320_fpn", "ssdlite320_mobilenet_v3_large"
X = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
LABELS = [{"boxes": torch.tensor([[4.0, 8, 40, 50], [30, 10, 90, 60]]), "classes": torch.tensor([1, 0])},
          {"boxes": torch.zeros(0, 4), "classes": torch.zeros(0).long()}]  # fmt: skip


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """A touch of the network, or of a cache of weights, is an error."""

    def touched(*_, **__):
        raise AssertionError("the network was touched")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    doors = [(socket.socket, "connect"), (urllib.request, "urlopen"), (torch.hub, "load_state_dict_from_url")]
    for owner, name in doors:
        monkeypatch.setattr(owner, name, touched)


def theirs(name, encoder, head):
    """The model of torchvision with the weights of encoder and head, for images as they are."""
    model = models.get_model(name, weights=None, weights_backbone=None, num_classes=3)
    body = encoder.body
    model.transform = GeneralizedRCNNTransform(64, 96, body.mean.flatten().tolist(), body.std.flatten().tolist(),
                                               size_divisible=1, _skip_resize=True)  # fmt: skip
    model.load_state_dict({**body.state_dict(), **head.rest.state_dict()})
    return model


def made(name, seed=0):
    torch.manual_seed(seed)
    encoder = encoders.detector(name, 2)
    return encoder, heads.Detector(encoder, ["red", "green"])


@pytest.mark.parametrize("name", [RCNN, SSD])
def test_losses_and_boxes_are_those_of_torchvision(name):
    encoder, head = made(name)
    model = theirs(name, encoder, head)
    targets = [{"boxes": y["boxes"], "labels": y["classes"] + 1} for y in LABELS]
    torch.manual_seed(1)
    expected = sum(model(list(X), targets).values())
    torch.manual_seed(1)
    loss = head.loss(head(encoder(X)), LABELS)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    loss.backward()
    expected.backward()
    grads = {n: p.grad for n, p in model.named_parameters()}
    for n, p in [*encoder.body.named_parameters(), *head.rest.named_parameters()]:
        torch.testing.assert_close(p.grad, grads[n], rtol=1e-3, atol=1e-5)
    for part in (encoder, head, model):
        part.eval()
    with torch.no_grad():
        found, other = head.predict(head(encoder(X))), model(list(X))
    for one, two in zip(found, other, strict=True):
        n = min(100, len(two["boxes"]))
        assert len(one["boxes"]) == n and (one["classes"] + 1 == two["labels"][:n]).all()
        torch.testing.assert_close(one["boxes"], two["boxes"][:n], rtol=1e-4, atol=1e-3)
    assert n > 0


@pytest.mark.parametrize("name", [RCNN, SSD])
def test_a_detector_trains_and_is_saved(name, tmp_path):
    encoder, head = made(name)
    data = Squares(8)
    trainer = Trainer(encoder, [adapt.supervised(head, on="rows")], {"rows": Stream(data, 4, collate=collate.as_lists)},
                      progress=False, device="cpu", optimizer=partial(torch.optim.AdamW, lr=1e-4))  # fmt: skip
    before = [p.detach().clone() for p in (*encoder.parameters(), *head.parameters())]
    trainer.fit(steps=2)
    after = [*encoder.parameters(), *head.parameters()]
    assert sum(not torch.equal(a, b) for a, b in zip(before, after, strict=True)) > 0.9 * len(before)
    score = trainer.evaluate(head, data)
    assert score.metric == "mAP50:95" and score.n == 8
    model = trainer.model(head)
    images = torch.stack([data[i][0] for i in range(3)])
    again = Model.load(model.save(tmp_path / "model"), collate=collate.as_lists)
    for one, two in zip(model.predict(images), again.predict(images), strict=True):
        numpy.testing.assert_allclose(one["scores"], two["scores"], atol=1e-5)
        assert set(one["classes"]) <= {"red", "green"}


def norms(encoder):
    return {n: m for n, m in encoder.body.named_modules() if isinstance(m, _BatchNorm)}


def test_batch_norm_is_frozen_only_where_weights_were_loaded(tmp_path):
    scratch = encoders.detector(RCNN, 2).train()
    assert norms(scratch) and all(m.training and m.weight.requires_grad for m in norms(scratch).values())
    start = {n: m.running_mean.clone() for n, m in norms(scratch).items()}
    scratch(X)
    assert all(not torch.equal(m.running_mean, start[n]) for n, m in norms(scratch).items())

    whole = {**scratch.body.state_dict(), **scratch.head.state_dict()}
    torch.save(whole, tmp_path / "detector.pth")
    loaded = encoders.detector(RCNN, 2, tmp_path / "detector.pth").train()
    kept = {n: m.running_mean.clone() for n, m in norms(loaded).items()}
    assert all(torch.equal(kept[n], m.running_mean) for n, m in norms(scratch).items())
    loaded(X)
    assert all(torch.equal(m.running_mean, kept[n]) for n, m in norms(loaded).items())
    assert all(not m.training and not m.weight.requires_grad for m in norms(loaded).values())
    assert sum(p.requires_grad for p in loaded.parameters()) > 10  # the convolutions learn


def test_a_file_with_other_classes(tmp_path):
    three = encoders.detector(RCNN, 3)
    torch.save({**three.body.state_dict(), **three.head.state_dict()}, tmp_path / "three.pth")
    two = encoders.detector(RCNN, 2, tmp_path / "three.pth")
    assert torch.equal(two.head.roi_heads.box_head.fc6.weight, three.head.roi_heads.box_head.fc6.weight)
    assert two.head.roi_heads.box_predictor.cls_score.weight.shape[0] == 3 and two.kept_in_eval
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "foreign.pth")
    with pytest.raises(ValueError, match="do not fit"):
        encoders.detector(RCNN, 2, tmp_path / "foreign.pth")


def test_the_pyramid_serves_other_heads():
    encoder, _ = made(RCNN)
    maps = encoder(X)
    sizes = [maps[name].shape[2:].numel() for name in encoder.dims]
    assert sizes == sorted(sizes) and maps["input"] is X and encoder.dim == 256
    assert heads.Dense(encoder, 3, channels=8)(maps).shape == (2, 3, 64, 96)


def test_copies_are_independent():
    encoder, head = made(SSD)
    other = copy.deepcopy(head)
    assert torch.equal(other.eval().predict(encoder.eval()(X))[0]["boxes"], head.eval().predict(encoder(X))[0]["boxes"])


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: encoders.detector("resnet18", 2), ValueError, "detector of boxes of torchvision.*'resnet18'"),
        (lambda: encoders.detector("maskrcnn_resnet50_fpn", 2), ValueError, "detector of boxes"),
        (lambda: encoders.detector(RCNN, 2, weights_backbone="DEFAULT"), ValueError, "nothing is downloaded"),
        (lambda: encoders.detector(RCNN, 2, min_size=64), ValueError, "images keep their size"),
        (lambda: heads.Detector(encoders.wrap(nn.Flatten(), 4), 2), TypeError, "take `heads.Boxes"),
        (lambda: heads.Detector(nn.Flatten(), 2), TypeError, "got a Flatten"),
        (lambda: heads.Detector(encoders.detector(RCNN, 2), 3), ValueError, "2 classes of the encoder, got 3"),
        (lambda: made(RCNN)[1](torch.zeros(2, 3)), ValueError, "pyramid of `encoders.detector`"),
        (lambda: made(RCNN)[1].eval().loss({}, LABELS), ValueError, "needs training mode"),
        (
            lambda: made(RCNN)[1].check([{"boxes": torch.tensor([[0, 0, 2, 2]]), "classes": torch.tensor([-1])}]),
            ValueError,
            "belong to heads.Boxes",
        ),
    ],
)
def test_bad_input(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
