"""The code on the front page runs as it stands there, but for the number of steps and the folder."""

import os
import re
from pathlib import Path

import numpy
import pytest
import torch

import adapt
import losses

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)


def test_ten_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = next(block for block in BLOCKS if "Trainer(" in block)
    assert "steps=600" in code
    names = {"adapt": adapt} | {name: getattr(adapt, name) for name in adapt.__all__}
    torch.manual_seed(0)
    exec(code.replace("steps=600", "steps=3"), names)
    assert re.search(r"accuracy 0\.\d+ \(95 % interval .* n = 400\)", capsys.readouterr().out)
    assert os.listdir(tmp_path / "runs" / "first")


@pytest.mark.parametrize("block", [b for b in BLOCKS if "Trainer(" not in b])
def test_lines(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = numpy.random.default_rng(0).normal(size=(20, 3))
    names = {
        "X": rows,
        "y": ["cold", "warm"] * 10,
        "X_target": rows + 1,
        "logits": torch.zeros(4, 3),
        "labels": torch.zeros(4, dtype=torch.int64),
        "source_features": torch.zeros(4, 2),
        "target_features": torch.ones(5, 2),
        "losses": losses,
        "Term": adapt.Term,
        "F": torch.nn.functional,
    }
    names |= {name: getattr(adapt, name) for name in ("datasets", "encoders", "report")}
    quick = {"random_state=0": "random_state=0, steps=9", "test=digits.photo.test)": "test=None, steps=2, seeds=1)"}
    for long, short in quick.items():
        block = block.replace(long, short)
    exec(block, names)
    if "loss" in names:
        assert names["loss"].isfinite()


def test_links_lead_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert link.startswith("http") or (page.parent / link).exists(), f"{page.name}: {link}"


def test_tables_of_losses_and_methods_are_complete():
    table = (ROOT / "docs" / "losses.md").read_text()
    missing = [name for name in losses.__all__ if f"`{name}`" not in table]
    assert not missing, "add a row to docs/losses.md"
    methods = (ROOT / "docs" / "methods.md").read_text()
    for room in ("inductive", "domain"):
        missing = [name for name in getattr(adapt, room).__all__ if f"`{room}.{name}`" not in methods]
        assert not missing, "add a row to docs/methods.md"


def test_the_counts_on_the_front_page():
    page, changes = ((ROOT / name).read_text() for name in ("README.md", "CHANGELOG.md"))
    methods = len(adapt.domain.__all__)
    assert f" {methods} methods of domain adaptation" in page and f"{methods} methods" in changes
    assert f"{len(losses.__all__)} public names" in changes
