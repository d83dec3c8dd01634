"""Groups of rows and classes: who gained, who lost, how far apart the groups are."""

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from adapt.report._groups import Group, Groups, groups, per_class
from adapt.report.figures import confusion
from adapt.report.page._document import Block, Picture
from adapt.report.page._pairs import MOST_ROWS, Pair, Part, names, on
from adapt.report.page._units import NONE, around, several
from adapt.report.page._view import View

NO_GROUPS = 'For groups give `data=report.Data(groups={"sex": [...]})`, with one name for each test row.'
MOST_NAMED = 6  # groups or classes of a method in sentences
VERDICTS = ("helped", "harmed", "undecided", "too small")
COLUMNS = ["target", "method", "rows", "accuracy % before", "after", "change, points", "verdict"]


def of_groups(view: View, pairs: Sequence[Pair]) -> Part:
    """Return the accuracy of each group before and after, the worst group and the gaps."""
    named, rows, gaps, facts = [], [], [], []
    for pair in pairs:
        data = view.experiment.data.get(pair.target.task)
        for kind, of in (data.groups if data is not None else {}).items():
            given = [str(name) for name in of]
            found = groups(pair.after.argmax(2), pair.labels, given, before=pair.before.argmax(2))
            facts.append({"target": pair.target.name, "method": pair.method, "kind": kind, "found": found})
            gaps.append([pair.target.name, view.shown(pair.method), str(kind), *_gaps(found)])
            if pair.method != view.baseline:
                of_pair = [pair.target.name, view.shown(pair.method)]
                rows += [(_change(g), [*of_pair, f"{kind}: {g.name}", *_numbers(g)]) for g in found.rows]
            if pair.method in view.candidates:
                where = on(view, pair.target)
                harmed = [g for g in sorted(found.rows, key=_change) if g.verdict == "harmed"]
                named += [(pair.method, f" harmed the group {g.name} ({kind}){where}: {_told(g)}.")
                          for g in harmed[:MOST_NAMED]]  # fmt: skip
                if len(harmed) > MOST_NAMED:
                    named.append((pair.method, f" harmed {len(harmed) - MOST_NAMED} more groups ({kind}){where}."))
    if not facts:
        return Part([], [NO_GROUPS], [])
    columns = [*COLUMNS[:2], "group", *COLUMNS[2:]]
    worst = ["target", "method", "kind", "worst group", "its accuracy %", "gap of the groups, points",
             "equalized-odds difference, points"]  # fmt: skip
    blocks = [
        *_short(view, columns, rows, words=3),
        view.table(worst, gaps[:MOST_ROWS], words=4, caption="The worst group and the gaps of the mean "
                   "over the seeds, with 95 % intervals over rows."
                   + f" {len(gaps) - MOST_ROWS} more rows are in the JSON." * (len(gaps) > MOST_ROWS)),
    ]  # fmt: skip
    return Part(named, blocks, facts)


def of_classes(view: View, pairs: Sequence[Pair]) -> Part:
    """Return the recall of each class before and after, and the confusion before and after."""
    named, rows, facts = [], [], []
    for pair in pairs:
        if pair.method == view.baseline:
            continue
        found = per_class(pair.after.argmax(2), pair.labels, pair.before.argmax(2), names(view, pair))
        facts.append({"target": pair.target.name, "method": pair.method, "classes": found})
        rows += [(_change(g), [pair.target.name, view.shown(pair.method), str(g.name), *_numbers(g)]) for g in found]
        harmed = [f"{g.name} ({_told(g)})" for g in sorted(found, key=_change) if g.verdict == "harmed"]
        if harmed and pair.method in view.candidates:
            named.append((pair.method, f" harmed classes{on(view, pair.target)}: {several(harmed, MOST_NAMED)}."))
    if not facts:
        return Part([], ["There is no method beside the baseline."], [])
    table = _short(view, [*COLUMNS[:2], "class", *COLUMNS[2:]], rows, words=3)
    return Part(named, [*table, *_confusions(view, pairs)], facts)


def _numbers(g: Group) -> list[str]:
    before = NONE if g.before is None else f"{100 * g.before:.1f}"
    return [str(g.n), before, f"{100 * g.score.value:.1f}", around(g.change, scale=100, sign="+"), g.verdict or NONE]


def _told(g: Group) -> str:
    return f"{100 * (g.before or 0):.1f} % before, {100 * g.score.value:.1f} % after, {g.n} rows"


def _gaps(found: Groups) -> list[str]:
    worst = NONE if found.worst is None else str(found.worst)
    small = f" (too few rows: {several(map(str, found.left_out), MOST_NAMED)})" if found.left_out else ""
    intervals = (found.worst_score, found.gap, found.equalized_odds)
    return [worst + small, *(around(interval, scale=100) for interval in intervals)]


def _short(view: View, columns: Sequence[str], rows: list[tuple[float, list[str]]], *, words: int) -> list[Block]:
    """Return a table of changes and cells, of a long table the rows with a verdict: the worst and the best."""
    every = [cells for _, cells in rows]
    decided = [row for row in rows if row[1][-1] in ("helped", "harmed")]
    blocks: list[Block] = []
    if len(rows) > MOST_ROWS:
        counts = {
            word: sum(cells[-1] == word for cells in every) for word in ("helped", "harmed", "undecided", "too small")
        }
        told = f"{len(rows)} rows: {', '.join(f'{count} {word}' for word, count in counts.items())}. The table shows"
        if len(decided) > MOST_ROWS:
            half = MOST_ROWS // 2
            decided = sorted(decided, key=lambda row: row[0])
            decided = [*decided[:half], *decided[-half:]]
            blocks.append(f"{told} the {half} rows that lost most and the {half} rows that gained most.")
        else:
            blocks.append(f"{told} {len(decided)} rows with a verdict.")
        every = [cells for _, cells in decided]
    caption = (
        "Against the baseline on the same rows and seeds, mean over the seeds. The intervals and tests count rows and "
        "seeds (one seed: McNemar's test of the rows), with Holm's correction over the rows of one method."
    )
    return [*blocks, view.table(columns, every, words=words, caption=caption)] if every else blocks


def _change(g: Group) -> float:
    return g.change.value if g.change is not None and math.isfinite(g.change.value) else 0.0


def _confusions(view: View, pairs: Sequence[Pair]) -> list[Block]:
    """Return the confusion of the baseline and of the best method on the first target."""
    found: list[Block] = []
    here = [pair for pair in pairs if pair.target is pairs[0].target]
    best = view.best(pairs[0].target)
    for pair in (p for p in here if p.method in (view.baseline, best)):
        few = pair.after.shape[2] <= 10
        figure = Figure(figsize=(4.4, 4.4), layout="constrained")
        confusion(figure.subplots(), pair.labels, pair.after[0].argmax(1), names=names(view, pair), title=pair.method)
        where = on(view, pair.target)
        word = "before" if pair.method == view.baseline else "after"
        numbers = " Numbers are percent of the true class." if few else ""
        found.append(Picture(figure, f"Confusion of the classes {word}: {pair.method}{where}, seed {pair.seeds[0]}.",
                             f"Confusion {word}: {pair.method}{where}, seed {pair.seeds[0]}.{numbers}"))  # fmt: skip
    return found
