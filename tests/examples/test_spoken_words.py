"""The example of spoken words runs, tests on no labelled take, and chooses a method on no scored speaker."""

import json
import sys

import numpy
import pytest
import torch

from tests.examples.loaded import example_of

example = example_of("spoken_words")


def run(monkeypatch, out):
    monkeypatch.setenv("ADAPT_CACHE", str(out / "cache"))
    monkeypatch.setattr(sys, "argv", ["spoken_words.py", "--quick", "--out", str(out)])
    example.main()
    return json.loads((out / "report.json").read_text())


@pytest.mark.data
def test_quick_run(tmp_path, monkeypatch, capsys):
    waves = example.datasets.fsdd(seconds=1.5)
    monkeypatch.setattr(example.datasets, "fsdd", lambda seconds: waves)
    monkeypatch.setattr(
        example, "word_encoder", lambda: example.encoders.callable(example.mfcc, 120, name="words", fingerprint="1")
    )
    monkeypatch.setattr(example, "CHOICES", [example.COSINE, example.fewshot.ridge()])
    few = example.Settings(labelled=(1,), takes=2)
    monkeypatch.setattr(example, "Settings", lambda **quick: few)
    found = run(monkeypatch, tmp_path)
    printed = capsys.readouterr().out
    assert found["quick"] and printed.count("worst speaker") == 5
    targets = found["verdict"]["targets"]
    assert len(targets) == 6
    for target in targets:
        assert target["scores"]["no encoder: MFCC"] == target["scores"]["words: cosine"], "the same features here"
        assert numpy.mean(target["scores"]["no encoder: MFCC"]) > 0.2
    assert (tmp_path / "report.png").read_bytes()[:4] == b"\x89PNG" and (tmp_path / "report.html").exists()


@pytest.mark.data
def test_the_packaged_encoder_tells_digits_apart():
    pytest.importorskip("eff_word_net")
    waves = example.datasets.fsdd(seconds=1.5).tensors[0].view(10, 6, 20, -1)[:3, 2, :2]
    rows = example.word_encoder()(waves.flatten(0, 1))
    assert rows.shape == (6, 2048) and torch.allclose(rows.norm(dim=1), torch.ones(6), atol=1e-4)
    assert torch.equal((rows[::2] @ rows[1::2].T).argmax(1), torch.arange(3))


def test_labelled_takes_are_in_no_test_and_every_take_is_labelled_equally_often():
    x = torch.arange(3 * 4.0).view(3, 4, 1)  # the number of the recording
    asked = []

    def noted(support, labels, query):
        asked.append((support, labels, query))
        return torch.zeros(*query.shape[:2], 3)

    right = example.answers(x, noted, 2)
    support, labels, query = asked[0]
    assert right.shape == (4, 6) and right.double().mean() == 1 / 3  # always the first of three digits
    assert torch.equal(support.squeeze(-1) // 4, labels.double())
    assert support.flatten().long().bincount().tolist() == [2] * 12
    both = torch.cat([support, query], 1).squeeze(-1).sort().values
    assert torch.equal(both, torch.arange(12.0).expand(4, 12))


def test_the_choice_reads_the_other_speakers_alone(monkeypatch):
    asked = []

    def answers(x, method, labelled):
        asked.append((float(x), method.name))
        return torch.full(
            (1, 10), (method.name == "ridge") == (x > 0)
        )  # ridge is the best on the others, the worst here

    monkeypatch.setattr(example, "answers", answers)
    data = example.report.Data(more={"words": torch.tensor(-1.0), "others": [torch.tensor(1.0), torch.tensor(2.0)]})
    cell = example.report.Cell("chosen", "a", 0, 10, data, None)
    assert example.chosen(cell).value == 0.0
    assert asked[-1] == (-1.0, "ridge") and all(x > 0 for x, _ in asked[:-1])


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "eff_word_net", None)
    with pytest.raises(ModuleNotFoundError, match="pip install --no-deps efficientword-net"):
        example.word_encoder()
