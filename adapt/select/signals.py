"""The scores of source-only and of all candidates of one seed."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from math import log, sqrt

import torch
from torch import Tensor

from adapt.ranking import arrays
from adapt.select import confidence
from adapt.select._candidate import Candidate
from adapt.select._class_ami import clusters, mutual_information
from adapt.select._neighbourhood import soft_neighbourhood_density
from adapt.select._reverse_validation import reverse_validation
from adapt.select._source_accuracy import source_accuracy
from adapt.select.agreement import weighted_vote
from adapt.select.density_ratio import dev, effective_rows, importance_weighted, importance_weights

CLUSTERED = 2000  # target rows that are clustered: k-means of every candidate is the cost of a choice


def rule_scores(source_only: Candidate, others: Sequence[Candidate], *, seed: int = 0) -> list[dict[str, float]]:
    """Return the scores of source-only and of each other candidate. The rule reads the first three."""
    models = [source_only, *others]
    z = [arrays.logits(f"target.outputs of `{m.name}`", m.target.outputs) for m in models]
    predicted, classes = [x.argmax(1) for x in z], z[0].shape[1]
    rows = _rows_to_cluster(len(z[0]), seed)
    cluster = [
        clusters(arrays.features(f"target.features of `{m.name}`", m.target.features)[rows], classes, seed=seed)
        for m in models
    ]
    agreed = [[mutual_information(y[rows], c) for c in cluster] for y in predicted]
    shared = [_mean_over_methods(models, of) for of in agreed]
    shares = vote_shares(others)
    weights = [s * max(score, 0.0) for s, score in zip(shares, shared, strict=True)]
    vote = weighted_vote(z, weights if max(weights) > 0 else shares, rounds=0)
    return [
        {
            "shared clusters": shared[k],
            "vote": (y == vote).double().mean().item(),
            "vote z": mcnemar_z(y == vote, predicted[0] == vote),
            "own clusters": agreed[k][k],
            "information": confidence.information_maximization(z[k]) / log(classes),
        }
        for k, y in enumerate(predicted)
    ]


def other_validators(model: Candidate, source_only: Candidate) -> dict[str, float]:
    """Return the validators that are shown in the table and decide nothing."""
    (zs, fs, y), (zt, ft, _) = model.source, model.target
    own = importance_weights(fs, ft)
    shared = importance_weights(source_only.source.features, source_only.target.features)
    return {
        "entropy": confidence.entropy(zt),
        "diversity": confidence.diversity(zt),
        "nuclear norm": confidence.batch_nuclear_norm(zt),
        "SND": soft_neighbourhood_density(zt),
        "IWCV": importance_weighted(zs, y, shared),
        "DEV": dev(zs, y, own),
        "DEVN": dev(zs, y, own, normalize=True),
        "rows behind DEV": effective_rows(own),
        "reverse": reverse_validation(ft, zt, fs, y),
    }


def source_hits(model: Candidate) -> Tensor:
    """Return ``(n,)`` booleans: whether the predicted class of a source row is right."""
    z = arrays.logits(f"source.outputs of `{model.name}`", model.source.outputs)
    source_accuracy(z, model.source.labels)
    return z.argmax(1) == torch.as_tensor(model.source.labels).cpu()


def mcnemar_z(a: Tensor, b: Tensor) -> float:
    r"""Return McNemar's z of paired hits, :math:`(n_{a} - n_{b}) / \sqrt{n_a + n_b}`, over rows with a single hit."""
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return (only_a - only_b) / sqrt(only_a + only_b) if only_a + only_b else 0.0


def vote_shares(others: Sequence[Candidate]) -> list[float]:
    """Return the weight of each vote: 1 for source-only; the other votes are shared evenly between families."""
    count = Counter(m.method for m in others)
    return [1.0, *(len(others) / len(count) / count[m.method] for m in others)]


def _rows_to_cluster(n: int, seed: int) -> Tensor:
    if n <= CLUSTERED:
        return torch.arange(n)
    return torch.randperm(n, generator=torch.Generator().manual_seed(int(seed)))[:CLUSTERED].sort().values


def _mean_over_methods(models: Sequence[Candidate], values: Sequence[float]) -> float:
    """Return the mean over methods of the mean over the candidates of the method. Source-only counts as a method."""
    by = defaultdict(list)
    for k, (model, value) in enumerate(zip(models, values, strict=True)):
        by["" if k == 0 else model.method].append(value)
    return sum(sum(v) / len(v) for v in by.values()) / len(by)
