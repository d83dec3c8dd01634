"""Choose a model by the clusters and the vote of all runs, or stay with the model without adaptation."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from adapt.heads import proportion
from adapt.ranking import arrays
from adapt.select._candidate import Candidate
from adapt.select._choose_numbers import choose_numbers
from adapt.select._collapse import collapse
from adapt.select._guard import audit_doubts, source_doubts, target_doubts
from adapt.select.agreement import checked_logits, seed_agreement
from adapt.select.signals import other_validators, rule_scores, source_hits
from losses.options import FROM_0, check

SCORE, BASE, NONE = "shared clusters", "source-only", "no choice"
NEEDED_Z = 3.0  # of McNemar: far beyond 95 %, because models share mistakes and the vote may be wrong
LEAST_VOTERS = 3  # beside source-only: with fewer voters the most confident model decides the vote


@dataclass(frozen=True, eq=False)
class Choice:
    """The chosen configuration, the reasons, and the scores of all configurations.

    Attributes:
        name: of the chosen configuration; ``"no choice"`` where source-only may be no better than chance.
        chosen: the candidates of the configuration, one for each seed; empty without a choice.
        adapted: False where the choice is source-only, and without a choice.
        reasons: sentences.
        table: the scores of each configuration, means over the seeds; without ``shared clusters`` where the
            configuration was ruled out.
        out: for each configuration that was ruled out before the scoring, the reason.
    """

    name: str
    chosen: list[Candidate]
    adapted: bool
    reasons: list[str]
    table: dict[str, dict[str, float]]
    out: dict[str, str]

    def probabilities(self, outputs: Sequence[Any] | None = None) -> Tensor:
        """Return the mean softmax of the chosen candidates, ``(n, classes)``: one model from several seeds.

        Costs an encoder for each seed. On the tasks of the development the mean was 0.6 to 1.3 points better than the
        mean seed.

        Args:
            outputs: logits of any rows, ``(n, classes)`` for each of `chosen`, in order. Default: the logits of the
                target rows of the choice.

        Raises:
            ValueError: no choice; another number of outputs than of chosen candidates, different shapes.
        """
        given = self._outputs(outputs)
        if torch.as_tensor(self.chosen[0].source.labels).is_floating_point():
            raise ValueError("regressors have no probabilities: `choice.predictions()` is the mean of the predictions.")
        return torch.stack([z.softmax(1) for z in checked_logits(given)]).mean(0)

    def predictions(self, outputs: Sequence[Any] | None = None) -> Tensor:
        """Return the mean prediction of the chosen regressors, ``(n,)`` or ``(n, outputs)``; as `probabilities`."""
        return torch.stack([torch.as_tensor(z).double() for z in self._outputs(outputs)]).mean(0)

    def _outputs(self, outputs: Sequence[Any] | None) -> Sequence[Any]:
        if not self.chosen:
            raise ValueError(f"there is no choice, so no model: {'; '.join(self.reasons)}.")
        given = [m.target.outputs for m in self.chosen] if outputs is None else outputs
        if len(given) != len(self.chosen):
            raise ValueError(f"`outputs` must be one for each of the {len(self.chosen)} in `chosen`, got {len(given)}.")
        return given

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
    audit: tuple[Tensor, Tensor] | None = None,
    labels_alike: bool = False,
    seed: int = 0,
) -> Choice:
    r"""Choose one of several adapted models without target labels, or the model without adaptation, or nothing.

    The rule is fixed and the same for every task:

    1. Rule out a configuration whose source validation accuracy is below the 95 % interval of source-only's (Wilson,
       seeds pooled), or that shows a :func:`collapse` on the target with any seed.
    2. Score source-only and every remaining model by `shared clusters`: the adjusted mutual information between the
       predictions on the target and the k-means clusters of every run's target features, mean over methods (source-only
       counts as a method) of the mean over the runs of the method.
    3. Let these models vote on every target row: mean softmax, weighted by the score, with equal weight for every
       method.
    4. Among the models that the vote prefers to source-only, take the best score. The vote prefers a model if,
       over the rows where model and source-only differ, the vote agrees more often with the model (McNemar's
       :math:`z > 3`). If no model has a better score than source-only, or fewer than 3 candidates are left to vote,
       stay with source-only.

    .. math:: s_k = \frac1K \sum_j \mathrm{AMI}(\hat y_k, c_j), \qquad
        \bar y_i = \arg\max_c \sum_k [s_k]_+\, p_{kic}, \qquad
        \hat k = \arg\max_{k: z_k > 3,\; s_k > s_0} s_k

    (written for one candidate per method). With several seeds, scores and :math:`z` are computed seed by seed and
    averaged.

    5. A guard takes the place of the choice where source-only may be no better than chance: the balanced accuracy on
       held-out source rows is not above chance; the predictions on the target have shared clusters below 0.05; several
       seeds of source-only agree on the target as by chance; or, with an `audit`, the balanced accuracy on these rows
       is not above chance. The result is then ``"no choice"``, with the reasons.

    Regressors (source labels that are numbers) have no choice without target labels and without `labels_alike`: on 20
    pairs of tables none of six criteria told whether adaptation helps (`docs/selection.md`). With an `audit` the choice
    is the least mean absolute error on these rows, among the configurations whose paired gain over source-only has a
    one-sided 95 % interval above 0, else source-only. The guard is then the mean of the source's labels, which the
    choice must beat.

    Reasons. Clusters of the model's own features alone (ClassAMI) reward a method for sharper clusters, right or wrong.
    Clusters of many runs do not, and stay valid under label shift. The vote follows the majority into shared mistakes,
    so the vote does not rank. But a usual case of harm is a model that left source-only on rows where most other models
    disagree. The other validators are shown and decide nothing: entropy and SND are best for a collapsed model; DEV and
    IWCV have the variance of the weights and miss labels that moved; reverse validation and source accuracy are near 1
    for source-only, with any target accuracy.

    Related: ClassAMI is from Musgrave et al., 2022, https://arxiv.org/abs/2208.07360; candidates that judge each other
    are from Parisi et al., 2014 (the spectral meta-learner), https://doi.org/10.1073/pnas.1219097111, and Hu et al.,
    2024 (EnsV), https://openreview.net/forum?id=rI7kbFTSpr. The rule is our own.

    Developed on heart disease (12 hospital pairs), the MNIST-USPS set of JDA, six speakers of spoken digits, and
    synthetic tasks (rotated, noisy, inverted, label-shifted and partial scikit-learn digits; moons; Gaussian classes;
    wine and breast cancer split along a feature): `docs/selection.md` has the numbers. Office-Caltech,
    MNIST, USPS and MNIST-M images, Amazon reviews and WISDM were not looked at. The guard came later. The two constants
    of the guard, 0.05 for shared clusters and 0.1 for the agreement of seeds, were set after a look at about 20 tasks.

    Args:
        candidates: of one or several methods, settings and checkpoints. The more the candidates differ, the better the
            vote. Candidates that differ in the seed alone are one configuration.
        source_only: the model without adaptation; one for each seed of the candidates.
        others: also compute the validators that decide nothing, for the table: some seconds per candidate on thousands
            of rows.
        audit: numbers of some target rows, and their labels ``(rows, labels)``: 30 rows drawn at random, say. The
            guard alone sees these labels; they do not rank classifiers. Regressors are chosen by these labels: report
            the error on other rows. None: no target label is seen.
        labels_alike: for regressors: your word that the labels of both domains are distributed alike. The choice is
            then the least :func:`label_distance`, where the distance is less than that of source-only by 0.1.
        seed: of the k-means starts, and of the draw of 2,000 target rows for the clusters, where the target has more.

    Returns:
        A :class:`Choice`; ``print`` shows reasons and table.

    Raises:
        ValueError: no candidate, two with one name and seed, candidates on different rows, a seed without source-only.

    Limits. The best of many models on a few hundred rows is partly luck, and no rule finds luck without labels. A
    shared mistake of all methods is invisible: on chest X-rays of another hospital source-only had 32 % balanced
    accuracy, and every sign without labels was sound. Where the domains may differ in a shortcut, give an `audit`.
    """
    check(FROM_0, seed=seed)
    plain = _by_seed([source_only] if isinstance(source_only, Candidate) else source_only)
    configurations = _by_name(candidates, plain)
    if torch.as_tensor(next(iter(plain.values())).source.labels).is_floating_point():
        name, reasons, table, out = choose_numbers(configurations, plain, BASE, NONE, audit, others, labels_alike)
        runs = {BASE: plain, NONE: {}, **configurations}[name]
        return Choice(name, [runs[s] for s in plain if runs], name not in (BASE, NONE), reasons, table, out)
    if labels_alike:
        raise ValueError("`labels_alike` is for regressors, and these candidates predict classes: leave it out.")
    hits = {s: source_hits(m) for s, m in plain.items()}
    out = {}
    for name, members in configurations.items():
        why = _ruled_out(members, plain, hits)
        if why:
            out[name] = why
    kept = {name: members for name, members in configurations.items() if name not in out}

    per_seed = [rule_scores(m, [c[s] for c in kept.values()], seed=seed) for s, m in plain.items()]
    table = {name: _mean([scores[k] for scores in per_seed]) for k, name in enumerate([BASE, *kept])}
    name, reasons = _decision(table)
    doubts = source_doubts(plain, hits) + target_doubts(list(plain.values()), table[BASE][SCORE])
    if audit is not None:
        doubts += audit_doubts(list(plain.values()), *map(torch.as_tensor, audit))
    if doubts:
        name, reasons = NONE, [*doubts, "no choice: label some target rows, and compare the models on these rows"]
    if out:
        reasons.append(f"{len(out)} of {len(configurations)} configurations were ruled out before the scoring")
    for each, members in {BASE: plain, **configurations}.items():
        _add_other_scores(table.setdefault(each, {}), members, plain, others=others and each not in out)
    chosen = {BASE: plain, NONE: {}, **configurations}[name]
    return Choice(name, [chosen[s] for s in plain if chosen], name not in (BASE, NONE), reasons, table, out)


def _decision(table: dict[str, dict[str, float]]) -> tuple[str, list[str]]:
    """Return the name by point 4 of the rule, and the reasons."""
    kept = len(table) - 1
    if kept < LEAST_VOTERS:
        return BASE, [
            f"source-only: {kept} candidates are left and a vote needs {LEAST_VOTERS}; add settings, checkpoints or "
            "methods"
        ]
    score = {name: round(row[SCORE], 9) for name, row in table.items()}  # ties go by name and not by rounding
    better = [name for name in score if score[name] > score[BASE]]
    if not better:
        return BASE, [f"source-only: {SCORE} of {score[BASE]:.2f} are the best of all"]
    backed = [name for name in better if table[name]["vote z"] > NEEDED_Z]
    name = max(backed or better, key=lambda n: (score[n], n))
    z = table[name]["vote z"]
    reasons = [
        f"{SCORE}: {score[BASE]:.2f} for source-only, {score[name]:.2f} for `{name}`",
        f"the vote sides with `{name}` against source-only: z = {z:.1f}, needed {NEEDED_Z:g}",
    ]
    if not backed:
        reasons[1] = (
            f"the vote does not side with `{name}` against source-only: z = {z:.1f}, needed {NEEDED_Z:g}: stay with "
            "source-only"
        )
        return BASE, reasons
    if passed := sum(score[n] > score[name] for n in better):
        reasons.append(f"configurations with better clusters and without the vote: {passed}")
    return name, reasons


def _ruled_out(members: dict[int, Candidate], plain: dict[int, Candidate], hits: dict[int, Tensor]) -> str:
    """Return the reason by point 1 of the rule; empty for a configuration that stays."""
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


def _add_other_scores(
    row: dict[str, float], members: dict[int, Candidate], plain: dict[int, Candidate], *, others: bool
) -> None:
    """Add to a row of the table the scores that decide nothing."""
    try:
        right = torch.cat([source_hits(m) for m in members.values()])
    except arrays.NotFinite:  # the configuration was ruled out for this reason
        return
    row["source accuracy"] = proportion("accuracy", right).value
    if len(members) > 1 and others:
        row["seeds agree"] = seed_agreement([m.target.outputs for m in members.values()])
    if others:
        row.update(_mean([other_validators(m, plain[s]) for s, m in members.items()]))


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
    """Return the candidates of each configuration by seed, after a check of the rows."""
    if not candidates:
        raise ValueError("`candidates` is empty: give at least one, better several settings or methods.")
    found: dict[str, dict[int, Candidate]] = defaultdict(dict)
    for c in candidates:
        if c.seed in found[c.name]:
            raise ValueError(f"two candidates are `{c.name}` with seed {c.seed}: give different `settings` or `step`.")
        if c.name in (BASE, NONE):
            raise ValueError(f"a candidate may not be called `{c.name}`: pass the unadapted model as `source_only`.")
        if c.seed not in plain:
            raise ValueError(
                f"`{c.name}` has seed {c.seed}, `source_only` has {sorted(plain)}: add source-only with this seed."
            )
        _same_rows(c, plain[c.seed])
        found[c.name][c.seed] = c
    return dict(found)


def _same_rows(c: Candidate, plain: Candidate) -> None:
    for side, found, expected in (("source", c.source, plain.source), ("target", c.target, plain.target)):
        shape, wanted = tuple(found.outputs.shape), tuple(expected.outputs.shape)
        if shape != wanted or len(found.features) != shape[0]:
            raise ValueError(
                f"`{side}` of `{c.name}` must have the rows and classes of source-only, got outputs {shape} and "
                f"{wanted}, features of {len(found.features)} rows: predict the same rows."
            )
    if not torch.equal(torch.as_tensor(c.source.labels).cpu(), torch.as_tensor(plain.source.labels).cpu()):
        raise ValueError(
            f"`source` labels of `{c.name}` differ from source-only's of seed {c.seed}: predict the same rows."
        )
