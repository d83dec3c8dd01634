"""Episodes: the tasks of few-shot learning, drawn from the classes of a dataset."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from adapt.randomness import keyed_seed
from adapt.streams.tree import map_tensors, tensors
from losses.options import COUNT, check, whole


class Episode(NamedTuple):
    """Rows of an episode, in the order of the arguments of ``losses.prototypical`` and ``losses.ridge``.

    Args:
        queries: ``(ways * queries, ...)`` values of the rows to classify.
        query_labels: ``(ways * queries,)`` numbers of the classes within the episode, from 0 to ways - 1.
        support: ``(ways * shots, ...)`` values of the rows with known classes.
        support_labels: ``(ways * shots,)``, alike.
    """

    queries: Any
    query_labels: Tensor
    support: Any
    support_labels: Tensor


@dataclass(frozen=True)
class Episodes:
    """The sizes of episodes: see :func:`episodes`."""

    ways: int
    shots: int
    queries: int
    tasks: int = 1

    def __repr__(self) -> str:
        return f"episodes(ways={self.ways}, shots={self.shots}, queries={self.queries}, tasks={self.tasks})"

    @property
    def rows(self) -> int:
        """Number of rows of an episode."""
        return self.ways * (self.shots + self.queries)

    def split(self, values: Any, device: torch.device) -> list[Episode]:
        """Return the episodes of a batch.

        Args:
            values: any tree of tensors with one entry per row of the batch.
            device: of the labels.
        """
        supported = self.ways * self.shots
        numbers = torch.arange(self.ways, device=device)
        labels = numbers.repeat_interleave(self.queries), numbers.repeat_interleave(self.shots)
        found = []
        for start in range(0, len(next(tensors(values))), self.rows):
            support = _slice(values, start, start + supported)
            queries = _slice(values, start + supported, start + self.rows)
            found.append(Episode(queries, labels[0], support, labels[1]))
        return found


def episodes(ways: int, shots: int, queries: int, *, tasks: int = 1) -> Episodes:
    """Return a sampling of few-shot tasks: ``Stream(dataset, sampling=episodes(ways=5, shots=1, queries=15))``.

    An episode draws `ways` classes, and of each class `shots` rows as support and `queries` other rows as queries. Rows
    of an episode lie behind each other in a batch, the support first; no row comes twice in an episode. A term reads
    ``step["tasks"].episodes()``: a list of :class:`Episode` with features, and with numbers of the classes within the
    episode. These numbers follow the random order of the classes and tell nothing about the class.

    Args:
        ways: classes of an episode, 2 or more.
        shots: support rows of each class.
        queries: query rows of each class.
        tasks: episodes of a step, over all ranks together.

    Episodes are a function of (seed, stream, number of the batch), for any number of workers. Rank r of W reads the
    r-th of W equal parts of the tasks of a step: the episodes of all ranks, in the order of the ranks, are the episodes
    of a single rank. Losses on episodes see the rows of one rank alone: ``global_batch=False``.

    Raises:
        ValueError: numbers below 1, or fewer than two ways.

    Vinyals et al., Matching Networks for One Shot Learning, 2016, https://arxiv.org/abs/1606.04080
    """
    check(whole(2), ways=ways)
    check(COUNT, shots=shots, queries=queries, tasks=tasks)
    return Episodes(ways, shots, queries, tasks)


class EpisodeOrder:
    """The rows of the episodes of each batch, as a function of a key.

    Args:
        sizes: of the episodes.
        classes: ``(rows,)``, the class of each row; a row with a negative number is not drawn.

    Raises:
        ValueError: fewer classes than ways, or a class with too few rows.
    """

    shuffle = True

    def __init__(self, sizes: Episodes, classes: Tensor):
        self.sizes, self.classes = sizes, classes
        names, numbers = classes[classes >= 0].unique(return_inverse=True)
        known = (classes >= 0).nonzero()[:, 0]
        self.members = known[numbers.argsort(stable=True)].split(numbers.bincount().tolist())
        if len(names) < sizes.ways:
            raise ValueError(f"`ways` of `episodes` must be at most the {len(names)} classes, got {sizes.ways}.")
        needed = sizes.shots + sizes.queries
        counts = zip(names.tolist(), map(len, self.members), strict=True)
        if few := [(name, count) for name, count in counts if count < needed]:
            raise ValueError(
                f"`episodes` needs {needed} rows of each class, `shots` and `queries` together, and class {few[0][0]} "
                f"has {few[0][1]} ({len(few)} such classes): take fewer, or leave the class out with a `Subset`."
            )

    def of_epoch(self, *key: int | str) -> Tensor:
        """Return the rows of the episodes of one batch; a batch is an epoch of its own."""
        generator = torch.Generator().manual_seed(keyed_seed(*key, "episodes"))
        return torch.cat([self._episode(generator) for _ in range(self.sizes.tasks)])

    def _episode(self, generator: torch.Generator) -> Tensor:
        shots, needed = self.sizes.shots, self.sizes.shots + self.sizes.queries
        chosen = torch.randperm(len(self.members), generator=generator)[: self.sizes.ways].tolist()
        drawn = [self.members[c][torch.randperm(len(self.members[c]), generator=generator)[:needed]] for c in chosen]
        return torch.cat([*(rows[:shots] for rows in drawn), *(rows[shots:] for rows in drawn)])

    def same_as(self, other: Any) -> bool:
        """Whether both orders draw the same rows under one key."""
        return (
            isinstance(other, EpisodeOrder) and self.sizes == other.sizes and torch.equal(self.classes, other.classes)
        )


def _slice(tree: Any, start: int, end: int) -> Any:
    return map_tensors(tree, lambda t: t[start:end])
