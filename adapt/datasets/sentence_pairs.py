"""Reader of pairs of sentences, and pairs that are linked by a sentence."""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from torch import Tensor

from adapt.datasets.files import complete, data_file, reading
from adapt.datasets.published_rows import MRPC

HEADER = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"


class SentencePairs(NamedTuple):
    """Pair i is ``first[i]`` and ``second[i]``.

    `labels`: ``(n,)`` int64, 1 paraphrase, 0 not. `groups`: ``(n,)`` int64, the number of the group of linked pairs
    (:func:`linked`), over training and test pairs together.
    """

    first: list[str]
    second: list[str]
    labels: Tensor
    groups: Tensor


class Mrpc(NamedTuple):
    """4,076 pairs for training and 1,725 pairs for the test."""

    train: SentencePairs
    test: SentencePairs


def mrpc(root: str | Path | None = None) -> Mrpc:
    """Read the Microsoft Research Paraphrase Corpus: pairs of sentences of news, two thirds of the pairs paraphrases.

    Quotation marks are a part of a sentence. No pair is both in training and in the test, but 267 test pairs share a
    sentence with a training pair: `groups` tells. 1,000 of the pairs are in the training part of the STS benchmark,
    too.

    Dolan, Brockett, 2005, Automatically Constructing a Corpus of Sentential Paraphrases,
    https://aclanthology.org/I05-5002
    """
    train, test = (_pairs(part, root) for part in ("train", "test"))
    groups = linked(train[0] + test[0], train[1] + test[1])
    n = len(train[0])
    return Mrpc(SentencePairs(*train, groups[:n]), SentencePairs(*test, groups[n:]))


def linked(first: Sequence[Hashable], second: Sequence[Hashable]) -> Tensor:
    """Return the group of each pair, ``(n,)`` int64: pairs that share an item, directly or over other pairs, are one
    group.

    Groups are numbered from 0 in order of appearance. Pairs of one group depend on each other: keep the pairs in one
    part of a split (``splits(groups=...)``), and let an interval draw whole groups (:func:`adapt.report.separation`).

    Args:
        first, second: the two items of each pair: texts, names or numbers. An item is the same item on both sides.

    Raises:
        ValueError: no pairs, or unequal numbers of items.

    >>> linked(["a", "c", "e", "d"], ["b", "d", "f", "b"])
    tensor([0, 0, 1, 0])
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if len(first) != len(second) or not len(first):
        raise ValueError(
            "`first` and `second` must have one item for each of at least one pair, got "
            f"{len(first)} and {len(second)}."
        )
    number: dict[Hashable, int] = {}
    pairs = zip(first, second, strict=True)
    ends = numpy.array([[number.setdefault(item, len(number)) for item in pair] for pair in pairs])
    edges = coo_array((numpy.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(number), len(number)))
    component = connected_components(edges, directed=False)[1][ends[:, 0]]
    order: dict[int, int] = {}
    return torch.tensor([order.setdefault(c, len(order)) for c in component.tolist()])


def _pairs(part: str, root: str | Path | None) -> tuple[list[str], list[str], Tensor]:
    path = data_file("mrpc", f"msr_paraphrase_{part}.txt", root=root)
    with reading(path, "lines of quality, two numbers and two sentences, with tabs between"):
        header, *lines = path.read_bytes().decode("utf-8-sig").removesuffix("\n").split("\n")
        if header.removesuffix("\r") != HEADER or not lines:
            raise ValueError(f"found the header {header[:60]!r} and {len(lines)} pairs")
        complete(lines, MRPC)
        rows = [line.removesuffix("\r").split("\t") for line in lines]  # no quotation: quotes belong to the sentences
        wrong = [n for n, row in enumerate(rows, 2) if len(row) != 5 or row[0] not in ("0", "1") or not all(row)]
        if wrong:
            raise ValueError(f"line {wrong[0]} has no quality of 0 or 1, two numbers and two sentences")
        return [row[3] for row in rows], [row[4] for row in rows], torch.tensor([int(row[0]) for row in rows])
