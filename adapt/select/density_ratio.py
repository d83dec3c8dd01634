"""Source rows weighted by their density in the target: importance-weighted validation and DEV."""

from typing import Any

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor

from adapt.ranking import arrays
from losses.options import FROM_0, check, whole

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)  # inverse penalties of the discriminator; the least log loss of held-out rows wins


def importance_weights(source_features: Any, target_features: Any, *, folds: int = 5, seed: int = 0) -> Tensor:
    r"""Estimate for each source row the ratio of target density to source density, by a cross-fitted discriminator.

    .. math:: w(x) = \frac{n_s}{n_t} \cdot \frac{D(x)}{1 - D(x)}, \qquad D(x) = P(\text{target} \mid x)

    Cross-fitted: the rows are dealt into `folds`, and the weights of each fold come from a logistic regression on
    standardised features that was trained on the other folds. The penalty is chosen from 1000, 100, 10 and 1 by the log
    loss of held-out rows, once for all folds.

    Args:
        source_features: ``(n, d)`` of held-out source rows.
        target_features: ``(m, d)``.
        folds: 5; fewer where a domain has fewer rows.
        seed: of the folds.

    Returns:
        ``(n,)`` positive float64 weights, with mean near 1 where the domains overlap.

    Raises:
        ValueError: shapes, numbers that are not finite, fewer than 2 rows in a domain.

    With equal domains all weights are near 1, up to the choice of the penalty. A discriminator that tells the domains
    apart without error gives weights near 0 for almost all source rows: a weighted mean is then unreliable, and
    :func:`effective_rows` is small.

    pytorch-adapt (``DeepEmbeddedValidator``) trains nine networks of up to 100 epochs through an engine and a folder
    of files, on features of source rows that the encoder was trained on: minutes instead of a second.

    Bickel et al., Discriminative Learning for Differing Training and Test Distributions, 2007,
    https://doi.org/10.1145/1273496.1273507
    """
    s, t = arrays.features("source_features", source_features), arrays.features("target_features", target_features)
    arrays.same_columns("source_features", s, "target_features", t)
    check(whole(2), folds=folds)
    check(FROM_0, seed=seed)
    if min(len(s), len(t)) < 2:
        raise ValueError(f"a discriminator needs at least 2 rows of each domain, got {len(s)} and {len(t)}.")
    x, d = torch.cat([s, t]), torch.cat([torch.zeros(len(s)), torch.ones(len(t))]).double()
    fold = _folds_of(len(s), len(t), min(folds, len(s), len(t)), seed)
    odds = torch.stack([_held_out_log_odds(x, d, fold, strength) for strength in STRENGTHS])
    loss = F.binary_cross_entropy_with_logits(odds, d.expand_as(odds), reduction="none").mean(1)
    return odds[loss.argmin()][: len(s)].exp() * len(s) / len(t)


def effective_rows(weights: Any) -> float:
    r"""Return Kish's effective number of rows, :math:`(\sum w)^2 / \sum w^2`.

    The number is n for equal weights, and 1 where a single row has all the weight.

    >>> effective_rows([1.0, 1.0, 0.0, 0.0])
    2.0
    """
    w = _weights(weights)
    return (w.sum() ** 2 / (w**2).sum()).item()


def importance_weighted(source_logits: Any, source_labels: Any, weights: Any, *, loss: str = "error") -> float:
    r"""Compute the negative importance-weighted risk on held-out source rows: IWCV.

    .. math:: -\frac1n \sum_i w_i\, \ell_i

    Args:
        source_logits: ``(n, classes)``; for numbers the predictions, ``(n,)`` or ``(n, outputs)``.
        source_labels: ``(n,)``, or numbers in the shape of the predictions.
        weights: ``(n,)``, for example of :func:`importance_weights`, on inputs or on features that all candidates
            share.
        loss: ``"error"``, 0 or 1 per row; or ``"cross_entropy"``, which also judges confidence. For numbers
            ``"absolute_error"`` or ``"squared_error"``, means over the outputs of a row, in the units of the labels.

    Returns:
        A number, at most 0; higher is better. With all weights 1 and ``"error"``, source accuracy minus 1.

    Raises:
        ValueError: shapes, negative weights or all of them 0.

    IWCV is right under covariate shift with overlap. IWCV is blind to concept shift (labels that changed where inputs
    did not) and to everything outside of the source's support. The variance grows with the variance of the weights.

    Sugiyama et al., Covariate Shift Adaptation by Importance Weighted Cross Validation, 2007,
    https://www.jmlr.org/papers/v8/sugiyama07a.html

    >>> importance_weighted([[1.0, 0.0], [1.0, 0.0]], [0, 1], [1.5, 0.5])
    -0.25
    """
    risks, w = _row_risks(source_logits, source_labels, loss), _weights(weights)
    arrays.same_rows("source_logits", risks, "weights", w)
    return -(w * risks).mean().item()


def dev(source_logits: Any, source_labels: Any, weights: Any, *, loss: str = "error", normalize: bool = False) -> float:
    r"""Compute the negative deep embedded validation risk: the importance-weighted risk with a control variate.

    .. math:: -\Bigl( \overline{w \ell} + \eta\, \overline w - \eta \Bigr), \qquad
        \eta = -\frac{\mathrm{Cov}(w \ell, w)}{\mathrm{Var}(w)}

    Args:
        source_logits: ``(n, classes)`` of held-out source rows; for numbers the predictions.
        source_labels: ``(n,)``, or numbers in the shape of the predictions.
        weights: ``(n,)``, of :func:`importance_weights` on the candidate's own features.
        loss: as in :func:`importance_weighted`; ``"cross_entropy"`` in pytorch-adapt.
        normalize: weights divided by their largest and shifted to mean 1, which bounds them: DEVN.

    Returns:
        A number; higher is better. Not bounded: with weights that vary much, the risk can be below 0. With equal
        weights :math:`\eta = 0` (pytorch-adapt divides 0 by 0 and returns NaN).

    Raises:
        ValueError: shapes, negative weights or all of them 0.

    DEV fails by variance where the domains hardly overlap in the features (look at :func:`effective_rows`), and is
    blind to concept shift like :func:`importance_weighted`.

    You et al., Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation, 2019,
    http://proceedings.mlr.press/v97/you19a.html; DEVN: Musgrave et al., 2022, https://arxiv.org/abs/2208.07360

    >>> dev([[1.0, 0.0], [1.0, 0.0]], [0, 1], [1.0, 1.0])
    -0.5
    """
    risks, w = _row_risks(source_logits, source_labels, loss), _weights(weights)
    arrays.same_rows("source_logits", risks, "weights", w)
    if normalize:
        w = w / w.max()
        w = w - w.mean() + 1
    weighted, centred = w * risks, w - w.mean()
    variance = (centred**2).sum()
    rounding = len(w) * (torch.finfo(w.dtype).eps * w.abs().max()) ** 2
    eta = 0.0 if variance <= rounding else -(centred * weighted).sum() / variance
    return -float(weighted.mean() + eta * (w.mean() - 1))


def _row_risks(source_logits: Any, source_labels: Any, loss: str) -> Tensor:
    if loss in ("absolute_error", "squared_error"):
        f, y = arrays.numbers("source_logits", source_logits), arrays.numbers("source_labels", source_labels)
        arrays.same_rows("source_logits", f, "source_labels", y)
        arrays.same_columns("source_logits", f, "source_labels", y)
        return ((f - y).abs() if loss == "absolute_error" else (f - y).square()).mean(1)
    if loss in ("error", "cross_entropy"):
        z = arrays.logits("source_logits", source_logits)
        y = arrays.labels("source_labels", source_labels, *z.shape)
        return (z.argmax(1) != y).double() if loss == "error" else F.cross_entropy(z, y, reduction="none")
    raise ValueError(
        f'`loss` must be "error" or "cross_entropy" for classes, "absolute_error" or "squared_error" for numbers, got '
        f"{loss!r}."
    )


def _weights(weights: Any) -> Tensor:
    w = (weights.detach() if isinstance(weights, Tensor) else torch.as_tensor(numpy.asarray(weights))).cpu().double()
    if w.ndim != 1 or not w.isfinite().all() or w.min() < 0 or w.max() == 0:
        raise ValueError(
            f"`weights` must be (n,) finite numbers, none negative and not all 0, got shape {tuple(w.shape)}."
        )
    return w


def _folds_of(n: int, m: int, folds: int, seed: int) -> Tensor:
    """Return the fold of each of the n + m rows: each domain dealt evenly, in an order drawn from `seed`."""
    generator = torch.Generator().manual_seed(int(seed))
    return torch.cat([torch.randperm(rows, generator=generator) % folds for rows in (n, m)])


def _held_out_log_odds(x: Tensor, d: Tensor, fold: Tensor, strength: float) -> Tensor:
    """Return ``(n + m,)`` log odds of the target, each by a logistic regression that has not seen the row's fold."""
    from sklearn.linear_model import LogisticRegression

    odds = torch.empty_like(d)
    for k in range(int(fold.max()) + 1):
        seen = fold != k
        mean, scale = x[seen].mean(0), x[seen].std(0)
        standard = (x - mean) / torch.where(scale > 1e-9 * (1 + mean.abs()), scale, 1)
        model = LogisticRegression(C=strength, max_iter=200).fit(standard[seen].numpy(), d[seen].numpy())
        odds[~seen] = torch.from_numpy(model.decision_function(standard[~seen].numpy()))
    return odds
