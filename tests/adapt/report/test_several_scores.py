"""Cells with several scores, such as the tasks of one network: each score is compared, in its own direction."""

import re

import pytest

from adapt import report
from adapt.heads import Score
from adapt.report.page import _page
from adapt.report.page._html import html

TAGS = {"alone": [0.5, 0.75], "shared": [0.25, 0.5], "other": [0.5, 0.75]}
COSTS = {"alone": [4.0, 2.0], "shared": [1.0, 1.5], "other": [2.0, 3.0]}


def both(cell):
    cost = COSTS[cell.method][cell.seed]
    return {"tag accuracy": TAGS[cell.method][cell.seed], "cost": Score("cost", cost, cost, cost, 9, False)}


@pytest.fixture
def result(tmp_path):
    return report.experiment(tmp_path / "several", dict.fromkeys(TAGS, both), 2, progress=False)


def test_one_score_alone_has_its_own_direction(result):
    assert result.metrics == ["tag accuracy", "cost"] and (result.metric, result.higher_is_better) == (
        "tag accuracy", True,
    )  # fmt: skip
    cost = result.only("cost")
    assert cost.scores() == COSTS and (cost.metric, cost.higher_is_better) == ("cost", False)
    assert cost.metrics == ["cost"] and result.scores(metric="cost") == COSTS
    with pytest.raises(ValueError, match="`metric` must be one of 'tag accuracy', 'cost', got 'price'"):
        result.only("price")


def test_delta_m_counts_each_score_in_its_direction(result):
    found = result.delta_m()
    assert found["alone"] == [0.0, 0.0]
    assert found["shared"] == pytest.approx([(-0.5 + 0.75) / 2, (-1 / 3 + 0.25) / 2])
    assert result.delta_m(["cost"])["other"] == pytest.approx([0.5, -0.5])


def test_the_page_has_a_table_for_each_other_score(result):
    page = html(_page.document(result))
    section = page[page.index("<h2>Other scores</h2>") : page.index("<h2>Benefit</h2>")]
    words = re.sub(r"<[^>]*>|\s+", " ", section)
    assert "<h3>cost</h3>" in section and "lower is better" in words
    assert "shared 1.25 -1.75" in re.sub(r"\s+", " ", words)
    alone = html(_page.document(result.only("cost")))
    assert "The cells have one score." in alone and "<h3>cost</h3>" not in alone
