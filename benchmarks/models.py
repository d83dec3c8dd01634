"""What it costs to rank pretrained encoders, against the published code; and whether a ranking was right.

    python benchmarks/models.py --logme LogME.py --tllib tllib/ranking                   all rows, about two minutes
    python benchmarks/models.py --logme LogME.py --tllib tllib/ranking --only logme

`--logme` is the file of that name in github.com/thuml/LogME, `--tllib` the folder in
github.com/thuml/Transfer-Learning-Library; neither is on a package index as it is. They are imported from there, as
they are; both want `numba`, and without it their compiled parts run as plain numpy (the table says which). Without a
path, a row has our time alone.

The features are made up: 5,000 x 768 in float32, 100 classes, as many encoders as `--encoders`, each of another
strength. Contenders take turns encoder by encoder, and the table has the sums of processor seconds; ours includes
making the :class:`adapt.ranking.Sample`. For `alone` it is made anew for each score; `together` shares it among all
scores.

`agreement` is for scripts that have fine-tuned accuracies: ``agreement(ranking, {"resnet18": 0.91, ...})``.
"""

import argparse
import importlib.util
import sys
import time
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch

sys.path[0] = str(Path(__file__).parents[1])  # benchmarks/losses.py would hide the package
from adapt import ranking

CLASSES, SOURCE = 100, 1000


class Target(NamedTuple):
    features: numpy.ndarray
    labels: numpy.ndarray
    source: numpy.ndarray  # probabilities, for leep
    predicted: numpy.ndarray  # their classes, for nce


class Contest(NamedTuple):
    """One score: ours, the peer's, and the largest difference that counts as equal (None: another definition)."""

    peer: str
    ours: Callable[[ranking.Sample], torch.Tensor]
    theirs: Callable[[Target], float] | None
    same: float | None
    note: str = ""


def agreement(ranking: ranking.Ranking, accuracies: Mapping[str, float]) -> dict[str, float]:
    """Weighted Kendall tau of each score with the accuracies after fine-tuning: 1 if all agree; the top counts more.

    Args:
        ranking: of at least two candidates.
        accuracies: of candidates of the ranking, by name.

    Returns:
        By score, over the candidates that have both; beside them ``"parameters"``, the order by size, where all costs
        are known.
    """
    rows = [row for row in ranking.rows if row.name in accuracies]
    columns = {
        score: {row.name: row.scores[score].value for row in rows if score in row.scores} for score in _scores(rows)
    }
    if all(row.cost for row in rows):
        columns["parameters"] = {row.name: row.cost.parameters for row in rows if row.cost}
    return {score: weighted_kendall(column, accuracies) for score, column in columns.items()}


def weighted_kendall(scores: Mapping[str, float], accuracies: Mapping[str, float]) -> float:
    from scipy.stats import weightedtau

    names = [name for name in scores if name in accuracies]
    # rank=None: weights by the accuracies' order and not by the mean of both, so that it is about the best encoders
    return float(
        weightedtau([accuracies[name] for name in names], [scores[name] for name in names], rank=True).statistic
    )


def _scores(rows: list[ranking.Row]) -> list[str]:
    return list(dict.fromkeys(score for row in rows for score in row.scores))


# peers ---------------------------------------------------------------------------------------------------------------


def load(path: Path) -> types.ModuleType:
    """A file as a module; `numba.njit` does nothing where numba is not installed."""
    if "numba" not in sys.modules and importlib.util.find_spec("numba") is None:
        sys.modules["numba"] = types.SimpleNamespace(njit=lambda f: f)  # type: ignore[assignment]
    spec = importlib.util.spec_from_file_location(f"peer_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def contests(logme: Path | None, tllib: Path | None) -> dict[str, Contest]:
    def theirs(path: Path | None, file: str, call: Callable[[Any], Callable[[Target], float]]) -> Any:
        return None if path is None else call(load(path if path.suffix else path / file))

    return {
        "logme": Contest(
            "thuml/LogME", ranking.logme,
            theirs(logme, "LogME.py", lambda m: lambda t: m.LogME().fit(t.features, t.labels)), 1e-3,
        ),
        "logme, tllib": Contest(
            "tllib", ranking.logme,
            theirs(tllib, "logme.py", lambda m: lambda t: m.log_maximum_evidence(t.features, t.labels)), 1e-3,
        ),
        "h_score": Contest(
            "tllib", ranking.h_score,
            theirs(tllib, "hscore.py", lambda m: lambda t: m.regularized_h_score(t.features, t.labels)), 0.05,
            "they divide one of two covariances by n - 1",
        ),
        "transrate": Contest(
            "tllib", ranking.transrate,
            theirs(tllib, "transrate.py", lambda m: lambda t: m.transrate(t.features, t.labels)), None,
            "ours is normalised and weighs classes",
        ),
        "leep": Contest(
            "tllib", ranking.leep,
            theirs(tllib, "leep.py", lambda m: lambda t: m.log_expected_empirical_prediction(t.source, t.labels)), 1e-4,
        ),
        "nce": Contest(
            "tllib", ranking.nce,
            theirs(tllib, "nce.py", lambda m: lambda t: m.negative_conditional_entropy(t.predicted, t.labels)), 1e-4,
        ),
    }  # fmt: skip


# runs ----------------------------------------------------------------------------------------------------------------


def target(n: int, d: int, seed: int) -> Target:
    g = numpy.random.default_rng(seed)
    y = numpy.arange(n) % CLASSES
    strength = 0.2 + 0.2 * seed
    features = numpy.maximum(
        g.normal(size=(n, d)) * g.uniform(0.2, 2, d) + strength * g.normal(size=(CLASSES, d))[y], 0
    )
    z = torch.from_numpy(g.normal(size=(n, SOURCE)) + 3 * strength * numpy.eye(SOURCE)[7 * y])
    p = z.softmax(1).numpy()
    return Target(features.astype(numpy.float32), y, p, p.argmax(1))


def seconds(call: Callable[[], Any]) -> tuple[float, float]:
    start = time.process_time()
    value = float(call())
    return time.process_time() - start, value


def run(name: str, contest: Contest, targets: list[Target]) -> str:
    ours = theirs = gap = 0.0
    for t in targets:
        # leep and nce do not look at the features: two columns of them are enough
        features = t.features[:, :2] if name in ("leep", "nce") else t.features
        source = {"leep": t.source, "nce": t.predicted}.get(name)
        spent, mine = seconds(
            lambda t=t, f=features, s=source: contest.ours(ranking.Sample(f, t.labels, source=s)).mean()
        )
        ours += spent
        if contest.theirs:
            spent, other = seconds(lambda t=t: contest.theirs(t))  # type: ignore[misc]
            theirs, gap = theirs + spent, max(gap, abs(mine - other))
    n, d = targets[0].features.shape
    line = f"| {name.split(',')[0]} | {len(targets)} x {n} x {d} | {ours:.3g} |"
    if not contest.theirs:
        return f"{line} | | | |"
    if contest.same is not None and n > d and gap > contest.same:
        print(f"{name}: the answers differ by {gap:.3g}", file=sys.stderr)
    return f"{line} {contest.peer} {theirs:.3g} | **{theirs / ours:.1f}** | {gap:.1g} | {contest.note} |"


def together(targets: list[Target]) -> str:
    """All default scores of one table, intervals left out and in."""
    given = {f"encoder {k}": ranking.Pretrained(t.features, t.source) for k, t in enumerate(targets)}
    plain, _ = seconds(lambda: len(ranking.rank(given, targets[0].labels, halves=0).rows))
    n, d = targets[0].features.shape
    return f"`rank` of {len(targets)} x {n} x {d}, default scores, bootstrap intervals, no halves: {plain:.3g} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logme", type=Path)
    parser.add_argument("--tllib", type=Path)
    parser.add_argument("--encoders", type=int, default=10)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--features", type=int, default=768)
    parser.add_argument("--only", nargs="+", default=[])
    args = parser.parse_args()

    compiled = "with" if importlib.util.find_spec("numba") else "without"
    print(
        f"torch {torch.__version__}, numpy {numpy.__version__}, {compiled} numba, {torch.get_num_threads()} thread(s)\n"
    )
    print(
        "| score | encoders x rows x features | ours, s | peer, s | ratio | largest difference | |\n"
        "|---|---|---|---|---|---|---|"
    )
    targets = [target(args.rows, args.features, k) for k in range(args.encoders)]
    for name, contest in contests(args.logme, args.tllib).items():
        if not args.only or name in args.only:
            print(run(name, contest, targets), flush=True)
    if not args.only or "rank" in args.only:
        print(f"\n{together(targets)}")


if __name__ == "__main__":
    main()
