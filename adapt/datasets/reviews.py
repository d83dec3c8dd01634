"""Reader of product reviews."""

import re
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from adapt import store
from adapt.datasets.files import TEXT, data_file, reading

SIGNS = ("negative", "positive")  # labels 0 and 1


class Reviews(NamedTuple):
    """`texts` and `labels`: ``(n,)`` int64, 0 negative, 1 positive."""

    texts: list[str]
    labels: Tensor


class AmazonReviews(NamedTuple):
    """Reviews of four kinds of product: 12 pairs of domains."""

    books: Reviews
    dvd: Reviews
    electronics: Reviews
    kitchen: Reviews


def amazon_reviews_text(root: str | Path | None = None) -> AmazonReviews:
    """Read the 2,000 labelled reviews of each of four kinds of product, 1,000 negative reviews first.

    A text is the title and then the review, with single spaces for all white space. The unlabelled reviews of the
    original are not read: the unlabelled target of a protocol is the same 2,000 reviews without labels, or a part of
    the reviews (``datasets.splits``). 146 texts occur twice or more within a domain, no text in two domains or with
    both labels: :func:`adapt.encoders.sentences` gives equal texts equal features, and ``datasets.splits`` keeps equal
    rows together.

    Blitzer, Dredze, Pereira, 2007, Biographies, Bollywood, boom-boxes and blenders,
    https://aclanthology.org/P07-1056
    """
    domains = []
    for name in AmazonReviews._fields:
        parts = [_texts(data_file("amazon_reviews_text", name, f"{sign}.parsed.gz", root=root)) for sign in SIGNS]
        labels = torch.arange(2).repeat_interleave(torch.tensor([len(part) for part in parts]))
        domains.append(Reviews(parts[0] + parts[1], labels))
    return AmazonReviews(*domains)


def _texts(path: Path) -> list[str]:
    with reading(path, "gzip of <reviews> with a text in each <review>"):
        content = store.unpacked(path, cost=TEXT).decode().strip()
        if not (content.startswith("<reviews>") and content.endswith("</reviews>")):
            raise ValueError("expected <reviews> at the start and </reviews> at the end")
        texts = [" ".join(text.split()) for text in re.findall("<review>(.*?)</review>", content, re.DOTALL)]
        if not texts or len(texts) != content.count("<review>") or not all(texts):
            raise ValueError(f"found {content.count('<review>')} reviews opened, {sum(map(bool, texts))} with a text")
    return texts
