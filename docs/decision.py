"""Draw `docs/images/which_transfer.png`: from the data at hand to a kind of transfer.

python docs/decision.py
"""

from pathlib import Path

import matplotlib.pyplot as plt

BLUE, GREEN, GREY = "#d7e3f1", "#dcefdc", "#666666"
QUESTIONS = {  # name: (x, y, words)
    "labels": (0.5, 0.93, "Does the target\nhave labels?"),
    "tasks": (0.17, 0.72, "Several tasks\nat once?"),
    "many": (0.17, 0.5, "More than about 20\nlabels of each class?"),
    "same": (0.72, 0.72, "Same task as\na labelled source?"),
    "shares": (0.6, 0.5, "Do the rows of a class\nlook the same there?"),
    "data": (0.6, 0.28, "Is the source data\nat hand?"),
    "names": (0.9, 0.5, "Do the classes\nhave names?"),
}
KINDS = {
    "multi-task": (0.36, 0.6, "multi-task"), "inductive": (0.07, 0.28, "inductive:\nfine-tuning"),
    "few-shot": (0.27, 0.28, "few-shot,\nverification,\nactive learning"), "shift": (0.37, 0.4, "label shift"),
    "domain": (0.5, 0.07, "domain\nadaptation"), "free": (0.71, 0.07, "source-free,\ntest-time"),
    "zero": (0.82, 0.28, "zero-shot"), "unsupervised": (0.99, 0.28, "unsupervised"),
}  # fmt: skip
ARROWS = [
    ("labels", "tasks", "yes"), ("labels", "same", "no"), ("tasks", "multi-task", "yes"), ("tasks", "many", "no"),
    ("many", "inductive", "yes"), ("many", "few-shot", "no"), ("same", "shares", "yes"), ("same", "names", "no"),
    ("shares", "shift", "yes"), ("shares", "data", "no"), ("data", "domain", "yes"), ("data", "free", "no"),
    ("names", "zero", "yes"), ("names", "unsupervised", "no"),
]  # fmt: skip


def main() -> None:
    figure, axes = plt.subplots(figsize=(11, 6.2))
    places = QUESTIONS | KINDS
    for start, end, words in ARROWS:
        (x, y, _), (to_x, to_y, _) = places[start], places[end]
        axes.annotate("", (to_x, to_y), (x, y), arrowprops={"arrowstyle": "->", "color": GREY, "shrinkB": 24})
        axes.text(0.5 * (x + to_x), 0.5 * (y + to_y), words, ha="center", va="center", color=GREY,
                  fontsize=9, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})  # fmt: skip
    for name, (x, y, words) in places.items():
        box = {"facecolor": BLUE if name in QUESTIONS else GREEN, "edgecolor": "none"}
        box["boxstyle"] = "round,pad=0.6"
        axes.text(x, y, words, ha="center", va="center", fontsize=10, bbox=box)
    axes.set(xlim=(0, 1.06), ylim=(0, 1))
    axes.axis("off")
    figure.savefig(Path(__file__).parent / "images" / "which_transfer.png", dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
