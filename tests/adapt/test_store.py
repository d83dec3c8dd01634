"""Files and folders appear whole or not at all, whenever the process dies, and a changed file is noticed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adapt import store

ROOT = Path(__file__).parents[2]
# dies after the bytes are flushed and before the new name is there
KILLED = """
import os, signal, sys
from pathlib import Path
from adapt import store
Path.rename = Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
path, kind, several = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "several"
with getattr(store, kind)(path, several_writers=several) as temporary:
    (temporary / "a" if kind == "whole_folder" else temporary).write_text("new")
"""


def content(path: Path) -> dict[str, str]:
    return {p.relative_to(path).as_posix(): p.read_text() for p in path.rglob("*") if p.is_file()}


def write(path, kind, text, **options):
    with getattr(store, kind)(path, **options) as temporary:
        (temporary / "a" if kind == "whole_folder" else temporary).write_text(text)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("kind", ["whole_file", "whole_folder"])
def test_killed_between_write_and_rename(tmp_path, kind, several):
    path = tmp_path / "x.bin"
    if kind == "whole_file":
        path.write_text("old")
    command = [sys.executable, "-c", KILLED, str(path), kind, "several" if several else "one"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (path.read_text() == "old") if kind == "whole_file" else not path.exists()
    assert "new" in content(tmp_path).values()  # the process got as far as the bytes
    write(path, kind, "newer", several_writers=several)
    assert (path.read_text() if kind == "whole_file" else content(path)["a"]) == "newer"
    leftovers = [p for p in tmp_path.iterdir() if p != path]
    assert len(leftovers) == several  # another process may still be at work under a name of its own


@pytest.mark.parametrize("kind", ["whole_file", "whole_folder"])
def test_an_error_leaves_everything_as_it_was(tmp_path, kind):
    (tmp_path / "file").write_text("old")
    path = tmp_path / ("file" if kind == "whole_file" else "folder")
    with pytest.raises(KeyboardInterrupt), getattr(store, kind)(path) as temporary:
        (temporary / "a" if kind == "whole_folder" else temporary).write_text("half")
        raise KeyboardInterrupt
    assert content(tmp_path) == {"file": "old"} and [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_file_replaces_and_keeps_its_ending(tmp_path):
    path = tmp_path / "deep" / "picture.png"
    for several in (False, True):
        with store.whole_file(path, several_writers=several) as temporary:
            assert temporary.parent == path.parent and temporary.suffix == ".png" and temporary != path
            temporary.write_text(str(several))
        assert path.read_text() == str(several)
    assert list(path.parent.iterdir()) == [path]


def test_an_existing_folder_is_refused_before_anything_is_written(tmp_path):
    write(tmp_path / "x", "whole_folder", "first")
    for several in (False, True):
        with pytest.raises(FileExistsError, match=r"`.*x` exists already; expected a new name"):
            write(tmp_path / "x", "whole_folder", "second", several_writers=several)
    assert content(tmp_path) == {"x/a": "first"}


def test_a_folder_that_appears_meanwhile(tmp_path):
    path = tmp_path / "x"
    with store.whole_folder(path, several_writers=True) as temporary:
        (temporary / "a").write_text("slow")
        write(path, "whole_folder", "fast")
    assert content(tmp_path) == {"x/a": "fast"}
    with pytest.raises(OSError), store.whole_folder(tmp_path / "y") as temporary:
        (temporary / "a").write_text("slow")
        write(tmp_path / "y", "whole_folder", "fast", several_writers=True)
    assert content(tmp_path) == {"x/a": "fast", "y/a": "fast"}


@pytest.mark.parametrize("kind", ["whole_file", "whole_folder"])
def test_bytes_reach_the_disk_before_the_name_and_the_name_before_the_end(tmp_path, monkeypatch, kind):
    events, fsync = [], os.fsync

    def flushed(descriptor):
        events.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def renamed(rename):
        return lambda self, target: events.append("rename") or rename(self, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "rename", renamed(Path.rename))
    monkeypatch.setattr(Path, "replace", renamed(Path.replace))
    path = tmp_path / "x"
    write(path, kind, "new")
    written = [path] if kind == "whole_file" else [path / "a", path]
    assert events == [*(p.stat().st_ino for p in written), "rename", tmp_path.stat().st_ino]


@pytest.fixture
def sealed(tmp_path):
    with store.whole_folder(tmp_path / "x") as temporary:
        (temporary / "a").write_text("one")
        (temporary / "b").write_bytes(bytes(3_000_000))
        store.seal(temporary, "form 1", {"shape": [2, 3]})
    return tmp_path / "x"


def test_a_sealed_folder_gives_its_facts(sealed):
    found = store.check(sealed, "form 1")
    assert found["shape"] == [2, 3] and found["files"].keys() == {"a", "b"}
    # SHA-256 of "one", by coreutils
    assert found["files"]["a"] == "3 bytes, sha256 7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"


@pytest.mark.parametrize("change", ["flip", "shorten", "remove"])
def test_a_changed_file_is_named(sealed, change):
    data = bytearray((sealed / "b").read_bytes())
    data[2_000_000] ^= 1
    if change == "remove":
        (sealed / "b").unlink()
    else:
        (sealed / "b").write_bytes(data if change == "flip" else data[:-1])
    with pytest.raises(store.Torn, match=r"x/b` is torn: expected 3000000 bytes, sha256 \w+, found"):
        store.check(sealed, "form 1")


@pytest.mark.parametrize(
    "content",
    [
        None, "{", "{}", "[]", '{"format": "form 1", "files": 3}', '{"format": "form 1"}', "[" * 200_000,
        '{"format": "form 1", "files": {}}', '{"format": "form 1", "files": {"../x/a": "one"}}', "{" + " " * (1 << 20),
    ],
    ids=lambda c: str(c)[:30],
)  # fmt: skip
def test_a_foreign_folder_is_said_to_be_foreign(sealed, content):
    """Row 40: a manifest that lists nothing, deep json, missing keys, names of files elsewhere, a huge manifest."""
    (sealed / store.MANIFEST).unlink()
    if content is not None:
        (sealed / store.MANIFEST).write_text(content)
    with pytest.raises(store.Foreign, match=r"x` has no manifest.json that can be read"):
        store.check(sealed, "form 1")


def test_a_manifest_must_list_the_files_that_the_reader_needs(sealed):
    """Row 40: a file that the manifest does not list has no hash to compare with."""
    store.check(sealed, "form 1", ("a", "b"))
    manifest = json.loads((sealed / store.MANIFEST).read_text())
    del manifest["files"]["b"]
    (sealed / store.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(store.Torn, match=r"manifest.json` is torn: expected the file b among \['a'\]"):
        store.check(sealed, "form 1", ("a", "b"))


def test_another_format_is_named(sealed):
    with pytest.raises(store.Foreign, match=r"in the format 'form 1', expected 'form 2'"):
        store.check(sealed, "form 2")
