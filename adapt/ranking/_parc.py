"""Pairs of rows with similar features and similar labels."""

import torch
from torch import Tensor

from adapt.ranking.sample import Sample, Undefined
from losses.options import FROM_0, check, whole


def parc(sample: Sample, *, rows: int = 1000, seed: int = 0) -> Tensor:
    r"""Compute the rank correlation between the distances of rows in features and in labels: PARC.

    .. math:: 100 \cdot \rho_{\text{Spearman}}\bigl( 1 - \operatorname{corr}(f_i, f_j),\;
        1 - \operatorname{corr}(e_{y_i}, e_{y_j}) \bigr)_{i < j}

    with every feature first brought to mean 0 and variance 1, correlations along the features of a row, and e the
    one-hot labels. The correlation of one-hot labels takes two values, so the second distance says whether two rows
    differ in class.

    Args:
        sample: with classes.
        rows: the most rows to compare. From a larger sample this number of rows is drawn, each class by its share:
            n (n - 1) / 2 pairs are sorted.
        seed: of the draw.

    Returns:
        ``()`` in [-100, 100]. The scale of a feature does not change the score; rotation does.

    Raises:
        Undefined: `values`; fewer than 2 features; no class with two rows.
        ValueError: `rows` below 2.

    Bolya et al., Scalable Diverse Model Selection for Accessible Transfer Learning, 2021,
    https://arxiv.org/abs/2111.06977

    >>> rows = [[1.0, 0.0, 0.0], [0.9, 0.1, 0.0], [0.0, 0.1, 0.9], [0.0, 0.0, 1.0]]
    >>> bool(parc(Sample(rows, [0, 0, 1, 1])) > parc(Sample(rows, [0, 1, 0, 1])))
    True
    """
    from scipy.stats import rankdata

    check(whole(2), rows=rows)
    check(FROM_0, seed=seed)
    y = sample.need_classes("parc")
    F = sample.centred_features
    if F.shape[1] < 2:
        raise Undefined("parc correlates the features of two rows and needs at least 2 features.")
    if len(F) > rows:
        chosen = stratified_rows(y, rows, torch.Generator().manual_seed(int(seed)))
        F, y = F[chosen], y[chosen]
    if y.bincount().max() < 2:
        raise Undefined("parc has no pair of one class; label two rows of some class.")
    F = F - F.mean(0)
    deviation = F.square().mean(0).sqrt()
    F = F / deviation.where(deviation > 1e-12 * deviation.max(), 1.0)
    F = torch.nn.functional.normalize(F - F.mean(1, keepdim=True), dim=1)
    i, j = torch.triu_indices(len(F), len(F), 1)
    # rounding to 12 digits: pairs of equal rows are ties
    ranks = torch.from_numpy(rankdata((1 - F @ F.T)[i, j].numpy().round(12)))
    pair = torch.stack([ranks, (y[i] != y[j]).double()])
    return 100 * torch.corrcoef(pair)[0, 1].nan_to_num(0.0)


def stratified_rows(y: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw `count` of the rows, each class by its share, in ascending order."""
    shuffled = torch.randperm(len(y), generator=generator)
    by_class = shuffled[y[shuffled].argsort(stable=True)]
    return by_class[torch.linspace(0, len(y) - 1, count).round().long()].sort().values
