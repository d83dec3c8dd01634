"""How the label-free choice (`adapt.select`) was developed: 36 tasks, 16 settings at two checkpoints, three seeds.

    python benchmarks/selection_development.py run [--tasks wine ...] [--seeds 0 1 2]       # 9 minutes
    python benchmarks/selection_development.py report     # the tables of docs/selection.md, about 20 minutes

The times are of one idle core; both share the work among `--processes`. `run` goes on where it was stopped: one file a
task and seed under `--folder`, written whole or not at all. Needs ADAPT_DATA with `heart_disease`, `mnist_usps_jda` and
`fsdd_small/fsdd_small.zip`: takes 0 to 19 of each digit and speaker of github.com/Jakobovski/free-spoken-digit-dataset
(`recordings/*_{0..19}.wav`). `report` reads what has been run; most of its time are the weights of IWCV and DEV.

Many configurations are harmful on purpose. The rule was picked on seeds 0 and 1; each of its two versions was run on
seed 2 once, after that. Other rules are measured on the same runs by benchmarks/selection_variants.py. Heart
disease is read as it was then, 13 columns with codes as numbers; `datasets.heart_disease` now has a column for each
code, which gives other models.
"""

import argparse
import csv
import io
import math
import multiprocessing
import random
import sys
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch
import torch.nn.functional as F
from scipy.fft import dct
from scipy.io import wavfile
from scipy.ndimage import rotate
from scipy.signal import stft
from scipy.stats import spearmanr
from sklearn.datasets import load_breast_cancer, load_digits, load_wine, make_moons
from torch import Tensor, nn
from tqdm import tqdm

sys.path[0] = str(Path(__file__).parents[1])  # benchmarks/losses.py would hide the package
import losses
from adapt import datasets, select, store
from adapt.datasets.files import data_file
from adapt.engine import Predictions

WEIGHTS: dict[str, tuple[float, ...]] = {
    "mmd": (0.1, 1, 10), "coral": (1, 30, 1000), "dann": (0.1, 1), "mcc": (0.1, 1), "im": (0.1, 1), "bnm": (0.3, 3),
    "entropy": (0.1, 1),
}  # fmt: skip
GRID = [("source", 0.0), *((method, float(w)) for method, weights in WEIGHTS.items() for w in weights)]
PICKED_ON, HELD_OUT = (0, 1), 2  # seeds
BATCH, RATE = 64, 2e-3
FAMILIES = {
    "all": "", "heart disease": "heart", "JDA digits": "jda", "spoken digits": "fsdd",
    "synthetic": ("dig", "moons", "wine", "cancer", "gauss"),
}  # fmt: skip

# tasks ---------------------------------------------------------------------------------------------------------------


class Task(NamedTuple):
    name: str
    x: numpy.ndarray  # of the source
    y: numpy.ndarray
    target: numpy.ndarray
    target_labels: numpy.ndarray
    classes: int


def tasks() -> Iterator[Task]:
    yield from heart()
    yield from jda()
    yield from spoken_digits()
    yield from digits_and_moons(numpy.random.RandomState(0))


def clipped(x: numpy.ndarray, mean: numpy.ndarray, deviation: numpy.ndarray) -> numpy.ndarray:
    return numpy.clip((x - mean) / deviation, -5, 5)


def heart() -> Iterator[Task]:
    domains = {}
    for hospital in ("cleveland", "hungarian", "switzerland", "va"):
        lines = data_file("heart_disease", f"processed.{hospital}.data").read_text().splitlines()[1:]
        rows = [[float(v) if v not in ("?", "") else numpy.nan for v in r] for r in csv.reader(lines) if r]
        x, y = numpy.array(rows)[:, :-1], numpy.array(rows)[:, -1] > 0
        x[:, 4][x[:, 4] == 0] = numpy.nan  # no cholesterol is a missing value
        domains[hospital] = x, y.astype(int)
    for a, (x, y) in domains.items():
        for b, (target, target_labels) in domains.items():
            if a == b:
                continue
            with warnings.catch_warnings(action="ignore"):  # Switzerland never measured cholesterol
                median = numpy.nan_to_num(numpy.nanmedian(x, 0))
            full, full_target = (numpy.where(numpy.isnan(d), median, d) for d in (x, target))
            mean, deviation = full.mean(0), full.std(0) + 1e-6
            deviation[deviation < 1e-3] = 1
            inputs = (full - mean) / deviation
            yield Task(f"heart_{a[:2]}_{b[:2]}", inputs, y, clipped(full_target, mean, deviation), target_labels, 2)


def jda() -> Iterator[Task]:
    domains = [(x.numpy(), y.numpy()) for x, y in (d.tensors for d in datasets.mnist_usps_jda(raw=True))]
    (m, y_m), (u, y_u) = ((x / numpy.linalg.norm(x, axis=1, keepdims=True) * 8, y) for x, y in domains)
    yield Task("jda_m_u", m, y_m, u, y_u, 10)
    yield Task("jda_u_m", u, y_u, m, y_m, 10)


def spoken_digits() -> Iterator[Task]:
    """Two speakers are the source of a third; 13 cepstral coefficients at 12 times."""
    features: dict[str, list[numpy.ndarray]] = {}
    labels: dict[str, list[int]] = {}
    with zipfile.ZipFile(data_file("fsdd_small", "fsdd_small.zip")) as file:
        for name in sorted(n for n in file.namelist() if n.endswith(".wav")):
            digit, speaker, _ = name.split("/")[-1][:-4].split("_")
            features.setdefault(speaker, []).append(cepstra(*wavfile.read(io.BytesIO(file.read(name)))))
            labels.setdefault(speaker, []).append(int(digit))
    x, y = ({s: numpy.array(v) for s, v in part.items()} for part in (features, labels))
    speakers = sorted(x)
    for k, target in enumerate(speakers):
        pair = [speakers[(k + 1) % 6], speakers[(k + 2) % 6]]
        both = numpy.concatenate([x[s] for s in pair])
        mean, deviation = both.mean(0), both.std(0)
        classes = numpy.concatenate([y[s] for s in pair])
        inputs = (both - mean) / deviation
        yield Task(f"fsdd_{target[:3]}", inputs, classes, clipped(x[target], mean, deviation), y[target], 10)


def cepstra(rate: int, wave: numpy.ndarray) -> numpy.ndarray:
    wave = wave.astype(float)
    wave = numpy.pad(wave, (0, max(0, 600 - len(wave))))
    power = numpy.log(numpy.abs(stft(wave, rate, nperseg=256, noverlap=128)[2]) ** 2 + 1e-3)
    c = dct(power[:128].reshape(32, 4, -1).mean(1), axis=0, norm="ortho")[:13]
    at = numpy.linspace(0, c.shape[1] - 1, 12)
    low = numpy.floor(at).astype(int)
    high = numpy.minimum(low + 1, c.shape[1] - 1)
    return (c[:, low] * (1 - (at - low)) + c[:, high] * (at - low)).ravel()


def digits_and_moons(g: numpy.random.RandomState) -> Iterator[Task]:
    """The synthetic tasks. They draw from one generator, so their order is part of them."""
    x, y = load_digits(return_X_y=True)
    order = g.permutation(len(x))
    images, y = x.reshape(-1, 8, 8)[order] / 16, y[order]

    def flat(some: numpy.ndarray) -> numpy.ndarray:
        return some.reshape(len(some), -1) * 4

    def turned(some: numpy.ndarray, degrees: float) -> numpy.ndarray:
        return flat(numpy.stack([rotate(one, degrees, reshape=False, order=1) for one in some]))

    digits = partial(Task, x=flat(images[:900]), y=y[:900], classes=10)
    b, yb = images[900:], y[900:]
    for name, target in {
        "dig_rot30": turned(b, 30),
        "dig_rot60": turned(b, 60),
        "dig_noise": flat(b + 0.35 * g.randn(*b.shape)),
        "dig_invert": flat(numpy.abs(numpy.linspace(0, 1, 8)[None, None] - b)),
        "dig_same": flat(b),
    }.items():
        yield digits(name, target=target, target_labels=yb)
    few = g.rand(len(yb)) < numpy.where(yb < 5, 1.0, 0.15)
    yield digits("dig_labelshift", target=turned(b[few], 25), target_labels=yb[few])
    yield digits("dig_partial", target=turned(b[yb < 5], 25), target_labels=yb[yb < 5])
    for degrees in (20, 40, 60):
        x, y = make_moons(600, noise=0.1, random_state=1)
        target, target_labels = make_moons(400, noise=0.1, random_state=2)
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        mean = x.mean(0)
        turn = numpy.array([[c, -s], [s, c]])
        yield Task(f"moons{degrees}", (x - mean) * 2, y, ((target - mean) @ turn) * 2, target_labels, 2)
    for name, (x, y) in {"wine": load_wine(return_X_y=True), "cancer": load_breast_cancer(return_X_y=True)}.items():
        x = (x - x.mean(0)) / x.std(0)
        source = x[:, 0] + g.randn(len(x)) * 0.3 < numpy.median(x[:, 0])
        mean, deviation = x[source].mean(0), x[source].std(0) + 1e-6
        inputs = (x[source] - mean) / deviation
        yield Task(name, inputs, y[source], clipped(x[~source], mean, deviation), y[~source], len(set(y)))
    yield from clouds(g)


def clouds(g: numpy.random.RandomState) -> Iterator[Task]:
    """Five Gaussian classes: rotated, moved, with other proportions, and with another concept."""
    centres, even = g.randn(5, 20) * 1.2, numpy.ones(5) / 5

    def drawn(rows: int, proportions: Any, seed: int, turn: Any = None, shift: Any = 0) -> tuple:
        own = numpy.random.RandomState(seed)
        y = own.choice(5, rows, p=proportions)
        x = centres[y] + own.randn(rows, 20)
        return (x if turn is None else x @ turn) + shift, y

    x, y = drawn(800, even, 1)
    turn = numpy.linalg.qr(numpy.eye(20) + 0.25 * g.randn(20, 20))[0]
    turn = turn * numpy.sign(numpy.diag(turn))
    uneven = numpy.array([0.6, 0.2, 0.1, 0.05, 0.05])
    yield Task("gauss_rot", x, y, *drawn(600, even, 2, turn), 5)
    yield Task("gauss_shift", x, y, *drawn(600, even, 3, None, 1.2 * g.randn(20)), 5)
    yield Task("gauss_labelshift", x, y, *drawn(600, uneven, 4, None, 0.7 * g.randn(20)), 5)
    target, labels = drawn(600, even, 5)
    yield Task("gauss_concept", x, y, target, numpy.where((target[:, 0] > 0) & (labels == 1), 2, labels), 5)


# runs ----------------------------------------------------------------------------------------------------------------


TERMS = {  # of features and logits, source rows before target rows
    "mmd": lambda f, z: losses.mmd(*f.split(BATCH)),
    "coral": lambda f, z: losses.coral(*f.split(BATCH)),
    "mcc": lambda f, z: losses.minimum_class_confusion(z[BATCH:]),
    "im": lambda f, z: losses.information_maximization(z[BATCH:]),
    "bnm": lambda f, z: losses.batch_nuclear_norm(z[BATCH:]),
    "entropy": lambda f, z: losses.entropy(z[BATCH:]),
}


def train(task: Task, method: str, weight: float, seed: int) -> dict[str, numpy.ndarray]:
    """Features (`_f`) and logits (`_z`) of source validation (`va`) and target rows (`ta`), half way and at the end."""
    steps = 400 if task.classes > 2 else 240
    training, validation = (torch.as_tensor(part) for part in split(task, seed))
    x, target = (torch.as_tensor(part, dtype=torch.float32) for part in (task.x, task.target))
    y = torch.as_tensor(task.y, dtype=torch.long)
    torch.manual_seed(seed)
    encoder = nn.Sequential(nn.Linear(x.shape[1], 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
    head = nn.Linear(32, task.classes)
    discriminator = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 1)) if method == "dann" else nn.Identity()
    learned = [*encoder.parameters(), *head.parameters(), *discriminator.parameters()]
    optimizer = torch.optim.Adam(learned, lr=RATE, fused=True)
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for step in range(steps):
        a = training[torch.randint(len(training), (BATCH,), generator=generator)]
        b = torch.randint(len(target), (BATCH,), generator=generator)
        if method == "source":
            loss = F.cross_entropy(head(encoder(x[a])), y[a])
        else:
            f = encoder(torch.cat([x[a], target[b]]))
            z = head(f)
            loss = F.cross_entropy(z[:BATCH], y[a])
            w = weight * (2 / (1 + math.exp(-10 * step / steps)) - 1)
            if method == "dann":
                domain = [discriminator(half).squeeze(-1) for half in losses.reverse(f, w).split(BATCH)]
                loss = loss + losses.domain_adversarial(*domain)
            else:
                loss = loss + w * TERMS[method](f, z)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        when = {steps // 2: "half", steps: "end"}.get(step + 1)
        if when:
            with torch.no_grad():
                for rows, inputs in (("va", x[validation]), ("ta", target)):
                    f = encoder(inputs)
                    found |= {f"{when}_{rows}_f": f.numpy(), f"{when}_{rows}_z": head(f).numpy()}
    return found


def split(task: Task, seed: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    order = numpy.random.RandomState(100 + seed).permutation(len(task.x))
    validation = max(len(task.x) // 5, 30)
    return order[validation:], order[:validation]


def run_cell(folder: Path, work: tuple[Task, int]) -> None:
    """All configurations of one task and seed: `mmd_0.1|end_ta_z` and so on, and the labels `va_y` and `yt`."""
    torch.set_num_threads(1)
    task, seed = work
    arrays = {"va_y": task.y[split(task, seed)[1]], "yt": task.target_labels}
    for method, weight in GRID:
        arrays |= {f"{method}_{weight:g}|{k}": v for k, v in train(task, method, weight, seed).items()}
    with store.whole_file(folder / f"{task.name}_s{seed}.npz", several_writers=True) as unfinished:
        numpy.savez(unfinished, **arrays)  # type: ignore[arg-type]


def run(options: argparse.Namespace) -> None:
    options.folder.mkdir(parents=True, exist_ok=True)
    every = {t.name: t for t in tasks()}
    if unknown := set(options.tasks) - every.keys():
        raise SystemExit(f"`--tasks` must be among {', '.join(every)}; got {', '.join(sorted(unknown))}.")
    wanted = [(every[name], seed) for seed in options.seeds for name in options.tasks or every]
    todo = [(t, seed) for t, seed in wanted if not (options.folder / f"{t.name}_s{seed}.npz").exists()]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for _ in tqdm(pool.imap(partial(run_cell, options.folder), todo), total=len(todo)):
            pass


# report --------------------------------------------------------------------------------------------------------------


class Model(NamedTuple):
    candidate: select.Candidate
    labels: numpy.ndarray  # of the target: the report alone looks at them

    @property
    def hits(self) -> numpy.ndarray:
        return self.candidate.target.outputs.argmax(1).numpy() == self.labels

    @property
    def accuracy(self) -> float:
        return float(self.hits.mean())


class Gain(NamedTuple):
    """In target accuracy over source-only."""

    choice: float
    averaged: float  # the choice with the softmax of its seeds averaged
    oracle: float  # the best there was
    luck: float  # what the best on half of the target's rows loses to the best of the other half there


def load(path: Path, seed: int) -> tuple[Model, Model, list[Model]]:
    """Source-only at the end and half way, and the 32 candidates."""
    arrays = dict(numpy.load(path))
    found = []
    for run in sorted({name.split("|")[0] for name in arrays if "|" in name}):
        method, weight = run.split("_")
        for when in ("half", "end"):
            t = {k: torch.from_numpy(arrays[f"{run}|{when}_{k}"]) for k in ("va_z", "va_f", "ta_z", "ta_f")}
            candidate = select.Candidate(
                method,
                Predictions(t["va_z"], t["va_f"], torch.from_numpy(arrays["va_y"])),
                Predictions(t["ta_z"], t["ta_f"], None),
                {"weight": weight, "step": when},  # a word; ties go by name
                seed=seed,
            )
            found.append(Model(candidate, arrays["yt"]))
    half, end = (m for m in found if m.candidate.method == "source")
    return end, half, [m for m in found if m.candidate.method != "source"]


def pick(base: list[Model], models: list[list[Model]]) -> Gain:
    """The rule's choice among the models of each seed."""
    choice = select.choose(
        [m.candidate for of_seed in models for m in of_seed], [m.candidate for m in base], others=False
    )
    if not choice.chosen:  # refused: the user is left with the model without adaptation
        choice = replace(choice, name="source-only", chosen=[m.candidate for m in base])
    hits = {"source-only": numpy.mean([m.hits for m in base], 0)}  # of each row, mean over seeds
    for same in zip(*models, strict=True):
        hits[same[0].candidate.name] = numpy.mean([m.hits for m in same], 0)
    plain, table = hits["source-only"].mean(), numpy.stack(list(hits.values()))
    averaged = (choice.probabilities().argmax(1).numpy() == base[0].labels).mean()
    best = table.mean(1).max()
    return Gain(float(hits[choice.name].mean() - plain), float(averaged - plain), float(best - plain), luck(table))


def luck(hits: numpy.ndarray, repeats: int = 20) -> float:
    """Of ``(models, rows)`` hits: how far the best on one half is below the best on the other half, there."""
    own, lost = numpy.random.RandomState(0), []
    for _ in range(repeats):
        half, other = (hits[:, rows].mean(1) for rows in numpy.array_split(own.permutation(hits.shape[1]), 2))
        lost.append(other.max() - other[half.argmax()])
    return float(numpy.mean(lost))


def one_setting(task: str, models: list[Model], draw: int) -> list[Model]:
    """One weight of each method at the last checkpoint, as without a search; drawn, the same for all seeds."""
    own, found = random.Random(f"{task}{draw}"), []
    for method in sorted(WEIGHTS):
        ends = [m for m in models if m.candidate.method == method and m.candidate.name.endswith("step=end")]
        found.append(own.choice(sorted(ends, key=lambda m: m.candidate.name)))
    return found


def scores(c: select.Candidate, vote: Tensor, shared: Tensor) -> dict[str, float]:
    (zs, fs, y), (zt, ft, _) = c.source, c.target
    own = select.importance_weights(fs, ft)
    return {
        "source accuracy": select.source_accuracy(zs, y),
        "entropy": select.entropy(zt),
        "diversity": select.diversity(zt),
        "information": select.information_maximization(zt),
        "nuclear norm": select.batch_nuclear_norm(zt),
        "ClassAMI": select.class_ami(ft, zt),
        "SND": select.soft_neighbourhood_density(zt),
        "IWCV": select.importance_weighted(zs, y, shared),
        "DEV": select.dev(zs, y, own),
        "DEVN": select.dev(zs, y, own, normalize=True),
        "reverse validation": select.reverse_validation(ft, zt, fs, y),
        "agreement with the plain vote": (zt.argmax(1) == vote).double().mean().item(),
    }


def validators(base: Model, models: list[Model]) -> dict[str, tuple[float, Gain]]:
    """Rank correlation with the accuracy, and what the best of each score gives."""
    shared = select.importance_weights(base.candidate.source.features, base.candidate.target.features)
    vote = torch.stack([m.candidate.target.outputs.softmax(1) for m in models]).mean(0).argmax(1)
    table = [scores(m.candidate, vote, shared) for m in models]
    accuracy = numpy.array([m.accuracy for m in models])
    found = {}
    for name in table[0]:
        values = [round(row[name], 9) for row in table]  # many are 1 but for rounding; the first by name is taken
        correlation = spearmanr(values, accuracy)[0] if len(set(values)) > 1 else 0.0
        chosen = accuracy[int(numpy.argmax(values))]
        found[name] = correlation, Gain(chosen - base.accuracy, math.nan, accuracy.max() - base.accuracy, math.nan)
    found["(always source-only)"] = math.nan, Gain(0.0, math.nan, accuracy.max() - base.accuracy, math.nan)
    return found


def judge(folder: Path, name: str) -> dict[str, list]:
    """Everything the tables need of one task: gains by kind of cell, and validators of seeds 0 and 1."""
    torch.set_num_threads(1)
    runs = {seed: load(folder / f"{name}_s{seed}.npz", seed) for seed in (*PICKED_ON, HELD_OUT)}
    found: dict[str, list] = {"validators": []}
    for seed, (end, half, models) in runs.items():
        tag = " held out" if seed == HELD_OUT else ""
        found.setdefault("all" + tag, []).append(pick([end], [models]))
        for method in WEIGHTS:
            of_method = [m for m in models if m.candidate.method == method]
            found.setdefault("method" + tag, []).append(pick([end], [of_method]))
        if seed != HELD_OUT:
            found["validators"].append(validators(end, [*models, half, end]))
    for tag, seeds in (("", PICKED_ON), (" held out", (HELD_OUT,))):
        some = [runs[seed] for seed in seeds]
        for draw in range(3):
            drawn = [one_setting(name, models, draw) for _, _, models in some]
            found.setdefault("setting" + tag, []).append(pick([r[0] for r in some], drawn))
    found["seeds"] = [pick([r[0] for r in runs.values()], [r[2] for r in runs.values()])]
    return found


def summary(gains: list[Gain]) -> dict[str, float]:
    choice, averaged, oracle, luck = 100 * numpy.array(gains).T
    return {
        "regret": (oracle - choice).mean(), "median": float(numpy.median(oracle - choice)),
        "averaged": (oracle - averaged).mean(), "luck": luck.mean(),
        "harm": 100 * (choice <= -0.5 + 1e-7).mean(), "worst": choice.min(), "gain": choice.mean(),
        "oracle": oracle.mean(),
    }  # fmt: skip


def report(options: argparse.Namespace) -> None:
    seeds = (*PICKED_ON, HELD_OUT)
    names = sorted({path.stem.rsplit("_s", 1)[0] for path in options.folder.glob("[!.]*_s?.npz")})
    names = [n for n in names if all((options.folder / f"{n}_s{s}.npz").exists() for s in seeds)]
    if not names:
        raise SystemExit(f"no task has seeds 0, 1 and 2 in {options.folder}: `run` first.")
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        judged = list(tqdm(pool.imap(partial(judge, options.folder), names), total=len(names)))
    cells = dict(zip(names, judged, strict=True))

    print("| validator | rank correlation | regret to the oracle | cells 0.5 or more below source-only | worst cell |")
    print("|---|---:|---:|---:|---:|")
    rows = [v for c in judged for v in c["validators"]]
    for name in rows[0]:
        s = summary([row[name][1] for row in rows])
        correlation = numpy.mean([row[name][0] for row in rows])
        text = "" if math.isnan(correlation) else f"{correlation:.2f}"
        print(f"| {name} | {text} | {s['regret']:.1f} | {s['harm']:.0f} % | {s['worst']:.1f} |")

    print("\n| cells | tasks | n | regret, mean | median | seeds averaged | luck | harm | worst cell ", end="")
    print("| gain over source-only | gain of the oracle |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    titles = {
        "all": "all 32 candidates, one seed", "method": "4 or 6 candidates of one method, one seed",
        "setting": "one setting of each method, two seeds together", "seeds": "all 32 candidates, three seeds together",
        "all held out": "*seed 2*, all 32 candidates", "method held out": "*seed 2*, one method",
        "setting held out": "*seed 2*, one setting of each method",
    }  # fmt: skip
    for kind, title in titles.items():
        for k, (group, names_of) in enumerate(FAMILIES.items()):
            wanted = [n for n in names if n.startswith(names_of)]
            gains = [gain for n in wanted for gain in cells[n][kind]]
            if gains:
                s = summary(gains)
                print(
                    f"| {'' if k else title} | {group} | {len(gains)} | {s['regret']:.1f} | {s['median']:.1f} "
                    f"| {s['averaged']:.1f} | {s['luck']:.1f} | {s['harm']:.0f} % | {s['worst']:.1f} "
                    f"| {s['gain']:+.1f} | {s['oracle']:+.1f} |"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "report"])
    parser.add_argument("--tasks", nargs="+", default=[], help="of `run`: names, all by default")
    parser.add_argument("--seeds", nargs="+", type=int, default=[*PICKED_ON, HELD_OUT], help="of `run`")
    parser.add_argument("--folder", type=Path, default=Path("runs/selection_development"))
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    {"run": run, "report": report}[options.what](options)


if __name__ == "__main__":
    main()
