"""Build the documentation site: the pages of `docs`, a page for every public name, and a gallery of the examples.

    pip install "adapt-losses[docs]"
    python docs/build_site.py                 the site into build/site/html; a warning is an error
    python docs/build_site.py --out FOLDER    elsewhere

The pages in `docs` stay readable without the site. The script copies them below `FOLDER/source`, writes the pages of
the public names from the docstrings' place (Sphinx reads the docstrings), writes a page for each example from the
row of `examples/README.md`, and calls Sphinx.
"""

import argparse
import importlib
import inspect
import os
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
DOCS, EXAMPLES = ROOT / "docs", ROOT / "examples"
sys.path.insert(0, str(ROOT))

ROOMS = {  # the rooms of the house, in the order of a reader
    "adapt": "What scripts import first",
    "adapt.datasets": "Readers, splits and checks of data",
    "adapt.streams": "Named sources of batches",
    "adapt.streams.collate": "From items to a batch",
    "adapt.encoders": "Pretrained encoders and adapters",
    "adapt.heads": "Heads and their scores",
    "adapt.engine": "Terms, phases, trainer, features",
    "adapt.engine.callbacks": "Calls along the way",
    "adapt.inductive": "Another task, with labels",
    "adapt.domain": "The same task, another domain",
    "adapt.transductive": "The same task, no labels of the target",
    "adapt.unsupervised": "No labels at all",
    "adapt.multitask": "Several tasks at once",
    "adapt.fewshot": "One or a few labelled rows of a class",
    "adapt.fewshot.strategies": "Which rows to label next",
    "adapt.zeroshot": "Names and descriptions in place of labels",
    "adapt.ranking": "Which encoder, which layer, which source",
    "adapt.select": "A choice without target labels",
    "adapt.report": "Experiments, pages, evidence",
    "adapt.bridges": "Blocks of other libraries",
    "adapt.bridges.sklearn": "scikit-learn",
    "adapt.bridges.skada": "skada",
    "adapt.bridges.pytorch_adapt": "pytorch-adapt",
}
SECTIONS = {  # caption: pages
    "Start": ["Ten minutes <start>", "which_transfer", "your_own_data", "training"],
    "Kinds of transfer": [
        "inductive", "domain_adaptation", "transductive", "source_free", "test_time", "label_shift", "drift",
        "unsupervised", "multitask", "fewshot", "zeroshot", "active", "verification",
    ],
    "Worlds": [],  # every page of docs that no other section names
    "Choose and judge": ["selection", "ranking", "experiments", "report"],
    "Reference": ["losses", "methods", "api/index", "gallery/index", "results/index", "data"],
    "Extend": ["extending", "bridges", "design"],
}  # fmt: skip
CONF = """
import sys
sys.path[:0] = [{root!r}, {docs!r}]
project = "adapt and losses"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "build_site"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
myst_dmath_double_inline = True
html_theme = "furo"
html_title = "adapt and losses"
html_math_renderer = "mathml"
html_show_copyright = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring, napoleon_numpy_docstring, napoleon_use_ivar = True, False, True
nitpicky = False
suppress_warnings = ["misc.highlighting_failure"]  # blocks of a terminal
"""


class Name(NamedTuple):
    """A public name: where it is imported from, and the first sentence of its docstring."""

    room: str
    name: str
    thing: object

    @property
    def path(self) -> str:
        return f"{self.room}.{self.name}"

    @property
    def says(self) -> str:
        text = inspect.getdoc(self.thing) or ""
        first = " ".join(re.split(r"\n\s*\n", text)[0].split()) if not isinstance(self.thing, int | float | str) else ""
        return re.sub(r":\w+:`~?([^`]+)`", r"``\1``", first)


def public_names() -> list[Name]:
    """Return every public name of `adapt`, room by room."""
    found: list[Name] = []
    for room in ROOMS:
        module = importlib.import_module(room)
        names = getattr(module, "__all__", None)
        if names is None:
            names = [n for n, v in vars(module).items() if n[0] != "_" and getattr(v, "__module__", "") == room]
        found += [Name(room, n, getattr(module, n)) for n in names if not isinstance(getattr(module, n), ModuleType)]
    return found


def api(source: Path, names: list[Name]) -> None:
    """Write a page for each public name, a page for each room, and the index.

    The pages of names are in no list at the side: a list of 500 names on each of 600 pages would be most of the site.
    """
    folder = source / "api"
    folder.mkdir()
    pages = {id(each.thing): each for each in names}  # the last room of a name has the page: `adapt` comes first
    for each in pages.values():
        routine = "autofunction" if inspect.isroutine(each.thing) else "autodata"
        kind = "autoclass" if inspect.isclass(each.thing) else routine
        members = ["   :members:"] if kind == "autoclass" else []
        title = each.name
        lines = [":orphan:", "", title, "=" * len(title), "", f".. {kind}:: {each.path}", *members, ""]
        (folder / f"{each.path}.rst").write_text("\n".join(lines))
    for room, says in ROOMS.items():
        here = [each for each in names if each.room == room]
        rows = [f"   * - :doc:`{each.name} <{pages[id(each.thing)].path}>`\n     - {each.says}" for each in here]
        table = [".. list-table::", "   :widths: 30 70", "", *rows] if rows else []
        (folder / f"{room}.room.rst").write_text("\n".join([room, "=" * len(room), "", f"{says}.", "", *table, ""]))
    index = ["Every public name", "=" * 17, "", "The losses have a :doc:`table and pages of their own </losses>`.", ""]
    index += [".. list-table::", "   :widths: 30 70", ""]
    index += [f"   * - :doc:`{room} <{room}.room>`\n     - {says}" for room, says in ROOMS.items()]
    index += ["", ".. toctree::", "   :hidden:", "", *[f"   {room}.room" for room in ROOMS], ""]
    (folder / "index.rst").write_text("\n".join(index))


def gallery(source: Path) -> None:
    """Write a page for each example: question, result, time, picture and the whole script."""
    folder = source / "gallery"
    folder.mkdir()
    readme = (EXAMPLES / "README.md").read_text()
    rows = re.findall(r"^\| \[(\w+)\.py\]\(\1\.py\) \| (.*?) \| (.*?) \| (.*?) \|$", readme, flags=re.M)
    pictures = re.findall(r"!\[(.*?)\]\(\.\./docs/images/(\S+?)\)", readme)
    cards = []
    for name, question, result, time in rows:
        shown = [f"![{alt}](../images/{file})\n" for alt, file in pictures if alt.startswith(f"{name}.py")]
        said = [linked(part, EXAMPLES, folder, source) for part in (question, result, time)]
        lines = [f"# {name}.py", "", said[0], "", f"**Result**: {said[1]}", "", f"**Time**: {said[2]}", "", *shown]
        text = (EXAMPLES / f"{name}.py").read_text()
        (folder / f"{name}.md").write_text("\n".join([*lines, "```python", text.rstrip(), "```", ""]))
        cards += [f"## [{name}.py]({name}.md)", "", said[0], "", f"{said[1]} ({said[2]})", "", *shown[:1]]
    tree = ["```{toctree}", ":hidden:", "", *[name for name, *_ in rows], "```", ""]
    (folder / "index.md").write_text("\n".join(["# Gallery of examples", "", *tree, *cards]))


def results(source: Path) -> None:
    """Copy the pages of measured results."""
    folder = source / "results"
    folder.mkdir()
    pages = sorted((ROOT / "benchmarks").glob("*.md"))
    for page in pages:
        (folder / page.name).write_text(linked(page.read_text(), page.parent, folder, source))
    tree = ["```{toctree}", "", *[page.stem for page in pages], "```", ""]
    (folder / "index.md").write_text("\n".join(["# Measured results", "", *tree]))


def linked(text: str, origin: Path, folder: Path, source: Path) -> str:
    """Return a text whose links, written for the repository, lead to the pages of the site.

    Args:
        origin: the folder of the text in the repository.
        folder: the folder of the text in the site.
        source: the folder of all sources of the site.

    Raises:
        ValueError: a link to a file that is not there.
    """

    def moved(match: re.Match) -> str:
        words, target, anchor = match["words"], match["target"], match["anchor"] or ""
        if re.match(r"\w+://|mailto:", target) or not target:
            return match[0]
        there = (origin / target).resolve()
        if not there.exists():
            raise ValueError(f"`{target}` in {origin.name} leads to a file that is not there: mend the link.")
        to = place_of(there, source)
        if to is None:
            return words[1:-1] if not match["bang"] else ""
        return f"{match['bang']}{words}({Path(os.path.relpath(to, folder)).as_posix()}{anchor})"

    link = r"(?P<bang>!?)(?P<words>\[(?:[^\[\]]|\[[^\]]*\])*\])\((?P<target>[^)\s#]*)(?P<anchor>#[^)\s]*)?\)"
    parts = re.split(r"(^```.*?^```$)", text, flags=re.S | re.M)  # code stays as it is
    text = "".join(part if part.startswith("```") else re.sub(link, moved, part) for part in parts)
    return re.sub(r"\$`(.+?)`\$", r"$\1$", text)


def place_of(there: Path, source: Path) -> Path | None:
    """Return where a file of the repository is in the site; None where the site has no page for it."""
    if there.is_relative_to(DOCS) and there.suffix in (".md", ".png", ".svg"):
        return source / there.relative_to(DOCS)
    if there == EXAMPLES / "README.md":
        return source / "gallery" / "index.md"
    if there.parent == EXAMPLES and there.suffix == ".py" and f"[{there.name}]" in (EXAMPLES / "README.md").read_text():
        return source / "gallery" / f"{there.stem}.md"
    if there.parent == ROOT / "benchmarks" and there.suffix == ".md":
        return source / "results" / there.name
    return source / "start.md" if there == ROOT / "README.md" else None


def pages(source: Path) -> None:
    """Copy the pages and pictures of `docs`, README as the page `start`, and write the index."""
    shutil.copytree(DOCS / "images", source / "images")
    for path in [*DOCS.glob("*.md"), *(DOCS / "losses").glob("*.md")]:
        to = source / path.relative_to(DOCS)
        to.parent.mkdir(exist_ok=True)
        to.write_text(linked(path.read_text(), path.parent, to.parent, source))
    (source / "index_page.md").unlink()
    (source / "start.md").write_text(linked((ROOT / "README.md").read_text(), ROOT, source, source))
    known = {re.sub(r".*<(.*)>", r"\1", name) for pages in SECTIONS.values() for name in pages}
    worlds = sorted(path.stem for path in source.glob("*.md") if path.stem not in known)
    lines = [linked((DOCS / "index_page.md").read_text(), DOCS, source, source)]
    for caption, names in SECTIONS.items():
        lines += ["```{toctree}", ":hidden:", f":caption: {caption}", "", *(names or worlds), "```", ""]
    (source / "index.md").write_text("\n".join(lines))
    for path in (source / "losses").glob("*.md"):
        path.write_text(f"---\norphan: true\n---\n{path.read_text()}")


def setup(app: Any) -> dict[str, bool]:
    """Show equations as MathML, which browsers draw without a network; Sphinx calls this."""
    from latex2mathml.converter import convert

    def inline(writer: Any, node: Any) -> None:
        writer.body.append(convert(node.astext()))
        raise SkipNode

    def display(writer: Any, node: Any) -> None:
        writer.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
        raise SkipNode

    from docutils.nodes import SkipNode

    app.add_html_math_renderer("mathml", (inline, None), (display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def build(out: Path, *, strict: bool = True) -> int:
    """Build the site below `out`; return the exit status of Sphinx."""
    try:
        from sphinx.cmd.build import build_main
    except ImportError as error:
        raise SystemExit('the site needs Sphinx: pip install "adapt-losses[docs]"') from error
    source = out / "source"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    (source / "conf.py").write_text(CONF.format(root=str(ROOT), docs=str(DOCS)))
    pages(source)
    api(source, public_names())
    gallery(source)
    results(source)
    options = ["-W", "--keep-going"] if strict else []
    return build_main(["-b", "html", "-q", *options, str(source), str(out / "html")])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site", help="folder (default: build/site)")
    arguments = parser.parse_args()
    status = build(arguments.out)
    print(f"{'built' if not status else 'errors in'} {arguments.out / 'html' / 'index.html'}")
    sys.exit(status)


if __name__ == "__main__":
    main()
