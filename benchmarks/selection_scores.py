"""Scores of all models of selection_development.py, for selection_variants.py: one file for each task and seed.

    python benchmarks/selection_scores.py       # 6 minutes of one idle core for three seeds; writes beside the runs

Beside the scores of `adapt.select`: MaNo, ATC, margins, softmax outputs calibrated on the source, and transport of
predictions to classes (COT, COTT), of features, and of both together. Needs the extra `ot`.
"""

import argparse
import multiprocessing
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy
import ot
import torch
from scipy.special import softmax
from tqdm import tqdm

sys.path[0] = str(Path(__file__).parents[1])  # benchmarks/losses.py would hide the package
sys.path.append(str(Path(__file__).parent))
import selection_development as development

from adapt import select, store
from adapt.select import signals
from adapt.select._class_ami import clusters, mutual_information

TRANSPORTED = 600  # target rows of the transport: its price grows with rows of target times rows of source
Array = numpy.ndarray


def temperature(z: Array, y: Array) -> float:
    """The temperature with the least cross-entropy on held-out source rows (Guo et al. 2017)."""
    tried = numpy.exp(numpy.linspace(-1.5, 3, 46))
    return float(min(tried, key=lambda t: -numpy.log(softmax(z / t, 1)[numpy.arange(len(y)), y] + 1e-12).mean()))


def mano(z: Array) -> float:
    """MaNo (Xie et al. 2024): the mean 4-norm of normalised logits; softmax or its second-order Taylor polynomial."""
    p = softmax(z, 1)
    if -numpy.log(p + 1e-300).mean() <= 5:
        p = 1 + z + z**2 / 2
        p = p / p.sum(1, keepdims=True)
    return float((p**4).mean() ** 0.25)


def prior_costs(p: Array, prior: Array) -> Array:
    """What each row pays in the cheapest transport to classes with these shares, at 1 - p of the class."""
    n = len(p)
    plan = ot.emd(numpy.full(n, 1 / n), prior / prior.sum(), 1 - p, numItermax=1_000_000)
    return n * (plan * (1 - p)).sum(1)


def cott(p: Array, p_source: Array, y: Array, prior: Array) -> float:
    """COTT (Lu et al. 2023): rows that pay more than a threshold are wrong; it is right about the source's mistakes."""
    own = numpy.sort(prior_costs(p_source, prior))
    wrong = (p_source.argmax(1) != y).mean()
    threshold = numpy.quantile(own, 1 - wrong)
    return -float((prior_costs(p, prior) > threshold).mean())


def atc(p: Array, p_source: Array, y: Array) -> float:
    """ATC (Garg et al. 2022): rows with a confidence above a threshold, which is right about the source's mistakes."""
    wrong = (p_source.argmax(1) != y).mean()
    return float((p.max(1) > numpy.quantile(p_source.max(1), wrong)).mean())


def margin(p: Array) -> float:
    top = numpy.sort(p, 1)[:, -2:]
    return float((top[:, 1] - top[:, 0]).mean())


def transported(fs: Array, y: Array, ft: Array, p: Array, classes: int) -> tuple[Array, float]:
    """Labels that the source sends to target rows by transport of features, and the cost of the joint transport."""
    cost = ((ft[:, None] - fs[None]) ** 2).sum(2)
    cost = cost / max(cost.mean(), 1e-12)
    a, b = numpy.full(len(ft), 1 / len(ft)), numpy.full(len(fs), 1 / len(fs))
    sent = ot.emd(a, b, cost, numItermax=1_000_000) @ numpy.eye(classes)[y]
    joint = ot.emd2(a, b, cost + 1 - p[:, y], numItermax=1_000_000)
    return sent.argmax(1), -float(joint)


class Cell(NamedTuple):
    """One task and seed; row 0 is source-only at the end, then the 32 candidates by name."""

    names: list[str]
    methods: list[str]
    truth: Array
    y: Array  # labels of the held-out source rows
    z: Array  # (models, rows, classes) of the target
    cluster: Array  # (models, clustered rows)
    sent: Array  # (models, transported rows): labels by transport
    agreed: Array  # (models, models): mutual information of predictions with the clusters of another
    agreed_sent: Array  # and with the labels by transport of another
    temperature: Array
    source_hits: Array  # (models, source rows)
    collapsed: Array
    scores: dict[str, Array]  # (models,)

    @property
    def predicted(self) -> Array:
        return self.z.argmax(2)


def rows_of(n: int, at_most: int) -> Array:
    return numpy.sort(numpy.random.RandomState(0).permutation(n)[:at_most])


def score_cell(folder: Path, work: tuple[str, int]) -> None:
    torch.set_num_threads(1)
    task, seed = work
    end, _, others = development.load(folder / f"{task}_s{seed}.npz", seed)
    models = [end, *others]
    members = [m.candidate for m in models]
    y = members[0].source.labels.numpy()
    zs, fs = ([getattr(m.source, part).numpy().astype(float) for m in members] for part in ("outputs", "features"))
    z, ft = ([getattr(m.target, part).numpy().astype(float) for m in members] for part in ("outputs", "features"))
    classes = z[0].shape[1]
    prior = numpy.bincount(y, minlength=classes).astype(float)
    predicted = [torch.from_numpy(a.argmax(1)) for a in z]
    clustered, moved = signals._rows_to_cluster(len(z[0]), 0), rows_of(len(z[0]), TRANSPORTED)
    cluster = [clusters(torch.from_numpy(f)[clustered], classes) for f in ft]
    sent, scores = [], []
    heat = [temperature(a, y) for a in zs]
    for k, m in enumerate(members):
        raw, p, p_source = softmax(z[k], 1), softmax(z[k] / heat[k], 1), softmax(zs[k] / heat[k], 1)
        labels, joint = transported(fs[k], y, ft[k][moved], raw[moved], classes)
        sent.append(torch.from_numpy(labels))
        logits, cool = m.target.outputs, torch.from_numpy(p).log()
        scores.append(
            {
                "MaNo": mano(z[k]),
                "COT": -float(prior_costs(raw, prior).mean()),
                "COT, calibrated": -float(prior_costs(p, prior).mean()),
                "COTT, calibrated": cott(p, p_source, y, prior),
                "ATC": atc(p, p_source, y),
                "margin": margin(raw),
                "margin, calibrated": margin(p),
                "information": select.information_maximization(logits),
                "information, calibrated": select.information_maximization(cool),
                "nuclear norm": select.batch_nuclear_norm(logits),
                "nuclear norm, calibrated": select.batch_nuclear_norm(cool),
                "joint transport": joint,
            }
        )
    plain = members[0].target.outputs
    signs = [
        bool(select.collapse(m.target.outputs, y, target_features=m.target.features,
                             source_features=m.source.features, source_only_logits=plain)) for m in members
    ]  # fmt: skip
    arrays = {
        "names": numpy.array([m.name for m in members]), "methods": numpy.array([m.method for m in members]),
        "truth": end.labels, "y": y, "z": numpy.stack(z).astype(numpy.float32),
        "cluster": torch.stack(cluster).numpy(), "sent": torch.stack(sent).numpy(),
        "agreed": numpy.array([[mutual_information(a[clustered], c) for c in cluster] for a in predicted]),
        "agreed_sent": numpy.array([[mutual_information(a[moved], c) for c in sent] for a in predicted]),
        "temperature": numpy.array(heat), "source_hits": numpy.stack([a.argmax(1) == y for a in zs]),
        "collapsed": numpy.array(signs), **{f"score|{k}": numpy.array([s[k] for s in scores]) for k in scores[0]},
    }  # fmt: skip
    with store.whole_file(folder / "scores" / f"{task}_s{seed}.npz", several_writers=True) as unfinished:
        numpy.savez(unfinished, **arrays)  # type: ignore[arg-type]


def read_cell(path: Path) -> Cell:
    found = dict(numpy.load(path))
    scores = {name.split("|")[1]: found.pop(name) for name in list(found) if name.startswith("score|")}
    scores["own clusters"] = numpy.diag(found["agreed"])
    scores["own transport"] = numpy.diag(found["agreed_sent"])
    names, methods = found.pop("names").tolist(), found.pop("methods").tolist()
    return Cell(names, methods, scores=scores, **found)


def score_all(folder: Path, processes: int) -> tuple[list[str], list[int]]:
    """Score what has no scores. Return the tasks with seeds 0 and 1, and the seeds that all these tasks have."""
    names = {path.stem for path in folder.glob("[!.]*_s[0-4].npz")}
    tasks = sorted({n[:-3] for n in names if {f"{n[:-3]}_s0", f"{n[:-3]}_s1"} <= names})
    if not tasks:
        raise SystemExit(f"no task has seeds 0 and 1 in {folder}: `selection_development.py run` first.")
    seeds = [s for s in range(5) if all(f"{t}_s{s}" in names for t in tasks)]
    (folder / "scores").mkdir(exist_ok=True)
    work = [(t, s) for s in seeds for t in tasks if not (folder / "scores" / f"{t}_s{s}.npz").exists()]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for _ in tqdm(pool.imap(partial(score_cell, folder), work), total=len(work)):
            pass
    return tasks, seeds


def arguments(text: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/selection_development"))
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    score_all(**vars(arguments(__doc__)))
