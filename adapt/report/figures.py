"""Pictures of an experiment. Each function draws on axes of matplotlib, so that several pictures fit one figure."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy

from adapt import store
from adapt.fewshot import Verification
from adapt.report._calibration import Calibration
from adapt.report._critical_difference import CriticalDifference
from adapt.report.paired import mean_interval
from losses.options import FROM_0, check

# Okabe and Ito, told apart by colour-blind readers; line styles and markers differ as well
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
GREY = "#666666"
MOST_LABELS = 20  # classes with a name or a number in a confusion matrix; more would be unreadable


def shown_name(name: object, most: int = 28) -> str:
    """Return a name for a picture: one short line, in which ``$`` is no formula.

    >>> shown_name("a method with a very, very long name")
    'a method with a very, very …'
    """
    line = re.sub(r"[\s\x00-\x1f]+", " ", str(name)).strip()
    line = line if len(line) <= most else line[: most - 1] + "…"
    return line.replace("$", r"\$")


def style(number: int) -> dict[str, Any]:
    """Return colour, line style and marker of a line; 56 numbers have 56 combinations."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": LINES[number % len(LINES)],
        "marker": MARKERS[(number + number // len(COLOURS)) % len(MARKERS)],
    }


def accuracy_bars(axes: Any, scores: Mapping[str, Sequence[float]], *, baseline: str) -> None:
    """Draw a bar per method with the 95 % interval of the mean, a dot per seed, and a line at the baseline."""
    for row, (method, values) in enumerate(scores.items()):
        mean, low, high = mean_interval(values)
        spread = None if numpy.isinf(low) else [[mean - low], [high - mean]]
        colour = "#999999" if method == baseline else COLOURS[0]
        axes.barh(row, mean, xerr=spread, color=colour, alpha=0.75, error_kw={"elinewidth": 1.5, "capsize": 3})
        axes.plot(values, [row] * len(values), "k.", markersize=4, alpha=0.6)
    axes.axvline(numpy.mean(scores[baseline]), color="#555555", linestyle=":", linewidth=1)
    axes.set_yticks(range(len(scores)), [shown_name(method) for method in scores])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="target test accuracy")
    axes.spines[["top", "right"]].set_visible(False)


def score_dots(
    axes: Any,
    scores: Mapping[str, Sequence[float]],
    *,
    baseline: str,
    oracle: Sequence[str] = (),
    label: str = "accuracy",
    percent: bool = True,
) -> None:
    """Draw for each method the mean with the 95 % interval, below a small dot per seed, and a line at the baseline.

    A dot, unlike a bar, may stand on an axis that does not start at 0.

    Args:
        scores: by method, one value per seed. A method without values keeps an empty row.
        oracle: methods that see target labels: a hollow mark.
        label: of the axis.
        percent: show values times 100.
    """
    scale = 100 if percent else 1
    for row, (method, values) in enumerate(scores.items()):
        given = scale * numpy.asarray(values, float)
        if not given.size:
            continue
        mean, low, high = mean_interval(given.tolist())
        colour = GREY if method == baseline else COLOURS[2] if method in oracle else COLOURS[0]
        if numpy.isfinite(low):
            axes.plot([low, high], [row, row], color=colour, linewidth=2)
        axes.plot(given, [row + 0.27] * len(given), ".", color="#1b1b1b", markersize=3.5, alpha=0.6)
        marker = "s" if method == baseline else "D" if method in oracle else "o"
        axes.plot(
            mean, row, marker, color=colour, markersize=7, markerfacecolor="white" if method in oracle else colour
        )
    if len(scores[baseline]):
        axes.axvline(scale * numpy.mean(scores[baseline]), color=GREY, linestyle=":", linewidth=1.2, zorder=0)
    names = [shown_name(m, 24) + (" (oracle)" if m in oracle else "") for m in scores]
    axes.set_yticks(range(len(scores)), names)
    axes.set_ylim(len(scores) - 0.5, -0.5)
    axes.set_xlabel(shown_name(label, 60) + (" %" if percent else ""))
    _plain(axes)


def curves(
    axes: Any,
    lines: Mapping[str, tuple[Sequence[float], Any]],
    *,
    x: str = "step",
    y: str = "accuracy",
    percent: bool = False,
    logarithmic: bool = False,
) -> None:
    """Draw a line per method over steps or over labelled rows, with a band where several seeds are known.

    The band is the 95 % interval of the mean, by Student's t at each point.

    Args:
        lines: by method, the positions ``(k,)`` and the values ``(seeds, k)``.
        x, y: labels of the axes.
        percent: show values times 100.
        logarithmic: positions on a logarithmic axis, as numbers of labelled rows need.
    """
    for number, (method, (at, values)) in enumerate(lines.items()):
        rows = (100 if percent else 1) * numpy.atleast_2d(numpy.asarray(values, float))
        found = numpy.array([mean_interval(column.tolist()) for column in rows.T]).reshape(-1, 3)
        shown = style(number)
        axes.plot(at, found[:, 0], label=shown_name(method), markersize=4, markevery=max(1, len(at) // 8), **shown)
        if len(rows) > 1:
            axes.fill_between(at, found[:, 1], found[:, 2], color=shown["color"], alpha=0.15, linewidth=0)
    if logarithmic:
        axes.set_xscale("log")
    axes.set(xlabel=x, ylabel=shown_name(y, 40) + (" %" if percent else ""))
    _plain(axes)
    _legend(axes)


def confusion(axes: Any, labels: Any, predictions: Any, *, names: Sequence[str] | None = None, title: str = "") -> None:
    """Draw the share of each predicted class among the rows of each true class.

    Args:
        labels, predictions: ``(n,)`` numbers of classes. Rows with a label below 0 have no label and do not count.
        names: of the classes. Up to 20 classes have the name beside the row.
    """
    labels, predictions = numpy.asarray(labels).astype(int), numpy.asarray(predictions).astype(int)
    known = labels >= 0
    classes = int(max(labels.max(initial=0), predictions.max(initial=0), len(names or ()) - 1)) + 1
    counts = numpy.zeros((classes, classes))
    numpy.add.at(counts, (labels[known], predictions[known]), 1)
    shares = counts / numpy.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    if classes <= MOST_LABELS:
        shown = [shown_name(n, 12) for n in (names or range(classes))]
        axes.set_yticks(range(classes), shown, fontsize=8)
        axes.set_xticks(range(classes), shown, fontsize=8, rotation=90)
        for (i, j), share in numpy.ndenumerate(shares):
            if share >= 0.005 and classes <= MOST_LABELS / 2:
                axes.text(j, i, f"{100 * share:.0f}", ha="center", va="center", fontsize=7,
                          color="white" if share > 0.5 else "black")  # fmt: skip
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_title(shown_name(title, 40), fontsize=10)


def reliability(axes: Any, calibrations: Mapping[str, Calibration]) -> None:
    """Draw the accuracy over the confidence, with Wilson's interval for each bin, and the line of a right confidence.

    Args:
        calibrations: by method, from :func:`adapt.report.calibration`. A larger mark has more rows.
    """
    axes.plot([0, 100], [0, 100], color=GREY, linewidth=1, linestyle=":", zorder=0)
    for number, (method, found) in enumerate(calibrations.items()):
        shown = style(number)
        x = [100 * b.confidence for b in found.bins]
        low, value, high = (100 * numpy.array([getattr(b.accuracy, end) for b in found.bins])
                            for end in ("low", "value", "high"))  # fmt: skip
        axes.plot(x, value, label=shown_name(method), markersize=4, **shown)
        axes.vlines(x, low, high, color=shown["color"], linewidth=1, alpha=0.5)
        sizes = [12 + 90 * b.n / found.n for b in found.bins]
        axes.scatter(x, value, s=sizes, marker=shown["marker"], color=shown["color"])
    axes.set(xlim=(0, 102), ylim=(-2, 102), xlabel="confidence %", ylabel="accuracy %")
    _plain(axes)
    _legend(axes)


def roc(axes: Any, found: Mapping[str, Verification]) -> None:
    """Draw the true accept rate over the false accept rate, from the smallest rate that the pairs can show.

    Args:
        found: by encoder, from :func:`adapt.fewshot.verify`.
    """
    for number, (name, one) in enumerate(found.items()):
        shown = {**style(number), "marker": ""}
        axes.step(100 * one.far, 100 * one.tar, where="post", label=shown_name(name), **shown)
    axes.set_xscale("log")
    axes.set(xlim=(100 / max(one.different for one in found.values()), 100), ylim=(0, 102))
    axes.set(xlabel="false accept rate %", ylabel="true accept rate %")
    _plain(axes)
    _legend(axes)


def rank_diagram(axes: Any, found: CriticalDifference) -> None:
    """Draw the mean rank of each method, and a bar over the methods that are not told apart (Demšar, 2006).

    Args:
        found: from :func:`adapt.report.critical_difference`.
    """
    ranks = list(found.ranks.items())
    for row, (_, rank) in enumerate(ranks):
        axes.plot([1, rank], [row, row], color="#d0d0d0", linewidth=1, zorder=0)
        axes.plot(rank, row, "o", color=COLOURS[0], markersize=7)
        axes.text(rank, row - 0.22, f"{rank:.2g}", fontsize=7, ha="center", va="bottom")
    places = {method: row for row, (method, _) in enumerate(ranks)}
    for clique in found.cliques:
        at = numpy.mean([found.ranks[m] for m in clique])
        axes.plot([at, at], [places[clique[0]], places[clique[-1]]], color=COLOURS[1], linewidth=3, alpha=0.6, zorder=1)
    axes.set_yticks(range(len(ranks)), [shown_name(m, 24) for m, _ in ranks])
    axes.set_ylim(len(ranks) - 0.5, -0.8)
    axes.set_xlim(0.8, len(ranks) + 0.2)
    axes.set_xlabel(f"mean rank over {found.tasks} targets (1 is best); critical difference {found.distance:.2f}")
    _plain(axes)


def regret_dots(
    axes: Any, targets: Mapping[str, Mapping[str, float]], *, label: str = "accuracy", percent: bool = True
) -> None:
    """Draw a row per target with a mark for each named value, and a line between the last two: the regret.

    Args:
        targets: by target, values by name, such as the baseline, the chosen method and the best method.
    """
    scale = 100 if percent else 1
    names = list(dict.fromkeys(name for found in targets.values() for name in found))
    for row, found in enumerate(targets.values()):
        ends = [scale * value for value in found.values()][-2:]
        axes.plot(ends, [row] * len(ends), color=COLOURS[1], linewidth=2, zorder=1)
    for number, name in enumerate(names):
        at = [(scale * found[name], row) for row, found in enumerate(targets.values()) if name in found]
        size = 8 - 1.5 * min(number, 3)  # equal values stay visible behind each other
        colour = (GREY, *COLOURS)[number % 8]
        axes.plot(*zip(*at, strict=True), MARKERS[number % 8], color=colour, label=shown_name(name), markersize=size)
    axes.set_yticks(range(len(targets)), [shown_name(t, 24) for t in targets])
    axes.set_ylim(len(targets) - 0.5, -0.5)
    axes.set_xlabel(shown_name(label, 60) + (" %" if percent else ""))
    _plain(axes)
    _legend(axes, above=True)


def feature_map(
    axes: Any, clouds: Mapping[str, tuple[numpy.ndarray, numpy.ndarray]], *, title: str, seed: int = 0
) -> None:
    """Draw features of several domains in two dimensions by t-SNE. The colour is the domain; the digit is the class.

    Args:
        clouds: features ``(n, d)`` and labels ``(n,)`` by domain. A row with a label below 0 is a dot.
    """
    check(FROM_0, seed=seed)
    features = numpy.concatenate([f for f, _ in clouds.values()])
    flat = _flat(features.tobytes(), features.dtype.str, features.shape, seed)
    first = 0
    for (name, (rows, labels)), colour in zip(clouds.items(), COLOURS, strict=False):
        part = flat[first : first + len(rows)]
        first += len(rows)
        axes.plot([], [], "o", color=colour, label=shown_name(name))
        for (x, y), label in zip(part, labels, strict=True):
            axes.text(x, y, str(label) if label >= 0 else "·", color=colour, fontsize=6, ha="center", va="center")
    axes.set(xlim=(flat[:, 0].min(), flat[:, 0].max()), ylim=(flat[:, 1].min(), flat[:, 1].max()))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(shown_name(title, 40), fontsize=10)
    axes.legend(loc="upper right", fontsize=7, framealpha=0.8)


@lru_cache(maxsize=8)  # page, picture and TensorBoard of an experiment draw the same features
def _flat(content: bytes, kind: str, shape: tuple[int, ...], seed: int) -> numpy.ndarray:
    """Return the features ``(n, d)`` in two dimensions."""
    from sklearn.manifold import TSNE

    features = numpy.frombuffer(content, kind).reshape(shape)
    return TSNE(perplexity=min(30, (len(features) - 1) / 3), init="pca", random_state=seed).fit_transform(features)


def save(figure: Any, path: str | Path) -> Path:
    """Write a figure as PNG, whole or not at all, and return the path."""
    with store.whole_file(path) as temporary:
        figure.savefig(temporary, dpi=130)
    return Path(path)


def _plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)


def _legend(axes: Any, *, above: bool = False) -> None:
    """Write the names of the lines below the axes, or above axes that are too low for a legend below."""
    lines = [line for line in axes.get_lines() if not line.get_label().startswith("_child")]
    if len(lines) > 1:  # handles are given: matplotlib leaves names out that begin with an underscore
        names = [line.get_label() for line in lines]
        loc, at = ("lower center", (0.5, 1.0)) if above else ("upper center", (0.5, -0.16))
        columns = 1 if max(map(len, names)) > 20 else 2
        axes.legend(lines, names, fontsize=8.5, frameon=False, loc=loc, bbox_to_anchor=at, ncols=columns)
