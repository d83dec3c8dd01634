"""LEEP through clusters of the features."""

import warnings

import torch
from torch import Tensor

from adapt.ranking._leep import log_likelihood
from adapt.ranking.sample import Sample, Undefined
from losses.options import ABOVE_0, COUNT, FROM_0, check


def n_leep(sample: Sample, *, per_class: int = 5, variance: float = 0.8, seed: int = 0) -> Tensor:
    r"""Compute :func:`leep` with the components of a Gaussian mixture in place of source classes: N-LEEP.

    .. math:: p_{iz} = \frac{\pi_z \mathcal N(x_i; \mu_z, \Sigma_z)}{\sum_u \pi_u \mathcal N(x_i; \mu_u, \Sigma_u)}

    of the first principal components x of the features, with diagonal :math:`\Sigma_z`.

    Args:
        sample: with classes; no source head needed.
        per_class: components for each class; the paper's 5.
        variance: share of the variance in the principal components; the paper's 0.8.
        seed: of the mixture's start.

    Returns:
        ``(n,)``; the mean is N-LEEP. Scale and shift of the features do not change the score. Rotation changes the
        score by rounding alone, which the start of the mixture may enlarge.

    Raises:
        Undefined: `values`; fewer than two rows for each component.
        ValueError: `per_class` below 1, `variance` outside of (0, 1].

    Other code has full covariances, which are singular with fewer rows in a component than directions. N-LEEP is the
    slowest score.

    Li et al., Ranking Neural Checkpoints, 2021, https://arxiv.org/abs/2011.11200

    >>> rows = [[0.0, 0.1], [0.1, 0.0], [3.0, 3.1], [3.1, 3.0]]
    >>> clear, mixed = (n_leep(Sample(rows, y), per_class=1).mean() for y in ([0, 0, 1, 1], [0, 1, 0, 1]))
    >>> bool(clear > mixed)
    True
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    check(COUNT, per_class=per_class)
    check(ABOVE_0, variance=variance)
    check(FROM_0, seed=seed)
    y = sample.need_classes("n_leep")
    components = per_class * sample.classes
    if len(sample) < 2 * components:
        raise Undefined(
            f"n_leep with {components} components needs at least {2 * components} rows, got {len(sample)}; lower "
            "`per_class` or label more rows."
        )
    share = sample.centred.squares.flip(0).cumsum(0) / sample.centred.squares.sum()
    x = sample.centred.principal(int((share < variance).sum()) + 1).numpy()
    # variances of at least 1e-6 of the mean one, whatever the scale
    mixture = GaussianMixture(
        components, covariance_type="diag", reg_covar=1e-6 * float(x.var(0).mean()), random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # the fit stops after 100 rounds; fewer components do no harm
        posterior = mixture.fit(x).predict_proba(x)
    return log_likelihood(torch.from_numpy(posterior), y)
