"""The page of benchmarks/domain_adaptation.py: tables, the choice without target labels, a picture, a CSV file.

    python benchmarks/domain_report.py [--folder runs/domain_adaptation] [--out runs/domain_adaptation]

Reads what has been run and needs no data. Writes `results.md`, `results.csv` (a row for each task and method,
accuracies in percent by seed) and `results.png`. Heart disease was among the tasks on which the rule of `adapt.select`
was developed: it has its own line.
"""

import argparse
import csv
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from matplotlib.figure import Figure
from scipy.stats import rankdata
from tqdm import tqdm

sys.path[0] = str(Path(__file__).parents[1])  # benchmarks/losses.py would hide the package
from adapt import report, select
from adapt.engine import Predictions

BASELINE, UPPER = "source only", "target only"
DEVELOPED_ON = "heart"  # by the rule of the choice
Runs = dict[int, dict[str, numpy.ndarray]]  # by seed


class Task(NamedTuple):
    group: str
    name: str
    methods: dict[str, Runs]


class Pick(NamedTuple):
    """Of one task: names of the best method and of the rule's, and accuracies."""

    task: Task
    best: str
    chosen: str
    base: float
    upper: float
    top: float
    own: float
    averaged: float
    luck: float


def read(folder: Path, seeds: int) -> list[Task]:
    """Tasks whose source-only is there; of each the methods whose seeds are all there."""
    tasks = []
    for place in sorted(folder.glob("*/*/")):
        names = sorted({path.stem.rsplit("_", 1)[0] for path in place.glob("*.npz")})
        paths = {name: [place / f"{name}_{seed}.npz" for seed in range(seeds)] for name in names}
        whole = {n.replace("_", " "): files for n, files in paths.items() if all(path.exists() for path in files)}
        if BASELINE in whole:
            methods = {n: {s: dict(numpy.load(p)) for s, p in enumerate(files)} for n, files in whole.items()}
            tasks.append(Task(place.parent.name, place.name.replace("_", " "), methods))
    return tasks


def accuracy(runs: Runs) -> numpy.ndarray:
    return 100 * numpy.array([float(run["accuracy"]) for run in runs.values()])


def models(task: Task) -> dict[str, Runs]:
    """What the rule and the oracle choose from: the trained, of which outputs are kept, and source-only."""
    return {name: runs for name, runs in task.methods.items() if "target_outputs" in runs[0]}


def candidates(method: str, runs: Runs) -> list[select.Candidate]:
    """Without the labels of the target."""
    found = []
    for seed, run in runs.items():
        t = {name: torch.from_numpy(x) for name, x in run.items() if x.ndim and name != "target_labels"}
        source = Predictions(t["source_outputs"], t["source_features"], t["source_labels"])
        target = Predictions(t["target_outputs"], t["target_features"], None)
        found.append(select.Candidate(method, source, target, seed=seed))
    return found


def pick(task: Task) -> Pick:
    among = models(task)
    adapted = [c for name, runs in among.items() if name != BASELINE for c in candidates(name, runs)]
    base = candidates(BASELINE, among[BASELINE])
    choice = select.choose(adapted, base, others=False)
    if not choice.chosen:  # refused: the user is left with the model without adaptation
        choice = replace(choice, name="source-only", chosen=base)
    chosen = choice.chosen[0].method
    labels = torch.from_numpy(among[BASELINE][0]["target_labels"])
    averaged = 100 * (choice.probabilities().argmax(1) == labels).double().mean().item()
    scores = {name: accuracy(runs) for name, runs in among.items()}
    best = max(scores, key=lambda name: scores[name].mean())
    plain, top, own = (float(scores[name].mean()) for name in (BASELINE, best, chosen))
    upper = float(accuracy(task.methods[UPPER]).mean()) if UPPER in task.methods else numpy.nan
    return Pick(task, best, chosen, plain, upper, top, own, averaged, luck(scores))


def luck(scores: dict[str, numpy.ndarray]) -> float:
    """How far the oracle of all seeds but one is, on that one, below the oracle of all; mean over seeds."""
    table = numpy.stack(list(scores.values()))
    others = table.sum(1, keepdims=True) - table
    found = numpy.take_along_axis(table, others.argmax(0)[None], 0)[0]
    return float(table.mean(1).max() - found.mean())


def group_table(group: str, tasks: list[Task]) -> str:
    """Means over tasks; the interval is over seeds, of the paired difference; ranks are among what could be chosen."""
    common = [m for m in tasks[0].methods if all(m in t.methods for t in tasks)]
    whole = {m: numpy.stack([accuracy(t.methods[m]) for t in tasks]) for m in common}  # (tasks, seeds)
    ranked = [m for m in common if m in models(tasks[0])]
    ranks = rankdata([-whole[m].mean(1) for m in ranked], axis=0).mean(1)
    lines = [
        f"### {group}: {len(tasks)} tasks",
        "",
        "| method | accuracy % | to source only | 95 % interval | mean rank | tasks worse by 0.5 or more "
        "| worst task |",
        "|---|---:|---:|---|---:|---:|---:|",
    ]
    for m in sorted(whole, key=lambda m: -whole[m].mean()):
        difference = whole[m] - whole[BASELINE]
        mean, low, high = report.mean_interval(difference.mean(0).tolist())
        rank = f"{ranks[ranked.index(m)]:.1f}" if m in ranked else ""
        rest = "| | |" if m == BASELINE else f"| {mean:+.1f} | {low:+.1f} to {high:+.1f} |"
        by_task = difference.mean(1)
        harm = "| |" if m in (BASELINE, UPPER) else f"{(by_task <= -0.5).sum()} | {by_task.min():+.1f} |"
        lines.append(f"| {m} | {whole[m].mean():.1f} {rest} {rank} | {harm}")
    return "\n".join(lines) + "\n"


def pick_table(picks: list[Pick]) -> str:
    lines = [
        "| group | task | source only | target only | oracle | | rule | | regret | seeds averaged |",
        "|---|---|---:|---:|---:|---|---:|---|---:|---:|",
    ]
    for p in picks:
        lines.append(
            f"| {p.task.group} | {p.task.name} | {p.base:.1f} | {p.upper:.1f} | {p.top:.1f} | {p.best} "
            f"| {p.own:.1f} | {p.chosen} "
            f"| {p.top - p.own:.1f} | {p.averaged:.1f} |"
        )
    return "\n".join(lines) + "\n"


def summary(picks: list[Pick]) -> str:
    """The rule over tasks, and beside it every single method used everywhere."""
    groups = list(dict.fromkeys(p.task.group for p in picks))
    unseen = [p for p in picks if p.task.group != DEVELOPED_ON]
    parts = {
        "all": picks,
        f"all but {DEVELOPED_ON}": unseen,
        **{g: [p for p in picks if p.task.group == g] for g in groups},
    }
    lines = [
        "| tasks | n | source only | oracle | rule | regret, mean | median | luck | harm | worst "
        "| seeds averaged | regret | harm |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, some in parts.items():
        if not some:
            continue
        base, top, own, averaged, lost = numpy.array([(p.base, p.top, p.own, p.averaged, p.luck) for p in some]).T

        def share(values: numpy.ndarray, base: numpy.ndarray = base) -> str:
            return f"{(values - base <= -0.5).sum()} of {len(base)}"

        lines.append(
            f"| {name} | {len(some)} | {base.mean():.1f} | {top.mean():.1f} | {own.mean():.1f} "
            f"| {(top - own).mean():.2f} "
            f"| {numpy.median(top - own):.2f} | {lost.mean():.2f} | {share(own)} | {(own - base).min():+.1f} "
            f"| {averaged.mean():.1f} | {(top - averaged).mean():.2f} | {share(averaged)} |"
        )
    return "\n".join(lines) + "\n"


def everywhere(picks: list[Pick]) -> str:
    """What it would be to use one method on all tasks that have it."""
    lines = ["| one method everywhere | tasks | regret, mean | tasks worse by 0.5 or more |", "|---|---:|---:|---:|"]
    rows = []
    for name in dict.fromkeys(m for p in picks for m in models(p.task)):
        some = [(p.top, p.base, accuracy(p.task.methods[name]).mean()) for p in picks if name in p.task.methods]
        top, base, own = numpy.array(some).T
        harm = (own - base <= -0.5).sum()
        rows.append(
            (
                -len(some),
                (top - own).mean(),
                f"| {name} | {len(some)} | {(top - own).mean():.1f} | {harm} ({100 * harm / len(some):.0f} %) |",
            )
        )
    return "\n".join(lines + [row for *_, row in sorted(rows)]) + "\n"


def picture(picks: list[Pick], path: Path) -> None:
    """A line for each task: from source only to the rule's choice, the oracle and target only beside it."""
    ordered = sorted(picks, key=lambda p: (p.task.group, p.base))
    figure = Figure(figsize=(9, 1.2 + 0.19 * len(picks)), layout="constrained")
    axes = figure.subplots()
    rows = numpy.arange(len(ordered))
    axes.hlines(rows, [p.base for p in ordered], [p.own for p in ordered], color="0.75", linewidth=3)
    marks = (
        ("target only", "upper", "|", "0.4", 22),
        ("oracle", "top", "d", "C1", 22),
        ("source only", "base", "o", "C0", 46),  # seen behind the rule's where they are the same
        ("rule", "own", "s", "C2", 14),
    )
    for label, field, marker, color, size in marks:
        values = [getattr(p, field) for p in ordered]
        axes.scatter(values, rows, marker=marker, color=color, label=label, s=size, zorder=2)
    axes.set_yticks(rows, [f"{p.task.group}: {p.task.name}" for p in ordered], fontsize=7)
    axes.set_xlabel("target accuracy, %")
    axes.set_title("the choice without target labels, mean of the seeds")
    axes.grid(axis="x", alpha=0.3)
    axes.margins(y=0.01)
    axes.legend(loc="lower left", fontsize=8)
    report.save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/domain_adaptation"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="where the page is written; the folder of the runs")
    options = parser.parse_args()
    tasks, out = read(options.folder, options.seeds), options.out or options.folder
    if not tasks:
        sys.exit(
            f"`{options.folder}` has no task with {options.seeds} seeds of {BASELINE}: run domain_adaptation.py first."
        )
    picks = [pick(task) for task in tqdm(tasks, unit="task")]
    parts = [summary(picks), everywhere(picks), pick_table(picks)]
    parts += [group_table(g, [t for t in tasks if t.group == g]) for g in dict.fromkeys(t.group for t in tasks)]
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.md").write_text("\n".join(parts))
    with (out / "results.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["group", "task", "method", *(f"seed_{seed}" for seed in range(options.seeds))])
        table.writerows(
            [t.group, t.name, m, *(f"{v:.2f}" for v in accuracy(runs))] for t in tasks for m, runs in t.methods.items()
        )
    picture(picks, out / "results.png")
    print("\n".join(parts))


if __name__ == "__main__":
    main()
