"""Classical methods on features that lie in memory, through skada."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

SOURCE, TARGET = 1, -2  # skada's domains: a positive number is a source, a negative one a target
METHODS = (
    "source_only",
    "coral",
    "subspace_alignment",
    "tca",
    "linear_ot",
    "discriminator_reweighting",
    "density_reweighting",
)


def run(
    methods: Sequence[str] | Mapping[str, Any],
    source_features: Tensor,
    source_labels: Tensor,
    target_features: Tensor,
    *,
    estimator: Any = None,
    components: int | None = None,
) -> dict[str, Tensor]:
    r"""Predictions for the target rows by classical methods, each fitted on its own: baselines for a report.

    =============================  =========================================================================
    ``source_only``                the estimator on the source as it is
    ``coral``                      source whitened and coloured with the target's covariance, Ledoit-Wolf's estimate
    ``subspace_alignment``         both on their principal axes, :math:`X_S P_S P_S^\top P_T` and :math:`X_T P_T`
    ``tca``                        both on the leading directions of :math:`(S_b + 0.1 I)^{-1} S_t`, total over between scatter
    ``linear_ot``                  source mapped by the Gaussian Monge map, covariances :math:`+ 10^{-3} \bar v I`
    ``discriminator_reweighting``  source rows weigh :math:`p(T \mid x) / p(S \mid x)`, by logistic regression
    ``density_reweighting``        source rows weigh :math:`\hat p_T(x) / \hat p_S(x)`, by Gaussian kernels of width 1
    =============================  =========================================================================

    :math:`\bar v` is the mean variance of a feature: skada's own :math:`10^{-8} I` fails where a covariance lacks rank, as with
    more features than rows, or features that are always 0.

    Labels of the target are no argument: skada gets its mask in their place. Everything runs on the CPU in float64 and
    draws no global random numbers; scikit-learn's metadata routing, which skada switches on, is left as it was.

    Args:
        methods: names, ``classical.METHODS`` for all; or a dict from names of yours to adapters of skada.
        source_features: ``(n, d)``; any device. Scale the columns before where their units differ.
        source_labels: ``(n,)`` integers, or floats: then the estimator is a regressor.
        target_features: ``(m, d)``.
        estimator: any estimator of scikit-learn; cloned. Default: ``LogisticRegression(max_iter=1000)``, or ``Ridge()``
            for floats. The two kinds of reweighting need one whose ``fit`` takes ``sample_weight``.
        components: of subspace alignment and TCA. Default: half the features, but at most 100 (the number of the
            published comparisons on Office-Caltech and digits) and fewer than the rows of either domain. skada's own
            default, all of them, makes subspace alignment a rotation: it would do no more than subtract the means.

    Returns:
        ``{method: (m,)}`` predicted labels, of the dtype and on the device of `source_labels`.

    Two of skada's formulas are replaced (0.6.0): its discriminator weights are the inverse of the above, and its TCA takes
    eigenvectors of a matrix as if it were symmetric. TCA here is the linear one of the published comparisons, with
    :math:`S_t = X^\top H X`, :math:`S_b = \frac{nm}{n+m} \delta \delta^\top` of the difference of the means, and their penalty
    for digits: with the nearest neighbour on MNIST and USPS it gives the numbers of Long et al., 2013, 51.05 and 56.28.

    Raises:
        ValueError: shapes that do not fit together, an unknown method, an estimator without weights for a reweighting.
        ImportError: no skada; ``pip install adapt-losses[classical]``.

    Lalou et al., SKADA-Bench, 2024, https://arxiv.org/abs/2407.11676; CORAL: Sun et al., 2016,
    https://arxiv.org/abs/1511.05547; subspace alignment: Fernando et al., 2013, https://doi.org/10.1109/ICCV.2013.368;
    TCA: Pan et al., 2011, https://doi.org/10.1109/TNN.2010.2091281, as in Long et al., 2013,
    https://doi.org/10.1109/ICCV.2013.274; linear transport: Flamary et al., 2019,
    https://arxiv.org/abs/1905.10155; reweighting: Sugiyama et al., 2012, https://doi.org/10.1017/CBO9781139035613
    """
    if source_features.ndim != 2 or target_features.ndim != 2 or source_features.shape[1] != target_features.shape[1]:
        raise ValueError(
            "`source_features` and `target_features` must be (n, d) and (m, d), got "
            f"{tuple(source_features.shape)} and {tuple(target_features.shape)}; pool or flatten them."
        )
    n, m = len(source_features), len(target_features)
    if source_labels.shape != (n,):
        raise ValueError(f"`source_labels` must be ({n},), one a row of the source, got {tuple(source_labels.shape)}.")
    if min(n, m) < 2:
        raise ValueError(f"a domain needs at least two rows, got {n} of the source and {m} of the target.")
    try:
        from sklearn import config_context, get_config, set_config

        routing = get_config()["enable_metadata_routing"]
        import skada
    except ImportError as error:
        raise ImportError("classical methods need skada: `pip install adapt-losses[classical]`.") from error
    set_config(enable_metadata_routing=routing)
    from sklearn.base import clone
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.utils.validation import has_fit_parameter

    numbers = source_labels.is_floating_point()
    if estimator is None:
        estimator = Ridge() if numbers else LogisticRegression(max_iter=1000)
    most = min(n - 1, m - 1)
    if components is None:
        components = max(1, min(100, source_features.shape[1] // 2, most))
    elif not 1 <= components <= most:
        raise ValueError(
            f"`components` must be between 1 and {most}, fewer than the rows of either domain, got {components}."
        )
    X, y, sample_domain, classes = to_skada(source_features, source_labels, target_features)
    variance = 0.5 * (X[:n].var(0).mean() + X[n:].var(0).mean())
    adapters = methods if isinstance(methods, Mapping) else _adapters(methods, components, variance)
    found = {}
    with config_context(enable_metadata_routing=True):
        for name, adapter in adapters.items():
            final = clone(estimator)
            if hasattr(adapter, "compute_weights"):
                if not has_fit_parameter(final, "sample_weight"):
                    raise ValueError(
                        f"`{name}` weighs rows, and the `fit` of {type(final).__name__} takes no `sample_weight`: "
                        "choose another `estimator`, or leave the method out."
                    )
                final = final.set_fit_request(sample_weight=True)
            steps = [final] if adapter is None else [clone(adapter), final]
            fitted = skada.make_da_pipeline(*steps).fit(X, y.copy(), sample_domain=sample_domain)
            predicted = torch.from_numpy(fitted.predict(X[n:], sample_domain=sample_domain[n:]))
            values = predicted if classes is None else classes[predicted]
            found[name] = values.to(source_labels.device, source_labels.dtype)
    return found


def to_skada(
    source_features: Tensor, source_labels: Tensor, target_features: Tensor
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Tensor | None]:
    """``(X, y, sample_domain)`` as skada takes them, and the classes that `y` counts (None for numbers).

    The source's rows come first. `y` of the target is skada's mask: -1 beside class numbers from 0, NaN beside numbers.
    """
    n, m = len(source_features), len(target_features)
    X = torch.cat([source_features.detach().double().cpu(), target_features.detach().double().cpu()]).numpy()
    classes, y = None, source_labels.detach().cpu()
    if y.is_floating_point():
        y = torch.cat([y.double(), torch.full((m,), torch.nan, dtype=torch.float64)])
    else:
        classes, y = y.unique(return_inverse=True)
        y = torch.cat([y, y.new_full((m,), -1)])
    return X, y.numpy(), np.repeat([SOURCE, TARGET], [n, m]), classes


def _adapters(methods: Sequence[str], components: int, variance: float) -> dict[str, Any]:
    import skada

    known = {
        "source_only": None,
        "coral": skada.CORALAdapter(),
        "subspace_alignment": skada.SubspaceAlignmentAdapter(n_components=components, random_state=0),
        "tca": _tca(components),
        "linear_ot": skada.LinearOTMappingAdapter(reg=1e-3 * variance),
        "discriminator_reweighting": _discriminator(),
        "density_reweighting": skada.DensityReweightAdapter(),
    }
    if isinstance(methods, str) or set(methods) - set(known):
        raise ValueError(f"`methods` must be a list of names among {', '.join(known)}, got {methods!r}.")
    return {name: known[name] for name in methods}


def _tca(components: int, penalty: float = 0.1) -> Any:
    import scipy.linalg
    import skada

    class TCA(skada.BaseAdapter):
        def __init__(self, components, penalty):
            self.components, self.penalty = components, penalty

        def fit(self, X, y=None, *, sample_domain=None):
            source = sample_domain >= 0
            n, m, d = source.sum(), (~source).sum(), X.shape[1]
            delta, centred = X[source].mean(0) - X[~source].mean(0), X - X.mean(0)
            between = n * m / (n + m) * np.outer(delta, delta) + self.penalty * np.eye(d)
            # the leading directions: eigh counts upwards
            leading = (max(0, d - self.components), d - 1)
            self.W_ = scipy.linalg.eigh(centred.T @ centred, between, subset_by_index=leading)[1]
            return self

        def transform(self, X, y=None, *, sample_domain=None, allow_source=False, **params):
            return X @ self.W_

        def fit_transform(self, X, y=None, *, sample_domain=None, **params):
            return self.fit(X, sample_domain=sample_domain).transform(X)

    return TCA(components, penalty)


def _discriminator() -> Any:
    import skada

    class Discriminator(skada.DiscriminatorReweightAdapter):
        def compute_weights(self, X, y=None, *, sample_domain=None, **params):
            of_source, of_target = self.domain_classifier_.predict_proba(X).T
            weights = np.where(sample_domain >= 0, of_target / np.maximum(of_source, np.finfo(float).eps), 0.0)
            return weights / weights[sample_domain >= 0].mean()

    return Discriminator()
