"""Which label-free criterion tells whether adaptation helps a regression?

    ADAPT_DATA=... python benchmarks/selection_regression.py run      # trains into runs/selection_regression
    ADAPT_DATA=... python benchmarks/selection_regression.py report   # the tables of docs/selection.md

Each task is a pair of tables. Source-only and five adapted candidates, five seeds. A criterion sees held-out source
rows with labels and target rows without labels, and chooses one candidate or source-only; an audit sees the labels of
some target rows, and is scored on the others. Errors are mean absolute errors on the target, in deviations of the
source's labels.
"""

import argparse
import sys
import warnings
from collections import defaultdict
from pathlib import Path

import numpy
import torch
from sklearn.datasets import load_diabetes
from torch import nn
from torch.utils.data import TensorDataset

sys.path[0] = str(Path(__file__).parents[1])  # benchmarks/losses.py would hide the package
import adapt
from adapt import Stream, Trainer, datasets, domain, encoders, heads, ramp, select
from adapt.engine import Predictions
from adapt.select._choose_numbers import NEARER, _decision

FOLDER, SEEDS, STEPS, MOST, BASE = Path("runs/selection_regression"), 5, 150, 600, "source-only"
CANDIDATES = {
    "source-only": lambda head, encoder: [],
    "dan 1": lambda head, encoder: [domain.dan(weight=1.0)],
    "dan 10": lambda head, encoder: [domain.dan(weight=10.0)],
    "coral 100": lambda head, encoder: [domain.deep_coral(weight=100.0)],
    "dann": lambda head, encoder: [domain.dann(encoder, strength=ramp(0.3))],
    "dd": lambda head, encoder: [domain.dd(head)],
}


def tasks():
    """Yield the family, the name, the source and the target."""
    heart = datasets.heart_disease()._asdict()
    for label in ("age", "thalach"):
        k = datasets.HEART_COLUMNS.index(label)
        rows = {}
        for name, data in heart.items():
            x = data.tensors[0]
            there = ~x[:, k].isnan()
            rows[name] = TensorDataset(torch.cat([x[there, :k], x[there, k + 1 :]], 1), x[there, k])
        for a, b in (("cleveland", "hungarian"), ("cleveland", "va")):
            yield "heart disease", f"{label}: {a} to {b}", rows[a], rows[b]
            yield "heart disease", f"{label}: {b} to {a}", rows[b], rows[a]
    users = datasets.wisdm_transformed()
    pairs = datasets.adaptation_pairs(users, 4)
    for a, b in pairs:  # the mean length of the acceleration from everything but it
        made = [TensorDataset(users[u].tensors[0][:, :-1], users[u].tensors[0][:, -1]) for u in (a, b)]
        yield "WISDM", f"{a} to {b}", *made
    X, Y = datasets.sarcos().tensors
    for joint in (0, 2):
        low = X[:, joint] < X[:, joint].median()
        parts = [TensorDataset(X[rows], Y[rows, joint]) for rows in (low, ~low)]
        yield "sarcos", f"joint {joint}: low to high", *parts
        yield "sarcos", f"joint {joint}: high to low", *reversed(parts)
    X, Y = (torch.from_numpy(v).float() for v in load_diabetes(return_X_y=True))
    for column, name in ((2, "bmi"), (0, "age")):
        low = X[:, column] < X[:, column].mean()
        parts = [TensorDataset(X[rows], Y[rows]) for rows in (low, ~low)]
        yield "diabetes", f"{name}: low to high", *parts
        yield "diabetes", f"{name}: high to low", *reversed(parts)
    pupils, school = datasets.school()
    scores = pupils.tensors[1].nan_to_num().sum(1)
    years = [pupils.tensors[0][:, k] == 1 for k in range(3)]
    parts = [TensorDataset(pupils.tensors[0][rows], scores[rows]) for rows in years]
    for a, b in ((0, 2), (2, 0)):
        yield "school", f"year {a} to {b}", parts[a], parts[b]
    draw = torch.Generator().manual_seed(0)
    x, w = torch.randn(1200, 8, generator=draw), torch.randn(8, generator=draw)
    y = (x @ w).tanh() * 2 + x[:, 0] + 0.2 * torch.randn(1200, generator=draw)
    s, t = TensorDataset(x[:600], y[:600]), x[600:]
    gain = torch.rand(8, generator=draw) * 2 + 0.3
    for name, moved in {"other gains": t * gain, "other offsets": t + gain - 1, "nothing": t}.items():
        yield "made", name, s, TensorDataset(moved, y[600:])
        yield "made", f"{name}, back", TensorDataset(moved, y[600:]), s
    yield "made", "other labels", s, TensorDataset(t, -y[600:])


def prepared(source, target, seed):
    """Return training and held-out rows of the source, and the target, on the scale of the source's inputs."""
    parts = []
    for data in (source, target):
        some = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:MOST]
        parts.append(TensorDataset(*(v[some] for v in data.tensors)))
    s, t = datasets.standardize(*parts)
    mean, deviation = s.tensors[1].mean(), s.tensors[1].std()
    s, t = (TensorDataset(d.tensors[0].clamp(-5, 5), (d.tensors[1] - mean) / deviation) for d in (s, t))
    cut = int(0.7 * len(s))
    return TensorDataset(*(v[:cut] for v in s.tensors)), TensorDataset(*(v[cut:] for v in s.tensors)), t


def candidate(name, train, held_out, target, seed):
    torch.manual_seed(seed)
    d = train.tensors[0].shape[1]
    encoder = encoders.wrap(nn.Sequential(nn.Linear(d, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()), 64)
    head = heads.Regressor(encoder)
    terms = CANDIDATES[name](head, encoder)
    streams = {"source": Stream(train, min(32, len(train)))}
    if terms:
        streams["target"] = Stream(target, min(32, len(target)), labels=False)
    adam = lambda groups: torch.optim.Adam(groups, lr=2e-3)  # noqa: E731
    made = [adapt.supervised(head, "source"), *terms]
    run = Trainer(encoder, made, streams, seed=seed, optimizer=adam, progress=False, log_every=10_000).fit(STEPS)
    return run.predict(head, held_out), run.predict(head, target)


def run(part, parts):
    warnings.simplefilter("ignore")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for k, (family, name, source, target) in enumerate(tasks()):
        path = FOLDER / f"{k:02}.pt"
        if k % parts != part or path.exists():
            continue
        found = {"family": family, "name": name, "seeds": []}
        for seed in range(SEEDS):
            rows = prepared(source, target, seed)
            made = {c: [tuple(p) for p in candidate(c, *rows, seed)] for c in CANDIDATES}
            found["seeds"].append({"inputs": [d.tensors[0] for d in rows[1:]], "candidates": made})
        torch.save(found, path)
        print(k, family, name, flush=True)


def scores_of(seed):
    """Return for each criterion the score of each candidate, higher is better."""
    (xs, xt), runs = seed["inputs"], {c: [Predictions(*p) for p in pair] for c, pair in seed["candidates"].items()}
    shared, found = select.importance_weights(xs, xt), defaultdict(dict)
    vote = torch.stack([t.outputs for _, t in runs.values()]).median(0).values
    for c, ((f, fs, y), (t, ft, _)) in runs.items():
        own = select.importance_weights(fs, ft)
        found["error on the source"][c] = -(f - y).abs().mean().item()
        found["IWCV, weights of the inputs"][c] = select.importance_weighted(f, y, shared, loss="absolute_error")
        found["IWCV, own features"][c] = select.importance_weighted(f, y, own, loss="absolute_error")
        found["DEV"][c] = select.dev(f, y, own, loss="absolute_error")
        found["DEVN"][c] = select.dev(f, y, own, loss="absolute_error", normalize=True)
        found["label distance"][c] = select.label_distance(t, y)
        found["reverse, own features"][c] = select.reverse_regression(ft, t, fs, y)
        found["reverse, inputs"][c] = select.reverse_regression(xt, t, xs, y)
        found["nearness to the median of all"][c] = -(t - vote).abs().mean().item()
    return found


def summary(name, rows):
    regret, gain = numpy.array(rows).T
    harm, adapted = 100 * (gain < -0.02).mean(), 100 * (gain != 0).mean()
    print(
        f"| {name} | {regret.mean():.3f} | {gain.mean():+.3f} | {harm:.0f} % | {gain.min():+.2f} | {adapted:.0f} % |",
        flush=True,
    )


def report():
    tasks = [torch.load(path) for path in sorted(FOLDER.glob("*.pt"))]
    errors = [
        [{c: (t[0] - t[2]).abs() for c, (_, t) in seed["candidates"].items()} for seed in task["seeds"]]
        for task in tasks
    ]
    print(
        "| pair | labels apart | source-only | best | candidates with a lower error, of 5 |\n|---|---:|---:|---:|---:|"
    )
    near = set()
    for number, (task, seeds) in enumerate(zip(tasks, errors, strict=True)):
        mean = {c: numpy.mean([e[c].mean().item() for e in seeds]) for c in CANDIDATES}
        first = task["seeds"][0]["candidates"][BASE]
        apart = -select.label_distance(first[1][2], first[0][2])
        near |= {number} if apart < 0.2 else set()
        better = sum(mean[c] < mean[BASE] - 0.02 for c in mean)
        print(
            f"| {task['family']}, {task['name']} | {apart:.2f} | {mean[BASE]:.2f} | {min(mean.values()):.2f} "
            f"| {better} |"
        )
    print("\n| chosen by | regret | gain | harm | worst | adapted |\n|---|---:|---:|---:|---:|---:|")
    flat = [e for seeds in errors for e in seeds]
    summary("always source-only", [outcome(e, BASE) for e in flat])
    for labels in (10, 20, 30, 50):
        summary(f"oracle: {labels} labels of the target", [audited(e, labels, k) for k, e in enumerate(flat)])
    alike = [k for k, e in enumerate(flat) if k // SEEDS in near]
    summary(f"nothing: source-only on the {len(near)} pairs with labels alike", [outcome(flat[k], BASE) for k in alike])
    nearest = [nearest_of(tasks[k // SEEDS]["seeds"][k % SEEDS]) for k in alike]
    summary(
        "label distance, `labels_alike`, same pairs", [outcome(flat[k], c) for k, c in zip(alike, nearest, strict=True)]
    )
    criteria = [scores_of(seed) for task in tasks for seed in task["seeds"]]
    for name in criteria[0]:
        for margin in (0.0, 0.1):
            chosen = [best_of(scores[name], margin) for scores in criteria]
            shown = name + (" (source-only unless better by 10 %)" if margin else "")
            summary(shown, [outcome(e, c) for e, c in zip(flat, chosen, strict=True)])


def nearest_of(seed):
    y = seed["candidates"][BASE][0][2]
    scores = {c: select.label_distance(t[0], y) for c, (_, t) in seed["candidates"].items()}
    best = max(scores, key=scores.__getitem__)
    return best if scores[best] - scores[BASE] > NEARER else BASE


def best_of(scores, margin):
    best = max(scores, key=scores.__getitem__)
    return best if scores[best] > scores[BASE] + margin * abs(scores[BASE]) else BASE


def outcome(errors, chosen, rows=slice(None)):
    """Return the regret to the best candidate, and the gain over source-only."""
    mean = {c: e[rows].mean().item() for c, e in errors.items()}
    return mean[chosen] - min(mean.values()), mean[BASE] - mean[chosen]


def audited(errors, labels, key):
    order = torch.randperm(len(errors[BASE]), generator=torch.Generator().manual_seed(key))
    seen, others = order[:labels], order[labels:]
    name, _ = _decision({c: e[seen].double() for c, e in errors.items()}, BASE)
    return outcome(errors, name, others)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "report"])
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    asked = parser.parse_args()
    run(asked.part, asked.parts) if asked.what == "run" else report()
