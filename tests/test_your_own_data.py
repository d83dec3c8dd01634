"""The blocks of docs/your_own_data.md run one after the other, on small made-up data, with fewer steps."""

import re
from pathlib import Path

import numpy
import pandas
import pytest
import scipy.sparse
import torch
from PIL import Image
from scipy.io import wavfile

PAGE = (Path(__file__).parents[1] / "docs" / "your_own_data.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
VOC = """<annotation><filename>a.png</filename><object><name>cat</name><bndbox>
<xmin>1</xmin><ymin>1</ymin><xmax>20</xmax><ymax>10</ymax></bndbox></object></annotation>"""


def write_image(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_everything(root):
    draw = numpy.random.default_rng(0)
    for part, count in {"train": 8, "test": 3}.items():
        for number, name in enumerate(["cat", "dog"]):
            for i in range(count - 4 * number * (part == "train")):
                write_image(root / "photos" / part / name / f"{i}.png", draw.integers(0, 255, (36, 40, 3), "uint8"))
    for i in range(9):
        write_image(root / "photos" / "new" / f"{i}.jpg", draw.integers(0, 255, (40, 36, 3), "uint8"))
    age, town = draw.integers(20, 80, 60), draw.choice(["Ulm", "Bonn"], 60)
    patients = {"id": range(60), "age": age, "pressure": age + draw.normal(size=60), "town": town}
    pandas.DataFrame(patients | {"ill": numpy.where(age > 50, "yes", "no")}).to_csv(root / "patients.csv", index=False)
    X = draw.normal(size=(60, 5))
    numpy.save(root / "X.npy", X)
    numpy.save(root / "y.npy", numpy.where(X[:, 0] > 0, "warm", "cold"))
    scipy.sparse.save_npz(root / "counts.npz", scipy.sparse.csr_matrix(draw.poisson(0.1, (60, 30))))
    (root / "reviews.csv").write_text("review,mood\n" + "very good,plus\nbad bad,minus\n" * 10)
    for name, pitch in {"low": 200, "high": 900}.items():
        for i in range(2):
            (root / "sounds" / name).mkdir(parents=True, exist_ok=True)
            tone = numpy.sin(pitch * numpy.arange(12_000 + 999 * i) / 16_000)
            wavfile.write(root / "sounds" / name / f"{i}.wav", 16_000, tone.astype("float32"))
    person, time = numpy.repeat(["ada", "bob", "cem"], 40), numpy.arange(120)
    walk = {"x": draw.normal(size=120), "y": draw.normal(size=120), "person": person}
    walk["activity"] = numpy.where(time // 20 % 2, "run", "sit")
    pandas.DataFrame(walk).to_csv(root / "walk.csv", index=False)
    write_image(root / "streets" / "images" / "a.png", draw.integers(0, 255, (40, 50, 3), "uint8"))
    write_image(root / "streets" / "masks" / "a.png", draw.choice([0, 1, 255], (40, 50)).astype("uint8"))
    write_image(root / "things" / "images" / "a.png", draw.integers(0, 255, (40, 50, 3), "uint8"))
    (root / "things" / "annotations").mkdir()
    (root / "things" / "annotations" / "a.xml").write_text(VOC)


def test_every_block_runs(tmp_path, monkeypatch, capsys):
    write_everything(tmp_path)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names = {}
    for number, block in enumerate(BLOCKS):
        code = re.sub(r"fit\(steps=\d+\)", "fit(steps=2)", block)
        try:
            exec(compile(code, f"block {number}", "exec"), names)
        except Exception as error:
            pytest.fail(f"block {number} of docs/your_own_data.md: {error!r}\n{block}")
    out = capsys.readouterr().out
    assert re.search(r"accuracy [01](\.\d+)? \(95 % interval .* n = 6\)", out)
    assert "['age', 'pressure', 'town=Bonn', 'town=Ulm'] ['no', 'yes']" in out
    assert "Rows(60 rows of 5, 2 classes: cold, warm)" in out and "torch.Size([1, 32, 61])" in out
    assert "\nbalanced accuracy " in out and "\ncalibration error " in out and out.count("photos/new/") == 9
    assert "\n14 7\n" in out


def test_every_builder_is_on_the_page():
    for builder in ("arrays", "images", "table", "texts", "audio", "windows", "masks", "boxes"):
        assert f"datasets.{builder}(" in "".join(BLOCKS) and f"| `datasets.{builder}(" in PAGE
