"""The error for an absent optional library."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def optional(library: str, extra: str, note: str = "") -> Iterator[None]:
    """Turn a failed import inside the block into an ImportError with the line that installs `library`."""
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f'the bridge needs {library}: `pip install "adapt-losses[{extra}]"`{note} ({error}).'
        ) from error
