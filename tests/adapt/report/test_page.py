"""The page of an experiment: complete, escaped, and true to records whose truth is known."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from adapt.heads import Score
from adapt.report import Data, Record, Rows
from adapt.report.page import _page
from adapt.report.page._distance import by_layer
from adapt.report.page._document import Table
from adapt.report.page._html import html
from adapt.report.page._pairs import pairs
from adapt.report.page._view import View
from tests.adapt.report import made

HOSTILE = '<script>alert("x")</script> & $\\frac{1}$ | `a` \x00 😀'
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Words(HTMLParser):
    """The visible words of a page by section, its tags, and what it asks for from outside."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.asked, self.sections, self.here, self.alts = [], [], {}, "", []
        self.text = page
        self.feed(page)
        assert not self.rawdata, "the page ends inside a tag"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        given = dict(attrs)
        self.asked += [v for k, v in given.items() if k in ("src", "href") and not v.startswith(("data:", "#"))]
        if tag == "section":
            self.here = given["id"]
        if tag == "img":
            self.alts.append(given["alt"])

    def handle_data(self, data):
        if "style" not in self.tags[-1:]:
            self.sections[self.here] = self.sections.get(self.here, "") + data + " "


def words(experiment):
    return Words(html(_page.document(experiment)))


@pytest.fixture(scope="module")
def planted():
    return made.planted()


@pytest.fixture(scope="module")
def page(planted):
    return words(planted)


def test_the_page_begins_with_the_verdict(page):
    said = re.sub(r"\s+", " ", page.sections["verdict"]).strip()
    lead = "Verdict Against the baseline, source only: helped: DANN.* Harmed: collapsing.* Undecided: "
    assert re.match(lead, said) and list(page.sections)[1] == "verdict"  # after the heading of the page
    assert "target only saw labels of the target" in said and "target only (oracle)" in said


def test_the_page_names_the_planted_harm(page):
    said = re.sub(r"\s+", " ", page.sections["harm"])
    named = said[: said.index("Below, the models of all seeds")]
    assert re.search(r"collapsing harmed: -2\d\.\d points", named)
    assert "day only harmed the group night (light)" in named and "day only harmed the group day" not in named
    assert "sure of itself is miscalibrated, overconfident" in named
    for innocent in ("DANN", "source only", "target only"):
        assert innocent not in named


def test_groups_and_calibration_look_at_all_seeds():
    """A method that is overconfident and harms a group with the first seed alone is not accused."""
    e = made.only(made.planted(), ["source only", "DANN", "day only", "sure of itself"])
    kind = {(r.method, r.seed): r for r in e.records}
    bad = {"DANN": "day only", "source only": "sure of itself"}
    swapped = [replace(kind[bad.get(r.method, r.method), 0], method=r.method) if r.seed == 0 else r for r in e.records]
    lucky = made.only(replace(e, records=swapped), ["source only", "DANN"])
    section = next(s for s in _page.document(lucky).sections if s.key == "harm")
    assert "DANN harmed the group" not in str(section.facts["named"]) and "miscal" not in str(section.facts["named"])
    first = replace(lucky, records=[r for r in lucky.records if r.seed == 0], seeds=[0])
    named = str(next(s for s in _page.document(first).sections if s.key == "harm").facts["named"])
    assert "DANN harmed the group night" in named and "source only is miscalibrated" in named
    assert "looked at: 0, 1, 2, 3 and 4." in words(lucky).sections["harm"]
    other = [r if r.seed else replace(r, rows={"test": Rows(*(a[::-1] for a in r.rows["test"]))}) for r in e.records]
    assert pairs(View(replace(e, records=other)))[0].seeds == [0], "rows in another order are not the same rows"


def test_rows_without_any_label_are_in_no_group_and_no_calibration():
    e = made.only(made.planted(), ["source only", "DANN"])
    bare = [replace(r, rows={"test": r.rows["test"]._replace(labels=np.full(240, -1))}) for r in e.records]
    assert pairs(View(replace(e, records=bare))) == []
    assert "no cell kept both" in words(replace(e, records=bare)).sections["harm"]


def test_a_transfer_without_harm_is_not_accused():
    e = made.only(made.planted(), ["source only", "DANN"])
    assert "No harm was found in what was measured." in words(e).sections["harm"]


def test_the_choice_and_the_distance_are_told(page):
    choice = re.sub(r"\s+", " ", page.sections["choice"])
    assert re.search(r"Chosen: [\w ]+\. .*Regret of the choice: \d+\.\d points\.", choice)
    assert "A-distance" in page.sections["discrepancy"] and len(page.alts) >= 8
    assert "target only : was a target label seen in training? yes." in re.sub(r"\s+", " ", page.sections["provenance"])


def test_the_choice_marks_what_needs_the_labels_of_the_test_rows(page, planted):
    said = re.sub(r"\s+", " ", page.sections["choice"])
    assert "nobody without these labels knows regret, gain and harm" in said and "target only" not in said
    assert "Here source-only is the baseline, source only." in said
    known = next(s.facts for s in _page.document(planted).sections if s.key == "choice")["choices"][0]
    assert known.keys() == {"task", "budget", "name", "reasons", "ruled out", "scores", "in hindsight"}
    assert known["in hindsight"].keys() == {"chosen", "best", "regret", "gain", "harmed"}


def test_the_choice_tells_a_best_method_that_was_no_candidate(planted):
    bare = [replace(r, rows={}) if r.method == "day only" else r for r in planted.records]
    best = [
        replace(r, scores={"accuracy": replace(r.score, value=0.99)}) if r.method == "day only" else r for r in bare
    ]
    said = re.sub(r"\s+", " ", words(replace(planted, records=best)).sections["choice"])
    assert "Ruled out: day only: no source and target rows were kept." in said
    assert "In hindsight the best method on the test rows is day only, which was ruled out." in said
    assert "the choice harmed" not in said


def test_a_choice_that_harmed_is_told():
    """All scores are turned around: the choice cannot see the harm, and the page can."""
    e = made.planted()
    turned = [replace(r, scores={"accuracy": replace(r.score, value=1 - r.score.value)}) for r in e.records]
    said = re.sub(r"\s+", " ", words(replace(e, records=turned)).sections["choice"])
    assert "In hindsight the choice harmed: its mean is worse than the mean of source only." in said
    assert "the choice is worse than source only on 1 of 1 targets" in said


def test_where_no_choice_can_be_made_the_page_says_why():
    rng = np.random.default_rng(0)
    records = [made.record(m, s, 0.25, rng=rng) for s in range(2) for m in ("source only", "DANN")]
    said = re.sub(r"\s+", " ", words(made.experiment(records, ["source only", "DANN"])).sections["choice"])
    assert "Chosen: no choice." in said and "label some target rows" in said and "Regret" not in said


def test_a_model_that_diverged_is_named():
    e = made.only(made.planted(seeds=2), ["source only", "DANN"])
    lost = [r.rows["test"]._replace(outputs=r.rows["test"].outputs * np.nan) for r in e.records]
    records = [replace(r, rows={**r.rows, "test": t, "target": t}) if r.method == "DANN" else r
               for r, t in zip(e.records, lost, strict=True)]  # fmt: skip
    said = re.sub(r"\s+", " ", words(replace(e, records=records)).sections["harm"])
    assert "DANN gave outputs or features that are not finite." in said


def test_regressors_have_a_page():
    rng = np.random.default_rng(0)
    labels = rng.normal(size=60).astype(np.float32)
    records = []
    for seed in range(3):
        for method, error in (("plain", 1.0), ("better", 0.3)):
            rows = Rows((labels + error * rng.normal(size=60)).astype(np.float32)[:, None], labels,
                        rng.normal(size=(60, 5)).astype(np.float32))  # fmt: skip
            r = made.record(
                method, seed, error + 0.01 * rng.normal(), rng=rng, metric="mean absolute error", higher=False
            )
            kept = {"test": rows, "source": rows, "target": rows._replace(labels=None)}
            records.append(replace(r, rows=kept))
    e = made.experiment(records, ["plain", "better"], metric="mean absolute error", higher_is_better=False)
    said = {key: re.sub(r"\s+", " ", section) for key, section in words(e).sections.items()}
    assert "helped: better." in said["verdict"] and "need the outputs" in said["harm"]
    assert "A-distance" in said["discrepancy"] and "Chosen: no choice." in said["choice"]
    assert "method label distance reverse plain" in said["choice"], "the columns of regressors"


def test_a_loss_that_still_fell_and_the_discriminator_are_told(page):
    enough = re.sub(r"\s+", " ", page.sections["enough"])
    assert "day only : the loss was still falling at the end" in enough and "DANN : the loss" not in enough
    assert "Discriminator of DANN: dann: the discriminator tells the domains apart" in re.sub(
        r"\s+", " ", page.sections["discrepancy"]
    )


def test_a_section_without_data_says_what_to_give():
    said = words(made.planted(seeds=2, kept=False)).sections
    assert "give `budgets=(10, 20, 40, 80, ...)`" in said["benefit"]
    for section in ("discrepancy", "harm", "choice"):
        assert "data=report.Data(test=..." in said[section], section


def test_the_page_is_one_file_that_asks_for_nothing(page):
    assert page.asked == [] and not {"script", "iframe", "object"} & set(page.tags)
    assert page.alts and all(page.alts) and page.tags.count("h1") == 1 and page.tags.count("nav") == 1
    text = page.text
    assert "url(" not in text and "@import" not in text and "http" not in re.sub(r'src="data:[^"]*"', "", text)
    ids = set(re.findall(r'<section id="([^"]+)"', text))
    assert ids == set(re.findall(r'href="#([^"]+)"', text)) and "verdict" in ids


def test_a_quick_run_says_that_its_numbers_mean_nothing_in_every_form(tmp_path):
    quick = made.planted(seeds=2, quick=True, kept=False)
    assert "numbers mean nothing" in words(quick).sections[""]  # above the first section
    assert "numbers mean nothing" in quick.table().splitlines()[0]
    assert "numbers mean nothing" in json.loads(quick.json(tmp_path / "a.json").read_text())["notes"][0]
    assert "numbers mean nothing" in quick.page(tmp_path / "a.md").read_text().split("## ")[0]
    assert "mean nothing" not in html(_page.document(made.planted(seeds=2, kept=False)))


def test_every_name_is_shown_as_text():
    e = made.only(made.planted(seeds=2), ["source only", "DANN", "target only"])
    new = {m: f"{HOSTILE} {k}" for k, m in enumerate(e.methods)}
    records = [made.renamed(r, method=new[r.method], task=HOSTILE) for r in e.records]
    records[-1] = Record(records[-1].method, HOSTILE, 1, error=HOSTILE)
    e = made.experiment(
        records, list(new.values()), tasks=[HOSTILE], oracle=[new[m] for m in e.oracle], folder=Path("runs/<b>&"),
        data={HOSTILE: made.Data(groups={HOSTILE: [HOSTILE, "_b"] * 120}, names=[HOSTILE, "_", "", "$"])},
    )  # fmt: skip
    page = words(e)
    assert "script" not in page.tags and page.asked == []
    shown = HOSTILE.replace("\x00", "?")
    assert shown in page.sections["verdict"] and shown in page.sections["failed"]
    lines = e.table().splitlines()
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines if line.startswith("|")}) == 1


def test_a_lower_error_is_better_and_stays_in_its_unit():
    rng = np.random.default_rng(0)
    truth = {"plain": 2000.0, "better": 1500.0, "worse": 2600.0}
    records = [made.record(m, s, v + rng.normal(0, 30), rng=rng, metric="mean absolute error", higher=False)
               for s in range(5) for m, v in truth.items()]  # fmt: skip
    e = made.experiment(records, list(truth), metric="mean absolute error", higher_is_better=False)
    said = re.sub(r"\s+", " ", words(e).sections["verdict"])
    assert "better helped" in said and "worse harmed" in said and "lower is better" in said
    assert re.search(r"\b1,\d{3}\b", said) and "%" not in said.replace("95 %", "")


def failing(e, method):
    lost = {r.seed: Record(method, "", r.seed, error="ValueError: no") for r in e.records}
    return replace(e, records=[lost[r.seed] if r.method == method else r for r in e.records])


def with_steps(e, steps):
    """The experiment with curves at other steps for each seed; a run of few steps has logged none."""
    records = [replace(r, curves={tag: [(x, 0.5) for x in steps(r.seed)] for tag in r.curves}) for r in e.records]
    return replace(e, records=records)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: with_steps(made.planted(seeds=2, kept=False), lambda seed: []), "undecided"),
        (lambda: with_steps(made.planted(seeds=2, kept=False), lambda seed: [seed + 1]), "undecided"),
        (lambda: made.planted(seeds=1, kept=False), "One seed has no interval: nothing can be decided."),
        (lambda: made.only(made.planted(kept=False), ["source only"]), "There is no method beside the baseline"),
        (lambda: made.only(made.planted(kept=False), ["source only", "target only"]), "There is no method beside"),
        (lambda: failing(made.planted(kept=False), "source only"), "No seed of the baseline has a score"),
        (lambda: failing(made.planted(kept=False), "DANN"), "DANN - - - - 0 failed"),
        (lambda: made.many(40, 1), r"and \d+ more"),
        (lambda: made.many(5, 12), "Over 12 targets and 4 methods"),
    ],
)
def test_sparse_and_large_experiments(change, said, tmp_path):
    e = change()
    page = words(e)
    assert re.search(said, re.sub(r"\s+", " ", page.sections["verdict"]))
    assert not re.search(r"\b(nan|inf|None)\b", " ".join(page.sections.values()))
    json.loads(e.json(tmp_path / "a.json").read_text(), parse_constant=lambda c: pytest.fail(c))


def of_many_classes(classes=200, each=60):
    """A method with a gain of 0.6 in class 7, a loss of 0.6 in class 5, and smaller gains and losses elsewhere."""
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(classes), each)
    order = np.tile(np.arange(each), classes)
    right = {"source only": np.full(classes, 0.7), "method": np.where(np.arange(classes) % 2, 0.3, 1.0)}
    right["source only"][[5, 7]], right["method"][[5, 7]] = [1.0, 0.1], [0.2, 0.9]
    records = []
    for method, share in right.items():
        outputs = rng.normal(0, 0.1, (len(labels), classes)).astype(np.float32)
        outputs[np.arange(len(labels)), (labels + (order >= share[labels] * each)) % classes] += 5
        test = Rows(outputs, labels)
        score = Score("accuracy", float((outputs.argmax(1) == labels).mean()), 0.0, 1.0, len(labels))
        records += [Record(method, "", seed, scores={"accuracy": score}, rows={"test": test}) for seed in range(2)]
    names = [f"class-{c:03d}" for c in range(classes)]
    groups = {"street": [f"street {c}" for c in labels]}
    return made.experiment(records, list(right), data={"": Data(names=names, groups=groups)})


def test_two_hundred_classes_have_short_tables_of_the_worst_and_the_best(tmp_path):
    e = of_many_classes()
    (harm,) = (section for section in e.document.sections if section.key == "harm")
    tables = {table.columns[1]: table for table in harm.blocks if isinstance(table, Table)}
    for kind in ("class", "group"):
        rows = tables[kind].rows
        assert len(rows) == 40 and [row[-1] for row in rows] == ["harmed"] * 20 + ["helped"] * 20
        assert "5" in rows[0][1] and "7" in rows[-1][1], "the worst first, the best last"
    text = re.sub(r"\s+", " ", Words(html(e.document)).sections["harm"])
    told = "200 rows: 101 helped, 99 harmed, 0 undecided, 0 too small. The table shows the 20 rows that lost most and"
    assert text.count(told) == 2
    assert "harmed classes: class-005 (100.0 % before, 20.0 % after, 60 rows), " in text and " and 93 more." in text
    assert "harmed the group street 5 (street)" in text and "harmed 93 more groups (street)." in text
    assert len(harm.facts["classes"][0]["classes"]) == 200, "the JSON has all"
    assert e.page(tmp_path / "a.html").stat().st_size < 800_000 and len(e.page(tmp_path / "a.md").read_text()) < 30_000


def with_layers(e, layers, later=0.4):
    """The experiment with distances after each layer, smaller after adaptation, other for each seed."""

    def distances(r):
        less = later if r.method == "DANN" else 0.0
        values = {name: 1.0 + 0.1 * k + 0.01 * r.seed - less for k, name in enumerate(layers)}
        return {"a_distance": {name: [v, v - 0.3, v + 0.3] for name, v in values.items()}}

    return replace(e, records=[replace(r, layers={} if r.method == "day only" else distances(r)) for r in e.records])


def layers_of(e):
    """The table of the layers, all other blocks, and the facts."""
    view = View(e)
    blocks, facts = by_layer(view, view.targets[0])
    return next((b for b in blocks if isinstance(b, Table)), None), blocks, facts


def test_the_layers_are_told_before_and_after():
    e = with_layers(made.planted(seeds=3), ["conv1", "conv2", "features"])
    table, _, facts = layers_of(e)
    assert list(table.columns) == ["layer", "before: source only", "after: DANN"], "the best method has no layers"
    assert [row[0] for row in table.rows] == ["conv1", "conv2", "features"]
    half = 4.302653 * 0.01 / np.sqrt(3)
    assert table.rows[1][1:] == [f"1.11 ({1.11 - half:.2f} to {1.11 + half:.2f})", "0.71 (0.69 to 0.73)"]
    assert {f["method"] for f in facts} == set(e.methods) - {"day only"}
    assert facts[0]["a_distance"]["conv2"].value == pytest.approx(1.11)
    ends = [replace(r, layers={"a_distance": {"conv1": [2.0 * (r.seed > 0), 0, 2]}}) for r in e.records]
    assert layers_of(replace(e, records=ends))[2][0]["a_distance"]["conv1"] == (pytest.approx(4 / 3), 0.0, 2.0)
    bound = made.only(e, ["source only", "target only"])
    assert list(layers_of(bound)[0].columns) == ["layer", "before: source only"], "the other method has target labels"
    deep, *_ = layers_of(with_layers(made.planted(seeds=2), [f"block{k}" for k in range(50)]))
    assert "34 layers in between are left out" in deep.caption and len(deep.rows) == 16
    assert (deep.rows[0][0], deep.rows[-1][0]) == ("block0", "block49")
    one = with_layers(made.only(made.planted(seeds=1), ["source only", "DANN"]), ["conv1", "features"])
    said = re.sub(r"\s+", " ", words(one).sections["discrepancy"])
    assert "Layer by layer" in said and "conv1 1.00 (0.70 to 1.30) 0.60 (0.30 to 0.90)" in said


def test_layers_that_could_not_be_measured_are_told():
    e = made.planted(seeds=1)
    assert layers_of(e) == (None, [], [])
    e = replace(e, records=[replace(r, layers={"why": "ValueError: no such layer."}) for r in e.records])
    assert layers_of(e)[1] == ["The layers of source only were not measured: ValueError: no such layer."]


def test_the_ending_of_the_path_says_the_form(tmp_path):
    planted = made.planted(seeds=2, kept=False)
    with pytest.raises(ValueError, match=r"`path` must end in \.html or \.md, got 'a\.pdf'"):
        planted.page(tmp_path / "a.pdf")
    assert planted.page(tmp_path / "deep" / "a.md").read_text().startswith("# made")


@pytest.mark.skipif(CHROMIUM is None, reason="chromium shows the page")
@pytest.mark.parametrize("width", [375, 1440])
def test_a_browser_shows_the_page_without_errors_and_without_a_sideways_scroll(width, tmp_path):
    e = made.many(12, 3, long_names=True)
    e.page(tmp_path / "page.html")
    frame = (
        f'<iframe id="f" src="page.html" style="width:{width}px;height:900px;border:0"></iframe><script>onload = () => '
        "{ const page = document.getElementById('f').contentDocument.documentElement; document.title = "
        "`${page.scrollWidth} ${page.clientWidth} ${[...page.querySelectorAll('img')].every(i => i.naturalWidth > 0)}` "
        "}</script>"
    )
    (tmp_path / "frame.html").write_text(f"<!DOCTYPE html>{frame}")
    done = subprocess.run(
        [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom",
         "--enable-logging=stderr", "--virtual-time-budget=5000", f"--user-data-dir={tmp_path / 'user'}",
         f"--window-size={width + 100},1000", f"file://{tmp_path / 'frame.html'}"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    needed, there, pictures = re.search(r"<title>(.*?)</title>", done.stdout)[1].split()
    assert int(needed) <= int(there) <= width and pictures == "true"
    assert "CONSOLE" not in done.stderr


def test_the_picture_and_tensorboard(planted, tmp_path):
    assert planted.figure(tmp_path / "new" / "a.png").read_bytes()[:4] == b"\x89PNG"
    few = made.planted(seeds=2, quick=True, kept=False)
    few.tensorboard(tmp_path / "events")
    folder = few.tensorboard(tmp_path / "events")  # in place of the first
    files = sorted(p.parent.name for p in folder.rglob("events*"))
    assert len(files) == 1 + len(few.methods) and files[-1] == "page" and "mean-01-DANN" in files
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / "page"), size_guidance={"tensors": 0}).Reload()
    assert (
        "page/verdict/text_summary" in found.Tags()["tensors"] and "page/notes/text_summary" in found.Tags()["tensors"]
    )
    curve = EventAccumulator(str(folder / "mean-01-DANN")).Reload().Scalars("accuracy/target")
    expected = np.mean([dict(r.curves["accuracy/target"])[600] for r in few.records if r.method == "DANN"])
    assert curve[-1].step == 600 and curve[-1].value == pytest.approx(expected, rel=1e-6)
