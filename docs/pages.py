"""Write `docs/losses/<name>.md`, one page for each public loss, from its docstring; and the table of all.

    python docs/pages.py             write the pages
    python docs/pages.py --check     say which are out of date, and exit 1

A docstring is the only source: its equation is rendered by every viewer that knows ``$$``, its arguments become a list,
its doctest the example. A picture `docs/images/losses/<name>.png`, where there is one (see `pictures.py`), is shown.
"""

import argparse
import inspect
import re
import sys
import textwrap
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # else `docs/losses` would hide the package
import losses

DOCS = Path(__file__).parent
SECTIONS = ("Args", "Returns", "Raises")


def page(name: str) -> str:
    """The page of one public name."""
    thing = getattr(losses, name)
    blocks = [b for b in re.split(r"\n\s*\n", inspect.getdoc(thing) or "") if b.strip()]
    lines = [f"# `{name}`", "", inline(blocks[0]), ""]
    picture = DOCS / "images" / "losses" / f"{name}.png"
    if picture.exists():
        lines += [f"![{name}](../images/losses/{picture.name})", ""]
    lines += [f"```python\nlosses.{name}{signature(thing)}\n```", ""]
    for block in blocks[1:]:
        lines += [render(block), ""]
    where = Path(inspect.getsourcefile(thing)).relative_to(DOCS.parent)
    lines += [f"[Source](../../{where.as_posix()}) · [all losses](../losses.md)", ""]
    return "\n".join(lines)


def signature(thing) -> str:
    """The signature, one argument a line where it is long."""
    text = str(inspect.signature(thing)).replace("torch.Tensor", "Tensor").replace("collections.abc.", "")
    text = re.sub(r"\bTyping\.|\btyping\.", "", text)
    if len(text) < 70:
        return text
    call, _, back = text.rpartition(" -> ")
    parts = re.split(r", (?=\*|[a-z_]+: |[a-z_]+=)", call[1:-1])
    return "(\n" + "".join(f"    {p},\n" for p in parts) + f") -> {back}"


def render(block: str) -> str:
    """One paragraph of a docstring in Markdown."""
    first = block.lstrip().splitlines()[0]
    head = first.strip().rstrip(":")
    if first.strip().startswith(".. math::"):
        rest = [first.strip().removeprefix(".. math::"), *block.strip().splitlines()[1:]]
        body = " ".join(part.strip() for part in rest).strip()
        return f"$$\n{body}\n$$"
    if first.strip().startswith(">>>"):
        return f"```python\n{textwrap.dedent(block)}\n```"
    if head in SECTIONS and first.strip().endswith(":"):
        return f"**{head}**\n\n" + arguments("\n".join(block.splitlines()[1:]))
    if re.match(r"=+ =+", first.strip()):
        return f"```text\n{textwrap.dedent(block)}\n```"
    if block.startswith("    "):
        return f"```python\n{textwrap.dedent(block)}\n```"
    return inline(block)


def arguments(text: str) -> str:
    """``name: what`` lines, indented continuations, as a list; plain text stays a paragraph."""
    text = textwrap.dedent(text)
    items = re.split(r"\n(?=\S)", text)
    if not all(re.match(r"[\w, ]+: ", item) for item in items):
        return inline(text)
    return "\n".join("- `{}`: {}".format(*(lambda a, b: (a, inline(b)))(*item.split(": ", 1))) for item in items)


def inline(text: str) -> str:
    """reStructuredText roles and literals in Markdown, lines joined."""
    text = re.sub(r"\s*\n\s*", " ", text.strip()).removesuffix("::") + (":" if text.strip().endswith("::") else "")
    text = re.sub(r":math:`([^`]*)`", lambda m: f"$`{m[1]}`$", text)
    text = re.sub(r":(?:func|class):`losses\.(\w+)`", lambda m: f"[`{m[1]}`]({m[1]}.md)", text)
    text = re.sub(r":(?:func|class|mod):`([^`]*)`", r"`\1`", text)
    return text.replace("``", "`")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    folder = DOCS / "losses"
    folder.mkdir(exist_ok=True)
    wanted = {folder / f"{name}.md": page(name) for name in losses.__all__}
    stale = [p for p, text in wanted.items() if not p.exists() or p.read_text() != text]
    left_over = [p for p in folder.glob("*.md") if p not in wanted]
    for path in stale + left_over:
        print(("stale: " if check else "wrote: ") + path.name)
    if check:
        sys.exit(1 if stale or left_over else 0)
    for path in stale:
        path.write_text(wanted[path])
    for path in left_over:
        path.unlink()


if __name__ == "__main__":
    main()
