"""Section 3, hostile files: a short run of `tests/fuzz.py`, and texts that hypothesis finds."""

import subprocess
import sys
import warnings
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapt import datasets, encoders

ROOT = Path(__file__).parents[1]
NAMES = [  # the others on demand: `python tests/fuzz.py`
    "csv", "jsonl", "glove", "word2vec_binary", "npz", "pt", "legacy_pt", "mnist", "cifar10", "sarcos", "voc", "wav",
]  # fmt: skip


def test_damaged_files_are_read_or_refused():
    command = [sys.executable, "tests/fuzz.py", *NAMES, "--cases", "20", "--seed", "7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [[name, "20"] for name in NAMES]


def test_the_fuzzer_sees_an_error_that_is_not_documented_and_memory_above_the_limit(tmp_path):
    """The fuzzer is no use where it cannot fail: a reader that raises KeyError, and a reader that takes 1 GiB."""
    code = """
import json, sys
from pathlib import Path
from tests import fuzz
def read(folder):
    if (folder / "a").read_bytes() != b"valid": {act}
def write(folder):
    (folder / "a").write_bytes(b"valid")
    return [folder / "a"]
print(json.dumps(fuzz.fuzz("own", fuzz.Reader(write, read), 0, 0, 5, 60, Path(sys.argv[1]))["wrong"]))
"""
    for act, message in (("raise KeyError(3)", "KeyError: 3"), ("bytes(1 << 30)", "MemoryError")):
        command = [sys.executable, "-c", code.replace("{act}", act), str(tmp_path / "mark")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert message in done.stdout, done.stdout + done.stderr


LETTERS = [b"a", b"b", b" ", b"  ", b"\n", b"\r", b"\t", b"1", b"0.5", b"-2", b"nan", b"1_0", b"\xff", b",", b'"']
TEXTS = st.lists(st.sampled_from(LETTERS), max_size=40).map(b"".join)
ONE_FOLDER = [HealthCheck.function_scoped_fixture]  # each example writes its file anew


@settings(derandomize=True, max_examples=200, deadline=None, suppress_health_check=ONE_FOLDER)
@given(content=TEXTS)
def test_any_text_is_word_vectors_or_refused(tmp_path, content):
    (tmp_path / "v.txt").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = encoders.word_vectors(tmp_path / "v.txt")
        except ValueError as error:
            assert "v.txt`" in str(error)
        else:
            assert len(found.words) == len(found.vectors) and found.vectors.isfinite().all()
            assert content.endswith(b"\n") and not any("\n" in word for word in found.words)


@settings(derandomize=True, max_examples=200, deadline=None, suppress_health_check=ONE_FOLDER)
@given(content=TEXTS)
def test_any_text_is_a_table_or_refused(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    try:
        found = datasets.table(tmp_path / "t.csv")
    except (ValueError, TypeError):
        return
    assert len(found) >= 1 and found.inputs.isfinite().all()
