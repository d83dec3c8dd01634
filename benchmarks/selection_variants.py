"""Other rules than that of `adapt.select.choose`, on the tasks on which the rule was developed: is one clearly better?

    python benchmarks/selection_development.py run --seeds 0 1 2            # 9 minutes
    python benchmarks/selection_variants.py                                 # the tables of docs/selection.md, 5 minutes

The times are of one idle core. The first call scores all models, one file for each task and seed beside the runs; a
second call takes 20 seconds. Seeds 3 and 4 are read where all tasks have them. No task of the benchmark is read. The
meaning of "clearly better" was fixed before the first variant was measured:

1. Seeds 0 and 1 pick. The regret of a task is the mean over two kinds of cells: A, all 32 candidates with one seed, and
   B, one setting of each method with two seeds together (three draws). The mean over the 36 tasks is lower by 0.3
   points or more, and the paired 95 % interval over tasks excludes 0.
2. Harm (the share of cells half a point or more below source-only) is not above the rule's, and at most 5 %.
3. The best three that pass 1 and 2 pass 1 again on the other seeds, with harm not above the rule's there.
4. A variant that is picked without a family of tasks has a lower mean regret on the families that were left out, and no
   family is worse by more than 0.5 points.

The variants "in hindsight" know the target labels: they show what is left to gain, and are never picked.

Needs the extra `ot`.
"""

import multiprocessing
import random
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from scipy.special import softmax
from scipy.stats import rankdata
from tqdm import tqdm

sys.path[0] = str(Path(__file__).parents[1])  # benchmarks/losses.py would hide the package
sys.path.append(str(Path(__file__).parent))
import selection_development as development
from selection_scores import TRANSPORTED, Array, Cell, arguments, read_cell, rows_of, score_all

from adapt import report
from adapt.heads import proportion
from adapt.select import _choose, _guard, signals
from adapt.select._class_ami import mutual_information

SETS = {"pick": (0, 1), "seed 2": (2,), "fresh seeds": (3, 4)}  # the first picks, the others are held out
LEAST, MOST_HARM, FINALISTS = 0.3, 5.0, 3


# the rule, and what variants read ------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What a rule knows of one seed, after the ruling out: row 0 is source-only."""

    cell: Cell
    rows: list[int]  # of the cell, of each model that is left
    methods: list[str]
    shares: Array
    scores: dict[str, Array]  # "shared clusters" is the score of the rule; "shared transport" has labels by transport
    p: Array
    predicted: Array


class Scene(NamedTuple):
    """A cell of the table: what a rule knows with every seed, and whether the guard refuses."""

    seen: list[Seen]
    refused: bool
    accuracy: Array  # (configurations, seeds), of source-only and every candidate
    cells: Sequence[Cell]
    rows: Sequence[Sequence[int]]


Variant = Callable[[Scene], list[Array]]  # probabilities of target rows, for each seed


def over_methods(methods: list[str], values: Array) -> Array:
    """The mean over methods of the means over the columns of each; the first column is source-only."""
    own = numpy.array(["", *methods[1:]])
    return numpy.mean([values[:, own == m].mean(1) for m in dict.fromkeys(own.tolist())], 0)


def scene(cells: Sequence[Cell], rows: Sequence[Sequence[int]], least: float | None = None) -> Scene:
    """Rule out and score the candidates at `rows`, the same configurations of every seed; 0 is source-only."""
    hits = numpy.stack([c.source_hits[[0, *r]].mean(1) for c, r in zip(cells, rows, strict=True)], 1).mean(1)
    if least is None:
        least = proportion("accuracy", torch.from_numpy(numpy.concatenate([c.source_hits[0] for c in cells]))).low
    collapsed = numpy.any([c.collapsed[list(r)] for c, r in zip(cells, rows, strict=True)], 0)
    kept = [k for k in range(len(rows[0])) if not collapsed[k] and hits[k + 1] >= least]
    seen = []
    for cell, of in zip(cells, rows, strict=True):
        left = [0, *(of[k] for k in kept)]
        methods = [cell.methods[k] for k in left]
        count = {m: methods[1:].count(m) for m in methods[1:]}
        shares = numpy.array([1.0, *((len(left) - 1) / len(count) / count[m] for m in methods[1:])])
        scores = {name: values[left] for name, values in cell.scores.items()}
        for name, agreed in (("shared clusters", cell.agreed), ("shared transport", cell.agreed_sent)):
            scores[name] = over_methods(methods, agreed[numpy.ix_(left, left)])
        p = softmax(cell.z[left].astype(float), 2)
        seen.append(Seen(cell, left, methods, shares, scores, p, cell.predicted[left]))
    accuracy = numpy.stack([(c.predicted[[0, *r]] == c.truth).mean(1) for c, r in zip(cells, rows, strict=True)], 1)
    shared = float(numpy.mean([s.scores["shared clusters"][0] for s in seen]))
    return Scene(seen, refused(cells, shared), accuracy, cells, rows)


def refused(cells: Sequence[Cell], shared: float) -> bool:
    hits, labels, predicted = (
        [torch.from_numpy(a) for a in of]
        for of in ([c.source_hits[0] for c in cells], [c.y for c in cells], [c.predicted[0] for c in cells])
    )
    if _guard.at_chance("", hits, labels) or shared < _guard.LEAST_SHARED:
        return True
    pairs = [(a, b) for i, a in enumerate(predicted) for b in predicted[:i]]
    kappas = [_guard._kappa(a, b, cells[0].z.shape[2]) for a, b in pairs]
    return bool(pairs) and sum(kappas) / len(kappas) < _guard.LEAST_KAPPA


def vote_of(s: Seen, weights: Array | None = None, p: Array | None = None) -> Array:
    """The weighted mean softmax; the weights of the rule are shares times positive scores."""
    if weights is None:
        weights = s.shares * s.scores["shared clusters"].clip(0)
        weights = weights if weights.max() > 0 else s.shares
    return numpy.einsum("k,knc->nc", weights, s.p if p is None else p) / weights.sum()


def support(s: Seen, vote: Array, rows: Array | None = None) -> Array:
    """McNemar's z of each model against source-only, with the vote in place of the truth."""
    predicted = s.predicted if rows is None else s.predicted[:, rows]
    right = predicted == vote
    more, less = (right & ~right[0]).sum(1), (~right & right[0]).sum(1)
    return (more - less) / numpy.sqrt((more + less).clip(1))


def mean(of: Scene, value: Callable[[Seen], Array]) -> Array:
    return numpy.round(numpy.mean([value(s) for s in of.seen], 0), 9)  # ties go by name, not by rounding


def score_of(of: Scene, name: str = "shared clusters") -> Array:
    return mean(of, lambda s: s.scores[name])


def z_of(of: Scene, vote: Callable[[Seen], Array] = vote_of) -> Array:
    return mean(of, lambda s: support(s, vote(s).argmax(1)))


def truth_of(of: Scene) -> Array:
    return numpy.mean([(s.predicted == s.cell.truth).mean(1) for s in of.seen], 0)


def able(
    of: Scene, score: Array | None = None, z: Array | None = None, needed: float = _choose.NEEDED_Z
) -> dict[int, float]:
    """The scores of the candidates with support that beat source-only."""
    score, z = score_of(of) if score is None else score, z_of(of) if z is None else z
    enough = len(score) > _choose.LEAST_VOTERS
    return {k: score[k] for k in range(1, len(score)) if enough and z[k] > needed and score[k] > score[0]}


def pick(of: Scene, **options: float | Array) -> int:
    """The best of `able`; 0 is source-only."""
    found, s = able(of, **options), of.seen[0]  # type: ignore[arg-type]
    return max(found, key=lambda k: (found[k], s.cell.names[s.rows[k]]), default=0)


def one(of: Scene, k: int) -> list[Array]:
    return [s.p[k] for s in of.seen]


def rule(of: Scene, **options: float | Array) -> list[Array]:
    """The rule, or the rule with another score, support or limit."""
    return one(of, pick(of, **options))


# variants ------------------------------------------------------------------------------------------------------------


def ranks(of: Scene, name: str) -> Array:
    """The sum of the ranks by shared clusters and by another score."""
    return rankdata(score_of(of)) + rankdata(score_of(of, name))


def calibrated(s: Seen) -> Array:
    return vote_of(s, p=softmax(s.cell.z[s.rows] / s.cell.temperature[s.rows][:, None, None], 2))


def hard(s: Seen) -> Array:
    return vote_of(s, p=numpy.eye(s.p.shape[2])[s.predicted])


def squared(s: Seen) -> Array:
    return vote_of(s, s.shares * s.scores["shared clusters"].clip(1e-9) ** 2)


def sent_z(of: Scene) -> Array:
    """The support by the class that the transport of most methods sends to each transported row."""

    def value(s: Seen) -> Array:
        own, each = numpy.array(["", *s.methods[1:]]), numpy.eye(s.p.shape[2])[s.cell.sent[s.rows]]
        total = sum(each[own == m].mean(0) for m in dict.fromkeys(own.tolist()))
        return support(s, total.argmax(1), rows_of(s.p.shape[1], TRANSPORTED))

    return mean(of, value)


def without_need(of: Scene, least: float) -> Array:
    """No support is needed where the shared clusters are better by `least`."""
    score = score_of(of)
    return numpy.where(score >= score[0] + least, numpy.inf, z_of(of))


def vote(of: Scene) -> list[Array]:
    return [vote_of(s) for s in of.seen]


def vote_as_candidate(of: Scene) -> list[Array]:
    """The vote is one more candidate, by its own shared clusters."""
    score, k, own = score_of(of), pick(of), []
    for s in of.seen:
        v = torch.from_numpy(vote_of(s).argmax(1))[signals._rows_to_cluster(s.p.shape[1], 0)]
        row = numpy.array([[mutual_information(v, torch.from_numpy(c)) for c in s.cell.cluster[s.rows]]])
        own.append(over_methods(s.methods, row)[0])
    better = len(score) > _choose.LEAST_VOTERS and numpy.mean(own) > score[k]
    return vote(of) if better else one(of, k)


def nearest(of: Scene) -> list[Array]:
    """The supported candidate that agrees most with the vote, where the rule adapts."""
    agreement, score = mean(of, lambda s: (s.predicted == vote_of(s).argmax(1)).mean(1)), score_of(of)
    return rule(of, score=agreement, z=numpy.where(score > score[0], z_of(of), -numpy.inf))


def mean_of_best(of: Scene, count: int) -> list[Array]:
    """The mean softmax of the best supported candidates, where the rule adapts."""
    found = able(of)
    first = sorted(found, key=lambda k: -found[k])[:count] or [0]
    return [s.p[first].mean(0) for s in of.seen]


def best_supported(of: Scene) -> list[Array]:
    """In hindsight: the best that the support of the vote allows. No score can do better without another support."""
    allowed = z_of(of) > _choose.NEEDED_Z
    allowed[0] = True
    return one(of, int(numpy.where(allowed, truth_of(of), -1).argmax()))


SCORES = (
    "MaNo", "COT", "COT, calibrated", "COTT, calibrated", "ATC", "margin", "margin, calibrated",
    "information", "information, calibrated", "nuclear norm", "nuclear norm, calibrated", "joint transport",
    "own transport", "own clusters", "shared transport",
)  # fmt: skip
VARIANTS: dict[str, Variant] = {
    "the rule": rule,
    "always source-only": lambda of: one(of, 0),
    "in hindsight: the best candidate with support": best_supported,
    # no support can do better without another score
    "in hindsight: the best score among the candidates that help": lambda of: rule(
        of, z=truth_of(of), needed=truth_of(of)[0]
    ),
    **{f"score: {name}": lambda of, n=name: rule(of, score=score_of(of, n)) for name in SCORES},
    **{f"ranks: with {name}": lambda of, n=name: rule(of, score=ranks(of, n)) for name in SCORES},
    "vote: softmax calibrated on the source": lambda of: rule(of, z=z_of(of, calibrated)),
    "vote: of predicted classes": lambda of: rule(of, z=z_of(of, hard)),
    "vote: weights squared": lambda of: rule(of, z=z_of(of, squared)),
    "support: of the labels by transport": lambda of: rule(of, z=sent_z(of)),
    "support: of the vote or of the labels by transport": lambda of: rule(of, z=numpy.maximum(z_of(of), sent_z(of))),
    "support: of the vote and of the labels by transport": lambda of: rule(of, z=numpy.minimum(z_of(of), sent_z(of))),
    "support: z above 2": partial(rule, needed=2.0),
    "support: z above 4": partial(rule, needed=4.0),
    "support: z of all seeds together": lambda of: rule(of, z=z_of(of) * numpy.sqrt(len(of.seen))),
    "support: none needed where clusters are better by 0.1": lambda of: rule(of, z=without_need(of, 0.1)),
    "support: none needed where clusters are better by 0.2": lambda of: rule(of, z=without_need(of, 0.2)),
    "support: none needed": lambda of: rule(of, z=without_need(of, 0.0)),
    "ruled out: by collapse alone": lambda of: rule(scene(of.cells, of.rows, least=0.0)),
    "model: the vote, always": vote,
    "model: the vote, where the rule adapts": lambda of: vote(of) if pick(of) else one(of, 0),
    "model: the vote, where no candidate has support": lambda of: (
        vote(of) if not pick(of) and pick(of, needed=-numpy.inf) else rule(of)
    ),
    "model: the vote, if its clusters beat the choice": vote_as_candidate,
    "model: the supported candidate closest to the vote": nearest,
    "model: mean of the choice and the vote": lambda of: (
        [(p + vote_of(s)) / 2 for p, s in zip(rule(of), of.seen, strict=True)] if pick(of) else one(of, 0)
    ),
    "model: mean of the best 2": partial(mean_of_best, count=2),
    "model: mean of the best 3": partial(mean_of_best, count=3),
}
HONEST = [name for name in VARIANTS if not name.startswith("in hindsight")]


# measuring -----------------------------------------------------------------------------------------------------------


Judged = dict[str, dict[str, Array]]  # of a task, by variant and kind of cell: (cells, 2), regret and gain in points


def judge_scene(of: Scene, variant: Variant) -> tuple[float, float]:
    found = one(of, 0) if of.refused else variant(of)
    own = numpy.mean([(p.argmax(1) == of.cells[0].truth).mean() for p in found])
    means = of.accuracy.mean(1)
    return 100 * float(means.max() - own), 100 * float(own - means[0])


def drawn(task: str, cells: Sequence[Cell], draw: int) -> Scene:
    """One weight of each method at the last checkpoint, as `development.one_setting`."""
    own, rows = random.Random(f"{task}{draw}"), []
    for method in sorted(development.WEIGHTS):
        ends = [k for k, n in enumerate(cells[0].names) if cells[0].methods[k] == method and n.endswith("step=end")]
        rows.append(own.choice(sorted(ends, key=cells[0].names.__getitem__)))
    return scene(cells, [rows] * len(cells))


def whole(cells: Sequence[Cell]) -> Scene:
    return scene(cells, [list(range(1, len(cells[0].names)))] * len(cells))


def scenes(cells: dict[int, Cell], task: str) -> dict[str, list[Scene]]:
    """The cells of the table, by set of seeds and kind."""
    found = {}
    for name, seeds in SETS.items():
        if some := [cells[s] for s in seeds if s in cells]:
            found |= {f"{name} A": [whole([c]) for c in some], f"{name} B": [drawn(task, some, d) for d in range(3)]}
    return found


def more_seeds(every: Sequence[Cell], task: str) -> dict[str, Array]:
    """Regret, gain and seeds of the rule's choice with some seeds, all scored by the mean accuracy over all seeds.

    Undecided: the seeds alone disagree on whether to adapt. Then all seeds choose together.
    """
    found: dict[str, list[tuple[float, float, float]]] = {}
    for of in (whole, *(lambda some, d=d: drawn(task, some, d) for d in range(3))):
        means = of(every).accuracy.mean(1)
        alone, together = [decision(of([c])) for c in every], decision(of(every))
        pairs = [(i, j) for j in range(len(every)) for i in range(j)]
        two = [(decision(of([every[i], every[j]])), 2) for i, j in pairs]
        torn = [(alone[i] > 0) != (alone[j] > 0) for i, j in pairs]
        last = (together, len(every))
        for name, picked in {
            "one seed": [(k, 1) for k in alone], "two seeds": two, "all seeds": [last],
            "two seeds, all where undecided": [last if t else k for k, t in zip(two, torn, strict=True)],
        }.items():  # fmt: skip
            found.setdefault(name, []).extend(
                (100 * (means.max() - means[k]), 100 * (means[k] - means[0]), seeds) for k, seeds in picked
            )
    return {name: numpy.mean(of, 0) for name, of in found.items()}


def decision(of: Scene) -> int:
    """The row of the choice of the rule in `accuracy` of the scene."""
    return 0 if of.refused else [0, *of.rows[0]].index(of.seen[0].rows[pick(of)])


def judge(folder: Path, seeds: Sequence[int], task: str) -> tuple[Judged, dict[str, Array]]:
    torch.set_num_threads(1)
    cells = {s: read_cell(folder / "scores" / f"{task}_s{s}.npz") for s in seeds}
    found = scenes(cells, task)
    judged = {
        name: {kind: numpy.array([judge_scene(s, variant) for s in of]) for kind, of in found.items()}
        for name, variant in VARIANTS.items()
    }
    return judged, more_seeds(list(cells.values()), task)


def regrets(judged: Sequence[Judged], name: str, kinds: Sequence[str]) -> Array:
    """For each task: the mean over kinds of cells of the mean over cells."""
    return numpy.array([numpy.mean([task[name][k][:, 0].mean() for k in kinds]) for task in judged])


def gains(judged: Sequence[Judged], name: str, kinds: Sequence[str]) -> Array:
    return numpy.concatenate([task[name][k][:, 1] for task in judged for k in kinds])


def harm(judged: Sequence[Judged], name: str, kinds: Sequence[str]) -> float:
    return 100 * float((gains(judged, name, kinds) <= -0.5 + 1e-7).mean())


def kinds_of(judged: Sequence[Judged], *names: str) -> list[str]:
    return [kind for kind in judged[0]["the rule"] if kind.rsplit(" ", 1)[0] in names]


def table(judged: Sequence[Judged]) -> None:
    pick, held = kinds_of(judged, "pick"), kinds_of(judged, *list(SETS)[1:])
    others = [kinds for name in list(SETS)[1:] if (kinds := kinds_of(judged, name))]
    print("| variant | seeds 0, 1: regret | to the rule | harm | worst", end=" | ")
    print(" | ".join(f"{kinds[0][:-2]}: regret | harm" for kinds in others), "| held out, to the rule |")
    print("|---|---:|---|---:|---:|" + "---:|---:|" * len(others) + "---|")
    for name in VARIANTS:
        text = [name, f"{regrets(judged, name, pick).mean():.2f}", difference(judged, name, pick)]
        text += [f"{harm(judged, name, pick):.1f} %", f"{gains(judged, name, pick).min():.1f}"]
        for kinds in others:
            text += [f"{regrets(judged, name, kinds).mean():.2f}", f"{harm(judged, name, kinds):.1f} %"]
        print("|", " | ".join([*text, difference(judged, name, held) if held else ""]), "|")


def paired(judged: Sequence[Judged], name: str, kinds: Sequence[str]) -> tuple[float, float, float]:
    return report.mean_interval((regrets(judged, name, kinds) - regrets(judged, "the rule", kinds)).tolist())


def difference(judged: Sequence[Judged], name: str, kinds: Sequence[str]) -> str:
    if name == "the rule":
        return ""
    mean, low, high = paired(judged, name, kinds)
    return f"{mean:+.2f} ({low:+.2f} to {high:+.2f})"


def allowed(judged: Sequence[Judged], name: str) -> bool:
    pick = kinds_of(judged, "pick")
    return harm(judged, name, pick) <= min(MOST_HARM, harm(judged, "the rule", pick)) + 1e-9


def passes(judged: Sequence[Judged], name: str, kinds: Sequence[str]) -> bool:
    mean, _, high = paired(judged, name, kinds)
    return mean <= -LEAST and high < 0 and harm(judged, name, kinds) <= harm(judged, "the rule", kinds) + 1e-9


def finalists(judged: Sequence[Judged]) -> list[str]:
    pick = kinds_of(judged, "pick")
    found = [n for n in HONEST if n != "the rule" and allowed(judged, n) and passes(judged, n, pick)]
    return sorted(found, key=lambda n: regrets(judged, n, pick).mean())[:FINALISTS]


def left_out(tasks: Sequence[str], judged: Sequence[Judged]) -> None:
    pick = kinds_of(judged, "pick")
    print("\n| left out | picked on the other families | regret | harm | regret of the rule | harm |")
    print("|---|---|---:|---:|---:|---:|")
    lost = numpy.zeros(2)
    for family, start in list(development.FAMILIES.items())[1:]:
        inside = [j for t, j in zip(tasks, judged, strict=True) if t.startswith(start)]
        others = [j for t, j in zip(tasks, judged, strict=True) if not t.startswith(start)]
        if not inside or not others:
            continue
        name = min((n for n in HONEST if allowed(others, n)), key=lambda n: regrets(others, n, pick).mean())
        cells = []
        for k, n in enumerate((name, "the rule")):
            lost[k] += regrets(inside, n, pick).sum()
            cells += [f"{regrets(inside, n, pick).mean():.2f}", f"{harm(inside, n, pick):.1f} %"]
        print(f"| {family} | {name} | {' | '.join(cells)} |")
    print(f"| all, each left out once | | {lost[0] / len(tasks):.2f} | | {lost[1] / len(tasks):.2f} | |")


def main() -> None:
    options = arguments(__doc__)
    tasks, seeds = score_all(options.folder, options.processes)
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        found = list(tqdm(pool.imap(partial(judge, options.folder, seeds), tasks), total=len(tasks)))
    judged, more = [j for j, _ in found], [m for _, m in found]
    table(judged)
    last = finalists(judged)
    print("\nclearly better on seeds 0 and 1:", ", ".join(last) or "none")
    held = kinds_of(judged, *list(SETS)[1:])
    print("and on the seeds held out:", ", ".join(n for n in last if passes(judged, n, held)) or "none")
    left_out(tasks, judged)
    print("\n| seeds of the choice | regret | gain | seeds, mean |\n|---|---:|---:|---:|")
    for name in more[0]:
        print(f"| {name} | " + " | ".join(f"{v:.2f}" for v in numpy.mean([m[name] for m in more], 0)) + " |")


if __name__ == "__main__":
    main()
