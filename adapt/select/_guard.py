"""Signs that the model without adaptation is no better than chance, where a choice has no ground."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from adapt.ranking import arrays
from adapt.select._candidate import Candidate
from adapt.select.agreement import checked_logits

LEAST_SHARED = 0.05  # shared clusters of source-only: random classes have 0.00 to 0.02, the lowest real task had 0.10
LEAST_KAPPA = 0.1  # agreement of the seeds of source-only beyond chance
Z = 1.644854  # one-sided 95 % quantile of the normal distribution


def source_doubts(plain: Mapping[int, Candidate], hits: Mapping[int, Tensor]) -> list[str]:
    """Return a sentence where source-only may be at chance on held-out rows of its own source."""
    labels = [torch.as_tensor(m.source.labels).cpu() for m in plain.values()]
    return at_chance("the held-out rows of the source itself", [hits[s] for s in plain], labels)


def at_chance(where: str, hits: Sequence[Tensor], labels: Sequence[Tensor]) -> list[str]:
    r"""Return a sentence where the balanced accuracy is not clearly above chance, seeds pooled.

    With :math:`r_k` the accuracy on the :math:`n_k` rows of class k, at chance is a balanced accuracy whose one-sided
    95 % interval reaches :math:`1 / K`, for the K classes with a row:

    .. math:: \frac1K \sum_k r_k - 1.64\, \frac1K \sqrt{\sum_k \frac{\tilde r_k (1 - \tilde r_k)}{n_k}} \le \frac1K,
        \qquad \tilde r_k = \frac{n_k r_k + 1}{n_k + 2}

    Seeds see the same rows: :math:`n_k` counts each row once.

    Args:
        where: the rows, for the sentence.
        hits, labels: for each seed.
    """
    y, hit = torch.cat(list(labels)), torch.cat(list(hits)).double()
    classes = y.unique().tolist()
    if len(classes) < 2:
        return [f"{where} have one class, so nothing tells whether source-only is above chance"]
    rates = [hit[y == k].mean().item() for k in classes]
    counts = [int((y == k).sum()) / len(labels) for k in classes]
    smooth = [(n * r + 1) / (n + 2) for n, r in zip(counts, rates, strict=True)]
    error = math.sqrt(sum(r * (1 - r) / n for r, n in zip(smooth, counts, strict=True))) / len(classes)
    balanced = sum(rates) / len(classes)
    if balanced - Z * error > 1 / len(classes):
        return []
    return [
        f"source-only is not clearly above chance on {where}: balanced accuracy {balanced:.2f} ± {error:.2f} on "
        f"{round(sum(counts))} rows, chance {1 / len(classes):.2f}"
    ]


def target_doubts(plain: Sequence[Candidate], shared: float) -> list[str]:
    """Return sentences where the predictions of source-only on the target look like chance.

    Args:
        plain: source-only, one for each seed.
        shared: the shared clusters of source-only, mean over seeds.
    """
    found = []
    if shared < LEAST_SHARED:
        found.append(
            f"the predictions of source-only on the target have nothing in common with the clusters of any run: shared "
            f"clusters {shared:.2f}, needed {LEAST_SHARED:g}"
        )
    if len(plain) > 1 and (agreement := seed_kappa(plain)) < LEAST_KAPPA:
        found.append(
            f"the seeds of source-only agree on the target as by chance: kappa {agreement:.2f}, needed {LEAST_KAPPA:g}"
        )
    return found


def seed_kappa(plain: Sequence[Candidate]) -> float:
    r"""Return Cohen's kappa of the predicted target classes, :math:`(p - e) / (1 - e)`, mean over pairs of seeds; 0
    where both predict one class.

    Cohen, A Coefficient of Agreement for Nominal Scales, 1960, https://doi.org/10.1177/001316446002000104
    """
    logits = checked_logits([m.target.outputs for m in plain])
    shares = [z.argmax(1) for z in logits]
    pairs = [(a, b) for i, a in enumerate(shares) for b in shares[:i]]
    return sum(kappa(a, b, logits[0].shape[1]) for a, b in pairs) / len(pairs)


def kappa(a: Tensor, b: Tensor, classes: int) -> float:
    """Return Cohen's kappa of two models' predicted classes, ``(n,)`` each; 0 where both predict one class."""
    agree = (a == b).double().mean().item()
    p, q = (torch.bincount(x, minlength=classes).double() / len(x) for x in (a, b))
    expected = (p @ q).item()
    return (agree - expected) / (1 - expected) if expected < 1 else 0.0


def audit_doubts(plain: Sequence[Candidate], rows: Tensor, labels: Tensor) -> list[str]:
    """Return a sentence where source-only may be at chance on some target rows with known labels.

    Raises:
        ValueError: other numbers of rows and labels, rows that the target does not have, labels outside of the classes.
    """
    logits = checked_logits([m.target.outputs for m in plain])
    n, classes = logits[0].shape
    if rows.ndim != 1 or len(rows) == 0 or rows.is_floating_point() or rows.min() < 0 or rows.max() >= n:
        raise ValueError(
            f"`audit` must be (rows, labels) with numbers of target rows from 0 to {n - 1}, got rows of shape "
            f"{tuple(rows.shape)}: number the rows as in the predictions of the candidates."
        )
    y = arrays.labels("audit", labels, len(rows), classes)
    return at_chance("the target rows with known labels", [z[rows].argmax(1) == y for z in logits], [y] * len(plain))
