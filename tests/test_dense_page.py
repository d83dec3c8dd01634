"""The blocks of docs/dense.md run one after the other, on small made-up data, with fewer steps."""

import re

import numpy
import torch
from PIL import Image

from tests.pages import blocks_of, run_block


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_everything(root):
    draw = numpy.random.default_rng(0)
    for part in ("day", "dusk"):
        for i in range(6):
            mask = draw.choice([0, 1, 2, 255], (6, 8), p=[0.5, 0.2, 0.2, 0.1]).astype("uint8").repeat(9, 0).repeat(9, 1)
            image = (60 * (mask % 4)[..., None] + draw.integers(0, 50, (54, 72, 3))).astype("uint8")
            write(root / f"streets/{part}/images/seq{i % 2:03d}_{i}.png", image)
            write(root / f"streets/{part}/masks/seq{i % 2:03d}_{i}.png", mask)


VOC = """<annotation><filename>{0}.png</filename>{1}</annotation>"""
OBJECT = """<object><name>{0}</name><bndbox><xmin>{1}</xmin><ymin>{2}</ymin><xmax>{3}</xmax><ymax>{4}</ymax></bndbox>
</object>"""


def write_cells(root):
    draw = numpy.random.default_rng(1)
    (root / "cells" / "annotations").mkdir(parents=True)
    for i in range(6):
        write(root / f"cells/images/{i}.png", draw.integers(0, 255, (60, 80, 3), "uint8"))
        both = [OBJECT.format(name, 1 + 5 * i, 5, 20 + 5 * i, 30 + 4 * i) for name in ("red", "white")]
        (root / f"cells/annotations/{i}.xml").write_text(VOC.format(i, "".join(both)))


def test_every_block_runs(tmp_path, monkeypatch, capsys):
    write_everything(tmp_path)
    write_cells(tmp_path)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict = {}
    for number, block in enumerate(blocks_of("dense.md")):
        run_block("dense.md", number, re.sub(r"fit\(steps=[\d_]+\)", "fit(steps=2)", block), names)
    out = capsys.readouterr().out
    assert "{'block13': 256, 'block11': 128, 'block5': 64, 'block3': 32, 'block1': 16}" in out
    assert re.search(r"mIoU [01](\.\d+)? \(95 % interval .* n = 2\)", out)
    assert "BoxRows(6 images, 12 boxes, 2 classes, 0 boxes left out)" in out
    assert re.search(r"mAP50:95 [01](\.\d+)?(e-\d+)? \(95 % interval .* n = 6\)", out)
    assert set(names["found"]) == {"boxes", "scores", "classes"}
    assert names["masks"].shape == (1, 48, 64) and names["shares"].shape == (1, 3, 48, 64)
