"""An evaluation has the door of training: rows 1 to 4, 21 and 22 of the small inputs that failed."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

import adapt
from adapt import Stream, Trainer, encoders, heads, multitask

ROWS, DIM = 24, 4


def encoder():
    return encoders.Encoder(nn.Identity(), DIM)


def of(head):
    """Return a trainer that owns the head."""
    term = adapt.Term("t", lambda step: step.output(head, "s").sum(), modules=[head])
    stream = Stream(TensorDataset(torch.randn(8, DIM)), 4, labels=False)
    return Trainer(encoder(), [term], {"s": stream}, progress=False)


def best(make):
    return pytest.approx(0 if make is perfect_regressor else 1, abs=1e-5)


def perfect_classifier():
    head = heads.Classifier(DIM, DIM)
    with torch.no_grad():
        head.linear.weight.copy_(9 * torch.eye(DIM))
        head.linear.bias.zero_()
    y = torch.arange(ROWS) % DIM
    return head, F.one_hot(y, DIM).float(), y


def perfect_regressor():
    head = heads.Regressor(DIM)
    with torch.no_grad():
        head.linear.weight.fill_(1.0)
        head.linear.bias.zero_()
    x = torch.randn(ROWS, DIM)
    return head, x, x.sum(1)


def perfect_multi_label():
    head = heads.MultiLabel(DIM, DIM)
    with torch.no_grad():
        head.linear.weight.copy_(9 * torch.eye(DIM))
        head.linear.bias.zero_()
    x = torch.randn(ROWS, DIM)
    return head, x, (x > 0).long()


def wrapped():
    head, x, y = perfect_classifier()
    return heads.wrap(head, loss=F.cross_entropy, measure=lambda z, y: z.argmax(1) == y, check=head.check), x, y


def behind_layers():
    head, x, y = perfect_classifier()
    return heads.WithTaskLayers(nn.Identity(), head), x, y


ALL = [perfect_classifier, perfect_regressor, perfect_multi_label, wrapped, behind_layers]


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("wrong", ["column", "range", "text"])
def test_labels_are_checked(make, wrong):
    """Rows 1 and 2: labels of another shape, of another range, and texts."""
    head, x, y = make()
    if wrong == "range" and make is perfect_regressor:
        bad = torch.full_like(y, torch.inf)
    else:
        bad = y[..., None] if wrong == "column" else y + DIM
    data = [(r, str(v)) for r, v in zip(x, y, strict=True)] if wrong == "text" else TensorDataset(x, bad)
    with pytest.raises(ValueError, match="`labels`"):
        of(head).evaluate(head, data)
    assert of(head).evaluate(head, TensorDataset(x, y)).value == best(make)


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_outputs_that_are_not_finite_are_not_scored(make, value):
    """Row 3."""
    head, x, y = make()
    x[5], x[7] = value, value
    with pytest.raises(ValueError, match="must be finite to be scored.*for 2 rows of a batch: 5, 7"):
        of(head).evaluate(head, TensorDataset(x, y))


@pytest.mark.parametrize("kind", [torch.int32, torch.int16, torch.uint8, torch.bool])
def test_labels_of_every_integer_kind(kind):
    head, x, y = perfect_classifier()
    if kind is torch.bool:
        y = y % 2
        x = F.one_hot(y, DIM).float()
    trainer = of(head)
    assert trainer.evaluate(head, TensorDataset(x, y.to(kind))).value == 1
    torch.testing.assert_close(head.loss(head(x), y.to(kind)), F.cross_entropy(head(x), y))
    streams = {"s": Stream(TensorDataset(x, y.to(kind)), 8)}
    Trainer(encoder(), [adapt.supervised(head, "s")], streams, progress=False).fit(2)


def missing_half(y):
    gone = torch.arange(ROWS) % 2 == 0
    return y.masked_fill(gone if y.ndim == 1 else gone[:, None], torch.nan if y.is_floating_point() else -1), ~gone


@pytest.mark.parametrize("make", [perfect_classifier, perfect_regressor, perfect_multi_label, behind_layers])
def test_a_missing_label_counts_nowhere(make):
    """Row 4: neither in the score nor in the loss, and n says how many rows count."""
    head, x, y = make()
    labels, there = missing_half(y)
    x[~there] = -7.0  # wrong outputs
    score = of(head).evaluate(head, TensorDataset(x, labels))
    assert score.n == ROWS // 2 and score.value == best(make)
    torch.testing.assert_close(head.loss(head(x), labels), head.loss(head(x)[there], y[there]))
    loss = head.loss(head(x), torch.full_like(labels, labels.flatten()[0].item()))  # the first label is missing
    assert loss == 0 and torch.autograd.grad(loss, head.parameters())[0].eq(0).all()


@pytest.mark.parametrize("make", [perfect_classifier, perfect_regressor, perfect_multi_label])
def test_training_and_tasks_leave_the_same_labels_out(make):
    head, x, y = make()
    labels, there = missing_half(y)
    if make is not perfect_classifier and labels.ndim == 2:
        labels[1, 0] = -1
    found = []
    for term in (adapt.supervised(head, "s"), multitask.task("t", head, "s", scale=1.0)):
        stream = Stream(TensorDataset(x, labels), ROWS, shuffle=False)
        Trainer(encoder(), [term], {"s": stream}, progress=False)  # the door
        step = adapt.engine.Step({"s": next(stream.batches("s", 0))}, encoder())
        found.append(term(step))
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[0], head.loss(head(x), labels))


@pytest.mark.parametrize(("missing", "kind"), [(torch.nan, torch.float32), (-1, torch.int64), (-1, torch.float32)])
def test_the_other_labels_of_a_row_count(missing, kind):
    """Row 22: many yes-or-no labels, one of four missing."""
    head, x, y = perfect_multi_label()
    y = y.to(kind)
    y[0, 0] = missing
    there = torch.ones(ROWS, DIM, dtype=torch.bool)
    there[0, 0] = False
    expected = F.binary_cross_entropy_with_logits(head(x)[there], y[there].float())
    torch.testing.assert_close(head.loss(head(x), y), expected)
    head.linear.bias.data[0] = 1e3  # the first label is always predicted
    score = of(head).evaluate(head, TensorDataset(x, y))
    hits = (head(x) > 0) == (y > 0.5)
    assert score.value == pytest.approx(hits[there].double().mean().item()) and score.n == ROWS
    assert score.further["accuracy of 0"] == pytest.approx(hits[1:, 0].double().mean().item())


def test_classes_of_minus_one_and_one_are_not_taken_for_missing():
    head, x, y = heads.Classifier(DIM, 2), torch.randn(ROWS, DIM), torch.arange(ROWS) % 2 * 2 - 1
    with pytest.raises(ValueError, match=r"labels of stream `s` are -1 and 1.*\(labels \+ 1\) // 2"):
        Trainer(encoder(), [adapt.supervised(head, "s")], {"s": Stream(TensorDataset(x, y), 4)}, progress=False)
    with pytest.raises(ValueError, match="stream `s` has no label"):
        data = TensorDataset(x, torch.full_like(y, -1))
        Trainer(encoder(), [adapt.supervised(head, "s")], {"s": Stream(data, 4)}, progress=False)


def test_columns_refuses_a_head_with_another_loss():
    """Row 21: the squared error of logits was minimised."""
    for head in (heads.MultiLabel(DIM, 3), heads.Classifier(DIM, 3)):
        with pytest.raises(ValueError, match="with a loss of its own: take `multitask.task`"):
            multitask.columns("c", head, "s")
