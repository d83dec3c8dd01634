"""Rows of two data sets that are equal, hardly differ, or mirror each other."""

import html
from collections.abc import Iterator, Sequence
from typing import Any

import numpy
import torch
from torch import Tensor

NEAR_NUMBERS = 0.997  # of 9,298 different digits of USPS none is as near; JPEG copies of quality 85 and more are
NEAR_TEXTS = 0.9  # one word of twenty replaced
COLUMNS = 8  # fewer numbers per row are alike by chance
BLOCK = 1024  # test rows compared at once

Pairs = list[tuple[int, int]]  # the number of a training row, and of a test row


def equal_rows(train: Any, test: Any) -> Pairs:
    """Return each test row that equals a training row, with the first such row: numbers in float32, texts by words.

    Args:
        train, test: tensors ``(n, ...)``, lists of tensors, or lists of texts.
    """
    first: dict[Any, int] = {}
    for number, key in enumerate(_keys(train)):
        first.setdefault(key, number)
    return [(first[key], number) for number, key in enumerate(_keys(test)) if key in first]


def near_rows(train: Any, test: Any, equal: Sequence[int], near: float | None) -> dict[str, Pairs]:
    """Return each test row that is a near copy or a mirrored copy of a training row, with the nearest training row.

    Args:
        equal: numbers of test rows that are known as copies, and are left out.
        near: the least similarity; None takes the constants of this module, 1 looks for nothing.
    """
    left_out = set(equal)
    rest = torch.tensor([i for i in range(len(test)) if i not in left_out], dtype=torch.int64)
    if near == 1 or not len(rest):
        return {}
    if isinstance(train[0], str):
        return {"near copy": _near_texts(train, test, rest, NEAR_TEXTS if near is None else near)}
    if isinstance(train, list) or isinstance(test, list) or train[0].numel() < COLUMNS:
        return {}
    least, image = NEAR_NUMBERS if near is None else near, train.ndim > 2
    scale = _column_scale(train)
    rows = _directions(train, image, *scale)

    def pairs(queries: Tensor, numbers: Tensor) -> Pairs:
        found: Pairs = []
        for some, who in zip(queries.split(BLOCK), numbers.split(BLOCK), strict=True):
            best, where = (some @ rows.T).max(1)
            hit = best >= least
            found += zip(where[hit].tolist(), who[hit].tolist(), strict=True)
        return found

    plain = _directions(test[rest], image, *scale)
    found = {"near copy": pairs(plain, rest)}
    if train.ndim == 4:
        mirrored = _directions(test[rest].flip(-1), image, *scale)
        taken = {j for _, j in found["near copy"]}
        free = torch.tensor([int(j) not in taken for j in rest])
        ask = free & ((plain * mirrored).sum(1) < least)  # the mirror image of a symmetric image says nothing
        found["mirrored copy"] = pairs(mirrored[ask], rest[ask])
    return found


def _keys(rows: Any) -> Iterator[Any]:
    if isinstance(rows[0], str):
        return (" ".join(html.unescape(text).casefold().split()) for text in rows)
    # + 0.0 makes one zero of the two
    return ((tuple(row.shape), (row.detach().cpu().float() + 0.0).numpy().tobytes()) for row in rows)


def _near_texts(train: list[str], test: list[str], rest: Tensor, least: float) -> Pairs:
    # imported here: the rest of `adapt.datasets` does without, and the import takes a second
    from sklearn.feature_extraction.text import HashingVectorizer

    words = HashingVectorizer(ngram_range=(1, 2), binary=True, alternate_sign=False, token_pattern=r"(?u)\w+")
    a = words.transform([html.unescape(text) for text in train])
    pairs: Pairs = []
    for some in rest.split(BLOCK):
        alike = words.transform([html.unescape(test[i]) for i in some.tolist()]) @ a.T
        alike.data[alike.data < least - 1e-9] = 0  # rounding of lengths
        alike.eliminate_zeros()
        best = numpy.asarray(alike.argmax(1)).ravel()  # a matrix of scipy has other axes
        hit = alike.getnnz(1) > 0
        pairs += zip(best[hit].tolist(), some.numpy()[hit].tolist(), strict=True)
    return pairs


def _column_scale(inputs: Tensor) -> tuple[Tensor, Tensor]:
    x = inputs.detach().cpu().flatten(1).float().nan_to_num()
    return x.mean(0), x.std(0, correction=0)


def _directions(inputs: Tensor, image: bool, mean: Tensor, deviation: Tensor) -> Tensor:
    """Return rows of length 1: of an image without its mean, else of standardized columns. Constant rows become 0."""
    x = inputs.detach().cpu().flatten(1).float().nan_to_num()
    x = x - x.mean(1, keepdim=True) if image else (x - mean) / deviation.masked_fill(deviation == 0, torch.inf)
    length = x.norm(dim=1, keepdim=True)
    noise = 1e-6 * inputs.detach().cpu().flatten(1).float().nan_to_num().norm(dim=1, keepdim=True)
    return x / length.masked_fill(length <= noise if image else length == 0, torch.inf)
