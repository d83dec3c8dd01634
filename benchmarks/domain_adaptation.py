"""Every domain adaptation method on every task, five paired seeds, and what a choice without target labels makes of it.

    python benchmarks/domain_adaptation.py run [--groups heart ...] [--methods dann ...] [--seeds 5] [--quick]
    python benchmarks/domain_adaptation.py report [--csv table.csv]      # tables of what has been run

`run` goes on where it was stopped: one file a run under `--folder`, written whole or not at all. Needs ADAPT_DATA; the
reviews need the extra `text`. Two processes may share a folder: `--share 0/2` and `--share 1/2`.

One network, one optimizer, one number of steps and one setting of each method for all tasks of a kind of input, taken
from the papers or fixed on the MNIST and USPS tables of the JDA paper, which are not in the benchmark. Methods learn from
the source's training rows (80 %) and all target rows without labels, and are scored on all target rows (the
transductive protocol of the published tables). `target only` is cross-fitted: trained on one half of the target and
scored on the other.
"""

import argparse
import csv
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from scipy.stats import rankdata
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from tqdm import tqdm

sys.path[0] = str(Path(__file__).parents[1])  # benchmarks/losses.py would hide the package
from adapt import Stream, Trainer, domain, encoders, heads, inductive, ramp, select, streams
from adapt.engine import Predictions, cosine
from adapt.report import mean_interval

BASELINE, ORACLE = "source only", "target only"
STEPS, BATCH, RATE, DIM = 500, 64, 1e-3, 64


# tasks ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """One pair of domains. `read` gives the source and the target, whole and labelled."""

    group: str
    name: str
    classes: int
    read: Callable[[], tuple[TensorDataset, TensorDataset]]


def tasks(groups: list[str]) -> Iterator[Task]:
    for group in groups:
        yield from GROUPS[group]()


def pairs_of(group: str, domains: dict, classes: int, prepare=lambda source, target: (source, target)) -> list[Task]:
    found = []
    for a, source in domains.items():
        for b, target in domains.items():
            if a != b:
                found.append(Task(group, f"{a} to {b}", classes, partial(prepare, source, target)))
    return found


def scaled(source: TensorDataset, target: TensorDataset) -> tuple[TensorDataset, TensorDataset]:
    """Columns on the source's scale; five deviations are far, and a sensor's outlier need not be farther."""
    both = streams.standardize(source, target)
    first, second = (TensorDataset(d.tensors[0].clamp(-5, 5), d.tensors[1]) for d in both)
    return first, second


def office() -> list[Task]:
    return pairs_of("office", streams.office_caltech10_surf()._asdict(), 10)


def heart() -> list[Task]:
    return pairs_of("heart", streams.heart_disease()._asdict(), 2, scaled)


def wisdm() -> list[Task]:
    users = streams.wisdm_transformed()
    return [
        Task("wisdm", f"{a} to {b}", len(streams.WISDM_CLASSES), partial(scaled, users[a], users[b]))
        for a, b in streams.ring(users, 10)
    ]


def amazon() -> list[Task]:
    folder = Path(os.environ.get("ADAPT_CACHE", Path.home() / ".cache" / "adapt"))
    sets = {
        name: TensorDataset(encoders.sentences(reviews.texts, folder), reviews.labels)
        for name, reviews in streams.amazon_reviews_text()._asdict().items()
    }
    return pairs_of("amazon", sets, 2, scaled)


def jda() -> list[Task]:
    """The tables on which settings were fixed: not in the benchmark."""
    return pairs_of("jda", streams.mnist_usps_jda()._asdict(), 10)


GROUPS: dict[str, Callable[[], list[Task]]] = {
    "heart": heart,
    "office": office,
    "wisdm": wisdm,
    "amazon": amazon,
    "jda": jda,
}


# methods -------------------------------------------------------------------------------------------------------------


@dataclass
class Parts:
    """What a method is made from."""

    encoder: nn.Module
    head: nn.Module
    classes: int
    rows: int  # of the target

    def other_head(self) -> nn.Module:
        return heads.Classifier(DIM, self.classes)

    def learn(self, *classifiers: nn.Module) -> list:
        return [inductive.supervised(h, on="source", name=f"learn_{i}") for i, h in enumerate(classifiers)]

    def two_heads(self, method: Callable) -> list:
        other = self.other_head()
        return method(self.encoder, self.head, other, self.learn(self.head, other))


TERMS: dict[str, Callable[[Parts], list]] = {
    BASELINE: lambda p: [],
    "dann": lambda p: [domain.dann(DIM)],
    "cdan": lambda p: [domain.cdan(p.head, DIM)],
    "cdan entropy": lambda p: [domain.cdan(p.head, DIM, entropy=True)],
    "mdd": lambda p: [domain.mdd(p.head, DIM)],
    "dann bsp": lambda p: [domain.dann(DIM), domain.bsp()],
    "vada": lambda p: [domain.vada(p.head, DIM, radius=1.0)],
    "dan": lambda p: [domain.dan()],
    "jan": lambda p: [domain.jan(p.head)],
    "dsan": lambda p: [domain.dsan(p.head)],
    "deep coral": lambda p: [domain.deep_coral(weight=ramp(10.0))],
    "homm": lambda p: [domain.homm(weight=ramp(10.0))],
    "sliced": lambda p: [domain.sliced()],
    "afn": lambda p: [domain.afn()],
    "deep jdot": lambda p: [domain.deep_jdot(p.head, feature_weight=0.01, label_weight=0.1)],
    "mcc": lambda p: [domain.mcc(p.head)],
    "bnm": lambda p: [domain.bnm(p.head)],
    "im": lambda p: [domain.im(p.head, weight=0.3)],
    "mean teacher": lambda p: [domain.mean_teacher(p.encoder, p.head)],
    "atdoc": lambda p: [domain.atdoc(p.head, DIM, p.rows)],
}
PHASES: dict[str, Callable[[Parts], list]] = {
    "mcd": lambda p: p.two_heads(domain.mcd),
    "swd": lambda p: p.two_heads(domain.swd),
    "wdgrl": lambda p: domain.wdgrl(p.encoder, DIM, p.learn(p.head)),
}
METHODS = [*TERMS, *PHASES, ORACLE]


# runs ----------------------------------------------------------------------------------------------------------------


def network(inputs: Tensor, classes: int, seed: int) -> tuple[encoders.Encoder, heads.Classifier]:
    torch.manual_seed(seed)
    body = nn.Sequential(nn.Linear(inputs.shape[1], 256), nn.ReLU(), nn.Linear(256, DIM), nn.ReLU())
    return encoders.Encoder(body, DIM), heads.Classifier(DIM, classes)


def train(method: str, task: Task, source: TensorDataset, target: TensorDataset, seed: int, steps: int):
    """A trained encoder and head. Of the target, inputs alone are used, but for `target only`."""
    encoder, head = network(source.tensors[0], task.classes, seed)
    parts = Parts(encoder, head, task.classes, len(target))
    data = {"source": Stream(source, min(BATCH, len(source)))}
    if method not in (BASELINE, ORACLE):
        data["target"] = Stream(TensorDataset(target.tensors[0]), min(BATCH, len(target)), labels=False)
    if method in PHASES:
        what = {"phases": PHASES[method](parts)}
    else:
        what = {"terms": [inductive.supervised(head, on="source"), *TERMS.get(method, TERMS[BASELINE])(parts)]}
    trainer = Trainer(
        encoder, streams=data, optimizer=partial(torch.optim.AdamW, lr=RATE), schedule=cosine(), seed=seed,
        progress=False, **what,
    )  # fmt: skip
    return trainer.fit(steps), head


def run(method: str, task: Task, seed: int, steps: int) -> dict[str, numpy.ndarray]:
    """What the model says of held-out source rows and of the target, and how often it is right there."""
    source, target = task.read()
    parts = streams.splits(source, task.name, test=0.0, seed=seed)
    labels = target.tensors[1]
    start = time.perf_counter()
    if method == ORACLE:
        order = torch.randperm(len(target), generator=torch.Generator().manual_seed(seed))
        hits = torch.zeros(len(target), dtype=torch.bool)
        for train_rows, test_rows in (order.chunk(2), order.chunk(2)[::-1]):
            half = TensorDataset(*(t[train_rows] for t in target.tensors))
            trainer, head = train(method, task, half, target, seed, steps)
            hits[test_rows] = trainer.predict(head, target).outputs[test_rows].argmax(1) == labels[test_rows]
        found: dict[str, Tensor] = {}
    else:
        trainer, head = train(method, task, parts.train, target, seed, steps)
        on_source, on_target = trainer.predict(head, parts.validation), trainer.predict(head, target)
        hits = on_target.outputs.argmax(1) == labels
        found = {
            "source_outputs": on_source.outputs, "source_features": on_source.features,
            "source_labels": on_source.labels, "target_outputs": on_target.outputs,
            "target_features": on_target.features,
        }  # fmt: skip
    seconds = time.perf_counter() - start
    arrays = {name: t.numpy() for name, t in found.items()}
    return {**arrays, "accuracy": numpy.array(hits.float().mean().item()), "seconds": numpy.array(seconds)}


def path_of(folder: Path, task: Task, method: str, seed: int) -> Path:
    return folder / task.group / task.name.replace(" ", "-") / f"{method.replace(' ', '-')}-{seed}.npz"


def run_all(options: argparse.Namespace) -> None:
    part, parts = (int(n) for n in options.share.split("/"))
    todo = [
        (seed, task, method)
        for seed in range(options.seeds)
        for task in tasks(options.groups)
        for method in options.methods
    ]
    todo = [t for t in todo if not path_of(options.folder, t[1], t[2], t[0]).exists()][part::parts]
    for seed, task, method in (bar := tqdm(todo, unit="run", smoothing=0.05)):
        bar.set_postfix_str(f"{task.group}, {task.name}, {method}, seed {seed}")
        path = path_of(options.folder, task, method, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        with unfinished.open("wb") as file:
            numpy.savez(file, **run(method, task, seed, options.steps))  # type: ignore[arg-type]
        unfinished.replace(path)


# report --------------------------------------------------------------------------------------------------------------

Cell = dict[int, dict[str, numpy.ndarray]]  # by seed


class Pick(NamedTuple):
    """Of one task: names of the best method and of the rule's, and accuracies."""

    group: str
    task: str
    oracle: str
    rule: str
    base: float
    top: float
    own: float
    averaged: float
    luck: float


def read(options: argparse.Namespace, task: Task) -> dict[str, Cell]:
    """What has been run of a task: methods whose seeds are all there."""
    found = {}
    for method in METHODS:
        paths = [path_of(options.folder, task, method, seed) for seed in range(options.seeds)]
        if all(path.exists() for path in paths):
            found[method] = {seed: dict(numpy.load(path)) for seed, path in enumerate(paths)}
    return found


def accuracy(cell: Cell) -> numpy.ndarray:
    return 100 * numpy.array([float(run["accuracy"]) for run in cell.values()])


def candidates(method: str, cell: Cell) -> list[select.Candidate]:
    tensors = [{name: torch.from_numpy(x) for name, x in run.items() if x.ndim} for run in cell.values()]
    return [
        select.Candidate(
            method,
            Predictions(t["source_outputs"], t["source_features"], t["source_labels"]),
            Predictions(t["target_outputs"], t["target_features"], None),
            seed=seed,
        )
        for seed, t in zip(cell, tensors, strict=True)
    ]


def chosen(cells: dict[str, Cell]) -> select.Choice:
    """The rule's choice; it sees no target label."""
    adapted = [c for m, cell in cells.items() if m not in (BASELINE, ORACLE) for c in candidates(m, cell)]
    return select.choose(adapted, candidates(BASELINE, cells[BASELINE]), others=False)


def luck(scores: dict[str, numpy.ndarray]) -> float:
    """Of accuracies by seed: how far the oracle of all seeds but one is, on that one, below the oracle of all; mean over seeds."""
    table = numpy.stack(list(scores.values()))
    others = table.sum(1, keepdims=True) - table
    picked = numpy.take_along_axis(table, others.argmax(0)[None], 0)[0]
    return float(table.mean(1).max() - picked.mean())


def report(options: argparse.Namespace) -> None:
    """Tables of what has been run, to standard output; one row a cell (task and method) to a CSV file."""
    rows, picks = [], []
    for group in options.groups:
        scores: dict[str, list[numpy.ndarray]] = {}  # by method, one array over seeds for each task
        names = []
        for task in tqdm(list(GROUPS[group]()), desc=group):
            cells = read(options, task)
            if BASELINE not in cells:
                continue
            names.append(task.name)
            means = {m: accuracy(cell) for m, cell in cells.items()}
            for m, values in means.items():
                scores.setdefault(m, []).append(values)
                rows.append([group, task.name, m, *(f"{v:.2f}" for v in values)])
            models = {m: v for m, v in means.items() if m != ORACLE}
            best, choice = max(models, key=lambda m: models[m].mean()), chosen(cells)
            labels = task.read()[1].tensors[1]
            averaged = 100 * (choice.probabilities().argmax(1) == labels).double().mean().item()
            pick = choice.chosen[0].method
            base, top, own = (float(models[m].mean()) for m in (BASELINE, best, pick))
            picks.append(Pick(group, task.name, best, pick, base, top, own, averaged, luck(models)))
        if names:
            print_group(group, names, scores)
    print_picks(picks)
    if options.csv:
        with options.csv.open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["group", "task", "method", *(f"seed_{seed}" for seed in range(options.seeds))])
            table.writerows(rows)


def print_group(group: str, names: list[str], scores: dict[str, list[numpy.ndarray]]) -> None:
    """Means over tasks; the interval is over seeds, of the paired difference; ranks are among the adapted and source only."""
    whole = {m: numpy.stack(v) for m, v in scores.items() if len(v) == len(names)}  # (tasks, seeds)
    ranked = [m for m in whole if m != ORACLE]
    ranks = rankdata([-whole[m].mean(1) for m in ranked], axis=0).mean(1)
    print(f"\n### {group}: {len(names)} tasks\n")
    print(
        "| method | accuracy % | to source only | 95 % interval | mean rank | tasks worse by 0.5 or more |\n|---|---:|---:|---|---:|---:|"
    )
    order = sorted(whole, key=lambda m: -whole[m].mean())
    for m in order:
        difference = whole[m] - whole[BASELINE]
        mean, low, high = mean_interval(difference.mean(0).tolist())
        worse = "" if m in (BASELINE, ORACLE) else f"{(difference.mean(1) <= -0.5).sum()}"
        rank = "" if m == ORACLE else f"{ranks[ranked.index(m)]:.1f}"
        to = "| | " if m == BASELINE else f"| {mean:+.1f} | {low:+.1f} to {high:+.1f} "
        print(f"| {m} | {whole[m].mean():.1f} {to}| {rank} | {worse} |")


def print_picks(picks: list[Pick]) -> None:
    print(
        "\n### The choice\n\nBest of all with target labels (oracle), and the rule's choice without them: means over seeds, and"
    )
    print("the one model that averages the softmax of the choice's seeds.\n")
    print(
        "| group | task | source only | oracle | | rule | | regret | seeds averaged |\n|---|---|---:|---:|---|---:|---|---:|---:|"
    )
    for p in picks:
        print(
            f"| {p.group} | {p.task} | {p.base:.1f} | {p.top:.1f} | {p.oracle} | {p.own:.1f} | {p.rule} "
            f"| {p.top - p.own:.1f} | {p.averaged:.1f} |"
        )
    top, own, base, averaged, lost = numpy.array([(p.top, p.own, p.base, p.averaged, p.luck) for p in picks]).T
    for name, values in (("The rule", own), ("The rule, its seeds averaged", averaged)):
        harmed = (values - base <= -0.5).sum()
        print(
            f"\n{name}: mean regret {(top - values).mean():.2f} points, median {numpy.median(top - values):.2f}, mean gain "
            f"over source only {(values - base).mean():+.2f}, worse than source only by 0.5 or more in {harmed} of "
            f"{len(picks)} tasks ({100 * harmed / len(picks):.0f} %)."
        )
    print(
        f"\nIt stayed with source only in {sum(p.rule == BASELINE for p in picks)} tasks. The oracle of all seeds but one loses "
        f"{lost.mean():.2f} points on the seed left out: as much of the regret is luck."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "report"])
    parser.add_argument("--groups", nargs="+", default=["heart", "office", "wisdm", "amazon"], choices=list(GROUPS))
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--folder", type=Path, default=Path("runs/domain_adaptation"))
    parser.add_argument("--share", default="0/1", help="this process's share of the runs")
    parser.add_argument("--csv", type=Path, help="where `report` writes one row a task and method")
    parser.add_argument("--quick", action="store_true", help="2 seeds of 20 steps: does everything run?")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.steps, options.folder = 2, 20, options.folder.with_name("quick")
    torch.set_num_threads(1)
    {"run": run_all, "report": report}[options.what](options)


if __name__ == "__main__":
    main()
