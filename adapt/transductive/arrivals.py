"""Orders in which the rows of several domains arrive: the six streams of the test-time benchmarks."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor

from adapt.datasets.labels import to_labels
from adapt.randomness import keyed_seed
from losses.options import AT_LEAST_0, COUNT, FROM_0, check, is_whole, or_none

ARRIVALS = ("reset", "continual", "gradual", "mixed", "correlated", "mixed and correlated")


class Arrival(NamedTuple):
    """The rows of a batch: ``(n,)`` numbers of the domain, of the level and of the row; whether an adapter starts again
    before the batch.
    """

    domain: Tensor
    level: Tensor
    row: Tensor
    reset: bool


def arrivals(
    kind: str,
    labels: Any,
    domains: int,
    *,
    batch_size: int,
    rows: int | None = None,
    levels: int = 1,
    concentration: float = 0.1,
    seed: int = 0,
) -> Iterator[Arrival]:
    """Return the batches of a stream over several domains of the same rows, such as one set of images, each corrupted.

    Args:
        kind: ``"reset"``: domain by domain, and the adapter starts again with each domain; ``"continual"``: without the
            start; ``"gradual"``: each domain climbs through its levels and down again; ``"mixed"``: rows of all domains
            in random order; ``"correlated"``: domain by domain, the rows of a class close together;
            ``"mixed and correlated"``: all domains together, the rows of a class close together.
        labels: ``(r,)`` classes of the rows, which only the correlated orders read.
        domains: number of domains.
        batch_size: rows of a batch; the last batch of a domain may be smaller.
        rows: rows that are drawn for each domain; None takes all.
        levels: of severity in each domain. All kinds but ``"gradual"`` take the highest level alone; ``"gradual"``
            spreads the rows of a domain over ``2 levels - 1`` parts.
        concentration: of Dirichlet's distribution for the correlated orders, 0.1 as usual for CIFAR-10: each class is
            spread over as many places as there are classes. 0 sorts by class.
        seed: of the order.

    Raises:
        ValueError: an unknown kind; labels that are not classes; options outside of the ranges.

    Names and orders: Döbler et al., https://github.com/mariodoebler/test-time-adaptation; the correlated order: Gong et
    al., NOTE: Robust Continual Test-time Adaptation Against Temporal Correlation, 2022,
    https://arxiv.org/abs/2208.05117
    """
    if kind not in ARRIVALS:
        raise ValueError(f"`kind` must be one of {', '.join(ARRIVALS)}, got {kind!r}.")
    check(COUNT, domains=domains, batch_size=batch_size, levels=levels)
    check(AT_LEAST_0, concentration=concentration)
    check(FROM_0, seed=seed)
    classes = to_labels(labels, what="`labels`").values
    if classes.ndim != 1 or classes.is_floating_point() or len(classes) == 0:
        raise ValueError(
            f"`labels` must be (r,) classes of at least one row, got {classes.dtype} {tuple(classes.shape)}."
        )
    check(or_none((f"from 1 to the {len(classes)} labels", lambda v: is_whole(v, 1) and v <= len(classes))), rows=rows)
    return _batches(kind, classes.numpy(), domains, batch_size, rows, levels, concentration, seed)


def _batches(
    kind: str, classes: Any, domains: int, size: int, rows: int | None, levels: int, concentration: float, seed: int
) -> Iterator[Arrival]:
    draw = numpy.random.default_rng(keyed_seed("arrivals", seed))  # the same rows for each kind
    blocks = []  # (rows, 3) numbers of domain, level and row: batches never reach over the end of a block
    for domain in range(domains):
        chosen = draw.permutation(len(classes))[:rows]
        blocks.append(numpy.stack([numpy.full_like(chosen, domain), numpy.full_like(chosen, levels - 1), chosen], 1))
    draw = numpy.random.default_rng(keyed_seed("arrivals", seed, kind))
    if kind.startswith("mixed"):
        blocks = [draw.permutation(numpy.concatenate(blocks))]
    if kind.endswith("correlated"):
        blocks = [block[_correlated(classes[block[:, 2]], concentration, draw)] for block in blocks]
    for block in blocks:
        parts = [block]
        if kind == "gradual":
            steps = [*range(levels), *range(levels - 2, -1, -1)]
            parts = numpy.array_split(block, len(steps))
            for part, level in zip(parts, steps, strict=True):
                part[:, 1] = level
        for part in parts:
            for start in range(0, len(part), size):
                domain, level, row = torch.from_numpy(part[start : start + size].T.copy())
                yield Arrival(domain, level, row, kind == "reset" and start == 0)


def _correlated(classes: Any, concentration: float, draw: numpy.random.Generator) -> Any:
    """Return an order of rows where the rows of a class lie close together."""
    groups = [draw.permutation(numpy.flatnonzero(classes == c)) for c in numpy.unique(classes)]
    if concentration == 0:
        return numpy.concatenate([groups[c] for c in draw.permutation(len(groups))])
    places: list[list[Any]] = [[] for _ in groups]
    for group in groups:
        shares = draw.dirichlet([concentration] * len(places))
        for place, part in zip(
            places, numpy.split(group, (shares.cumsum()[:-1] * len(group)).astype(int)), strict=True
        ):
            place.append(part)
    return numpy.concatenate([place[c] for place in places for c in draw.permutation(len(groups))])
