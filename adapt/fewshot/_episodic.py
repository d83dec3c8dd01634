"""Training an encoder with few-shot tasks."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

import losses
from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule
from adapt.streams import Stream


def episodic(
    on: str,
    *,
    loss: Callable[..., Tensor] = losses.prototypical,
    weight: float | Schedule = 1.0,
    name: str = "episodic",
) -> Term:
    """Return a term with the mean loss of the few-shot tasks of a stream.

    ``Stream(train, sampling=episodes(ways=20, shots=1, queries=5, tasks=4))`` draws the tasks.

    Args:
        on: the stream of episodes.
        loss: :func:`losses.prototypical`, :func:`losses.ridge`, or another function of queries, query labels, support
            and support labels, with the keywords `classes` and `global_batch`. ``functools.partial`` binds options:
            ``partial(losses.prototypical, distance="cosine", temperature=0.1)``.
        weight: of the term.
        name: of the term.

    Each rank has episodes of its own: the loss sees the rows of one episode.

    Classify with the metric that was trained: :func:`centroid` for prototypes, :func:`ridge` for a ridge regression.
    Without episodes, ``inductive.supervised_contrastive(encoder, on=..., projection=None)`` on a stream with
    ``sampling="balanced"`` trains for the cosine.

    Raises:
        TypeError: a loss that is no function.
        ValueError: before the first step, a stream without episodes.

    Snell et al., Prototypical Networks for Few-shot Learning, 2017, https://arxiv.org/abs/1703.05175
    """
    if not callable(loss):
        raise TypeError(f"`loss` must be a function such as `losses.prototypical`, got {loss!r}.")
    return Term(name, Episodic(on, loss, name), weight, streams=[on])


class Episodic(nn.Module):
    """The loss of :func:`episodic`."""

    def __init__(self, on: str, loss: Callable[..., Tensor], name: str):
        super().__init__()
        self.on, self.loss, self._name = on, loss, name

    def check(self, streams: Mapping[str, Stream]) -> None:
        sizes = streams[self.on].episodes
        if sizes is None:
            raise ValueError(
                f"`{self._name}` learns from episodes, and stream `{self.on}` has none: make the stream with "
                "`sampling=episodes(ways=5, shots=1, queries=15)`."
            )
        self.ways = sizes.ways

    def forward(self, step: Step) -> Tensor:
        tasks = step[self.on].episodes()
        return torch.stack([self.loss(*task, classes=self.ways, global_batch=False) for task in tasks]).mean()
