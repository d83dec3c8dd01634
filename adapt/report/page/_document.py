"""The parts of a page, before the page becomes HTML or Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Note:
    """A sentence that no reader must miss."""

    text: str


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list of sentences. Of a pair, the first text is the subject and stands out."""

    sentences: Sequence[str | tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Cells as text. The first `words` columns and the columns in `wordy` hold words, all others hold numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    wordy: Sequence[str] = ("verdict",)
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Picture:
    """A matplotlib figure with the text for readers who do not see the figure."""

    figure: Any
    alt: str
    caption: str = ""


Block = str | Note | Heading | Items | Table | Picture  # a string is a paragraph


@dataclass(frozen=True, eq=False)
class Section:
    """One section: the blocks for readers, and the same facts as JSON."""

    key: str
    title: str
    blocks: Sequence[Block]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Document:
    """A page. `notes` stand above everything else."""

    title: str
    subtitle: str
    notes: Sequence[str]
    sections: Sequence[Section]
