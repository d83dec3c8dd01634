"""The accuracy of few-shot methods over many episodes, with intervals."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from adapt.fewshot.method import Inductive, Method
from adapt.heads import Score, average
from adapt.randomness import keyed_seed
from adapt.streams import episodes as sizes_of
from adapt.streams._episodes import EpisodeOrder
from losses.options import COUNT, FROM_0, POSITIVE, check, or_none, whole

NUMBERS, TRIES = 2**24, 1000  # features in memory at once; draws of the shares of an episode


@dataclass(frozen=True)
class Evaluation:
    """The scores of few-shot methods over the same episodes.

    Attributes:
        scores: the accuracy of each method, with the 95 % interval over the episodes; n counts episodes.
        accuracies: ``(episodes,)`` of each method. The differences of two methods are paired.
    """

    scores: Mapping[str, Score]
    accuracies: Mapping[str, Tensor] = field(repr=False)

    def __str__(self) -> str:
        width = max(len(str(name)) for name in self.scores)
        return "\n".join(f"{name!s:{width}}  {score}" for name, score in self.scores.items())


def evaluate(
    features: TensorDataset,
    methods: Mapping[str, Method],
    *,
    ways: int = 5,
    shots: int = 1,
    queries: int = 15,
    episodes: int = 600,
    concentration: float | None = None,
    seed: int = 0,
) -> Evaluation:
    r"""Compute the accuracy of few-shot methods over random episodes of the classes of a data set.

    ``print(fewshot.evaluate(engine.features(encoder, test), {"cl2n": fewshot.cl2n()}))``

    Args:
        features: ``(n, d)`` features with ``(n,)`` classes, as :func:`adapt.engine.features` gives. A row with the
            class -1 is left out.
        methods: by name, inductive and transductive. All methods get the same episodes.
        ways: classes of an episode.
        shots: support rows of each class.
        queries: query rows of each class.
        episodes: number of episodes, 600 as usual.
        concentration: None: each class has `queries` query rows. A number: the ``ways * queries`` rows are shared
            among the classes by a draw from Dirichlet's distribution with this parameter; 2 is the protocol of the
            paper below. Transductive methods that assume equal shares lose with such shares. A draw with more queries
            of a class than the data set has rows is drawn again: small classes make the shares more equal.
        seed: of the episodes.

    Returns:
        Scores with intervals: mean ± 1.96 standard errors over the episodes. The episodes share the rows of one data
        set: the interval says nothing about other classes.

    Raises:
        ValueError: features that are not ``(n, d)`` with classes; fewer classes than ways, a class with too few rows;
            a method that knows its classes beforehand; no method.

    Veilleux et al., Realistic Evaluation of Transductive Few-Shot Learning, 2021, https://arxiv.org/abs/2204.11181
    """
    x, y = labelled_rows(features)
    check(whole(2), ways=ways)
    check(COUNT, shots=shots, queries=queries, episodes=episodes)
    check(or_none(POSITIVE), concentration=concentration)
    check(FROM_0, seed=seed)
    if not (isinstance(methods, Mapping) and methods and all(map(callable, methods.values()))):
        raise ValueError(f"`methods` must be methods by name, such as {{'cl2n': fewshot.cl2n()}}, got {methods!r}.")
    for name, method in methods.items():
        if isinstance(method, Inductive) and method.columns is not None:
            raise ValueError(f"`methods` must not know their classes, and {name!r} does: take `Model.evaluate`.")
    hits: dict[str, list[Tensor]] = {name: [] for name in methods}
    block = max(1, NUMBERS // (ways * (shots + queries) * x.shape[1]))
    for part, start in enumerate(range(0, episodes, block)):
        key = keyed_seed(seed, "few-shot evaluation", part)
        tasks = min(block, episodes - start)
        support, query, right = _drawn(y, ways, shots, queries, tasks, concentration, key)
        labels = torch.arange(ways, device=x.device).repeat_interleave(shots).expand(tasks, -1)
        for name, method in methods.items():
            with torch.no_grad():
                found = method(x[support], labels, x[query])
            hits[name].append((found.argmax(-1).cpu() == right).double().mean(-1))
    accuracies = {name: torch.cat(parts) for name, parts in hits.items()}
    scores = {name: average("accuracy", values, higher_is_better=True) for name, values in accuracies.items()}
    return Evaluation(scores, accuracies)


def labelled_rows(features: TensorDataset) -> tuple[Tensor, Tensor]:
    """Return the features, and the classes on the CPU."""
    tensors = features.tensors if isinstance(features, TensorDataset) else ()
    if len(tensors) < 2 or tensors[0].ndim != 2 or tensors[1].ndim != 1 or tensors[1].is_floating_point():
        shapes = [tuple(t.shape) for t in tensors] or type(features).__name__
        raise ValueError(
            f"`features` must be a TensorDataset of (n, d) features and (n,) classes, got {shapes}: take "
            "`engine.features(encoder, dataset)`."
        )
    return tensors[0], tensors[1].long().cpu()


def _drawn(
    y: Tensor, ways: int, shots: int, queries: int, tasks: int, concentration: float | None, key: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the support rows ``(tasks, ways * shots)``, the queries ``(tasks, ways * queries)`` and their classes."""
    pool = queries if concentration is None else _most_queries(y, shots, ways * queries)
    sizes = sizes_of(ways, shots, pool, tasks=tasks)
    rows = EpisodeOrder(sizes, y).of_epoch(key).view(tasks, -1)
    support, query = rows[:, : ways * shots], rows[:, ways * shots :]
    classes = torch.arange(ways).repeat_interleave(pool).expand(tasks, -1)
    if concentration is None:
        return support, query, classes
    generator = torch.Generator().manual_seed(keyed_seed(key, "shares"))
    kept = torch.stack([_kept(ways, ways * queries, pool, concentration, generator) for _ in range(tasks)])
    return support, query[kept].view(tasks, -1), classes[kept].view(tasks, -1)


def _most_queries(y: Tensor, shots: int, wanted: int) -> int:
    """Return the number of query rows that every class has, at most `wanted`, at least 1."""
    counts = y[y >= 0].unique(return_counts=True)[1].tolist()
    return max(1, min(wanted, min(counts, default=0) - shots))


def _kept(ways: int, total: int, pool: int, concentration: float, generator: torch.Generator) -> Tensor:
    """Return which of `pool` rows of each class are queries, ``(ways * pool,)`` with `total` true entries."""
    for _ in range(TRIES):
        gamma = torch._standard_gamma(torch.full((ways,), concentration, dtype=torch.float64), generator=generator)
        drawn = torch.multinomial(gamma, total, replacement=True, generator=generator).bincount(minlength=ways)
        if int(drawn.max()) <= pool:
            return (torch.arange(pool) < drawn[:, None]).flatten()
    raise ValueError(
        f"`concentration` needs classes with more rows: no draw of {total} queries from {ways} classes fits into "
        f"{pool} rows of a class. Take fewer `queries`."
    )
