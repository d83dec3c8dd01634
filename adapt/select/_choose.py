"""The choice: the clusters of all runs speak for it and their vote against source-only, or it stays with source-only."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from adapt.heads import proportion
from adapt.ranking import arrays
from adapt.select._candidate import Candidate
from adapt.select._collapse import collapse
from adapt.select.agreement import same_shape, seed_agreement
from adapt.select.signals import judged, shown, source_hits

SCORE = "shared clusters"
VOTED = 3.0  # McNemar's z: far beyond 95 %, because models share mistakes and the vote is no truth
VOTERS = 3  # beside source-only: with fewer the most confident model is the vote


@dataclass(frozen=True, eq=False)
class Choice:
    """What was chosen, why, and the scores of everything.

    Attributes:
        name: of the chosen configuration.
        chosen: its candidates, one for each seed.
        adapted: whether it is another than source-only.
        reasons: sentences.
        table: for each configuration its scores, means over the seeds; ``shared clusters`` is empty where it was ruled out.
        out: why a configuration was ruled out before the scoring.
    """

    name: str
    chosen: list[Candidate]
    adapted: bool
    reasons: list[str]
    table: dict[str, dict[str, float]]
    out: dict[str, str]

    def probabilities(self, outputs: Sequence[Any] | None = None) -> Tensor:
        """``(n, classes)``, the mean softmax of the chosen candidates: one model from several seeds.

        Costs an encoder for each seed, and was 0.6 to 1.3 points better than the mean seed where it was developed.

        Args:
            outputs: logits of any rows, ``(n, classes)`` for each of `chosen` in its order; those of the target rows it
                was chosen on, where not given.

        Raises:
            ValueError: another number of outputs than of chosen candidates, different shapes.
        """
        given = [m.target.outputs for m in self.chosen] if outputs is None else outputs
        if len(given) != len(self.chosen):
            raise ValueError(f"`outputs` must be one for each of the {len(self.chosen)} chosen, got {len(given)}.")
        return torch.stack([z.softmax(1) for z in same_shape(given)]).mean(0)

    def __str__(self) -> str:
        columns = list(dict.fromkeys(column for row in self.table.values() for column in row))
        width = max(len(name) for name in self.table) + 4
        best_first = sorted(self.table, key=lambda name: -self.table[name].get(SCORE, -2.0))
        lines = [f"chosen: {self.name}", *(f"  {reason}" for reason in self.reasons), ""]
        lines.append(" " * width + "  ".join(columns))
        for name in best_first:
            cells = [self.table[name].get(c) for c in columns]
            text = ["-" if v is None else f"{v:.3g}" for v in cells]
            mark = "*" if name == self.name else " "
            row = "  ".join(t.rjust(len(c)) for t, c in zip(text, columns, strict=True))
            lines.append(f"{mark} {name}".ljust(width) + row)
        lines += [f"ruled out: {name}: {why}" for name, why in self.out.items()]
        return "\n".join(lines)


def choose(
    candidates: Sequence[Candidate],
    source_only: Candidate | Sequence[Candidate],
    *,
    others: bool = True,
    seed: int = 0,
) -> Choice:
    r"""Choose one of several adapted models without target labels, or none of them.

    One rule, fixed, the same for every task:

    1. Rule out a configuration whose source validation accuracy is below the 95 % interval of source-only's (Wilson,
       seeds pooled), or that shows a :func:`collapse` on the target with any seed.
    2. Score what is left, and source-only, by `shared clusters`: the adjusted mutual information of its predictions on the
       target with the k-means clusters of every run's target features, mean over methods (source-only is one) of the mean over
       their runs.
    3. Let them vote on every target row: mean softmax, weighted by that score, methods sharing their votes evenly.
    4. Take the best score among those the vote sides with against source-only, over the rows where the two differ
       (McNemar's :math:`z > 3`). If there is none better than source-only, or fewer than 3 candidates are left to
       vote, stay with source-only.

    .. math:: s_k = \frac1K \sum_j \mathrm{AMI}(\hat y_k, c_j), \qquad
        \bar y_i = \arg\max_c \sum_k [s_k]_+\, p_{kic}, \qquad
        \hat k = \arg\max_{k: z_k > 3,\; s_k > s_0} s_k

    (written for one candidate a method.) With several seeds, scores and :math:`z` are computed seed by seed and averaged.

    Why these. Clusters of one's own features alone (ClassAMI) reward a method for sharpening them, wrong or not; those of many
    runs do not, and label shift does not disturb them. The vote follows the majority into shared mistakes, so it does
    not rank; but a model that most others contradict where it left source-only is the usual harm. Entropy and SND are best
    for a collapsed model, DEV and IWCV have the variance of their weights and do not see labels that moved, reverse
    validation and source accuracy are near 1 for source-only whatever it does on the target: all are shown, none decides.

    Related: ClassAMI is from Musgrave et al., 2022, https://arxiv.org/abs/2208.07360; candidates as each other's judges
    from Parisi et al., 2014 (the spectral meta-learner), https://doi.org/10.1073/pnas.1219097111, and Hu et al., 2024
    (EnsV), https://openreview.net/forum?id=rI7kbFTSpr. The rule itself is ours.

    Developed on heart disease (12 hospital pairs), the MNIST-USPS set of JDA, six speakers of spoken digits, and
    synthetic tasks (rotated, noisy, inverted, label-shifted and partial scikit-learn digits; moons; Gaussian classes;
    wine and breast cancer split along a feature): `docs/selection.md` has the numbers. Office-Caltech,
    MNIST, USPS and MNIST-M images, Amazon reviews and WISDM were not looked at.

    Args:
        candidates: of one or several methods, settings and checkpoints; the more different the better the vote.
            Those that differ in their seed alone are one configuration.
        source_only: the model without adaptation; one for each seed of the candidates.
        others: also compute the validators that decide nothing, for the table: some seconds a candidate on thousands of rows.
        seed: of the k-means starts, and of the 2,000 target rows that are clustered where there are more.

    Returns:
        A :class:`Choice`; ``print`` it.

    Raises:
        ValueError: no candidate, two with one name and seed, candidates on different rows, a seed without source-only.

    Limits. The best of many models on a few hundred rows is partly luck, which no rule finds without labels. Where
    source-only is no better than chance, everything measured here can improve while the accuracy does not. A shared
    mistake of all methods is invisible.
    """
    plain = _by_seed([source_only] if isinstance(source_only, Candidate) else source_only)
    configurations = _by_name(candidates, plain)
    hits = {s: source_hits(m) for s, m in plain.items()}
    out: dict[str, str] = {}
    for name, members in configurations.items():
        why = _ruled_out(members, plain, hits)
        if why:
            out[name] = why
    kept = {name: members for name, members in configurations.items() if name not in out}

    base = "source-only"
    per_seed = [judged(m, [c[s] for c in kept.values()], seed=seed) for s, m in plain.items()]
    table = {name: _mean([scores[k] for scores in per_seed]) for k, name in enumerate([base, *kept])}
    name, reasons = _decided(table, base)
    if out:
        reasons.append(f"{len(out)} of {len(configurations)} configurations were ruled out before the scoring")
    for each, members in {base: plain, **configurations}.items():
        _describe(table.setdefault(each, {}), members, plain, others=others and each not in out)
    chosen = plain if name == base else configurations[name]
    return Choice(name, [chosen[s] for s in plain], name != base, reasons, table, out)


def _decided(table: dict[str, dict[str, float]], base: str) -> tuple[str, list[str]]:
    """Point 4 of the rule, in words."""
    kept = len(table) - 1
    if kept < VOTERS:
        return base, [
            f"source-only: {kept} candidates are left and a vote needs {VOTERS}; add settings, checkpoints or methods"
        ]
    score = {name: round(row[SCORE], 9) for name, row in table.items()}  # ties go by name and not by rounding
    better = [name for name in score if score[name] > score[base]]
    if not better:
        return base, [f"source-only: its {SCORE} {score[base]:.2f} are the best themselves"]
    backed = [name for name in better if table[name]["vote z"] > VOTED]
    name = max(backed or better, key=lambda n: (score[n], n))
    z = table[name]["vote z"]
    reasons = [
        f"{SCORE}: {score[base]:.2f} for source-only, {score[name]:.2f} for `{name}`",
        f"the vote sides with it against source-only: z = {z:.1f}, needed {VOTED:g}",
    ]
    if not backed:
        reasons[1] = (
            f"the vote does not side with it against source-only: z = {z:.1f}, needed {VOTED:g}: stay with that"
        )
        return base, reasons
    if passed := sum(score[n] > score[name] for n in better):
        reasons.append(f"{passed} with better clusters do not have the vote")
    return name, reasons


def _ruled_out(members: dict[int, Candidate], plain: dict[int, Candidate], hits: dict[int, Tensor]) -> str:
    """Point 1 of the rule; empty if nothing is wrong."""
    missing = sorted(plain.keys() - members.keys())
    if missing:
        return f"no outputs for seed {', '.join(map(str, missing))}"
    for s, m in members.items():
        signs = collapse(
            m.target.outputs, m.source.labels, target_features=m.target.features, source_features=m.source.features,
            source_only_logits=plain[s].target.outputs,
        )  # fmt: skip
        if signs:
            return f"seed {s}: {'; '.join(signs)}"
    try:
        right = [source_hits(members[s]) for s in plain]
    except arrays.NotFinite as error:
        return str(error)
    mine = torch.cat(right).double().mean().item()
    before = proportion("accuracy", torch.cat([hits[s] for s in plain]))
    if mine < before.low:
        return (
            f"source accuracy {mine:.3f}, below the 95 % interval {before.low:.3f} to {before.high:.3f} of source-only"
        )
    return ""


def _describe(
    row: dict[str, float], members: dict[int, Candidate], plain: dict[int, Candidate], *, others: bool
) -> None:
    """What stands in the table beside the rule's scores."""
    try:
        right = torch.cat([source_hits(m) for m in members.values()])
    except arrays.NotFinite:  # and ruled out for it
        return
    row["source accuracy"] = proportion("accuracy", right).value
    if len(members) > 1 and others:
        row["seeds agree"] = seed_agreement([m.target.outputs for m in members.values()])
    if others:
        row.update(_mean([shown(m, plain[s]) for s, m in members.items()]))


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}


def _by_seed(source_only: Sequence[Candidate]) -> dict[int, Candidate]:
    plain = {m.seed: m for m in source_only}
    if not plain or len(plain) < len(source_only):
        raise ValueError(
            f"`source_only` must be one candidate for each seed, got seeds {[m.seed for m in source_only]}."
        )
    return plain


def _by_name(candidates: Sequence[Candidate], plain: dict[int, Candidate]) -> dict[str, dict[int, Candidate]]:
    """The candidates of each configuration by seed, after looking at their rows."""
    if not candidates:
        raise ValueError("`candidates` is empty: give at least one, better several settings or methods.")
    found: dict[str, dict[int, Candidate]] = defaultdict(dict)
    for c in candidates:
        if c.seed in found[c.name]:
            raise ValueError(f"two candidates are `{c.name}` with seed {c.seed}: tell them apart by settings or step.")
        if c.name == "source-only":
            raise ValueError("a candidate may not be called `source-only`: pass it as `source_only`.")
        if c.seed not in plain:
            raise ValueError(f"`{c.name}` has seed {c.seed}, and `source_only` has {sorted(plain)}: give that one too.")
        _same_rows(c, plain[c.seed])
        found[c.name][c.seed] = c
    return dict(found)


def _same_rows(c: Candidate, plain: Candidate) -> None:
    for side in ("source", "target"):
        mine, its = getattr(c, side), getattr(plain, side)
        shapes: tuple[Any, Any] = tuple(mine.outputs.shape), tuple(its.outputs.shape)
        if shapes[0] != shapes[1] or len(mine.features) != shapes[0][0]:
            raise ValueError(
                f"`{side}` of `{c.name}` must have the rows and classes of source-only, got outputs {shapes[0]} and "
                f"{shapes[1]}, features of {len(mine.features)} rows."
            )
    if not torch.equal(torch.as_tensor(c.source.labels).cpu(), torch.as_tensor(plain.source.labels).cpu()):
        raise ValueError(
            f"`source` labels of `{c.name}` differ from source-only's of seed {c.seed}: predict the same rows."
        )
