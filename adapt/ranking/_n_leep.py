"""LEEP through clusters of the features."""

import warnings

import torch
from torch import Tensor

from adapt.ranking._leep import through
from adapt.ranking.sample import Sample, Undefined


def n_leep(sample: Sample, *, per_class: int = 5, variance: float = 0.8, seed: int = 0) -> Tensor:
    r""":func:`leep` with the components of a Gaussian mixture in place of source classes: N-LEEP.

    .. math:: p_{iz} = \frac{\pi_z \mathcal N(x_i; \mu_z, \Sigma_z)}{\sum_u \pi_u \mathcal N(x_i; \mu_u, \Sigma_u)}

    of the first principal components x of the features, with diagonal :math:`\Sigma_z`.

    Args:
        sample: with classes; no source head needed.
        per_class: components for each class; the paper's 5.
        variance: share that the principal components keep; the paper's 0.8.
        seed: of the mixture's start.

    Returns:
        ``(n,)``; the mean is N-LEEP. Does not change with scale or shift of the features, nor with rotation, but for rounding
        that a start of the mixture may make larger.

    Raises:
        Undefined: `values`; fewer than two rows for each component.

    Full covariances, which other code has, are singular with fewer rows in a component than directions. The
    slowest of the scores.

    Li et al., Ranking Neural Checkpoints, 2021, https://arxiv.org/abs/2011.11200

    >>> rows = [[0.0, 0.1], [0.1, 0.0], [3.0, 3.1], [3.1, 3.0]]
    >>> bool(n_leep(Sample(rows, [0, 0, 1, 1]), per_class=1).mean() > n_leep(Sample(rows, [0, 1, 0, 1]), per_class=1).mean())
    True
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    y = sample.need_classes("n_leep")
    components = per_class * sample.classes
    if len(sample) < 2 * components:
        raise Undefined(
            f"n_leep with {components} components needs at least {2 * components} rows, got {len(sample)}; lower `per_class` or label "
            "more rows."
        )
    share = sample.centred.squares.flip(0).cumsum(0) / sample.centred.squares.sum()
    x = sample.centred.principal(int((share < variance).sum()) + 1).numpy()
    # variances of at least 1e-6 of the mean one, whatever the scale
    mixture = GaussianMixture(
        components, covariance_type="diag", reg_covar=1e-6 * float(x.var(0).mean()), random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it stops at 100 rounds, and fewer components is no harm
        posterior = mixture.fit(x).predict_proba(x)
    return through(torch.from_numpy(posterior), y)
