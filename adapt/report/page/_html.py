"""A document as an HTML file without scripts and without requests to the network. Pictures are inside the file."""

import base64
import io
import re
import warnings
from collections.abc import Sequence
from html import escape
from itertools import groupby
from typing import Any

from adapt.report.page._document import Block, Document, Heading, Items, Note, Picture, Section, Table

LARGEST_DRAWING = 150_000  # bytes of SVG; a larger drawing is smaller as PNG
VERDICTS = ("helped", "harmed", "undecided")
STYLE = """
:root{color-scheme:light}
*{box-sizing:border-box}
body{margin:0;background:#fff;color:#1b1b1b;font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif}
.page{max-width:75rem;margin:0 auto;padding:1rem;overflow-wrap:anywhere}
h1{font-size:1.7rem;line-height:1.2;margin:.5rem 0 .25rem}
h2{font-size:1.3rem;line-height:1.25;margin:0 0 .6rem}
h3{font-size:1.02rem;margin:1.5rem 0 .4rem}
p,ul{margin:.5rem 0;max-width:46rem}
ul{padding-left:1.2rem}
li{margin:.25rem 0}
a{color:#004d80}
header p:not(.note){color:#555;margin:0 0 1rem}
section{padding:1.2rem 0 1.6rem;border-top:1px solid #ddd}
.note{border-left:5px solid #d55e00;background:#fdf1e7;padding:.6rem .9rem;margin:.8rem 0;max-width:46rem;
 font-weight:600}
nav{border-top:1px solid #ddd;padding:1rem 0}
nav ul{list-style:none;margin:0;padding:0;columns:2}
nav a{text-decoration:none}
nav li{margin:0;padding:.15rem 0}
.scroll{overflow-x:auto;margin:.8rem 0;max-width:100%}
.scroll:focus-visible{outline:2px solid #0072b2}
table{border-collapse:separate;border-spacing:0;font-size:14px;line-height:20px}
.caption{font-size:.9rem;color:#555;margin:1rem 0 .2rem;line-height:1.4}
.caption+.scroll{margin-top:0}
th,td{padding:5px 11px;border-bottom:1px solid #e2e2e2;text-align:right;vertical-align:top;
 overflow-wrap:normal;font-variant-numeric:tabular-nums}
th{border-bottom:2px solid #888;font-weight:600;vertical-align:bottom;max-width:9.5rem}
td{white-space:nowrap}
.w{text-align:left;white-space:normal;overflow-wrap:anywhere;min-width:8rem;max-width:24rem}
th:first-child,td:first-child{padding-left:3px;position:sticky;left:0;background:#fff;max-width:11rem;min-width:6.5rem}
.helped{color:#00543f;font-weight:600}
.harmed{color:#a33b00;font-weight:700}
.undecided{color:#555}
.pictures{display:flex;flex-wrap:wrap;gap:1.2rem;align-items:flex-start;margin:.8rem 0}
figure{margin:0;max-width:100%}
figure img{max-width:100%;height:auto;display:block}
figcaption{font-size:.85rem;color:#555;margin-top:.3rem}
@media(min-width:1000px){
.page{display:grid;grid-template-columns:11rem minmax(0,1fr);column-gap:2.5rem;padding:1.5rem 2rem}
header,.first,.rest{grid-column:2}
nav{grid-column:1;grid-row:1/span 3;border:0;position:sticky;top:1rem;align-self:start;font-size:.95rem}
nav ul{columns:1}
}
@media print{
nav{display:none}
.page{display:block;max-width:none;padding:0}
body{font-size:11pt}
.scroll{overflow:visible}
table{font-size:8.5pt}
th:first-child,td:first-child{position:static}
tr,figure{break-inside:avoid}
h2,h3{break-after:avoid}
}
"""


def html(document: Document) -> str:
    """Return the page as text of HTML. The first section stands above the table of contents."""
    links = "".join(f'<li><a href="#{s.key}">{text(s.title)}</a></li>' for s in document.sections)
    notes = "".join(_block(Note(n)) for n in document.notes)
    first, *rest = [_section(section) for section in document.sections]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'  # else a browser asks the server for an icon
        f"<title>{text(document.title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f'<body>\n<main class="page">\n<header><h1>{text(document.title)}</h1>\n<p>{text(document.subtitle)}</p>\n'
        f'{notes}</header>\n<div class="first">{first}</div>\n<nav aria-label="Contents"><ul>{links}</ul></nav>\n'
        f'<div class="rest">\n{"".join(rest)}</div>\n</main>\n</body>\n</html>\n'
    )


def text(words: object) -> str:
    """Return any text as text of HTML. Characters outside of HTML become a question mark."""
    return escape(re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "?", str(words)))


def _section(section: Section) -> str:
    parts = []
    for pictures, blocks in groupby(section.blocks, lambda b: isinstance(b, Picture)):
        inside = "\n".join(map(_block, blocks))
        parts.append(f'<div class="pictures">{inside}</div>' if pictures else inside)
    body = "\n".join(parts)
    return f'<section id="{section.key}">\n<h2>{text(section.title)}</h2>\n{body}\n</section>\n'


def _block(block: Block) -> str:
    match block:
        case Note():
            return f'<p class="note">{text(block.text)}</p>'
        case Heading():
            return f"<h3>{text(block.text)}</h3>"
        case Items():
            return f"<ul>{''.join(f'<li>{_sentence(s)}</li>' for s in block.sentences)}</ul>"
        case Table():
            return _table(block)
        case Picture():
            caption = f"<figcaption>{text(block.caption)}</figcaption>" if block.caption else ""
            width = round(96 * block.figure.get_figwidth())
            picture = f'<img alt="{text(block.alt)}" width="{width}" src="{source(block.figure)}">'
            return f'<figure style="width:{width}px">{picture}{caption}</figure>'
        case _:
            return f"<p>{text(block)}</p>"


def _sentence(sentence: str | tuple[str, str]) -> str:
    if isinstance(sentence, str):
        return text(sentence)
    return f"<strong>{text(sentence[0])}</strong>{text(sentence[1])}"


def _table(table: Table) -> str:
    words = [k < table.words or column in table.wordy for k, column in enumerate(table.columns)]

    def row(cells: Sequence[str], tag: str) -> str:
        found = []
        for cell, wordy in zip(cells, words, strict=True):
            names = [*(["w"] if wordy else []), *([cell] if cell in VERDICTS else [])]
            kind = f' class="{" ".join(names)}"' if names else ""
            scope = ' scope="col"' if tag == "th" else ""
            found.append(f"<{tag}{kind}{scope}>{text(cell)}</{tag}>")
        return f"<tr>{''.join(found)}</tr>"

    caption = f'<p class="caption">{text(table.caption)}</p>\n' if table.caption else ""
    body = "\n".join(row(cells, "td") for cells in table.rows)
    name = text(table.caption or f"table of {table.columns[0]}")
    return (
        f'{caption}<div class="scroll" tabindex="0" role="region" aria-label="{name}"><table>\n'
        f"<thead>{row(table.columns, 'th')}</thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def drawn(figure: Any, form: str) -> bytes:
    """Return a figure as ``"svg"`` with text as text, or as ``"png"``. Equal figures give equal bytes."""
    import matplotlib

    found = io.BytesIO()
    metadata = {"Date": None} if form == "svg" else {"Software": None}
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "adapt"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+")  # names in other scripts: the browser has the fonts
        figure.savefig(found, format=form, dpi=160, metadata=metadata)
    return found.getvalue()


def source(figure: Any) -> str:
    """Return an address with the bytes of the picture inside."""
    form, drawing = "svg+xml", drawn(figure, "svg")
    if len(drawing) > LARGEST_DRAWING:
        form, drawing = "png", drawn(figure, "png")
    return f"data:image/{form};base64,{base64.b64encode(drawing).decode()}"
