"""Row 11: on a GPU the check for finite losses does not wait; it is read all the same, and holds little."""

import pytest
import torch
from torch import nn

import adapt
from adapt import Stream, Trainer, encoders, heads
from adapt.datasets import arrays
from adapt.engine import finite

ROWS = arrays(torch.randn(32, 8, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 3)


def silent_trainer(**options):
    """A trainer that nobody hears, with the check of a GPU."""
    encoder = encoders.wrap(nn.Sequential(nn.Linear(8, 16), nn.ReLU()), 16)
    terms = [adapt.supervised(heads.Classifier(encoder, 3), on="rows")]
    trainer = Trainer(encoder, terms, {"rows": Stream(ROWS, 8)}, device="cpu", progress=False, **options)
    trainer.finite.waits = False
    return trainer


def spoil(trainer):
    with torch.no_grad():
        trainer.encoder.body[0].weight.fill_(float("nan"))


@pytest.mark.parametrize(("log_every", "taken"), [(50, 5), (2, 3), (10**9, 5)])
def test_row_11_a_silent_run_fails_at_the_end_of_fit_at_the_latest(log_every, taken):
    trainer = silent_trainer(log_every=log_every)
    trainer.fit(1)
    spoil(trainer)
    with pytest.raises(FloatingPointError, match="step 1: expected finite losses"):
        trainer.fit(5)
    assert trainer.step in (taken, taken - 1) and not trainer.finite.unread


def test_row_11_steps_of_the_user_fail_too():
    trainer = silent_trainer()
    with pytest.raises(FloatingPointError, match="step 2: "):
        for step in trainer.steps(5):
            if step.number == 1:
                spoil(trainer)


def test_row_11_nothing_grows_by_a_step(monkeypatch):
    monkeypatch.setattr(finite, "MOST", 7)
    trainer = silent_trainer(log_every=10**9)
    held = [len(trainer.finite.unread) for _ in trainer.steps(20)]
    assert max(held) < 7 and not trainer.finite.unread
