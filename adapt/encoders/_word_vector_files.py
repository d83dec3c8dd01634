"""Files of word vectors: GloVe text, word2vec text and binary."""

import mmap
import warnings
from pathlib import Path

import numpy
import torch

from adapt.encoders._word_vectors import WordVectors


def word_vectors(
    path: str | Path,
    *,
    format: str | None = None,
    dim: int | None = None,
    limit: int | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    malformed: str = "error",
    oov: str = "skip",
) -> WordVectors:
    """Read a file of word vectors: GloVe text, word2vec text, word2vec binary.

    Args:
        path: the file, unpacked.
        format: ``"text"`` or ``"binary"``; ``None`` takes binary where the name ends in ``.bin``. A text file with two
            whole numbers in the first line is a file of word2vec, and the two numbers count words and dimensions;
            any other text file is a file of GloVe.
        dim: size of the vectors of a GloVe file; ``None`` reads the size from the first line.
        limit: only so many words from the beginning: in the usual files the most frequent words.
        encoding: of the words. Files made on other systems may need ``"latin-1"``.
        errors: ``"replace"`` puts a mark in place of letters that cannot be decoded; ``"strict"`` refuses.
        malformed: ``"skip"`` leaves out and counts lines that cannot be read; ``"error"`` names the first line.
        oov: treatment of unknown words, see :class:`WordVectors`.

    A repeated word keeps its first vector; a warning gives the number of repeats. Words may hold spaces: the last `dim`
    fields are numbers, the fields before are the word. No field of a word but the first may look like a number. Only
    the space separates fields: other blanks are letters. Fields are parsed as float64 and rounded to float32.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unreadable line, with its number; numbers that are not finite; letters outside of `encoding`;
            another number of words than the first line says; a binary file that ends too early or too late.

    Pennington et al., GloVe, 2014, https://aclanthology.org/D14-1162; Mikolov et al., 2013,
    https://arxiv.org/abs/1310.4546"""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"expected a file of word vectors at `{path}`, and there is none.")
    for option, value, known in (
        ("format", format, (None, "text", "binary")),
        ("errors", errors, ("strict", "replace")),
        ("malformed", malformed, ("error", "skip")),
    ):
        if value not in known:
            raise ValueError(f"`{option}` must be one of {known}, got {value!r}.")
    if (format or ("binary" if path.suffix == ".bin" else "text")) == "binary":
        names, blocks, left_out = _read_binary(path, limit)
    else:
        names, blocks, left_out = _read_text(path, dim, limit, malformed == "skip")
    if not names:
        raise ValueError(f"`{path}` holds no word vectors.")
    words = _decode(path, names, encoding, errors)
    table = numpy.concatenate(blocks)
    if not numpy.isfinite(table).all():
        bad = words[int(numpy.flatnonzero(~numpy.isfinite(table).all(1))[0])]
        raise ValueError(f"`{path}`: the vector of `{bad}` holds a value that is not finite.")
    first: dict[str, int] = {}
    for row, word in enumerate(words):
        first.setdefault(word, row)
    repeated = len(words) - len(first)
    if repeated:
        warnings.warn(f"`{path}`: {repeated} lines repeat a word; the first vector of each word is kept.", stacklevel=2)
        words, table = list(first), table[list(first.values())]
    return WordVectors(words, torch.from_numpy(table), oov, repeated, left_out)


def _read_text(
    path: Path, dim: int | None, limit: int | None, skip: bool
) -> tuple[list[bytes], list[numpy.ndarray], int]:
    names: list[bytes] = []
    blocks: list[numpy.ndarray] = []
    left_out, number, expected = 0, 0, None
    with path.open("rb") as file:
        header = file.readline().split()
        if len(header) == 2 and all(part.isdigit() for part in header):
            expected, dim, number = int(header[0]), int(header[1]), 1
        else:
            file.seek(0)
        while lines := file.readlines(1 << 24):
            if dim is None:
                dim = _numbers_at_the_end(lines[0])
                if not dim:
                    raise ValueError(f"`{path}`, line 1: expected a word and its numbers, found {lines[0][:60]!r}.")
            if limit is not None:
                lines = lines[: limit - len(names)]
            found = _parse_together(lines, dim)
            if found is None:
                found, wrong = _parse_each(path, lines, dim, number, skip)
                left_out += wrong
            names += found[0]
            blocks.append(found[1])
            number += len(lines)
            if limit is not None and len(names) >= limit:
                return names, blocks, left_out
    if expected is not None and len(names) + left_out != expected:
        raise ValueError(
            f"`{path}` announces {expected} words and holds {len(names) + left_out}: is it complete? "
            "Delete its first line to read it as it is."
        )
    return names, blocks, left_out


Block = tuple[list[bytes], numpy.ndarray]


def _parse_together(lines: list[bytes], dim: int) -> Block | None:
    """Return all lines parsed at once, or None unless every line is a word without spaces and `dim` numbers."""
    names, numbers = [], []
    for line in lines:
        name, _, rest = line.rstrip(b" \r\n").partition(b" ")
        if rest.count(b" ") != dim - 1 or not name:
            return None
        names.append(name)
        numbers.append(rest)
    text = b" ".join(numbers)
    # blanks of another kind: a line may have a field less, and another line a field more
    if any(blank in text for blank in (b"  ", b"\t", b"\v", b"\f", b"\r")):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # older numpy stops with a warning at a field that is no number
            flat = numpy.fromstring(text, dtype=float, sep=" ")
    except (ValueError, DeprecationWarning):
        return None
    return (names, flat.astype(numpy.float32).reshape(-1, dim)) if len(flat) == dim * len(names) else None


def _parse_each(path: Path, lines: list[bytes], dim: int, before: int, skip: bool) -> tuple[Block, int]:
    names, rows, wrong = [], [], 0
    for number, line in enumerate(lines, start=before + 1):
        name, numbers = _fields(line, dim)
        try:
            if not name or any(map(_is_number, name.split(b" ")[1:])):
                raise ValueError
            rows.append([float(x) for x in numbers])
            names.append(name)
        except ValueError:
            if not skip:
                shown = f"{line[:60]!r}{'...' if len(line) > 60 else ''} ({len(line.split())} fields)"
                raise ValueError(
                    f"`{path}`, line {number}: expected a word and {dim} numbers, found {shown}. "
                    '`malformed="skip"` leaves such lines out.'
                ) from None
            wrong += 1
    return (names, numpy.array(rows, dtype=numpy.float32).reshape(-1, dim)), wrong


def _fields(line: bytes, dim: int) -> tuple[bytes, list[bytes]]:
    """Return the word (spaces are part of the word) and the last `dim` fields."""
    parts = line.rstrip(b" \r\n").rsplit(b" ", dim)
    return (parts[0], parts[1:]) if len(parts) == dim + 1 else (b"", [])


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers_at_the_end(line: bytes) -> int:
    """Return how many fields at the end are numbers; the first field is the word."""
    fields = line.rstrip(b" \r\n").split(b" ")[1:]
    count = 0
    while count < len(fields) and _is_number(fields[-1 - count]):
        count += 1
    return count


def _read_binary(path: Path, limit: int | None) -> tuple[list[bytes], list[numpy.ndarray], int]:
    with path.open("rb") as file:
        header = file.readline(100).split()
        if len(header) != 2 or not all(part.isdigit() for part in header):
            raise ValueError(f"`{path}` is no word2vec binary file: expected two whole numbers in its first line.")
        count, dim = (int(part) for part in header)
        start = file.tell()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            wanted = count if limit is None else min(count, limit)
            table, names, at = numpy.empty((wanted, dim), "<f4"), [], start
            for row in range(wanted):
                end = data.find(b" ", at)
                if end < 0 or end + 1 + 4 * dim > len(data):
                    raise ValueError(
                        f"`{path}` announces {count} words and ends within word {row + 1}: is it complete?"
                    )
                names.append(data[at:end].lstrip(b"\n"))
                at = end + 1 + 4 * dim
                table[row] = numpy.frombuffer(data[end + 1 : at], "<f4")
            if wanted == count and data[at:].strip(b"\n"):
                raise ValueError(f"`{path}` announces {count} words and goes on after them: is its first line right?")
    return names, [table.astype(numpy.float32)], 0


def _decode(path: Path, names: list[bytes], encoding: str, errors: str) -> list[str]:
    if b"" in names:
        raise ValueError(f"`{path}`: entry {names.index(b'') + 1} is a vector without a word.")
    try:
        return b"\n".join(names).decode(encoding, errors).split("\n")
    except UnicodeDecodeError:
        for number, name in enumerate(names, start=1):
            try:
                name.decode(encoding)
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"`{path}`: word {number}, {name[:40]!r}, is not in {encoding}: give its encoding, such as "
                    '`encoding="latin-1"`, or `errors="replace"`.'
                ) from error
        raise
