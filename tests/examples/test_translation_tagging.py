"""The example of translation and tagging runs, and its own blocks do what they say."""

import importlib.util
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adapt import datasets

spec = importlib.util.spec_from_file_location(
    "translation_tagging", Path(__file__).parents[2] / "examples" / "translation_tagging.py"
)
example = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = example
spec.loader.exec_module(example)
needs_data = pytest.mark.skipif("ADAPT_DATA" not in os.environ, reason="set ADAPT_DATA to the folder of the data sets")


@pytest.mark.data
@needs_data
def test_quick_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(example, "QUICK", replace(example.QUICK, seeds=1, steps=2))
    monkeypatch.setattr(sys, "argv", ["translation_tagging.py", "--quick", "--out", str(tmp_path)])
    example.main()
    printed = capsys.readouterr().out
    assert printed.count("| uncertainty |") == 3 * 2 + 1  # three scores against two baselines, and delta-m
    assert printed.count("at the features, the tasks' gradients differ in length") == 1
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["quick"] and list(found["scores"]["scores"]) == ["tagging error", "cross-entropy", "chrF"]
    assert len(found["verdict"]["targets"][0]["scores"]) == 1 + len(example.BALANCES)
    assert (tmp_path / "report.png").read_bytes()[:4] == b"\x89PNG" and (tmp_path / "report.html").exists()


@pytest.mark.data
@needs_data
def test_a_document_is_on_one_side():
    data = example.Texts(example.Settings(test_captions=5))
    learn, test = data.parts(0)
    assert len(learn) >= 500 and sorted([*learn.tolist(), *test.tolist()]) == list(range(1000))
    assert not set(data.document[learn].tolist()) & set(data.document[test].tolist())
    documents = datasets.ud_pud().documents
    assert (documents[0] == documents[1]) == bool(data.document[0] == data.document[1])


def test_features_know_no_padding_and_no_neighbours():
    torch.manual_seed(0)
    encode = example.Sentences(9, 5, 8, 0.5).eval()
    torch.nn.init.normal_(encode.words.weight)
    tokens = torch.randint(1, 5, (3, 6, 3))
    tokens[0, 4:], tokens[1, 2:] = 0, 0
    features = encode(tokens)
    assert features.shape == (3, 6, 8) and features[0, 4:].eq(0).all() and features[1, 2:].eq(0).all()
    torch.testing.assert_close(encode(tokens[1:2, :2]), features[1:2, :2])


def decoder():
    torch.manual_seed(0)
    made = example.Decoder(8, [str(i) for i in range(7)], 0.0).eval()
    memory = made(torch.randn(4, 5, 8))
    memory[0, 3:] = 0
    return made, memory


def test_what_it_says_is_what_it_finds_most_probable():
    made, memory = decoder()
    found = [[int(w) for w in text.split()] for text in made.translate(memory, 6)]
    for m, words in zip(memory, found, strict=True):
        labels = torch.tensor([words + [0] if len(words) < 6 else words])
        logits, y, _ = made.forced(m[None], labels)
        assert torch.equal(logits.argmax(1), y)


def test_loss_and_score_are_those_of_the_known_words():
    made, memory = decoder()
    labels = torch.randint(7, (4, 6))
    labels[1, 3:], labels[2, 1] = -1, -1  # padding, an unknown word
    values = []
    for i in range(4):
        for j in range(6):
            if labels[i, j] != -1:
                z = made.states(memory[i : i + 1], torch.cat([torch.tensor([-1]), labels[i, :j]])[None])
                values.append(-made.logits(z)[0, -1].log_softmax(0)[labels[i, j]])
    torch.testing.assert_close(made.loss(memory, labels), torch.stack(values).mean())
    assert made.score(made.measure(memory, labels)).value == pytest.approx(torch.stack(values).mean().item(), rel=1e-5)
    assert made.loss(memory, torch.full_like(labels, -1)) == 0


def test_chrf():
    assert example.chrf(["ein Hund"], ["ein Hund"]) == pytest.approx(100)
    assert example.chrf(["abc"], ["xyz"]) == 0
    assert example.chrf(["ab c"], ["abd"]) == pytest.approx(100 * (2 / 3 + 1 / 2) / 6)
