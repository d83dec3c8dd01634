"""Several scores of a cell, such as the tasks of one network: a table for each score."""

from adapt.report.page._document import Block, Heading, Section
from adapt.report.page._verdict import facts_of, main_table
from adapt.report.page._view import View

MOST = 8  # scores with a table on the page; the JSON has all


def scores_section(view: View) -> Section:
    """Return the section with the main table of each score beside the score of the experiment."""
    others = [View(view.experiment.only(metric)) for metric in view.experiment.metrics[1:]]
    facts = {"scores": {other.experiment.metric: [facts_of(other, t) for t in other.targets] for other in others}}
    blocks: list[Block] = [
        block for other in others[:MOST] for block in (Heading(other.experiment.metric), main_table(other))
    ]
    if others:
        blocks.insert(0, "The correction for many comparisons counts the comparisons of one score.")
    else:
        blocks.append("The cells have one score. A cell that returns scores by name has a table for each score here.")
    if len(others) > MOST:
        blocks.append(f"The JSON has {len(others) - MOST} more scores.")
    return Section("scores", "Other scores", blocks, facts)
