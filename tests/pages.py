"""The Python blocks of a page in docs/, which run in a test as a reader runs them."""

import re
import warnings
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs"


def blocks_of(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), flags=re.S)


def run_block(page: str, number: int, block: str, names: dict[str, Any]) -> None:
    """Run a block with the names of the blocks before; a warning for the user is a failure."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            exec(compile(block, f"block {number}", "exec"), names)
    except Exception as error:
        pytest.fail(f"block {number} of docs/{page}: {error!r}\n{block}")
