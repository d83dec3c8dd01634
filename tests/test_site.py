"""The sources of the documentation site: a page for every public name, every link leads to a page, nothing is left out.

The last test builds the site with Sphinx, a minute of processor time: a warning is an error, and every link leads
somewhere.
"""

import importlib.util
import inspect
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site():
    spec = importlib.util.spec_from_file_location("build_site", ROOT / "docs" / "build_site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def source(site, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    site.pages(folder)
    site.api(folder, site.public_names())
    site.gallery(folder)
    site.results(folder)
    return folder


def test_every_public_name_has_a_page_and_a_sentence(site, source):
    names = site.public_names()
    pages = {path.stem for path in (source / "api").glob("*.rst")}
    told = [n for n in names if inspect.isroutine(n.thing) or inspect.isclass(n.thing)]
    assert len(names) > 400 and not [n.path for n in told if not n.says]
    things = {id(n.thing): n for n in names}
    assert not [n.path for n in things.values() if n.path not in pages]
    for room in site.ROOMS:
        shown = set(re.findall(r":doc:`(\w+) <", (source / "api" / f"{room}.room.rst").read_text()))
        assert shown == {n.name for n in names if n.room == room}


def test_every_page_of_the_project_is_in_the_list_at_the_side(site, source):
    index = (source / "index.md").read_text()
    listed = set(re.findall(r"^(?:.*<)?([a-z_]+(?:/index)?)>?$", index, flags=re.M))
    assert {path.stem for path in source.glob("*.md")} - {"index"} == {n for n in listed if "/" not in n}
    assert {"api/index", "gallery/index", "results/index"} <= listed


def test_every_example_has_a_page(source):
    scripts = {path.stem for path in (ROOT / "examples").glob("*.py")}
    assert {path.stem for path in (source / "gallery").glob("*.md")} == scripts | {"index"}
    for name in scripts:
        assert (ROOT / "examples" / f"{name}.py").read_text().rstrip() in (
            source / "gallery" / f"{name}.md"
        ).read_text()


def test_links_lead_to_pages_of_the_site(site, source):
    text = "[a](../examples/digits.py) [b](losses/mmd.md#x) ![c](images/digits.png) [d](../pyproject.toml) [e](https://x.y)"
    found = site.linked(text, ROOT / "docs", source, source)
    assert found == "[a](gallery/digits.md) [b](losses/mmd.md#x) ![c](images/digits.png) d [e](https://x.y)"
    code = "```python\nx[0](3)\n```"
    assert site.linked(code, ROOT / "docs", source, source) == code
    with pytest.raises(ValueError, match="`nowhere.md` in docs leads to a file that is not there"):
        site.linked("[a](nowhere.md)", ROOT / "docs", source, source)


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.targets, self.anchors = [], set()

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.anchors.add(found.get("id"))
        self.targets += [found[key] for key in ("href", "src") if found.get(key)]


def test_the_site_builds_without_a_warning_and_without_a_broken_link(site, tmp_path):
    pytest.importorskip("sphinx", reason="the extra `docs`")
    assert site.build(tmp_path) == 0
    html, pages, broken = tmp_path / "html", {}, []
    for path in html.rglob("*.html"):
        pages[path.resolve()] = Links()
        pages[path.resolve()].feed(path.read_text())
    for path, page in pages.items():
        for target in page.targets:
            there = urlsplit(target)
            if there.scheme or there.netloc or target.startswith("#"):
                continue
            to = (path.parent / unquote(there.path)).resolve()
            missing = there.fragment and to in pages and unquote(there.fragment) not in pages[to].anchors
            if not to.exists() or missing:
                broken.append((path.name, target))
    assert len(pages) > 600 and not broken
    assert (html / "searchindex.js").exists()
