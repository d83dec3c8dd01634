"""Files of word vectors: GloVe text, word2vec text and binary."""

import mmap
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy
import torch

from adapt.encoders._word_vectors import WordVectors
from adapt.store import Budget, TooLarge
from losses.options import COUNT, check, or_none

MARK = b"\xef\xbb\xbf"  # the byte order mark of UTF-8, which some editors write in front
CHUNK = 1 << 20  # bytes of a block, and of the longest line and word
HEADER = 100  # bytes of the longest first line of word2vec
WORD = 300  # bytes of memory for one word besides its letters
# not all that float() takes: no 1_0, no blanks
NUMBER = re.compile(rb"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|(?i:nan|inf(?:inity)?))")


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
        limit: only so many words from the beginning, 1 or more: in the usual files the most frequent words.
        encoding: of the words. Files made on other systems may need ``"latin-1"``.
        errors: ``"replace"`` puts a mark in place of letters that cannot be decoded; ``"strict"`` refuses.
        malformed: ``"skip"`` leaves out and counts lines that cannot be read; ``"error"`` names the first line.
        oov: treatment of unknown words, see :class:`WordVectors`.

    A repeated word keeps its first vector; a warning gives the number of repeats. Words may hold spaces: the last `dim`
    fields are numbers, the fields before are the word. No field of a word but the first may look like a number. Only
    the space separates fields: other blanks are letters. Fields are parsed as float64 and rounded to float32.

    Every line of a text file ends with a line end: a last line without a line end may be cut inside its last number,
    and counts as a line that cannot be read. A line has at most 1 MiB, and the words and vectors take at most 4 times
    the size of the file and 64 MiB of memory.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unreadable line, with its number; numbers that are not finite; letters outside of `encoding`;
            another number of words than the first line says, or more than the file can hold; no dimension; a line end
            inside a word; a binary file that ends too early or too late; an unknown option.

    Pennington et al., GloVe, 2014, https://aclanthology.org/D14-1162; Mikolov et al., 2013,
    https://arxiv.org/abs/1310.4546"""
    path = Path(path)
    check(or_none(COUNT), dim=dim, limit=limit)
    if not path.is_file():
        raise FileNotFoundError(f"expected a file of word vectors at `{path}`, and there is none.")
    for option, value, known in (
        ("format", format, (None, "text", "binary")),
        ("errors", errors, ("strict", "replace")),
        ("malformed", malformed, ("error", "skip")),
    ):
        if value not in known:
            raise ValueError(f"`{option}` must be one of {known}, got {value!r}.")
    try:
        if (format or ("binary" if path.suffix == ".bin" else "text")) == "binary":
            names, blocks, left_out = _read_binary(path, limit)
        else:
            names, blocks, left_out = _read_text(path, dim, limit, malformed == "skip")
    except TooLarge as error:
        raise ValueError(f"`{path}`: {error}; `limit` reads fewer words.") from error
    if not names:
        raise ValueError(f"`{path}` holds no word vectors.")
    words = _decode(path, names, encoding, errors)
    table = numpy.concatenate(blocks)
    if not numpy.isfinite(table).all():
        bad = words[int(numpy.flatnonzero(~numpy.isfinite(table).all(1))[0])]
        raise ValueError(f"`{path}`: the vector of `{bad[:60]}` holds a value that is not finite.")
    first: dict[str, int] = {}
    for row, word in enumerate(words):
        first.setdefault(word, row)
    repeated = len(words) - len(first)
    if repeated:
        warnings.warn(f"`{path}`: {repeated} lines repeat a word; the first vector of each word is kept.", stacklevel=2)
        words, table = list(first), table[list(first.values())]
    return WordVectors(words, torch.from_numpy(table), oov, repeated, left_out)


def _header(path: Path, line: bytes, limit: int | None) -> tuple[int, int] | None:
    """Return the numbers of words and dimensions of a first line of word2vec, or None for any other line.

    Raises:
        ValueError: no word, no dimension, or more than the file can hold.
    """
    parts = line.split()
    if len(parts) != 2 or not all(part.isdigit() and len(part) <= 18 for part in parts):
        return None
    count, dim = map(int, parts)
    if count < 1 or dim < 1:
        raise ValueError(f"`{path}`, line 1: expected words and dimensions, at least 1 of each, found {count} {dim}.")
    size = path.stat().st_size
    if (count if limit is None else min(count, limit)) * dim > size:  # a number takes more than a byte
        raise ValueError(
            f"`{path}` announces {count} words of {dim} dimensions and has {size} bytes: is it complete, and is its "
            "first line right?"
        )
    return count, dim


def _read_text(
    path: Path, dim: int | None, limit: int | None, skip: bool
) -> tuple[list[bytes], list[numpy.ndarray], int]:
    names: list[bytes] = []
    blocks: list[numpy.ndarray] = []
    left_out, number, budget = 0, 0, Budget(path)
    with path.open("rb") as file:
        start = len(MARK) if file.read(len(MARK)) == MARK else 0
        file.seek(start)
        announced = _header(path, file.readline(HEADER), limit)
        if announced is None:
            file.seek(start)
        else:
            dim, number = announced[1], 1
        for lines, cut in _lines(path, file, number):
            if dim is None:
                dim = _numbers_at_the_end(lines[0])
                if not dim:
                    raise ValueError(f"`{path}`, line 1: expected a word and its numbers, found {lines[0][:60]!r}.")
            if limit is not None:
                lines, cut = lines[: limit - len(names)], cut and len(lines) <= limit - len(names)
            found = None if cut else _parse_together(lines, dim)
            if found is None:
                found, wrong = _parse_each(path, lines, dim, number, skip, cut)
                left_out += wrong
            budget.take(_cost(found[0], dim), f"line {number + 1} and the lines up to line {number + len(lines)}")
            names += found[0]
            blocks.append(found[1])
            number += len(lines)
            if limit is not None and len(names) >= limit:
                return names, blocks, left_out
    if announced is not None and len(names) + left_out != announced[0]:
        raise ValueError(
            f"`{path}` announces {announced[0]} words and holds {len(names) + left_out}: is it complete? "
            "Delete its first line to read it as it is."
        )
    return names, blocks, left_out


def _lines(path: Path, file: IO[bytes], number: int) -> Iterator[tuple[list[bytes], bool]]:
    """Yield the lines of a file block by block, and whether the last line of a block has no line end."""
    rest = b""
    while part := file.read(CHUNK):
        *lines, rest = (rest + part).split(b"\n")
        if len(rest) > CHUNK or max(map(len, lines), default=0) > CHUNK:
            long = next(i for i, line in enumerate([*lines, rest], start=number + 1) if len(line) > CHUNK)
            raise ValueError(
                f"`{path}`, line {long}: expected a word and its numbers, found a line of more than {CHUNK} bytes."
            )
        number += len(lines)
        if lines:
            yield lines, False
    if rest:
        yield [rest], True


Block = tuple[list[bytes], numpy.ndarray]


def _cost(names: list[bytes], dim: int) -> int:
    """Return the bytes of memory of words and vectors: words as bytes and texts, in two dicts, and the table twice."""
    return WORD * len(names) + 6 * sum(map(len, names)) + 9 * dim * len(names)


def _parse_together(lines: list[bytes], dim: int) -> Block | None:
    """Return all lines parsed at once, or None unless every line is a word without spaces and `dim` numbers."""
    names, fields = [], []
    for line in lines:
        name, _, rest = line.rstrip(b" \r").partition(b" ")
        if rest.count(b" ") != dim - 1 or not name:
            return None
        names.append(name)
        fields.append(rest)
    text = b" ".join(fields)
    # blanks of another kind: a line may have a field less, and another line a field more
    if any(blank in text for blank in (b"  ", b"\t", b"\v", b"\f", b"\r")):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # older numpy stops with a warning at a field that is no number
            flat = numpy.fromstring(text, dtype=float, sep=" ")
    except (ValueError, DeprecationWarning):
        return None
    return (names, _narrow(flat).reshape(-1, dim)) if len(flat) == dim * len(names) else None


def _narrow(values: numpy.ndarray) -> numpy.ndarray:
    with numpy.errstate(over="ignore"):  # an infinite value is named later
        return values.astype(numpy.float32)


def _parse_each(path: Path, lines: list[bytes], dim: int, before: int, skip: bool, cut: bool) -> tuple[Block, int]:
    names, rows, wrong = [], [], 0
    for number, line in enumerate(lines, start=before + 1):
        name, fields = _fields(line, dim)
        whole = not (cut and number == before + len(lines))
        if whole and name and all(map(_is_number, fields)) and not any(map(_is_number, name.split(b" ")[1:])):
            rows.append([float(field) for field in fields])
            names.append(name)
        elif skip:
            wrong += 1
        else:
            shown = f"{line[:60]!r}{'...' if len(line) > 60 else ''} ({len(line.split())} fields)"
            end = "" if whole else "without a line end (a cut number looks whole; end the line where it is complete) "
            raise ValueError(
                f"`{path}`, line {number}: expected a word and {dim} numbers, found {end}{shown}. "
                '`malformed="skip"` leaves such lines out.'
            )
    return (names, _narrow(numpy.array(rows, dtype=float)).reshape(-1, dim)), wrong


def _fields(line: bytes, dim: int) -> tuple[bytes, list[bytes]]:
    """Return the word (spaces are part of the word) and the last `dim` fields."""
    parts = line.rstrip(b" \r").rsplit(b" ", dim)
    return (parts[0], parts[1:]) if len(parts) == dim + 1 else (b"", [])


def _is_number(text: bytes) -> bool:
    return NUMBER.fullmatch(text) is not None


def _numbers_at_the_end(line: bytes) -> int:
    """Return how many fields at the end are numbers; the first field is the word."""
    fields = line.rstrip(b" \r").split(b" ")[1:]
    count = 0
    while count < len(fields) and _is_number(fields[-1 - count]):
        count += 1
    return count


def _read_binary(path: Path, limit: int | None) -> tuple[list[bytes], list[numpy.ndarray], int]:
    budget = Budget(path)
    with path.open("rb") as file:
        announced = _header(path, file.readline(HEADER).removeprefix(MARK), limit)
        if announced is None:
            raise ValueError(f"`{path}` is no word2vec binary file: expected two whole numbers in its first line.")
        count, dim = announced
        wanted, at = count if limit is None else min(count, limit), file.tell()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            budget.take(9 * dim * wanted, f"{wanted} vectors")
            table, names = numpy.empty((wanted, dim), "<f4"), []
            for row in range(wanted):
                end = data.find(b" ", at, at + CHUNK)
                if end < 0 or end + 1 + 4 * dim > len(data):
                    raise ValueError(
                        f"`{path}` announces {count} words and ends within word {row + 1}: is it complete?"
                    )
                name = data[at:end].lstrip(b"\n")
                if b"\n" in name:
                    raise ValueError(
                        f"`{path}`: word {row + 1}, {name[:40]!r}, holds a line end: is its first line right?"
                    )
                names.append(name)
                budget.take(WORD + 6 * len(name), f"word {row + 1}")
                at = end + 1 + 4 * dim
                table[row] = numpy.frombuffer(data[end + 1 : at], "<f4")
            if wanted == count and data[at:].strip(b"\n"):
                raise ValueError(f"`{path}` announces {count} words and goes on after them: is its first line right?")
    return names, [table.astype(numpy.float32, copy=False)], 0


def _decode(path: Path, names: list[bytes], encoding: str, errors: str) -> list[str]:
    if b"" in names:
        raise ValueError(f"`{path}`: entry {names.index(b'') + 1} is a vector without a word.")
    words: list[str] = []
    try:
        for name in names:
            words.append(name.decode(encoding, errors))
    except LookupError as error:
        raise ValueError(f"`encoding` must be an encoding of texts that Python knows, got {encoding!r}.") from error
    except UnicodeError as error:
        raise ValueError(
            f"`{path}`: word {len(words) + 1}, {names[len(words)][:40]!r}, is not in {encoding}: give its encoding, "
            'such as `encoding="latin-1"`, or `errors="replace"`.'
        ) from error
    return words
