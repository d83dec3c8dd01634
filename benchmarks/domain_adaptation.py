"""Every domain adaptation method on every task, five paired seeds, and what a choice without target labels makes of it.

    python benchmarks/domain_adaptation.py run [--groups heart ...] [--methods dann ...] [--seeds 5] [--quick]
    python benchmarks/domain_report.py                                   # what has been run, as a page

`run` goes on where it was stopped: one file a run under `--folder`, written whole or not at all. Needs ADAPT_DATA; the
reviews need the extra `text`. Two processes may share a folder: `--share 0/2` and `--share 1/2`. The digits have a
network, views and methods of their own: benchmarks/domain_digits.py; the rest of this page is about the other groups.

One network, one optimizer, one number of steps, and one setting of each method for all tasks. Methods learn from the
source's training rows (80 %) and all target rows without labels, and are scored on all target rows (the transductive
protocol of the published tables). `target only` is cross-fitted: trained on one half of the target, in as many steps,
and scored on the other. Inputs are put on the source's scale: column by column where units differ, and as a whole where
they do not. The classical methods (extra `classical`) learn a logistic regression on the same inputs and rows; they are
rows of the report, and no candidates of the rule or of the oracle.

How settings are fixed: every method has one number that is free and the few values in its `tried`; the one with the
highest mean target accuracy on development tasks is taken. These are the MNIST and USPS of the JDA paper and seven
small shifts of benchmarks/selection_development.py (speakers, turned and noisy digits, turned moons, wine, cancer), and
none of them is in the benchmark. All else is the paper's or the library's default. The scale of the inputs, dropout,
and 300 steps were fixed on some of these tasks too. To repeat it, with the table of benchmarks/domain_adaptation.md:

    python benchmarks/domain_adaptation.py study --seeds 1

The page says which methods the study has not reached; their values are defaults or guesses.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from tqdm import tqdm

sys.path[0] = str(Path(__file__).parents[1])  # benchmarks/losses.py would hide the package
sys.path.append(str(Path(__file__).parent))
import domain_digits

import adapt
from adapt import Stream, Trainer, bridges, datasets, domain, encoders, heads, ramp, store
from adapt.engine import cosine

BASELINE, ORACLE = "source only", "target only"
STEPS, BATCH, RATE, DIM = 300, 64, 1e-3, 64


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
    both = datasets.standardize(source, target)
    first, second = (TensorDataset(d.tensors[0].clamp(-5, 5), d.tensors[1]) for d in both)
    return first, second


def centred(source: TensorDataset, target: TensorDataset) -> tuple[TensorDataset, TensorDataset]:
    """Columns of one unit, as grey values and histograms: one scale for all, the source around 0 with mean square 1."""
    mean = source.tensors[0].mean(0)
    size = (source.tensors[0] - mean).square().mean().sqrt()
    first, second = (TensorDataset((d.tensors[0] - mean) / size, d.tensors[1]) for d in (source, target))
    return first, second


def office() -> list[Task]:
    return pairs_of("office", datasets.office_caltech10_surf()._asdict(), 10, centred)


def heart() -> list[Task]:
    return pairs_of("heart", datasets.heart_disease()._asdict(), 2, scaled)


def wisdm() -> list[Task]:
    users = datasets.wisdm_transformed()
    return [
        Task("wisdm", f"{a} to {b}", len(datasets.WISDM_CLASSES), partial(scaled, users[a], users[b]))
        for a, b in datasets.adaptation_pairs(users, 10)
    ]


def amazon() -> list[Task]:
    folder = Path(os.environ.get("ADAPT_CACHE", Path.home() / ".cache" / "adapt"))
    sets = {
        name: TensorDataset(encoders.sentences(reviews.texts, folder), reviews.labels)
        for name, reviews in datasets.amazon_reviews_text()._asdict().items()
    }
    return pairs_of("amazon", sets, 2, scaled)


def digits() -> list[Task]:
    return [Task("digits", name, 10, partial(domain_digits.read, name)) for name in domain_digits.NAMES]


def jda() -> list[Task]:
    """A development task: not in the benchmark."""
    return pairs_of("jda", datasets.mnist_usps_jda()._asdict(), 10, centred)


def shifts() -> list[Task]:
    """Development tasks: a speaker, turned, noisy and inverted digits, turned moons, wine, cancer."""
    import selection_development as development

    made = [*development.spoken_digits(), *development.digits_and_moons(numpy.random.RandomState(0))]
    wanted = [task for task in made if task.name in SHIFTS]
    return [
        Task(
            "shifts",
            t.name,
            t.classes,
            partial(lambda *both: both, tabled(t.x, t.y), tabled(t.target, t.target_labels)),
        )
        for t in wanted
    ]


def tabled(x: numpy.ndarray, y: numpy.ndarray) -> TensorDataset:
    return TensorDataset(torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(y, dtype=torch.long))


GROUPS: dict[str, Callable[[], list[Task]]] = {
    "heart": heart,
    "office": office,
    "wisdm": wisdm,
    "amazon": amazon,
    "digits": digits,
    "jda": jda,
    "shifts": shifts,
}
BENCHMARK = ["heart", "office", "wisdm", "amazon", "digits"]
DEVELOPMENT = ["jda", "shifts"]  # settings are fixed on these; no result of the benchmark is theirs
SHIFTS = ("fsdd_geo", "fsdd_ywe", "dig_rot30", "dig_noise", "moons40", "wine", "cancer")


# methods -------------------------------------------------------------------------------------------------------------


@dataclass
class Parts:
    """What a method is made from."""

    encoder: nn.Module
    head: nn.Module
    classes: int
    target: Tensor  # its inputs

    @property
    def length(self) -> float:
        """Of a row of the target."""
        return self.target.norm(dim=1).mean().item()

    def learn(self, *classifiers: nn.Module) -> list:
        return [adapt.supervised(h, on="source", name=f"learn_{i}") for i, h in enumerate(classifiers)]

    def two_heads(self, method: Callable, factor: float) -> list:
        """Beside a second head. The two phases against each other are taken in steps of `factor` times the rate."""
        other = heads.Classifier(DIM, self.classes)
        phases = method(self.head, second=other, encoder=self.encoder, learn=self.learn(self.head, other))
        for phase in phases[1:]:  # Adam undoes a weight where a phase has one term
            phase.optimizer = optimizer(factor * RATE)
        return phases


class Method(NamedTuple):
    """`make` gives terms, or phases, of the parts and of one number, the setting: one of `tried`."""

    make: Callable[[Parts, float], list]
    setting: float
    tried: tuple[float, ...]


TERMS = {
    "dann": Method(lambda p, w: [domain.dann(p.encoder, strength=ramp(w))], 0.1, (0.03, 0.1, 0.3, 1.0)),
    "cdan": Method(lambda p, w: [domain.cdan(p.head, strength=ramp(w))], 0.1, (0.03, 0.1, 0.3)),
    "cdan entropy": Method(
        lambda p, w: [domain.cdan(p.head, entropy=True, strength=ramp(w))], 0.1, (0.03, 0.1, 0.3, 1.0)
    ),
    "mdd": Method(lambda p, w: [domain.mdd(p.head, strength=ramp(w))], 0.03, (0.01, 0.03, 0.1, 0.3)),
    "dann bsp": Method(
        lambda p, w: [domain.dann(p.encoder, strength=ramp(0.1)), domain.bsp(weight=w)], 1e-6, (1e-6, 1e-5, 1e-4, 1e-3)
    ),
    "vada": Method(
        lambda p, w: [domain.vada(p.head, radius=w * p.length, smooth_target=0.01)], 0.06, (0.01, 0.03, 0.06)
    ),
    "dan": Method(lambda p, w: [domain.dan(weight=ramp(w))], 0.1, (0.03, 0.1, 0.3, 1.0)),
    "jan": Method(lambda p, w: [domain.jan(p.head, weight=ramp(w))], 0.1, (0.03, 0.1, 0.3, 1.0)),
    "dsan": Method(lambda p, w: [domain.dsan(p.head, weight=ramp(w))], 0.2, (0.1, 0.2, 0.5)),
    "deep coral": Method(lambda p, w: [domain.deep_coral(weight=ramp(w))], 10.0, (1.0, 10.0, 100.0)),
    "homm": Method(lambda p, w: [domain.homm(weight=ramp(w))], 1.0, (1.0, 10.0, 100.0)),
    "sliced": Method(lambda p, w: [domain.sliced(weight=ramp(w))], 0.03, (0.03, 0.1, 0.3, 1.0)),
    "afn": Method(lambda p, w: [domain.afn(weight=w)], 0.0001, (0.0001, 0.0005, 0.002, 0.01)),
    "deep jdot": Method(
        lambda p, w: [domain.deep_jdot(p.head, feature_weight=0.1 * w, label_weight=w)], 0.001, (0.001, 0.01, 0.1)
    ),
    "mcc": Method(lambda p, w: [domain.mcc(p.head, weight=w)], 1.0, (0.1, 0.3, 1.0)),
    "bnm": Method(lambda p, w: [domain.bnm(p.head, weight=w)], 1.0, (0.1, 0.3, 1.0)),
    "im": Method(lambda p, w: [domain.im(p.head, weight=w)], 0.1, (0.03, 0.1, 0.3, 1.0)),
    "mean teacher": Method(
        lambda p, w: [domain.mean_teacher(p.head, encoder=p.encoder, weight=ramp(w))], 3.0, (3.0, 10.0, 30.0)
    ),
    "atdoc": Method(
        lambda p, w: [domain.atdoc(p.head, rows=len(p.target), weight=lambda progress: w * progress)],
        0.5,
        (0.1, 0.2, 0.5, 1.0),
    ),
}
PHASES = {
    "mcd": Method(lambda p, w: p.two_heads(domain.mcd, w), 0.01, (0.003, 0.01, 0.03, 0.1)),
    "swd": Method(lambda p, w: p.two_heads(domain.swd, w), 0.003, (0.003, 0.01, 0.03, 0.1)),
    "wdgrl": Method(lambda p, w: domain.wdgrl(p.encoder, learn=p.learn(p.head), weight=w), 0.1, (0.01, 0.1, 1.0)),
}
CLASSICAL = {  # rows of the report and names in `bridges.skada`
    "source only (linear)": "source_only",
    "coral (linear)": "coral",
    "subspace alignment": "subspace_alignment",
    "TCA": "tca",
    "linear OT": "linear_ot",
    "reweighting": "discriminator_reweighting",
}
SETTINGS = {name: method.setting for name, method in (TERMS | PHASES).items()}
METHODS = [BASELINE, *TERMS, *PHASES, *CLASSICAL, ORACLE]


def methods_of(group: str) -> list[str]:
    return domain_digits.METHODS if group == "digits" else METHODS


# runs ----------------------------------------------------------------------------------------------------------------


def network(inputs: Tensor, classes: int, seed: int) -> tuple[encoders.Encoder, heads.Classifier]:
    torch.manual_seed(seed)
    layers = [nn.Linear(inputs.shape[1], 256), nn.ReLU(), nn.Dropout(0.25), nn.Linear(256, DIM), nn.ReLU()]
    body = nn.Sequential(*layers, nn.Dropout(0.25))
    return encoders.Encoder(body, DIM), heads.Classifier(DIM, classes)


def optimizer(rate: float) -> Callable:
    return partial(torch.optim.AdamW, lr=rate, fused=True)


def train(
    method: str, setting: float, task: Task, source: TensorDataset, target: TensorDataset, seed: int, steps: int
) -> tuple[Trainer, heads.Classifier]:
    """A trained encoder and head. Of the target, inputs alone are used, but for `target only`."""
    encoder, head = network(source.tensors[0], task.classes, seed)
    parts = Parts(encoder, head, task.classes, target.tensors[0])
    data = {"source": Stream(source, min(BATCH, len(source)))}
    if method not in (BASELINE, ORACLE):
        data["target"] = Stream(TensorDataset(target.tensors[0]), min(BATCH, len(target)), labels=False)
    if method in PHASES:
        what = {"phases": PHASES[method].make(parts, setting)}
    else:
        own = TERMS[method].make(parts, setting) if method in TERMS else []
        what = {"terms": [adapt.supervised(head, on="source"), *own]}
    trainer = Trainer(
        encoder, streams=data, optimizer=optimizer(RATE), schedule=cosine(),
        seed=seed, progress=False, **what,
    )  # fmt: skip
    return trainer.fit(steps), head


def run(method: str, task: Task, seed: int, steps: int, setting: float | None = None) -> dict[str, numpy.ndarray]:
    """What the model says of held-out source rows and of the target, and how often it is right there."""
    if task.group == "digits":
        return domain_digits.run(method, task.name, seed, steps * domain_digits.STEPS // STEPS)
    source, target = task.read()
    parts = datasets.splits(source, task.name, test=0.0, seed=seed)
    labels = target.tensors[1]
    setting = SETTINGS.get(method, 0.0) if setting is None else setting
    found: dict[str, Tensor] = {}
    start = time.perf_counter()
    if method == ORACLE:
        order = torch.randperm(len(target), generator=torch.Generator().manual_seed(seed))
        hits = torch.zeros(len(target), dtype=torch.bool)
        for train_rows, test_rows in (order.chunk(2), order.chunk(2)[::-1]):
            half = TensorDataset(*(t[train_rows] for t in target.tensors))
            trainer, head = train(method, setting, task, half, target, seed, steps)
            hits[test_rows] = trainer.predict(head, target).outputs[test_rows].argmax(1) == labels[test_rows]
    elif method in CLASSICAL:
        name = CLASSICAL[method]
        hits = bridges.skada.run([name], *parts.train.tensors, target.tensors[0])[name] == labels
    else:
        trainer, head = train(method, setting, task, parts.train, target, seed, steps)
        on_source, on_target = trainer.predict(head, parts.validation), trainer.predict(head, target)
        hits = on_target.outputs.argmax(1) == labels
        found = {
            "source_outputs": on_source.outputs, "source_features": on_source.features,
            "source_labels": on_source.labels, "target_outputs": on_target.outputs,
            "target_features": on_target.features, "target_labels": labels,
        }  # fmt: skip
    seconds = time.perf_counter() - start
    arrays = {name: t.numpy() for name, t in found.items()}
    return {**arrays, "accuracy": numpy.array(hits.float().mean().item()), "seconds": numpy.array(seconds)}


def path_of(folder: Path, task: Task, method: str, seed: int) -> Path:
    return folder / task.group / task.name.replace(" ", "_") / f"{method.replace(' ', '_')}_{seed}.npz"


def write(path: Path, arrays: dict[str, numpy.ndarray]) -> None:
    """Whole or not at all."""
    with store.whole_file(path, several_writers=True) as unfinished:
        numpy.savez(unfinished, **arrays)  # type: ignore[arg-type]


def run_all(options: argparse.Namespace) -> None:
    part, parts = (int(n) for n in options.share.split("/"))
    if not find_spec("skada"):
        print(f"without skada there are no rows of {', '.join(CLASSICAL)}: `pip install adapt-losses[classical]`.")
        options.methods = [m for m in options.methods if m not in CLASSICAL]
    every = list(tasks(options.groups))
    todo = [(s, t, m) for s in range(options.seeds) for t in every for m in methods_of(t.group) if m in options.methods]
    todo = [t for t in todo if not path_of(options.folder, t[1], t[2], t[0]).exists()][part::parts]
    for seed, task, method in (bar := tqdm(todo, unit="run", smoothing=0.05)):
        bar.set_postfix_str(f"{task.group}, {task.name}, {method}, seed {seed}")
        write(path_of(options.folder, task, method, seed), run(method, task, seed, options.steps))


# settings ------------------------------------------------------------------------------------------------------------


def study(options: argparse.Namespace) -> None:
    """Every value tried of every method's setting, on the development tasks; runs what has not been run."""
    every = list(tasks(DEVELOPMENT))
    plan: list[tuple[str, float | None]] = [(m, None) for m in (BASELINE, *CLASSICAL, ORACLE)]
    plan += [(name, value) for name, method in (TERMS | PHASES).items() for value in method.tried]
    plan = [(name, value) for name, value in plan if name == BASELINE or name in options.methods]
    part, parts = (int(n) for n in options.share.split("/"))
    folder = options.folder.with_name(options.folder.name + "_settings")
    cells = [(name, value, task, seed) for name, value in plan for task in every for seed in range(options.seeds)]

    def path(name: str, value: float | None, task: Task, seed: int) -> Path:
        return path_of(folder, task, name if value is None else f"{name} {value:g}", seed)

    for name, value, task, seed in tqdm([c for c in cells if not path(*c).exists()][part::parts], unit="run"):
        found = run(name, task, seed, options.steps, value)
        write(path(name, value, task, seed), {key: found[key] for key in ("accuracy", "seconds")})
    done = [(name, value, t, s) for name, value, t, s in cells if path(name, value, t, s).exists()]
    found = {cell: dict(numpy.load(path(*cell))) for cell in done}
    print(
        "| method | setting | accuracy % | to source only | worst task | tasks worse by 0.5 or more | seconds a run |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|")
    scores: dict[tuple[str, float | None], float] = {}
    base = numpy.zeros(len(every))
    for name, value in plan:
        runs = [found.get((name, value, t, s)) for t in every for s in range(options.seeds)]
        if None in runs:  # another share's
            continue
        hits = 100 * numpy.array([run["accuracy"] for run in runs]).reshape(len(every), -1).mean(1)
        base = hits if name == BASELINE else base
        gain, seconds = hits - base, numpy.mean([run["seconds"] for run in runs])
        scores[name, value] = hits.mean()
        shown = "" if value is None else f"**{value:g}**" if value == SETTINGS[name] else f"{value:g}"
        rest = "| | |" if name == BASELINE else f"| {gain.mean():+.1f} | {gain.min():+.1f} | {(gain <= -0.5).sum()}"
        print(f"| {name} | {shown} | {hits.mean():.1f} {rest} | {seconds:.1f} |")
    for name, method in (TERMS | PHASES).items():
        tried = {value: scores[name, value] for value in method.tried if (name, value) in scores}
        if tried and (best := max(tried, key=tried.__getitem__)) != method.setting:
            print(f"\n{name}: the setting is {method.setting:g}, but {best:g} is the best of {len(tried)}.")


# ---------------------------------------------------------------------------------------------------------------------


def main() -> None:
    every = list(dict.fromkeys([*METHODS, *domain_digits.METHODS]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "study"])
    parser.add_argument("--groups", nargs="+", default=BENCHMARK, choices=list(GROUPS))
    parser.add_argument("--methods", nargs="+", default=every, choices=every)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--folder", type=Path, default=Path("runs/domain_adaptation"))
    parser.add_argument("--share", default="0/1", help="this process's share of the runs")
    parser.add_argument("--quick", action="store_true", help="2 seeds of 20 steps: does everything run?")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.steps, options.folder = 2, 20, options.folder.with_name("quick")
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    {"run": run_all, "study": study}[options.what](options)


if __name__ == "__main__":
    main()
