"""Boxes of an averaged network as labels."""

import pytest
import torch
from torch import nn

import adapt
from adapt import Stream, Trainer, domain, heads
from adapt.engine import Step
from adapt.streams import Batch, collate
from tests.adapt.heads.test_boxes import Squares, network
from tests.ranks import run_ranks


def parts():
    encoder = network()
    return encoder, heads.Boxes(encoder, ["red", "green"], channels=16)


def images(rows=6, seed=3):
    return torch.stack([Squares(rows, seed)[i][0] for i in range(rows)])


def test_the_loss_is_that_of_the_head_on_sure_boxes_and_unsure_regions():
    encoder, head = parts()
    x, darker = images(), 0.5 * images()
    term = domain.box_teacher(head, encoder=encoder, threshold=0.11, unsure=0.1)
    taught = head.predict(head(encoder(x)))
    labels, kinds = [], set()
    for found in taught:
        boxes, classes = [], []
        for box, score, kind in zip(found["boxes"], found["scores"], found["classes"], strict=True):
            if score >= 0.1:
                boxes.append(box)
                classes.append(kind if score >= 0.11 else torch.tensor(-1))
                kinds.add(int(classes[-1]) < 0)
        labels.append({"boxes": torch.stack(boxes).detach(), "classes": torch.stack(classes)})
    assert kinds == {False, True}
    batches = {"target": Batch(x, None, torch.arange(6), (darker,))}
    value = term(Step(batches, encoder))
    torch.testing.assert_close(value, head.loss(head(encoder(darker)), labels), rtol=1e-5, atol=1e-6)
    value.backward()
    assert encoder.body.whole[0].weight.grad.abs().max() > 0
    average = [p for n, p in term.loss.named_parameters() if n.startswith("teacher.")]
    assert average and all(p.grad is None for p in average)


def trained(rank=0, world=1):
    encoder, head = parts()
    streams = {"source": Stream(Squares(12), 4, collate=collate.as_lists), "target": Stream(images(8), 4, labels=False)}
    terms = [adapt.supervised(head, on="source"), domain.box_teacher(head, encoder=encoder, threshold=0.3, unsure=0.1)]
    made = Trainer(encoder, terms, streams, progress=False, device="cpu", optimizer=torch.optim.SGD).fit(steps=3)
    return torch.cat([p.detach().flatten() for p in made.network.parameters()])


def test_two_ranks_equal_one():
    alone = trained()
    for weights in run_ranks(trained, 2):
        torch.testing.assert_close(weights, alone, rtol=1e-4, atol=1e-5)


def test_bad_input():
    encoder, head = parts()
    with pytest.raises(TypeError, match="heads.Boxes, got a Classifier"):
        domain.box_teacher(heads.Classifier(4, 2), encoder=nn.Identity())
    with pytest.raises(ValueError, match="`unsure` must be at most `threshold`, got 0.6 and 0.5"):
        domain.box_teacher(head, encoder=encoder, unsure=0.6)
    with pytest.raises(AttributeError, match="`domain.box_teacher`"):
        domain.unbiased_teacher  # noqa: B018
