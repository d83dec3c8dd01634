"""The record of a cell on disk: a sealed folder, written whole or not at all."""

import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy

from adapt import store
from adapt.heads import Score
from adapt.report.records import Record, Rows

FORM = "adapt record 1"
NUMBERS, ROWS = "record.json", "rows.safetensors"


class KeptRows(Mapping[str, Rows]):
    """The rows of a record by part. Rows are read from the file on demand."""

    def __init__(self, file: Path):
        self.file = file
        self.names: dict[str, list[str]] = {}
        with self._open() as content:
            for key in sorted(content.keys()):
                part, name = key.split("/")
                self.names.setdefault(part, []).append(name)

    def _open(self) -> Any:
        from safetensors import safe_open

        return safe_open(self.file, framework="numpy")

    def __getitem__(self, part: str) -> Rows:
        with self._open() as content:
            return Rows(**{name: content.get_tensor(f"{part}/{name}") for name in self.names[part]})

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def write(folder: Path, record: Record, trace: str = "") -> None:
    """Write the record of a cell, in place of the record of an earlier failure."""
    from safetensors.numpy import save_file

    plain = {name: value for name, value in vars(record).items() if name not in ("rows", "scores")}
    plain["scores"] = {name: asdict(score) for name, score in record.scores.items()}
    arrays = {
        f"{part}/{name}": numpy.ascontiguousarray(value)
        for part, rows in record.rows.items()
        for name, value in rows._asdict().items()
        if value is not None
    }
    if folder.exists():
        shutil.rmtree(folder)
    with store.whole_folder(folder) as temporary:
        (temporary / NUMBERS).write_text(json.dumps(plain, indent=1, default=str), encoding="utf-8")
        save_file(arrays, temporary / ROWS)
        if trace:
            (temporary / "traceback.txt").write_text(trace, encoding="utf-8")
        store.seal(temporary, FORM, {"failed": record.error is not None, "stamp": uuid.uuid4().hex})


def read(folder: Path) -> tuple[Record, str]:
    """Return the record of a cell, and the stamp of the record.

    Raises:
        Torn, Foreign: (both ``ValueError``, of ``adapt.store``) a file is missing or was changed; a folder of something
            else.
    """
    stamp = store.check(folder, FORM, [NUMBERS, ROWS])["stamp"]
    plain = json.loads((folder / NUMBERS).read_text(encoding="utf-8"))
    plain["scores"] = {name: Score(**score) for name, score in plain["scores"].items()}
    plain["curves"] = {name: [(x, y) for x, y in points] for name, points in plain["curves"].items()}
    return Record(**plain, rows=KeptRows(folder / ROWS)), stamp
