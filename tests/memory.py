"""The memory that reading a file takes, for the tests of hostile files."""

import tracemalloc
from contextlib import contextmanager
from pathlib import Path

from adapt.store import limits


@contextmanager
def within_limits(path: Path):
    """Assert that the block takes at most 4 times the file and 64 MiB, of what Python and numpy allocate."""
    most = limits.FACTOR * path.stat().st_size + limits.SLACK
    running = tracemalloc.is_tracing()
    tracemalloc.start()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    try:
        yield
        taken = tracemalloc.get_traced_memory()[1] - before
    finally:
        if not running:
            tracemalloc.stop()
    assert taken <= most, f"`{path}` took {taken >> 20} MiB, and {most >> 20} are allowed"
