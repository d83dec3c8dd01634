"""The reader of reviews."""

import gzip
from collections import defaultdict

import pytest
import torch

from adapt import datasets

GOOD = "<reviews>\r\n<review>\tTitle\r\n\tIt  works – well.\r\n</review><review>b & c < d</review>\r\n</reviews>\r\n"


def write(root, content=GOOD, only="negative"):
    for name in datasets.AmazonReviews._fields:
        folder = root / "amazon_reviews_text" / name
        folder.mkdir(parents=True, exist_ok=True)
        for sign in ("negative", "positive"):
            text = content if sign == only else GOOD
            (folder / f"{sign}.parsed.gz").write_bytes(
                text if isinstance(text, bytes) else gzip.compress(text.encode(), mtime=0)
            )


def test_texts_and_labels(tmp_path):
    write(tmp_path, "<reviews><review>bad</review></reviews>")
    for domain in datasets.amazon_reviews_text(tmp_path):
        assert domain.texts == ["bad", "Title It works – well.", "b & c < d"]
        assert domain.labels.tolist() == [0, 1, 1] and domain.labels.dtype == torch.int64


@pytest.mark.parametrize("sign", ["negative", "positive"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(GOOD.encode(), mtime=0)[:60], ""),
        (b"", ""),
        (b"hello", "gzip"),
        (gzip.compress("<reviews>café</reviews>".encode("latin-1"), mtime=0), "utf-8"),
        (GOOD[:60], "</reviews> at the end"),
        ("<reviews></reviews>", "found 0 reviews"),
        ("<reviews><review>a</review><review>b</reviews>", "found 2 reviews opened, 1 with a text"),
        ("<reviews><review>a</review><review> \n</review></reviews>", "found 2 reviews opened, 1 with a text"),
    ],
)
def test_torn_files_are_named(tmp_path, content, message, sign):
    write(tmp_path, content, only=sign)
    with pytest.raises(ValueError, match=f"books/{sign}.parsed.gz` cannot be read.*{message}"):
        datasets.amazon_reviews_text(tmp_path)


@pytest.mark.data
def test_the_four_products():
    domains = datasets.amazon_reviews_text()
    homes = defaultdict(set)
    for name, (texts, labels) in domains._asdict().items():
        assert len(texts) == 2000 and labels.bincount().tolist() == [1000, 1000]
        for text, label in zip(texts, labels.tolist(), strict=True):
            homes[text].add((name, label))
    assert len(homes) == 8000 - 146 and all(len(places) == 1 for places in homes.values())
    assert domains.books.texts[0].startswith("Horrible book, horrible. THis book was horrible.")
