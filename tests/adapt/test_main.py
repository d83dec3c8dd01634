"""The command line: each command runs, the help teaches, and the doctor finds a clash of names."""

import subprocess
import sys
from pathlib import Path

import numpy
import pytest

import adapt
from adapt.__main__ import main

ROOT = Path(adapt.__file__).parents[1]


def test_demo_and_report(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "demo"), "--steps", "4", "--seeds", "1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("first look: 5 methods x 1 seeds x 4 steps = 20 steps") and "\nmodel: " in out
    assert main(["report", str(tmp_path / "demo")]) == 0
    out = capsys.readouterr().out
    assert "source only" in out and out.rstrip().endswith("report.html")
    assert main(["report", str(tmp_path)]) == 1
    assert "holds no page" in capsys.readouterr().err


def test_rank(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    y = numpy.array(["cat", "dog"])[numpy.arange(40) % 2]
    noise = numpy.random.default_rng(0).normal(size=(40, 3))
    numpy.save("y.npy", y)
    numpy.save("good.npy", noise + 5 * (y == "cat")[:, None])
    numpy.save("poor.npy", noise)
    assert main(["rank", "--labels", "y.npy", "poor=poor.npy", "good=good.npy"]) == 0
    out = capsys.readouterr().out
    assert out.index("good") < out.index("poor")
    assert main(["rank", "--labels", "y.npy", "poor.npy"]) == 1
    assert "NAME=FILE.npy" in capsys.readouterr().err


def test_doctor(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", ".")])
    monkeypatch.setenv("ADAPT_DATA", str(tmp_path / "nowhere"))
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert f"adapt {adapt.__version__}" in out and "  torch " in out and "devices: cpu" in out and "no folder" in out
    assert "no other `losses`" in out
    (tmp_path / "losses.py").write_text("")
    assert main(["doctor"]) == 1
    assert f"clash: `{tmp_path / 'losses.py'}`" in capsys.readouterr().out


def test_extras_that_are_missing(capsys, monkeypatch):
    monkeypatch.setattr("adapt.__main__._required", lambda: ['nowhere[x]>=1; extra == "text"', "torch>=2"])
    main(["doctor"])
    assert 'text: without nowhere; pip install "adapt-losses[text]"' in capsys.readouterr().out


def test_a_clash_tells_its_remedy_before_anything_runs(tmp_path):
    (tmp_path / "losses.py").write_text("")
    code = f"import sys, runpy; sys.path.append({str(ROOT)!r}); runpy.run_module('adapt')"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "Rename that file" in done.stderr


def test_help(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(word in out for word in ("demo", "rank", "report", "doctor", "python -m adapt"))
