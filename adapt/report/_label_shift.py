"""The shares of the classes in the target, estimated from outputs, with intervals."""

from dataclasses import dataclass

import numpy

from adapt.heads.score import Z
from adapt.report.interval import Interval
from adapt.transductive.shares import means_by_class, spread

LEAST = 5  # rows of a class for a covariance
SINGULAR = 1e-3  # a confusion matrix with a smaller singular value tells no shares


@dataclass(frozen=True, eq=False)
class LabelShift:
    """The estimated shares of the classes in the target.

    Attributes:
        source: the share of each class among the source rows.
        target: the estimated share of each class among the target rows, each with a 95 % interval of its own.
        p: of Wald's test that the shares of source and target are equal.
        shifted: whether `p` is below 0.05: the joint 95 % region of the target's shares excludes the source's shares.
            Otherwise do not correct: a correction with estimated shares would cost accuracy.
    """

    source: list[float]
    target: list[Interval]
    p: float

    @property
    def shifted(self) -> bool:
        return self.p < 0.05


def label_shift(
    source_outputs: numpy.ndarray, source_labels: numpy.ndarray, target_outputs: numpy.ndarray
) -> LabelShift | str:
    """Return a :class:`LabelShift`, or in words why there is none.

    Args:
        source_outputs: ``(n, classes)`` logits of rows that were not trained on.
        source_labels: ``(n,)`` classes.
        target_outputs: ``(m, classes)`` logits.
    """
    from scipy.special import softmax
    from scipy.stats import chi2

    p, t, classes = softmax(source_outputs, 1), softmax(target_outputs, 1), source_outputs.shape[1]
    counts = numpy.bincount(source_labels, minlength=classes)
    if counts.min() < LEAST or len(t) < LEAST:
        return f"a class has {counts.min()} source rows: the shares of the classes need {LEAST} rows of each class"
    A = means_by_class(p, source_labels, classes)
    if numpy.linalg.svd(A, compute_uv=False)[-1] < SINGULAR:
        return "the outputs do not tell the classes apart"
    q = numpy.linalg.solve(A, t.mean(0))
    noise = spread(p, source_labels, t, q)
    shares = counts / counts.sum()
    both = noise + (numpy.diag(shares) - numpy.outer(shares, shares)) / counts.sum()
    gap = (q - shares)[:-1]  # the last share is 1 minus the others
    wald = gap @ numpy.linalg.solve(both[:-1, :-1], gap)
    half = Z * numpy.sqrt(numpy.diag(noise))
    inside = q.clip(0) / q.clip(0).sum()
    target = [
        Interval(float(v), float(numpy.clip(s - h, 0, v)), float(numpy.clip(s + h, v, 1)))
        for v, s, h in zip(inside, q, half, strict=True)
    ]
    return LabelShift(shares.tolist(), target, float(chi2.sf(wald, classes - 1)))
