"""The example of speech runs; methods without labels of the target read none."""

import sys
from types import SimpleNamespace

import pytest
import torch

from tests.examples.loaded import example_of

example = example_of("speech")
pytestmark = pytest.mark.data


def test_quick_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["speech.py", "--quick", "--out", str(tmp_path)])
    example.main()
    said = capsys.readouterr().out
    assert said.count("mean of 2 speakers") == 8 and "| jackson | SHOT |" in said
    assert (tmp_path / "report.png").exists() and (tmp_path / "report.html").exists()


@pytest.mark.parametrize("method", [example.AUGMENTED, "DANN", "SHOT", example.ORACLE])
def test_labels_of_the_target_are_read_by_the_oracle_alone(monkeypatch, method):
    x, y, names = example.recordings()
    target = torch.from_numpy(names == "theo")
    seen, stream = [], example.Stream

    def spied(rows, *args, **options):
        if options.get("labels", True):
            seen.append(rows.tensors[1].clone())
        return stream(rows, *args, **options)

    monkeypatch.setattr(example, "Stream", spied)
    settings = example.Settings(variations=1, steps=1, epochs=1)
    for labels in (y, torch.where(target, 9 - y, y)):
        monkeypatch.setattr(example, "recordings", lambda labels=labels: (x, labels, names))
        example.trained.cache_clear()
        score = example.scored(SimpleNamespace(task="theo", method=method, seed=0), settings)
        assert score.n == 200
    first, second = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True)) == (method != example.ORACLE)
