"""One picture of an experiment, for a paper or a README."""

from typing import Any

from matplotlib.figure import Figure

from adapt.report.figures import feature_map, score_dots
from adapt.report.page._distance import clouds, rows_of_both
from adapt.report.page._view import View

MOST = 3  # targets with dots; the features are those of the first target


def overview(view: View, title: str = "") -> Any:
    """Return a figure: scores with intervals per target, and the features before and after where they were kept.

    Args:
        title: above the figure, such as the note of a quick run.
    """
    shown = view.ends[:MOST]
    first = shown[0]
    maps = [(word, m, rows) for word, m in (("before", view.baseline), ("after", view.best(first)))
            if m is not None and (rows := rows_of_both(view, first, m))]  # fmt: skip
    height = max(1.2 + 0.3 * len(first.scores), 3.8 if maps else 0)
    figure = Figure(figsize=(5.2 * len(shown) + 4.0 * len(maps), height), layout="constrained")
    every = figure.subplots(1, len(shown) + len(maps), squeeze=False, width_ratios=[1.3] * len(shown) + [1] * len(maps))
    for axes, target in zip(every[0], shown, strict=False):
        score_dots(axes, target.scores, baseline=view.baseline, oracle=view.oracle, label=view.units.metric,
                   percent=view.units.percent)  # fmt: skip
        axes.set_title("" if view.one else target.name, fontsize=10)
    for axes, (word, method, rows) in zip(every[0][len(shown) :], maps, strict=True):
        feature_map(axes, clouds(rows), title=f"features {word}: {method}")
    if title:
        figure.suptitle(title, color="#a33b00", fontsize=11, wrap=True)
    return figure
