"""A folder held by one process at a time."""

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK, NAMES = ".lock", 4000  # letters of names that are kept


@contextmanager
def claim(folder: str | Path) -> Iterator[str | None]:
    """Hold a folder for this process, and give None, or the name of another process that holds the folder.

    The claim does not wait. The system lets go of the folder when the process ends, however the process ends. A claim
    does not keep other threads of this process out. Where the system has no locks, every process gets the folder.

    Args:
        folder: is made where it is missing. The file ``.lock`` inside names the holder, and below the holder the
            processes that held the folder before and were killed.
    """
    held = _hold(Path(folder))
    try:
        yield held if isinstance(held, str) else None
    finally:
        if isinstance(held, int):
            (Path(folder) / LOCK).unlink(missing_ok=True)
            os.close(held)


def holder(folder: str | Path) -> str:
    """Return who holds a folder, or held the folder last and was killed, in words; empty where nobody did."""
    return next(iter(holders(folder)), "")


def holders(folder: str | Path) -> list[str]:
    """Return who holds a folder and who was killed while holding the folder before, in words, the last first."""
    try:
        return (Path(folder) / LOCK).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _hold(folder: Path) -> int | str | None:
    """Return an open file with a lock on the folder; a text about the owner of the lock where a process has the lock.

    None where the system has no locks.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    while True:
        file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not `flock`, which workers of a dead process would hold
        except OSError as error:
            owner = os.read(file, NAMES).decode(errors="replace")
            os.close(file)
            return owner.partition("\n")[0] or "unknown" if error.errno in (errno.EACCES, errno.EAGAIN) else None
        if (folder / LOCK).exists() and os.path.samestat(os.fstat(file), os.stat(folder / LOCK)):
            with suppress(OSError):  # a full disk: the owner has no name
                before = os.read(file, NAMES)
                os.truncate(file, 0)
                os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode() + before, 0)
            return file
        os.close(file)  # the owner has just ended, and removed the file
