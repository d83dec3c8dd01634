"""Readers of texts."""

import gzip
import re
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from adapt.datasets.files import data_file, whole


class Reviews(NamedTuple):
    """`texts` and their `labels`: ``(n,)`` int64, 0 negative, 1 positive."""

    texts: list[str]
    labels: Tensor


class AmazonReviews(NamedTuple):
    """Four kinds of product: 12 pairs."""

    books: Reviews
    dvd: Reviews
    electronics: Reviews
    kitchen: Reviews


def amazon_reviews_text(root: str | Path | None = None) -> AmazonReviews:
    """The 2,000 labelled reviews of each of four kinds of product, 1,000 negative ones first.

    A text is the review with its title in front, white space collapsed to single spaces. These are the labelled
    reviews only: the unlabelled ones of the original are not read, so the unlabelled target of a protocol is
    the same 2,000 without their labels, or a part of them (``datasets.splits``). 146 texts occur twice or more within a
    domain, none in two domains or with both labels: :func:`adapt.encoders.sentences` gives equal texts equal
    features, and ``datasets.splits`` keeps equal rows together.

    Blitzer, Dredze, Pereira, 2007, Biographies, Bollywood, boom-boxes and blenders,
    https://aclanthology.org/P07-1056
    """
    domains = []
    for name in AmazonReviews._fields:
        parts = [_texts(data_file("amazon_reviews_text", name, f"{sign}.parsed.gz", root=root)) for sign in SIGNS]
        labels = torch.arange(2).repeat_interleave(torch.tensor([len(part) for part in parts]))
        domains.append(Reviews(parts[0] + parts[1], labels))
    return AmazonReviews(*domains)


SIGNS = ("negative", "positive")


def _texts(path: Path) -> list[str]:
    with whole(path, "gzip of <reviews> with a text in each <review>"):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            content = file.read().strip()
        if not (content.startswith("<reviews>") and content.endswith("</reviews>")):
            raise ValueError("expected it to start with <reviews> and to end with </reviews>")
        texts = [" ".join(text.split()) for text in re.findall("<review>(.*?)</review>", content, re.DOTALL)]
        if not texts or len(texts) != content.count("<review>") or not all(texts):
            raise ValueError(f"found {content.count('<review>')} reviews opened, {sum(map(bool, texts))} with a text")
    return texts
