"""Choose among adapted regressors by a few labelled target rows, or by the word that the labels are alike."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from adapt.ranking import arrays
from adapt.select._candidate import Candidate
from adapt.select.density_ratio import dev, effective_rows, importance_weighted, importance_weights
from adapt.select.numbers import label_distance, reverse_regression

NEARER = 0.1  # deviations of the source's labels by which a choice without target labels must be nearer to the labels
SURE = 0.95  # of the one-sided paired interval of the gain on the labelled rows
Runs = Mapping[int, Candidate]  # by seed
Found = tuple[str, list[str], dict[str, dict[str, float]], dict[str, str]]


def choose_numbers(
    configurations: Mapping[str, Runs],
    plain: Runs,
    base: str,
    none: str,
    audit: tuple[Any, Any] | None,
    others: bool,
    labels_alike: bool,
) -> Found:
    """Return the name of the choice, reasons, the table of scores, and the configurations that were ruled out."""
    out = {name: why for name, runs in configurations.items() if (why := _unusable(runs, plain))}
    kept = {base: plain, **{name: runs for name, runs in configurations.items() if name not in out}}
    shared = {s: importance_weights(m.source.features, m.target.features) for s, m in plain.items()} if others else {}
    table = {name: _scores(runs, shared) for name, runs in kept.items()}
    doubts = _source_doubts(plain)
    if audit is None:
        nearest = max(table, key=lambda name: table[name]["label distance"])
        if labels_alike:
            near = table[nearest]["label distance"] - table[base]["label distance"] > NEARER
            return (
                (none if doubts else nearest if near else base),
                [*doubts, _nearness(table, nearest, base)],
                table,
                out,
            )
        reasons = [
            "no criterion without target labels tells reliably whether adaptation helps a regression, see "
            "docs/selection.md: label 20 to 30 target rows, and give `audit=(rows, labels)`; or give "
            "`labels_alike=True` where you know that the labels of both domains are distributed alike",
            _nearness(table, nearest, base),
        ]
        return none, doubts + reasons, table, out
    errors, constant = _audit_errors(kept, plain, *audit)
    for name, each in errors.items():
        table[name]["audit error"] = each.mean().item()
    name, reasons = _decision(errors, base)
    if errors[name].mean() >= constant.mean():
        doubts.append(
            f"no model is better than the mean of the source's labels on {len(constant)} labelled target rows: error "
            f"{errors[name].mean():.2f} for `{name}`, {constant.mean():.2f} for the mean"
        )
    return (none, [*doubts, *reasons], table, out) if doubts else (name, reasons, table, out)


def _nearness(table: Mapping[str, Mapping[str, float]], nearest: str, base: str) -> str:
    return (
        f"label distance {table[nearest]['label distance']:.2f} for `{nearest}`, the nearest to the labels, "
        f"{table[base]['label distance']:.2f} for source-only; needed is a difference of {NEARER:g}"
    )


def _decision(errors: Mapping[str, Tensor], base: str) -> tuple[str, list[str]]:
    """Return the least error among the configurations with a sure gain over source-only, else source-only."""
    sure = {name: low for name, each in errors.items() if name != base and (low := _low(errors[base] - each)) > 0}
    before, rows = errors[base].mean(), len(errors[base])
    if not sure:
        return base, [f"source-only: no gain is sure on {rows} labelled target rows, error {before:.2f}"]
    name = min(sure, key=lambda n: (errors[n].mean().item(), n))
    return name, [
        f"error {errors[name].mean():.2f} for `{name}`, {before:.2f} for source-only, on {rows} labelled target rows: "
        f"a gain above {sure[name]:.2f} with 95 % confidence"
    ]


def _low(gains: Tensor) -> float:
    """Return the lower end of Student's one-sided 95 % interval of the mean; -infinity for one row."""
    from scipy.stats import t

    n = len(gains)
    if n < 2:
        return -math.inf
    return (gains.mean() - float(t.ppf(SURE, n - 1)) * gains.std() / math.sqrt(n)).item()


def _audit_errors(
    kept: Mapping[str, Runs], plain: Runs, rows: Any, labels: Any
) -> tuple[dict[str, Tensor], Tensor]:  # fmt: skip
    """Return the error of each configuration on each labelled target row, and of the mean of the source's labels, in
    deviations of these labels, means over outputs and seeds.
    """
    first = next(iter(plain.values()))
    source, n = arrays.numbers("source.labels", first.source.labels), len(first.target.outputs)
    index, y = torch.as_tensor(rows), arrays.numbers("audit", labels)
    if index.ndim != 1 or len(index) < 2 or index.is_floating_point() or index.min() < 0 or index.max() >= n:
        raise ValueError(
            f"`audit` must be (rows, labels) with the numbers of at least 2 target rows, from 0 to {n - 1}, got rows "
            f"of shape {tuple(index.shape)}: number the rows as in the predictions of the candidates."
        )
    arrays.same_rows("audit", y, "rows", index[:, None])
    arrays.same_columns("audit", y, "source.labels", source)
    deviation = source.std(0, correction=0)

    def error(predicted: Tensor) -> Tensor:
        return ((predicted - y).abs() / deviation).mean(1)

    errors = {
        name: torch.stack([error(arrays.numbers("target.outputs", m.target.outputs)[index]) for m in runs.values()])
        for name, runs in kept.items()
    }
    return {name: each.mean(0) for name, each in errors.items()}, error(source.mean(0))


def _source_doubts(plain: Runs) -> list[str]:
    """Return a sentence where source-only is not clearly better than the mean on held-out rows of its own source."""
    gains = []
    for m in plain.values():
        f, y = arrays.numbers("source.outputs", m.source.outputs), arrays.numbers("source.labels", m.source.labels)
        gains.append(((y - y.mean(0)).square() - (f - y).square()).mean(1))
    gain = torch.stack(gains).mean(0)
    if _low(gain) > 0:
        return []
    return [
        f"source-only is not clearly better than the mean of the labels on {len(gain)} held-out rows of the source "
        "itself: nothing shows that the source was learned"
    ]


def _unusable(runs: Runs, plain: Runs) -> str:
    """Return why a configuration has no scores; empty where it has."""
    missing = sorted(plain.keys() - runs.keys())
    if missing:
        return f"no outputs for seed {', '.join(map(str, missing))}"
    try:
        for m in runs.values():
            arrays.numbers("source.outputs", m.source.outputs)
            arrays.numbers("target.outputs", m.target.outputs)
            arrays.features("target.features", m.target.features)
    except arrays.NotFinite as error:
        return str(error)
    return ""


def _scores(runs: Runs, shared: Mapping[int, Tensor]) -> dict[str, float]:
    """Return the scores of a configuration, means over the seeds, higher is better; none of the scores decides."""
    rows = []
    for s, m in runs.items():
        (f, fs, y), (t, ft, _) = m.source, m.target
        row = {
            "source": importance_weighted(f, y, torch.ones(len(f)), loss="absolute_error"),
            "label distance": label_distance(t, y),
            "reverse": reverse_regression(ft, t, fs, y),
        }
        if shared:
            own = importance_weights(fs, ft)
            row["IWCV"] = importance_weighted(f, y, shared[s], loss="absolute_error")
            row["DEV"] = dev(f, y, own, loss="absolute_error")
            row["DEVN"] = dev(f, y, own, loss="absolute_error", normalize=True)
            row["rows behind DEV"] = effective_rows(own)
        rows.append(row)
    return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}
