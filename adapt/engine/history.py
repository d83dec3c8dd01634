"""The history of a run: one row for each step with logged values, in memory and in a file of JSON lines."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from adapt import store

FILE = "history.jsonl"
Row = dict[str, Any]


class History:
    """Rows ``{"step": 0, "loss/total": 2.3, "accuracy/source": 0.1, ...}``, in the order of the steps.

    A row is written to the file when the next row begins, and at every checkpoint and at the end. A run that goes on
    from a step writes the rows from this step on again: a killed and resumed run has each row once.

    Attributes:
        rows: for ``pandas.DataFrame(rows)``.
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._file: TextIO | None = None
        self._waits = False  # the last row is not in the file yet

    def open(self, path: Path | None, step: int) -> None:
        """Go on from `step`, with the earlier rows of the file at `path`; None keeps no file."""
        if path is not None and path.exists():
            self.rows = read(path)
        self.rows = [row for row in self.rows if row["step"] < step]
        if path is not None:
            with store.whole_file(path) as temporary:
                temporary.write_text("".join(map(_line, self.rows)), encoding="utf-8")
            self._file = path.open("a", encoding="utf-8")

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add values to the row of `step`. A value that is not a number is left out, as in the log."""
        numbers = {tag: value for tag, value in values.items() if value == value}
        if not self.rows or self.rows[-1]["step"] != step:
            self._write()
            self.rows.append({"step": step})
        self.rows[-1].update(numbers)
        self._waits = True

    def flush(self) -> None:
        """Bring all rows to the disk."""
        self._write()
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        if self._file is not None:
            self.flush()
            self._file.close()
            self._file = None

    def _write(self) -> None:
        if self._waits and self._file is not None:
            try:
                self._file.write(_line(self.rows[-1]))
                self._file.flush()
            except OSError as error:
                raise OSError(
                    error.errno, f"{error.strerror}: the history `{self._file.name}` is not written"
                ) from error
        self._waits = False


def read(path: Path) -> list[Row]:
    """Return the rows of a history file; a last line cut by a kill is left out."""
    whole = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    return [json.loads(line) for line in whole]


def _line(row: Row) -> str:
    return json.dumps(row) + "\n"
