"""Pieces of words from bytes."""

import json
import sys

import pytest
import torch

from adapt import datasets, heads

TEXTS = ["Ein grüner Hund rennt.", "Zwei grüne Hunde rennen.", "Ein Hund"]


def test_pieces_give_every_text_back_and_the_head_reads_the_pieces_alike():
    pairs = datasets.BytePairs(TEXTS, size=300)
    texts = [*TEXTS, "  zwei\tBlanks \n", "Größe 名前 🙂", "a" * 40]
    numbers = pairs.numbers(texts, 60)
    assert len(pairs) == len(pairs.words) == 300 or len(pairs) < 300
    assert pairs.words[0] == "" and len(set(pairs.words)) == len(pairs)
    assert numbers.shape == (6, 60) and 0 < numbers.max() < len(pairs)
    assert ((numbers == 0).sum(1) == 1).all() and (numbers[:, 1:][numbers[:, :-1] <= 0] == -1).all()
    assert pairs.texts(numbers) == texts == pairs.texts(numbers.tolist())
    head = heads.Sequence(4, pairs.words, width=8, byte_level=True)
    assert [head.text(row) for row in numbers.tolist()] == texts


def test_the_most_frequent_pair_is_the_first_piece():
    pairs = datasets.BytePairs(["abab ab", "xab"], size=258)
    assert len(pairs) == 258 and pairs.words[-1] == "ab"
    assert (pairs.numbers(["abxab"], 9)[0] > 0).sum() == 3


def test_a_long_text_is_cut_and_no_text_is_an_end():
    pairs = datasets.BytePairs(TEXTS, size=257)
    assert pairs.numbers(["Hund", ""], 2).tolist()[1] == [0, -1]
    assert pairs.texts(pairs.numbers(["Hund"], 2)) == ["Hu"]
    assert pairs.texts(pairs.numbers(["ü"], 1)) == ["\N{REPLACEMENT CHARACTER}"]


def test_saved_and_loaded(tmp_path):
    pairs = datasets.BytePairs(TEXTS, size=290)
    again = datasets.BytePairs.load(pairs.save(tmp_path / "pairs.json"))
    assert again.words == pairs.words and torch.equal(again.numbers(TEXTS), pairs.numbers(TEXTS))
    assert again.texts(again.numbers(TEXTS)) == TEXTS and repr(again) == repr(pairs)
    (tmp_path / "torn.json").write_text((tmp_path / "pairs.json").read_text()[:100])
    (tmp_path / "other.json").write_text(json.dumps({"format": "x"}))
    (tmp_path / "wrong.json").write_text(json.dumps({"format": "adapt-losses byte pairs 1", "pieces": "{}"}))
    for name in ("torn", "other", "wrong"):
        with pytest.raises(ValueError, match=f"{name}.json` holds no byte pairs"):
            datasets.BytePairs.load(tmp_path / f"{name}.json")
    with pytest.raises(FileNotFoundError):
        datasets.BytePairs.load(tmp_path / "absent.json")


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r'tokenizers is not installed: pip install "adapt-losses\[text\]"'):
        datasets.BytePairs(TEXTS)


@pytest.mark.parametrize(
    ("texts", "options", "error", "message"),
    [
        ("Hund", {}, TypeError, r"`texts` must be a list of texts, got one text: give `\['Hund'\]`"),
        ([], {}, ValueError, "`texts` is empty"),
        ([3], {}, TypeError, "`texts` must be texts, got a int"),
        (TEXTS, {"size": 256}, ValueError, "`size` must be a whole number of at least 257, got 256"),
    ],
)
def test_bad_input(texts, options, error, message):
    with pytest.raises(error, match=message):
        datasets.BytePairs(texts, **options)
