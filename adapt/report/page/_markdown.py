"""A document as Markdown."""

import re
from collections.abc import Iterable

from adapt.report.page._document import Block, Document, Heading, Items, Note, Picture, Table


def markdown(document: Document) -> str:
    """Return the page as Markdown: headings, sentences and tables. A picture is named by the text of the picture."""
    lines = [f"# {text(document.title)}", "", text(document.subtitle), ""]
    lines += [line for note in document.notes for line in (block(Note(note)), "")]
    for section in document.sections:
        lines += [f"## {text(section.title)}", ""]
        lines += [line for b in section.blocks for line in (block(b), "")]
    return "\n".join(lines)


def text(words: object) -> str:
    """Return any text as text of Markdown: no sign is a mark."""
    return re.sub(r"([\\`*_\[\]<|])", r"\\\1", re.sub(r"\s+", " ", str(words)))


def block(part: Block) -> str:
    """Return one part of a page as Markdown."""
    match part:
        case Note():
            return f"> **{text(part.text)}**"
        case Heading():
            return f"### {text(part.text)}"
        case Items():
            pairs = [("", s) if isinstance(s, str) else (f"**{text(s[0])}**", s[1]) for s in part.sentences]
            return "\n".join(f"- {subject}{text(rest)}" for subject, rest in pairs)
        case Table():
            return _table(part)
        case Picture():
            return f"*(Picture: {text(part.alt)})*"
        case _:
            return text(part)


def _table(table: Table) -> str:
    signs = ["---" if k < table.words or c in table.wordy else "---:" for k, c in enumerate(table.columns)]
    rows = [_row(map(text, table.columns)), f"|{'|'.join(signs)}|", *(_row(map(text, r)) for r in table.rows)]
    return "\n".join(([f"{text(table.caption)}\n"] if table.caption else []) + rows)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
