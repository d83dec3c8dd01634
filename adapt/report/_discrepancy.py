"""How far two domains lie apart, which kind of shift the difference looks like, and which methods fit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Tensor

import losses
from adapt.encoders import Encoder
from adapt.protocols import MapStyle
from adapt.ranking import arrays
from adapt.ranking.layers import layer_features
from adapt.report._a_distance import a_distance
from adapt.report._label_shift import LabelShift, label_shift
from adapt.report.interval import Interval
from adapt.streams.items import ItemForm, batches_of
from adapt.streams.tree import concatenate
from adapt.transductive.two_samples import mmd_test
from losses.options import COUNT, FROM_0, check, whole

ALIGN = (
    "dann", "cdan", "dan", "jan", "deep_coral", "homm", "sliced", "wdgrl", "mdd", "mcd", "swd", "vada", "adabn",
)  # fmt: skip
BY_CLASS = ("cdan", "dsan", "deep_jdot", "mcc", "atdoc", "fixmatch", "mean_teacher")
PARTIAL, ABSENT = ("pada", "iwan"), 0.005  # for classes that the target lacks: an estimated share below 0.5 %
OF_NUMBERS = ("dann", "dan", "deep_coral", "sliced", "rsd", "dd")
CONCEPT = "Concept shift, another label for the same input, cannot be seen without labels of the target."
NONE = "no shift of the inputs is seen"
METHODS: dict[str, tuple[str, ...]] = {  # whose assumption fits
    NONE: (),
    "label shift": (),
    "covariate shift": ALIGN,
    "covariate shift, perhaps with label shift": BY_CLASS,
    "covariate shift or label shift": BY_CLASS,
}
ADVICE = {
    NONE: "Start without adaptation.",
    "label shift": "The rows of a class look alike in both domains, and the shares of the classes differ: methods that "
    "align features would mix classes. Weigh the classes by the estimated shares instead.",
    "covariate shift": "The inputs differ, and nothing speaks for other shares of the classes: methods that align the "
    "features of the two domains fit.",
    "covariate shift, perhaps with label shift": "The inputs differ also at the estimated shares of the classes. The "
    "estimate assumes equal inputs in each class, so that the shares are uncertain: methods that align class by class, "
    "or learn from predictions, fit better than methods that align whole domains.",
    "covariate shift or label shift": "Without outputs and labels of the source nobody can tell the two kinds apart: "
    "methods that align class by class, or learn from predictions, tolerate both.",
}


@dataclass(frozen=True, eq=False)
class Discrepancy:
    """How far two domains lie apart.

    Attributes:
        a_distance: proxy A-distance in [0, 2], with a 95 % interval: 0 where no linear classifier tells the domains
            apart, 2 where one does so without error.
        mmd: squared MMD, unbiased: around 0 for equal domains.
        mmd_p: share of permutations of the domains with at least this MMD.
        coral: CORAL distance of the covariances, without units.
        label_shift: the estimated shares of the classes; None where not estimated, with the reason in `sentence`.
        kind: which kind of shift the difference looks like.
        methods: names in ``adapt.domain`` whose assumption fits.
        sentence: all of this in words.
    """

    a_distance: Interval
    mmd: float
    mmd_p: float
    coral: float
    label_shift: LabelShift | None
    kind: str
    methods: tuple[str, ...]
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def discrepancy(
    source: Any,
    target: Any,
    *,
    source_labels: Any = None,
    source_outputs: Any = None,
    target_outputs: Any = None,
    rows: int = 500,
    permutations: int = 400,
    seed: int = 0,
) -> Discrepancy:
    r"""Measure how far the features of two domains lie apart, and name the kind of shift and the methods that fit.

    All measures see k rows of each domain: :math:`k = \min(n, m, \text{rows})`, drawn without replacement.

    **Proxy A-distance**, from the accuracy a of a ridge classifier on held-out rows:

    .. math:: d_A = 2 (1 - 2 \epsilon) = 4 a - 2, \quad \text{clamped to } [0, 2]

    Five folds; standardised features; the penalty has the least leave-one-out error inside the training folds. The
    interval is Wilson's for k rows in place of 2k, because rows of different folds judge each other: in simulations
    the variance of a is 1.0 to 1.9 times the binomial variance.

    **MMD**, unbiased, with the five Gaussian kernels of :func:`losses.mmd`, and the permutation p-value

    .. math:: p = \frac{1 + \#\{\text{permutations with } \mathrm{MMD}^2_\pi \ge \mathrm{MMD}^2\}}
                       {1 + \text{permutations}}

    **CORAL**: :func:`losses.coral` with the scaling of Deep CORAL, of features divided by the root of the mean variance
    of all rows. The number does not change with the scale of the features or with a rotation.

    **Label shift**, where `source_outputs`, `source_labels` and `target_outputs` of classes are given: BBSE with the
    mean probabilities of each class

    .. math:: \hat q = A^{-1} \hat\mu, \qquad A_{\cdot c} = \overline{p(x^s)}_{y = c}, \quad
              \hat\mu = \overline{p(x^t)}

    with the covariance :math:`A^{-1} (\Sigma_t / m + \sum_c \hat q_c^2 \Sigma_c / n_c) A^{-\top}` (delta method). The
    classes count as shifted where Wald's test against the source's shares has p < 0.05.

    **Kind.** The inputs differ where the MMD has p < 0.025 or the interval of the A-distance is above 0. Where the
    classes are shifted too, source rows are drawn at the estimated shares, and the MMD is measured again: ``"label
    shift"`` if the difference is gone (p >= 0.05), else ``"covariate shift, perhaps with label shift"``.

    Args:
        source: ``(n, d)`` features of source rows that were not trained on.
        target: ``(m, d)`` features of target rows.
        source_labels: ``(n,)`` classes.
        source_outputs: ``(n, classes)`` logits of the same rows. Predictions of a regressor, ``(n,)`` or ``(n, 1)``:
            the methods are methods for numbers, and no label shift is estimated.
        target_outputs: ``(m, classes)`` logits.
        rows: the most rows of each domain; 500 take a second, and the time grows with the cube.
        permutations: of the MMD.
        seed: of the rows, folds and permutations.

    Returns:
        A :class:`Discrepancy`. Labels of the target are never read. Concept shift cannot be seen.

    Raises:
        ValueError: shapes, numbers that are not finite, fewer than 10 rows in a domain.

    Rows of one group, such as the windows of one person, are not independent: intervals and p-values are then too
    narrow. An A-distance of 2 is no harm by itself: the domains may differ in directions that no class needs.

    Ben-David et al., 2007, Analysis of Representations for Domain Adaptation; Gretton et al., 2012,
    https://jmlr.org/papers/v13/gretton12a.html; Lipton et al., 2018, https://arxiv.org/abs/1802.03916

    >>> near, far = numpy.eye(20), numpy.eye(20) + 1
    >>> discrepancy(near, far).a_distance.value
    2.0
    """
    check(COUNT, permutations=permutations)
    check(whole(10), rows=rows)
    check(FROM_0, seed=seed)
    x, y = arrays.features("source", source), arrays.features("target", target)
    arrays.same_columns("source", x, "target", y)
    if min(len(x), len(y)) < 10:
        raise ValueError(f"a distance needs at least 10 rows of each domain, got {len(x)} and {len(y)}.")
    draw = numpy.random.default_rng(int(seed))
    k = min(len(x), len(y), int(rows))
    s, t = (part[draw.permutation(len(part))[:k]] for part in (x, y))
    distance = a_distance(s.numpy(), t.numpy(), int(seed))
    mmd, p = mmd_test(s, t, int(permutations), draw)
    shift, why = _label_shift(source_outputs, source_labels, target_outputs, len(x), len(y))
    differ = p < 0.025 or distance.low > 0
    kind = ("covariate shift or label shift" if shift is None else "covariate shift") if differ else NONE
    if shift is not None and shift.shifted:
        labels = arrays.labels("source_labels", source_labels, len(x), len(shift.source))
        again = _at_shares(x, labels, shift, k, draw)
        new = y[draw.permutation(len(y))[:k]]
        gone = again is not None and mmd_test(again, new, int(permutations), draw)[1] >= 0.05
        kind = "label shift" if gone or not differ else "covariate shift, perhaps with label shift"
    numbers = source_outputs is not None and numpy.squeeze(_plain(source_outputs)).ndim == 1
    methods = OF_NUMBERS if numbers and differ else METHODS[kind]
    if shift is not None and shift.shifted and min(interval.value for interval in shift.target) < ABSENT:
        methods = (*PARTIAL, *methods)
    said = _sentence(distance, p, k, kind, methods, shift, why)
    return Discrepancy(distance, mmd, p, _coral(s, t), shift, kind, methods, said)


def _coral(x: Tensor, y: Tensor) -> float:
    scale = torch.cat([x, y]).var(0, correction=0).mean().sqrt()
    return float(losses.coral(x / scale, y / scale, global_batch=False)) if scale > 0 else 0.0


def _plain(values: Any) -> numpy.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else numpy.asarray(values)


def _label_shift(outputs: Any, labels: Any, target_outputs: Any, n: int, m: int) -> tuple[LabelShift | None, str]:
    if outputs is None or labels is None or target_outputs is None:
        return None, "outputs and labels of the source and outputs of the target are not all given"
    if numpy.squeeze(_plain(outputs)).ndim == 1:
        return None, "the outputs are numbers"
    z, zt = arrays.logits("source_outputs", outputs), arrays.logits("target_outputs", target_outputs)
    arrays.same_columns("source_outputs", z, "target_outputs", zt)
    if (len(z), len(zt)) != (n, m):
        raise ValueError(
            f"`source_outputs` and `target_outputs` must have the rows of the features, {n} and {m}, got {len(z)} and "
            f"{len(zt)}."
        )
    found = label_shift(z.numpy(), arrays.labels("source_labels", labels, *z.shape).numpy(), zt.numpy())
    return (None, found) if isinstance(found, str) else (found, "")


def _at_shares(x: Tensor, labels: Tensor, shift: LabelShift, most: int, draw: numpy.random.Generator) -> Tensor | None:
    """Return source rows drawn at the estimated shares of the target; None where fewer than 10 rows can be drawn."""
    shares = numpy.array([interval.value for interval in shift.target])
    counts = numpy.bincount(labels.numpy(), minlength=len(shares))
    total = min(most, float((counts[shares > 0] / shares[shares > 0]).min()))
    taken = numpy.floor(total * shares + 1e-9).astype(int)
    if taken.sum() < 10:
        return None
    rows = [draw.permutation(numpy.flatnonzero(labels.numpy() == c))[:k] for c, k in enumerate(taken)]
    return x[numpy.concatenate(rows)]


def _sentence(
    distance: Interval, p: float, k: int, kind: str, methods: tuple[str, ...], shift: LabelShift | None, why: str
) -> str:
    accuracy = (distance.value + 2) / 4
    parts = [
        f"A classifier of the domain is right in {accuracy:.1%} of held-out rows: A-distance {distance.shown(2)}; MMD "
        f"with {_shown(p)}; {k} rows of each domain.",
        "No shift of the inputs is seen." if kind == NONE else f"The difference looks like {kind}.",
    ]
    if shift is None:
        parts.append(f"Shares of the classes are not estimated: {why}.")
    elif shift.shifted:
        gaps = [interval.value - before for interval, before in zip(shift.target, shift.source, strict=True)]
        c = int(numpy.abs(gaps).argmax())
        parts.append(
            f"The shares of the classes differ ({_shown(shift.p)}), most in class {c}: {shift.source[c]:.0%} of the "
            f"source, {shift.target[c].shown(0, scale=100)} % of the target."
        )
    else:
        parts.append(f"The shares of the classes do not differ clearly ({_shown(shift.p)}): no correction.")
    parts.append(ADVICE[kind])
    if methods:
        parts.append(f"Fitting methods of `adapt.domain`: {', '.join(methods)}.")
    return " ".join([*parts, CONCEPT])


def _shown(p: float) -> str:
    return f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"


def layers(
    encoder: Encoder,
    source: Tensor | MapStyle,
    target: Tensor | MapStyle,
    *,
    pool: Callable[[Any], Tensor] | None = None,
    batch_size: int = 256,
    rows: int = 500,
    permutations: int = 400,
    seed: int = 0,
) -> dict[str, Discrepancy]:
    """Measure the discrepancy of two domains after each layer of an encoder.

    Early layers often keep the style of a domain, and late layers the classes: the first layer with a large distance is
    the place where the domains part. Two calls, with the encoder before and after the adaptation, show what the
    adaptation changed.

    Args:
        encoder: with named layers. Runs in evaluation mode; the training mode is put back.
        source: ``(n, ...)`` inputs, prepared for the encoder, or a data set. Labels are not read.
        target: inputs of the target, in the same form.
        pool: makes ``(n, d)`` of a layer's output; default :func:`adapt.encoders.pooling.pooled`.
        batch_size: inputs at a time.
        rows, permutations, seed: as in :func:`discrepancy`. Only `rows` inputs of each domain are computed.

    Returns:
        A :class:`Discrepancy` by name of the layer, in the order of the layers.

    Raises:
        TypeError, ValueError: as :func:`adapt.ranking.layers.features` and :func:`discrepancy`.
    """
    check(COUNT, batch_size=batch_size)
    check(whole(10), rows=rows)
    check(FROM_0, seed=seed)
    draw = torch.Generator().manual_seed(int(seed))
    found = [
        layer_features(encoder, _inputs(part, int(rows), draw), pool=pool, batch_size=int(batch_size))
        for part in (source, target)
    ]
    return {
        name: discrepancy(found[0][name], found[1][name], rows=rows, permutations=permutations, seed=seed)
        for name in found[0]
    }


def _inputs(part: Tensor | MapStyle, rows: int, draw: torch.Generator) -> Tensor:
    chosen = torch.randperm(len(part), generator=draw)[:rows]
    if isinstance(part, Tensor):
        return part[chosen]
    return concatenate([batch.inputs for batch in batches_of(part, chosen, 256, ItemForm(), name="features")])
