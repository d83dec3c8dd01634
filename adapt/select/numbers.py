"""Validators of regressors."""

from typing import Any

import torch

from adapt.ranking import arrays
from losses.options import POSITIVE, check


def label_distance(target_outputs: Any, source_labels: Any) -> float:
    r"""Compute the negative distance between the predictions on the target and the labels of the source.

    .. math:: -\frac1K \sum_k \frac{W_1(\hat y^t_{\cdot k},\, y^s_{\cdot k})}{\sigma_k}, \qquad
        W_1(a, b) = \int \lvert F_a(v) - F_b(v) \rvert \, dv

    with the deviation :math:`\sigma_k` of the source's labels of output k, and distribution functions F. Where labels
    of both domains are distributed alike, :math:`W_1` is a lower bound of the mean absolute error on the target: no way
    to match predictions with labels has a smaller error.

    Args:
        target_outputs: ``(m,)`` or ``(m, outputs)`` predictions.
        source_labels: ``(n,)`` or ``(n, outputs)``.

    Returns:
        A number, at most 0; higher is better. Without units.

    Raises:
        ValueError: shapes, numbers that are not finite, source labels that do not vary.

    The distance sees a model whose predictions drift away from all labels, as a shift of sensors causes. The distance
    is blind to rows that are exchanged, and wrong where the labels of the target are distributed otherwise.

    Related: the same idea for classes is Lu et al., Characterizing Out-of-Distribution Error via Optimal Transport,
    2023, https://arxiv.org/abs/2305.15640

    >>> label_distance([3.0, 5.0], [0.0, 2.0])
    -3.0
    """
    f, y = arrays.numbers("target_outputs", target_outputs), arrays.numbers("source_labels", source_labels)
    arrays.same_columns("target_outputs", f, "source_labels", y)
    deviation = y.std(0, correction=0)
    if not deviation.all():
        raise ValueError("`source_labels` must vary, and a column is constant: leave the column out.")
    every = torch.cat([f, y]).sort(0).values
    gaps = every.diff(dim=0)
    shares = [
        torch.searchsorted(x.T.sort().values.contiguous(), every[:-1].T.contiguous(), right=True).T.double() / len(x)
        for x in (f, y)
    ]
    return -(((shares[0] - shares[1]).abs() * gaps).sum(0) / deviation).mean().item()


def reverse_regression(
    target_features: Any, target_outputs: Any, source_features: Any, source_labels: Any, *, penalty: float = 0.1
) -> float:
    r"""Compute the negative error on the source of a regressor that learned from the target's predictions alone.

    .. math:: -\frac1n \sum_i \frac{\lvert h(x^s_i) - y_i \rvert}{\sigma}, \qquad
        h = \arg\min_h \frac1m \sum_j (h(x^t_j) - \hat y^t_j)^2 + \text{penalty} \lVert h \rVert^2

    h is a ridge regression on standardised features (mean and deviation of the target), as in
    :func:`reverse_validation` for classes; the error is a mean over outputs, in deviations of the source's labels.

    Args:
        target_features: ``(m, d)``.
        target_outputs: ``(m,)`` or ``(m, outputs)`` predictions.
        source_features: ``(n, d)`` of held-out source rows.
        source_labels: ``(n,)`` or ``(n, outputs)``.
        penalty: of the weights on standardised features; 0.1, because predictions are noisy.

    Returns:
        A number, at most 0; higher is better.

    Raises:
        ValueError: shapes, numbers that are not finite, source labels that do not vary.

    Bruzzone and Marconcini, 2010, https://doi.org/10.1109/TPAMI.2009.57

    >>> round(reverse_regression([[0.0], [1.0]], [0.0, 2.0], [[0.0], [1.0]], [0.0, 2.0], penalty=1e-9), 6)
    -0.0
    """
    from sklearn.linear_model import Ridge

    t, f = arrays.features("target_features", target_features), arrays.numbers("target_outputs", target_outputs)
    s, y = arrays.features("source_features", source_features), arrays.numbers("source_labels", source_labels)
    arrays.same_rows("target_features", t, "target_outputs", f)
    arrays.same_rows("source_features", s, "source_labels", y)
    arrays.same_columns("source_features", s, "target_features", t)
    check(POSITIVE, penalty=penalty)
    deviation = y.std(0, correction=0)
    if not deviation.all():
        raise ValueError("`source_labels` must vary, and a column is constant: leave the column out.")
    mean, scale = t.mean(0), t.std(0)
    scale = scale.where(scale > 1e-9 * (1 + mean.abs()), scale.new_ones(()))
    model = Ridge(alpha=penalty * len(t)).fit(((t - mean) / scale).numpy(), f.numpy())
    found = torch.from_numpy(model.predict(((s - mean) / scale).numpy()).reshape(len(y), -1))
    return -((found - y).abs() / deviation).mean().item()
