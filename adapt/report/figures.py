"""Figures of a comparison."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy

from adapt import store
from adapt.report.paired import mean_interval
from losses.options import FROM_0, check

DOMAIN_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # Okabe and Ito, told apart by colour-blind readers


def accuracy_bars(axes: Any, scores: Mapping[str, Sequence[float]], *, baseline: str) -> None:
    """Draw a bar per method with the 95 % interval of the mean, a dot per seed, and a line at the baseline."""
    for row, (method, values) in enumerate(scores.items()):
        mean, low, high = mean_interval(values)
        spread = None if numpy.isinf(low) else [[mean - low], [high - mean]]
        colour = "#999999" if method == baseline else DOMAIN_COLOURS[0]
        axes.barh(row, mean, xerr=spread, color=colour, alpha=0.75, error_kw={"elinewidth": 1.5, "capsize": 3})
        axes.plot(values, [row] * len(values), "k.", markersize=4, alpha=0.6)
    axes.axvline(numpy.mean(scores[baseline]), color="#555555", linestyle=":", linewidth=1)
    axes.set_yticks(range(len(scores)), list(scores))
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="target test accuracy")
    axes.spines[["top", "right"]].set_visible(False)


def feature_map(
    axes: Any, clouds: Mapping[str, tuple[numpy.ndarray, numpy.ndarray]], *, title: str, seed: int = 0
) -> None:
    """Draw features of several domains in two dimensions by t-SNE. The colour is the domain; the digit is the class.

    Args:
        clouds: features ``(n, d)`` and labels ``(n,)`` by domain.
    """
    from sklearn.manifold import TSNE

    check(FROM_0, seed=seed)

    features = numpy.concatenate([f for f, _ in clouds.values()])
    flat = TSNE(perplexity=min(30, (len(features) - 1) / 3), init="pca", random_state=seed).fit_transform(features)
    first = 0
    for (name, (rows, labels)), colour in zip(clouds.items(), DOMAIN_COLOURS, strict=False):
        part = flat[first : first + len(rows)]
        first += len(rows)
        axes.plot([], [], "o", color=colour, label=name)
        for (x, y), label in zip(part, labels, strict=True):
            axes.text(x, y, str(label), color=colour, fontsize=6, ha="center", va="center")
    axes.set(xlim=(flat[:, 0].min(), flat[:, 0].max()), ylim=(flat[:, 1].min(), flat[:, 1].max()))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=10)
    axes.legend(loc="upper right", fontsize=7, framealpha=0.8)


def save(figure: Any, path: str | Path) -> Path:
    """Write a figure as PNG, whole or not at all, and return the path."""
    with store.whole_file(path) as temporary:
        figure.savefig(temporary, dpi=130)
    return Path(path)
