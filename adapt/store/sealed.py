"""Files and folders that appear whole or not at all, and folders with the hashes of the files inside.

The bytes go to a temporary name beside the wanted name, are flushed to the disk and are renamed. A process
killed at any moment leaves the old content, or the new content, and never a part of the new content.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
LARGEST = 1 << 20  # bytes of a manifest: a manifest names a handful of files


class Foreign(ValueError):
    """A folder without a manifest, or with a manifest of another format."""


class OtherVersion(Foreign):
    """A folder with a manifest of the same kind, of another version."""


class Torn(ValueError):
    """A sealed folder in which a file is missing or changed."""


@contextmanager
def whole_file(path: str | Path, *, several_writers: bool = False) -> Iterator[Path]:
    """Give a temporary name to write a file to, and let the file replace `path` after the block.

    An error inside the block leaves `path` as before. Missing folders above `path` are made.

    Args:
        path: the file. The temporary name ends with the name of `path`: ``.png`` stays ``.png``.
        several_writers: gives each process a temporary name of its own; the last process to finish wins. ``False``: one
            process writes `path` at a time, and removes what a killed process left.
    """
    with _temporary(Path(path), several_writers) as temporary:
        yield temporary
        _publish(temporary, Path(path), Path.replace)


@contextmanager
def whole_folder(path: str | Path, *, several_writers: bool = False) -> Iterator[Path]:
    """Give a temporary folder to write files into, and rename the folder to `path` after the block.

    An error inside the block leaves nothing behind. Missing folders above `path` are made.

    Args:
        path: the folder, which must not exist.
        several_writers: gives each process a temporary folder of its own; the first process to finish wins, and the
            folders of the others are dropped. ``False``: as in :func:`whole_file`.

    Raises:
        FileExistsError: `path` exists already. With several writers only an existing `path` before the block raises.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"`{path}` exists already; expected a new name.")
    with _temporary(path, several_writers) as temporary:
        temporary.mkdir()
        yield temporary
        try:
            _publish(temporary, path, Path.rename)
        except OSError:
            if not (several_writers and path.exists()):
                raise


def seal(folder: Path, form: str, facts: Mapping[str, Any] | None = None) -> None:
    """Write the manifest of a folder: the name of the format, `facts` for the reader, size and hash of each file."""
    files = {file.name: fingerprint(file) for file in sorted(folder.iterdir())}
    manifest = {"format": form, **(facts or {}), "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))


def check(folder: Path, form: str, files: Sequence[str] = ()) -> dict[str, Any]:
    """Return the manifest of a sealed folder, after every file of the folder has been hashed again.

    Args:
        folder: a folder after :func:`seal`.
        form: the name of the format.
        files: names that the manifest must list.

    Raises:
        Foreign: the manifest is missing, cannot be read, lists nothing, or is of another format than `form`;
            OtherVersion where the formats differ in the version alone.
        Torn: a file is missing, was changed after sealing, or is not in the manifest.
    """
    try:
        manifest = _manifest(folder / MANIFEST)
        found = manifest["format"]
        listed = {str(name): str(value) for name, value in manifest["files"].items()} if found == form else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Foreign(f"`{folder}` has no {MANIFEST} that can be read ({type(error).__name__}).") from error
    if found != form:
        kind = OtherVersion if str(found).rsplit(" ", 1)[0] == form.rsplit(" ", 1)[0] else Foreign
        raise kind(f"`{folder}` is in the format {str(found)[:80]!r}, expected {form!r}: read it with its own version.")
    if not listed or any(Path(name).name != name for name in listed):
        raise Foreign(f"`{folder}` has no {MANIFEST} that can be read (expected names of files in this folder).")
    if missing := [name for name in files if name not in listed]:
        raise Torn(f"`{folder / MANIFEST}` is torn: expected the file {missing[0]} among {sorted(listed)[:9]}.")
    for name, expected in listed.items():
        now = fingerprint(folder / name) if (folder / name).is_file() else "nothing"
        if now != expected:
            raise Torn(f"`{folder / name}` is torn: expected {expected[:120]}, found {now}.")
    return manifest


def _manifest(path: Path) -> dict[str, Any]:
    if path.stat().st_size > LARGEST:
        raise ValueError(f"more than {LARGEST} bytes")
    return json.loads(path.read_text(encoding="utf-8"))


def fingerprint(file: Path) -> str:
    """Return the size and the SHA-256 of a file, in words."""
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return f"{file.stat().st_size} bytes, sha256 {digest}"


@contextmanager
def _temporary(path: Path, several_writers: bool) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}" if several_writers else f".tmp-{path.name}")
    _remove(temporary)  # left by a process that was killed while it wrote
    try:
        yield temporary
    finally:
        _remove(temporary)


def _publish(temporary: Path, path: Path, rename: Callable[[Path, Path], Any]) -> None:
    """Flush first, rename then: the other order may show an empty file after a power failure."""
    for part in (*temporary.rglob("*"), temporary):
        _flush(part)
    rename(temporary, path)
    _flush(path.parent)  # the new name is an entry of the folder


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # Windows opens no folder
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
