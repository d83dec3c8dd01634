"""The episodic term: two ranks with half of the tasks train as one rank with all tasks."""

from functools import partial

import torch

import losses
from adapt import Stream, Trainer, encoders, fewshot
from adapt.streams import episodes
from tests.adapt.engine.tiny import cloud, weights
from tests.ranks import run_ranks


def trained(rank, world):
    found = []
    for loss in (losses.prototypical, partial(losses.ridge, scale=5.0)):
        torch.manual_seed(0)
        encoder = encoders.wrap(torch.nn.Linear(6, 4).double(), 4)
        stream = Stream(cloud(60, dtype=torch.float64), sampling=episodes(ways=3, shots=1, queries=2, tasks=4))
        trainer = Trainer(
            encoder, [fewshot.episodic("tasks", loss=loss)], {"tasks": stream}, progress=False, device="cpu",
            optimizer=partial(torch.optim.SGD, lr=0.1),
        )  # fmt: skip
        start = weights(trainer)
        trainer.fit(steps=6)
        found += [start, weights(trainer)]
    return found


def test_two_ranks_equal_one():
    alone, both = trained(0, 1), run_ranks(trained, 2)
    for start, end in ((0, 1), (2, 3)):
        assert not torch.allclose(alone[start], alone[end], atol=1e-3)
    for rank in both:
        for one, other in zip(alone, rank, strict=True):
            torch.testing.assert_close(other, one, rtol=1e-10, atol=1e-12)
