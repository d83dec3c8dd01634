"""Classical methods on features that lie in memory, through skada."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from adapt.bridges._optional import optional
from adapt.protocols import offers
from losses.options import COUNT, check

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


class Reweights(Protocol):
    """An adapter of skada that weighs rows."""

    def compute_weights(self, X: Any, y: Any = None, **options: Any) -> np.ndarray: ...


def run(
    methods: Sequence[str] | Mapping[str, Any],
    source_features: Tensor,
    source_labels: Tensor,
    target_features: Tensor,
    *,
    estimator: Any = None,
    components: int | None = None,
) -> dict[str, Tensor]:
    r"""Return predictions for the target rows by classical methods, each fitted separately: baselines for a report.

    =============================  =========================================================================
    ``source_only``                the estimator on the source without adaptation
    ``coral``                      source whitened and coloured with the target's covariance, Ledoit-Wolf's estimate
    ``subspace_alignment``         both on their principal axes, :math:`X_S P_S P_S^\top P_T` and :math:`X_T P_T`
    ``tca``                        leading directions of :math:`(S_b + 0.1 I)^{-1} S_t`, total over between scatter
    ``linear_ot``                  source mapped by the Gaussian Monge map, covariances :math:`+ 10^{-3} \bar v I`
    ``discriminator_reweighting``  source rows weigh :math:`p(T \mid x) / p(S \mid x)`, by logistic regression
    ``density_reweighting``        source rows weigh :math:`\hat p_T(x) / \hat p_S(x)`, by Gaussian kernels of width 1
    =============================  =========================================================================

    :math:`\bar v` is the mean variance of a feature. The default of skada, :math:`10^{-8} I`, fails where a covariance
    lacks rank, as with more features than rows, or with features that are always 0.

    The function takes no target labels: skada gets a mask instead. Everything runs on the CPU in float64 and draws no
    global random numbers. The import of skada switches the metadata routing of scikit-learn on; the function restores
    the setting.

    Args:
        methods: names, ``bridges.skada.METHODS`` for all; or a dict from names of your choice to adapters of skada.
        source_features: ``(n, d)``; any device. Scale the columns before where the units differ.
        source_labels: ``(n,)`` integers, or floats for a regressor.
        target_features: ``(m, d)``.
        estimator: any estimator of scikit-learn; cloned. Default: ``LogisticRegression(max_iter=1000)``, or ``Ridge()``
            for floats. The two kinds of reweighting need an estimator whose ``fit`` takes ``sample_weight``.
        components: of subspace alignment and TCA. Default: half the features, but at most 100 (the number of the
            published comparisons on Office-Caltech and digits) and fewer than the rows of either domain. With all
            components, the default of skada, subspace alignment is a rotation and does no more than subtract the means.

    Returns:
        ``{method: (m,)}`` predicted labels, of the dtype and on the device of `source_labels`.

    Two formulas differ from skada 0.6.0: the discriminator weights of skada are the inverse of the weights above, and
    the TCA of skada takes eigenvectors of a matrix without symmetry by a solver for symmetric matrices. TCA here is the
    linear TCA of the published comparisons, with :math:`S_t = X^\top H X`,
    :math:`S_b = \frac{nm}{n+m} \delta \delta^\top` of the difference of the means, and the published penalty for
    digits: with the nearest neighbour on MNIST and USPS the results are the numbers of Long et al., 2013, 51.05 and
    56.28.

    Raises:
        ValueError: shapes that do not fit together, an unknown method, an estimator without weights for a reweighting.
        ImportError: no skada; ``pip install "adapt-losses[classical]"``.

    Lalou et al., SKADA-Bench, 2024, https://arxiv.org/abs/2407.11676; CORAL: Sun et al., 2016,
    https://arxiv.org/abs/1511.05547; subspace alignment: Fernando et al., 2013, https://doi.org/10.1109/ICCV.2013.368;
    TCA: Pan et al., 2011, https://doi.org/10.1109/TNN.2010.2091281, as in Long et al., 2013,
    https://doi.org/10.1109/ICCV.2013.274; linear transport: Flamary et al., 2019,
    https://arxiv.org/abs/1905.10155; reweighting: Sugiyama et al., 2012, https://doi.org/10.1017/CBO9781139035613
    """
    source_features, source_labels, target_features = (
        torch.from_numpy(x) if isinstance(x, np.ndarray) and x.dtype.kind in "biuf" else x
        for x in (source_features, source_labels, target_features)
    )
    check_shapes(source_features, source_labels, target_features)
    n, numbers = len(source_features), source_labels.is_floating_point()
    _import_skada()
    import skada
    from sklearn import config_context
    from sklearn.linear_model import LogisticRegression, Ridge

    if estimator is None:
        estimator = Ridge() if numbers else LogisticRegression(max_iter=1000)
    components = _components(components, n, len(target_features), source_features.shape[1])
    X, y, sample_domain, classes = to_skada(source_features, source_labels, target_features)
    variance = 0.5 * (X[:n].var(0).mean() + X[n:].var(0).mean())
    adapters = methods if isinstance(methods, Mapping) else _adapters(methods, components, variance)
    results = {}
    with config_context(enable_metadata_routing=True):
        for name, adapter in adapters.items():
            fitted = skada.make_da_pipeline(*_steps(name, adapter, estimator)).fit(
                X, y.copy(), sample_domain=sample_domain
            )
            predicted = torch.from_numpy(fitted.predict(X[n:], sample_domain=sample_domain[n:]))
            values = predicted if classes is None else classes[predicted]
            results[name] = values.to(source_labels.device, source_labels.dtype)
    return results


def check_shapes(source_features: Tensor, source_labels: Tensor, target_features: Tensor) -> None:
    """Raise unless features are ``(n, d)`` with one d, and each source row has a label."""
    given = {"source_features": source_features, "source_labels": source_labels, "target_features": target_features}
    for name, value in given.items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"`{name}` must be a tensor or an array of numbers, got a {type(value).__name__}: give "
                "`torch.as_tensor(...)`; `datasets.arrays(inputs, labels)` numbers the classes of texts."
            )
    if source_features.ndim != 2 or target_features.ndim != 2 or source_features.shape[1] != target_features.shape[1]:
        raise ValueError(
            "`source_features` and `target_features` must be (n, d) and (m, d), got "
            f"{tuple(source_features.shape)} and {tuple(target_features.shape)}; pool or flatten the features."
        )
    n, m = len(source_features), len(target_features)
    if source_labels.shape != (n,):
        raise ValueError(
            f"`source_labels` must be ({n},), one label per row of the source, got {tuple(source_labels.shape)}: "
            "give each row of `source_features` its label."
        )
    if min(n, m) < 2:
        raise ValueError(
            f"a domain needs at least two rows, got {n} of the source and {m} of the target: give more rows."
        )
    for name in ("source_features", "target_features"):
        if (given[name] == given[name][:1]).all():
            raise ValueError(
                f"`{name}` must have a column that varies, got equal rows: look at the encoder, which does not tell "
                "the inputs apart."
            )


def _import_skada() -> None:
    """Import skada, and leave the metadata routing of scikit-learn unchanged."""
    from sklearn import get_config, set_config

    routing = get_config()["enable_metadata_routing"]
    with optional("skada", "classical"):
        import skada  # noqa: F401  switches the routing on
    set_config(enable_metadata_routing=routing)


def _components(components: int | None, n: int, m: int, d: int) -> int:
    """Return the number of components, by default half the features."""
    most = min(n - 1, m - 1)
    if components is None:
        return max(1, min(100, d // 2, most))
    check(COUNT, components=components)
    if components > most:
        raise ValueError(
            f"`components` must be between 1 and {most}, fewer than the rows of either domain, got {components}."
        )
    return components


def _steps(name: str, adapter: Any, estimator: Any) -> list[Any]:
    """Return the steps of a pipeline: a copy of the adapter, where there is an adapter, and a copy of the estimator."""
    from sklearn.base import clone
    from sklearn.utils.validation import has_fit_parameter

    final = clone(estimator)
    if offers(adapter, Reweights):
        if not has_fit_parameter(final, "sample_weight"):
            raise ValueError(
                f"`{name}` weighs rows, and the `fit` of {type(final).__name__} takes no `sample_weight`: "
                "choose another `estimator`, or leave the method out."
            )
        final = final.set_fit_request(sample_weight=True)
    else:
        final = _plain(final)
    return [final] if adapter is None else [clone(adapter), final]


def _plain(estimator: Any) -> Any:
    """Return an estimator around another, which may be a pipeline or a search: skada routes no data into these."""
    from sklearn import config_context
    from sklearn.base import BaseEstimator, clone

    class Plain(BaseEstimator):
        def __init__(self, estimator):
            self.estimator = estimator

        def __sklearn_tags__(self):
            return self.estimator.__sklearn_tags__()

        def fit(self, X, y):
            with config_context(enable_metadata_routing=False):
                self.fitted_ = clone(self.estimator).fit(X, y)
            return self

        def predict(self, X):
            with config_context(enable_metadata_routing=False):
                return self.fitted_.predict(X)

    return Plain(estimator)


def to_skada(
    source_features: Tensor, source_labels: Tensor, target_features: Tensor
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Tensor | None]:
    """Return ``(X, y, sample_domain)`` in the format of skada, and the classes counted in `y` (None for numbers).

    The rows of the source come first. `y` of the target is the mask of skada: -1 beside class numbers from 0, NaN
    beside numbers.
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
