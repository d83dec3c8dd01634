"""Files of a user: a folder with one subfolder for each class, and errors with the name of the file."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from adapt.datasets.rows import describe
from adapt.protocols import Prepares, offers


class Files(NamedTuple):
    """`paths` in order, `labels` and `names` where there are classes, and the number of `others`, left out."""

    paths: list[str]
    labels: Tensor | None
    names: list[str] | None
    others: int


class FileRows(Dataset):
    """Rows from files: a row is read from one file at the moment of use.

    Attributes:
        paths: of the files.
        labels: ``(n,)`` int64, or None.
        names: of the classes, or None.
        read: from a path to an input.
    """

    def __init__(self, files: Files, read: Callable[[str], Any]):
        self.paths, self.labels, self.names, self.others = files
        self.read = read

    @property
    def preparation(self) -> Prepares | None:
        """The reader of the files, where the reader can read other files too."""
        return self.read if offers(self.read, Prepares) else None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Any:
        row = self.read(self.paths[index])
        return row if self.labels is None else (row, self.labels[index])

    def __repr__(self) -> str:
        others = f", {self.others} other files left out" if self.others else ""
        return f"FileRows({len(self)} files, {describe(self.labels, self.names)}{others})"


def class_files(folder: str | Path, endings: Iterable[str], kind: str, names: Sequence[str] | None = None) -> Files:
    """Return the files below `folder`, sorted by path; the subfolder of a file is the class.

    A folder without subfolders has no classes. Hidden files and folders are left out.

    Args:
        folder: one subfolder for each class, with files at any depth; or files alone.
        endings: of the files to read, in lower case, such as ``".png"``.
        kind: of the files, for the messages.
        names: of the classes, in the order of the numbers; None takes the sorted names of the subfolders.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: files beside subfolders, a subfolder without files of `kind`, a subfolder outside of `names`, no
            file at all.
    """
    root, endings = Path(folder), tuple(endings)
    chosen, others = files_below(root, endings, kind)
    classes = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    expected = f"{kind} ({', '.join(endings)})"
    if not classes:
        return Files([str(p) for p in chosen], None, None, others)
    place = [p.relative_to(root).parts[0] for p in chosen]
    loose = [p.name for p in chosen if p.parent == root]
    if loose:
        raise ValueError(
            f"`{root}` must hold {kind} or one subfolder for each class, found both: `{loose[0]}` beside "
            f"`{classes[0]}`. Move the files into subfolders."
        )
    empty = [name for name in classes if name not in set(place)]
    if empty:
        raise ValueError(f"every subfolder of `{root}` must hold {expected}, found none in {empty}: remove it.")
    known = classes if names is None else [str(name) for name in names]
    unknown = [name for name in classes if name not in known]
    if unknown:
        raise ValueError(f"the subfolders of `{root}` must be among the names {known}, found {unknown}.")
    number = {name: i for i, name in enumerate(known)}
    return Files([str(p) for p in chosen], torch.tensor([number[name] for name in place]), known, others)


def plain_files(raw: str | Path | Sequence[str | Path], endings: tuple[str, ...], kind: str) -> Files:
    """Return files without classes: one file, all files below a folder, or a sequence of files.

    Raises:
        FileNotFoundError: no such file or folder.
        ValueError: a folder without files of `kind`.
    """
    if isinstance(raw, str | Path) and Path(raw).is_dir():
        chosen, others = files_below(Path(raw), endings, kind)
        return Files([str(p) for p in chosen], None, None, others)
    paths = [str(p) for p in ([raw] if isinstance(raw, str | Path) else raw)]
    missing = [p for p in paths if not Path(p).is_file()]
    if missing:
        raise FileNotFoundError(f"expected {kind} at {missing[:3]}, and there is no such file: check the path.")
    return Files(paths, None, None, 0)


def files_below(root: Path, endings: tuple[str, ...], kind: str) -> tuple[list[Path], int]:
    """Return the files with one of the endings at any depth, sorted by path, and the number of other files.

    Hidden files and folders are left out.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no file with one of the endings.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"expected the folder `{root}`, and there is none: check the path.")
    every = sorted((p for p in root.rglob("*") if p.is_file()), key=lambda p: p.relative_to(root).as_posix())
    visible = [p for p in every if not any(part.startswith(".") for part in p.relative_to(root).parts)]
    chosen = [p for p in visible if p.suffix.lower() in endings]
    if not chosen:
        raise ValueError(f"`{root}` must hold {kind} ({', '.join(endings)}), found none among {len(visible)} files.")
    return chosen, len(visible) - len(chosen)


@contextmanager
def naming(path: str | Path, kind: str) -> Iterator[None]:
    """Turn an error while a file of a user is read into one error with the name of the file."""
    try:
        yield
    except (MemoryError, PermissionError, FileNotFoundError):  # these name the file, or are not the file's fault
        raise
    except Exception as error:  # each torn format raises another error
        raise ValueError(f"`{path}` cannot be read as {kind}: {error}. Mend the file or leave it out.") from error
