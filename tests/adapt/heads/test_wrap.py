"""Any module as a head: trained, evaluated, saved and resumed by the trainer; a plain module is refused."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

import adapt
from adapt import Stream, Trainer, encoders, heads
from adapt.protocols import expect_head
from tests.adapt.engine.tiny import weights


def hits(output, labels):
    return output.argmax(1) == labels


def data(seed=0):
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, (x[:, 0] > 0).long())


def trainer(**options):
    torch.manual_seed(0)
    encoder = encoders.wrap(nn.Sequential(nn.Linear(4, 8), nn.ReLU()), 8)
    head = heads.wrap(nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2)), **options)
    terms = [adapt.supervised(head, on="rows")]
    adam = partial(torch.optim.Adam, lr=0.05)
    return Trainer(encoder, terms, {"rows": Stream(data(), 20)}, optimizer=adam, progress=False, device="cpu"), head


@pytest.mark.claim
def test_it_is_trained_evaluated_saved_and_resumed(tmp_path):
    made, head = trainer(loss=F.cross_entropy, measure=hits)
    before = made.evaluate(head, data(1))
    made.fit(40)
    after = made.evaluate(head, data(1))
    assert after.metric == "accuracy" and after.n == 60 and after.value > 0.85 > before.value
    half, _ = trainer(loss=F.cross_entropy, measure=hits)
    path = half.fit(20).save(tmp_path / "half")
    resumed, _ = trainer(loss=F.cross_entropy, measure=hits)
    resumed.resume(path)
    resumed.planned = 40
    assert torch.equal(weights(resumed.fit(40)), weights(made))


def test_it_computes_what_the_classifier_does():
    own = heads.Classifier(4, 3)
    made = heads.wrap(own.linear, loss=nn.CrossEntropyLoss(), measure=hits)
    z, labels = torch.randn(7, 4), torch.arange(7) % 3
    assert torch.equal(made(z), own(z)) and torch.equal(made.loss(made(z), labels), own.loss(own(z), labels))
    assert str(made.score(made.measure(made(z), labels))) == str(own.score(own.measure(own(z), labels)))


def test_without_a_score_it_has_the_mean_loss():
    head = heads.wrap(nn.Linear(4, 3), loss=F.cross_entropy)
    z, labels = torch.randn(7, 3), torch.arange(7) % 3
    rows = F.cross_entropy(z, labels, reduction="none")
    assert head.score(head.measure(z, labels)) == heads.average("loss", rows, higher_is_better=False)
    weighted = heads.wrap(nn.Linear(4, 3), loss=nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0, 9.0])))
    with pytest.raises(ValueError, match="`loss` is no mean over the rows, so give `heads.wrap` a `measure`"):
        weighted.measure(z, labels)


def test_a_score_of_your_own():
    def score(errors, units=None):
        return heads.average("error", errors, higher_is_better=False, units=units)

    head = heads.wrap(nn.Linear(4, 1), loss=F.mse_loss, measure=lambda p, y: (p - y).abs().flatten(), score=score)
    measures = head.measure(torch.zeros(3, 1), torch.ones(3, 1))
    assert head.score(measures).value == 1.0 and head.score(measures).n == 3
    assert head.score(measures, torch.tensor([5, 2, 5])).n == 2


def test_labels_are_checked_where_a_check_is_given():
    def check(labels):
        raise ValueError("`labels` are not mine.")

    with pytest.raises(ValueError, match="not mine"):
        heads.wrap(nn.Linear(4, 1), loss=F.mse_loss, check=check).check(torch.zeros(1))
    heads.wrap(nn.Linear(4, 1), loss=F.mse_loss).check("anything")


def test_a_plain_module_is_refused_with_the_line_that_makes_it_a_head():
    with pytest.raises(TypeError, match=r"`heads.Classifier\(encoder, classes=...\)`.*`heads.wrap\(module, loss=..., "):
        heads.WithTaskLayers(heads.Bottleneck(8), nn.Linear(8, 2))
    assert expect_head(made := heads.wrap(nn.Linear(8, 2), loss=F.mse_loss)) is made


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: heads.wrap(len, loss=F.mse_loss), TypeError, "`module` must be an nn.Module, got builtin_function"),
        (lambda: heads.wrap(nn.Linear(1, 1), loss=0.5), TypeError, "`loss` must be a function, got float"),
        (lambda: heads.wrap(nn.Linear(1, 1), loss=None), TypeError, "`loss` must be a function, got NoneType"),
        (lambda: heads.wrap(nn.Linear(1, 1), loss=F.mse_loss, score="hits"), TypeError, "`score` must be a function"),
        (
            lambda: heads.wrap(nn.Linear(1, 1), loss=nn.MSELoss(reduction="none")).loss(torch.zeros(2), torch.ones(2)),
            ValueError,
            r"scalar tensor, got \(2,\): take the mean",
        ),
        (
            lambda: heads.wrap(nn.Linear(1, 1), loss=F.mse_loss, measure=F.l1_loss).score(torch.zeros(2)),
            TypeError,
            r"`measure`.* boolean tensor \(n,\), got torch.float32 \(2,\).*`score=lambda m",
        ),
        (
            lambda: heads.wrap(nn.Linear(1, 1), loss=F.mse_loss, score=torch.mean).score(torch.zeros(2)),
            TypeError,
            r"`score` of a wrapped head must return a heads.Score, got torch.float32 \(\)",
        ),
    ],
)  # fmt: skip
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
