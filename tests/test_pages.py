"""Each loss has its page, written from its docstring, and a line in the table."""

import importlib.util
import re
from pathlib import Path

import pytest

import losses

DOCS = Path(__file__).parents[1] / "docs"
spec = importlib.util.spec_from_file_location("pages", DOCS / "pages.py")
pages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pages)


@pytest.mark.parametrize("name", losses.__all__)
def test_page_is_the_docstring(name):
    path = DOCS / "losses" / f"{name}.md"
    assert path.exists() and path.read_text() == pages.page(name), "run `python docs/pages.py`"


def test_no_page_is_left_over():
    assert {p.stem for p in (DOCS / "losses").glob("*.md")} == set(losses.__all__)


@pytest.mark.parametrize("name", losses.__all__)
def test_docstring_has_what_a_page_needs(name):
    text = pages.page(name)
    assert name == "gather" or "$" in text, "no equation"
    assert ">>>" in text, "no example"
    assert name == "gather" or re.search(r"https?://", text), "no paper"


def test_links_between_pages_lead_somewhere():
    for path in [*(DOCS / "losses").glob("*.md"), DOCS / "losses.md"]:
        for link in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
            assert link.startswith("http") or (path.parent / link).exists(), f"{path.name}: {link}"
