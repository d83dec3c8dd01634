"""The example of text classification runs, goes on with what is there, and mixes no settings."""

import json
import sys
from typing import Any, NamedTuple

import pytest
import torch

from adapt import datasets
from tests.examples.loaded import example_of

example = example_of("text")
pytestmark = pytest.mark.data


class Two(NamedTuple):  # products, for a short test
    books: Any
    kitchen: Any


def run(monkeypatch, out, *flags):
    read = datasets.amazon_reviews_text()
    monkeypatch.setattr(example.datasets, "amazon_reviews_text", lambda: Two(read.books, read.kitchen))
    monkeypatch.setattr(sys, "argv", ["text.py", "--out", str(out), *flags])
    example.main()
    return json.loads((out / "report.json").read_text())


def test_quick_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(example, "QUICK", example.Settings(labels=(3,), seeds=2, epochs=1, reviews=30))
    monkeypatch.setattr(example.encoders, "sentences", lambda texts, folder: torch.ones(len(texts), 5))
    found = run(monkeypatch, tmp_path, "--quick")
    printed = capsys.readouterr().out
    assert found["quick"] and [target["task"] for target in found["verdict"]["targets"]] == ["books", "kitchen"]
    assert all(len(v) == 2 for t in found["verdict"]["targets"] for v in t["scores"].values())
    assert "books: 59 % of the words have a vector" in printed, "punctuation counts as words"
    assert "3 labels per class, mean of 2 products" in printed and printed.count("| MiniLM, frozen |") == 3
    assert (tmp_path / "report.png").read_bytes()[:4] == b"\x89PNG"
    assert "<h2>Verdict</h2>" in (tmp_path / "report.html").read_text()
    assert list((tmp_path / "tensorboard").rglob("events.*"))
    with pytest.raises(ValueError, match="differs in"):
        run(monkeypatch, tmp_path)


def test_without_the_extra_and_rows_to_learn_from_are_not_those_of_the_test(tmp_path, monkeypatch):
    def absent(texts, folder):
        raise ImportError("not installed")

    drawn = []

    def transfer(encoder, train, learn, **options):
        drawn.append(train.tensors)
        raise ValueError("the rows are enough")

    monkeypatch.setattr(example, "QUICK", example.Settings(labels=(4,), seeds=1, reviews=30))
    monkeypatch.setattr(example.encoders, "sentences", absent)
    monkeypatch.setattr(example.inductive, "transfer", transfer)
    with pytest.raises(ValueError, match="`baseline` must be one of"):  # no cell has a score
        run(monkeypatch, tmp_path, "--quick")
    errors = [json.loads(file.read_text())["error"] for file in tmp_path.glob("cells/*MiniLM*/record/record.json")]
    assert errors == ["ImportError: not installed"] * 2
    assert len(drawn) == 6 and all(y.bincount().tolist() == [4, 4] for _, y in drawn)
    given = example.product("books", *example.datasets.amazon_reviews_text().books, vectors(), example.QUICK)
    rows = {tuple(ids.tolist()) for ids in drawn[0][0]}
    assert rows <= {tuple(ids.tolist()) for ids in given.more["ids"][given.more["pool"]]}
    assert not rows & {tuple(ids.tolist()) for ids in given.test.tensors[0]}


def vectors():
    with example.numpy.load(example.datasets.data_file("word2vec_1000", "word2vec_1000.npz")) as file:
        return example.encoders.WordVectors(file["words"].tolist(), torch.from_numpy(file["vectors"]))
