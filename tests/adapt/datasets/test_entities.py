"""Sentences with named entities: made files, torn files, and the published files where they are at hand."""

import gzip
import os

import pytest

from adapt import datasets, heads

TEXT = "Ada\tB-person\nsaw\tO\nNew\tB-location\nYork\tI-location\n\n\nIt\tO\n\n"


def write(root, text=TEXT):
    for domain in datasets.CROSSNER_DOMAINS:
        (root / "crossner" / domain).mkdir(parents=True, exist_ok=True)
        for part in ("train", "dev", "test"):
            (root / "crossner" / domain / f"{part}.txt.gz").write_bytes(gzip.compress(text.encode()))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_words_tags_and_names(tmp_path, end):
    write(tmp_path, TEXT.replace("\n", end))
    domains = datasets.crossner(tmp_path)
    assert tuple(domains) == datasets.CROSSNER_DOMAINS
    train, _, _, names = domains["music"]
    assert names == ["O", "B-location", "I-location", "B-person"]
    assert train.words == [["Ada", "saw", "New", "York"], ["It"]] and train.tags == [[3, 0, 1, 2], [0]]


@pytest.mark.parametrize(
    "text", ["", "\n\n", "Ada B-person\n", "Ada\tperson\n", "Ada\tB-\n", "\tO\n", "Ada\tB-person\tO\n", "Ada\n"]
)
def test_torn_files(tmp_path, text):
    write(tmp_path, text)
    with pytest.raises(ValueError, match="train.txt.gz.*cannot be read as gzip of lines of a word, a tab and a tag"):
        datasets.crossner(tmp_path)


@pytest.mark.data
def test_the_published_files(tmp_path):
    domains = datasets.crossner()
    assert [len(domain.train.words) for domain in domains.values()] == [14041, 200, 200, 100, 100, 100]
    assert [len(domain.test.words) for domain in domains.values()] == [3453, 651, 543, 465, 416, 431]
    assert len(domains["conll2003"].names) == 9
    orphans = 0
    for domain in domains.values():
        for part in domain[:3]:
            assert all(len(w) == len(t) > 0 for w, t in zip(part.words, part.tags, strict=True))
            for tags in part.tags:
                said = [domain.names[i] for i in tags]
                before = ["O", *said[:-1]]
                orphans += sum(b[0] == "I" and a[2:] != b[2:] for a, b in zip(before, said, strict=True))
    assert orphans == 0
    said = [[domains["ai"].names[i] for i in tags] for tags in domains["ai"].test.tags]
    assert heads.span_f1(said, said).micro.f1 == 1
    root = os.environ["ADAPT_DATA"]
    whole = gzip.decompress(open(f"{root}/crossner/ai/test.txt.gz", "rb").read()).decode()
    write(tmp_path, whole.rstrip("\n").rpartition("\n\n")[0])
    with pytest.raises(ValueError, match="found 430 rows, and the published file has 431 rows"):
        datasets.crossner(tmp_path)
