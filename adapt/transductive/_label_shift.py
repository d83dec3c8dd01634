"""Label shift: other shares of the classes in the target, estimated, guarded and corrected."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from numpy import ndarray

from adapt.heads.score import Z
from adapt.transductive import calibrate, shares
from adapt.transductive.rows import class_numbers, probability_rows
from losses.options import BETWEEN, TRUTH, check

LEAST = 5  # rows of each class of the source, and rows of the target: fewer tell no spread
COST = 0.01  # of the accuracy: a loss that the guard looks out for
METHODS = ("em", "bbse", "bbse_hard", "rlls")
CALIBRATIONS = ("bias_corrected", "temperature", "none")


@dataclass(frozen=True, eq=False)
class Shares:
    """The shares of the classes in the target, and the correction with the shares. Made by :class:`LabelShift`.

    Attributes:
        source: ``(K,)`` shares among the labelled source rows.
        estimate: ``(K,)`` estimated shares among the target rows.
        low, high: ``(K,)`` the ends of the 95 % interval of each estimated share.
        p: of the test that source and target have equal shares.
        target: ``(K,)`` the shares for the correction: a point between `source` and `estimate`, or `source` itself
            where the guard abstains.
        reason: in words why the guard abstains, or an empty text.
    """

    source: ndarray
    estimate: ndarray
    low: ndarray
    high: ndarray
    p: float
    target: ndarray
    reason: str
    calibrator: calibrate.Calibrator

    @property
    def shifted(self) -> bool:
        """Whether the correction changes anything."""
        return not self.reason

    @property
    def weights(self) -> ndarray:
        """``(K,)`` weights of the classes, target share by source share: all 1 where the guard abstains.

        ``weights[labels]`` are the weights of the source rows in a new training.
        """
        return self.target / self.source if self.shifted else numpy.ones_like(self.source)

    def correct(self, probabilities: Any) -> ndarray:
        r"""Return ``(n, K)`` probabilities for the shares of the target, or the given ones where the guard abstains.

        .. math:: p_t(k \mid x) \propto \frac{q_k}{p_k} \, p_s(k \mid x)

        with the calibrated probabilities :math:`p_s`.
        """
        p = probability_rows("probabilities", probabilities, len(self.source))
        if not self.shifted:
            return p
        p = self.calibrator(p) * self.weights.clip(calibrate.TINY)
        return p / p.sum(1, keepdims=True)

    def __str__(self) -> str:
        rows = [
            f"{k}: {s:.3f} -> {e:.3f} ({low:.3f} to {high:.3f})"
            for k, (s, e, low, high) in enumerate(zip(self.source, self.estimate, self.low, self.high, strict=True))
        ]
        return "; ".join(rows) + f"; p = {self.p:.3g}; " + (self.reason or "corrected")


class LabelShift:
    r"""Estimates the shares of the classes in a target without labels, and corrects predictions for these shares.

    The rows of a class look alike in both domains, and the shares of the classes differ:
    :math:`p_t(x \mid y) = p_s(x \mid y)`, :math:`q_k = p_t(y = k) \ne p_k = p_s(y = k)`.

    ===============  ============================================================================================
    ``"em"``         maximum likelihood of q by EM (MLLS): Saerens et al., 2002
    ``"bbse"``       :math:`A q = \overline{p(x^t)}`, A the mean probabilities of each class: Lipton et al., 2018
    ``"bbse_hard"``  the same with predicted classes in place of probabilities: BBSE of the paper
    ``"rlls"``       ``"bbse_hard"`` with regularised weights: Azizzadenesheli et al., 2019
    ===============  ============================================================================================

    **Guard.** An unguarded correction costs accuracy where there is little to correct: the noise of the estimate makes
    new mistakes. The guard has three parts.

    1. Hotelling's test compares the mean calibrated probabilities of source and target. This test is the score test
       of q = p. Where p is above `level`, the joint region of the shares holds the source's shares: the guard abstains.
    2. The correction goes to the end of the region that lies next to the source, with Hotelling's :math:`T^2` and the
       quantile c of the level:

       .. math:: q = p + \Bigl(1 - \sqrt{c / T^2}\Bigr) (\hat q - p)

    3. The labelled source rows, weighted by :math:`q_k / n_k`, say how many more rows the correction gets right, with
       the error of this estimate. Where a cost of more than 1 point of accuracy has a probability above `risk`, the
       guard abstains.

    Args:
        probabilities: ``(n, K)`` of source rows that were **not trained on**; a tensor, an array or lists.
        labels: ``(n,)`` classes of these rows. Rows with a missing label (-1) do not count.
        classes: the name of each column, where labels are names, such as ``model.classes_`` of scikit-learn.
        method: the estimate; EM had the smallest errors, docs/label_shift.md.
        calibration: of the probabilities on the labelled rows, before the estimate and the correction:
            ``"bias_corrected"`` (temperature with a bias for each class; the best of Alexandari et al., 2020),
            ``"temperature"`` or ``"none"``.
        level: of the test. 0.05, chosen on digits, breast cancer and Gaussian clouds (docs/label_shift.md).
        risk: allowed probability of a cost of more than 1 point; 0.05, chosen like `level`.
        guard: False corrects always, with the estimate itself.

    Computed in float64 with numpy, on the rows of this rank alone. Estimate and correction of 5,000 target rows of 10
    classes take 1.5 to 3 ms: the time grows with the shift, and with other work beside.

    Raises:
        ValueError: probabilities that are no probabilities, labels that are no classes, an unknown option.

    Label shift alone is corrected. Where the rows of a class look different in the target, as in most pairs of domains,
    the estimated shares are wrong, and no test on target rows without labels tells.

    Saerens, Latinne, Decaestecker, 2002, https://doi.org/10.1162/089976602753284446; Lipton, Wang, Smola, 2018,
    https://arxiv.org/abs/1802.03916; Azizzadenesheli et al., 2019, https://arxiv.org/abs/1903.09734; Alexandari,
    Kundaje, Shrikumar, 2020, https://arxiv.org/abs/1901.06852

    >>> source = [[0.9, 0.1]] * 50 + [[0.2, 0.8]] * 50
    >>> shares = LabelShift(source, [0] * 45 + [1] * 5 + [0] * 10 + [1] * 40).estimate([[0.2, 0.8]] * 90 + source[:10])
    >>> shares.shifted, shares.estimate.round(1)
    (True, array([0., 1.]))
    """

    def __init__(
        self,
        probabilities: Any,
        labels: Any,
        *,
        classes: Sequence[Any] | None = None,
        method: str = "em",
        calibration: str = "bias_corrected",
        level: float = 0.05,
        risk: float = 0.05,
        guard: bool = True,
    ):
        for name, value, known in (("method", method, METHODS), ("calibration", calibration, CALIBRATIONS)):
            if value not in known:
                raise ValueError(f"`{name}` must be one of {', '.join(known)}, got {value!r}.")
        check(BETWEEN, level=level, risk=risk)
        check(TRUTH, guard=guard)
        p = probability_rows("probabilities", probabilities)
        y = class_numbers("labels", labels, len(p), p.shape[1], classes)
        raw, self.labels = p[y >= 0], y[y >= 0]
        if not len(raw):
            raise ValueError("`labels` are all missing (-1): give labelled rows of the source.")
        self.method, self.level, self.risk, self.guard = method, float(level), float(risk), guard
        self.counts = numpy.bincount(self.labels, minlength=p.shape[1])
        self.source = self.counts / self.counts.sum()
        fits = {"bias_corrected": calibrate.bias_corrected, "temperature": calibrate.temperature}
        self.calibrator = fits[calibration](raw, self.labels) if calibration in fits else calibrate.Calibrator()
        self.before, self.rows = raw.argmax(1), self.calibrator(raw)
        self.mean, self.scatter = self.rows.mean(0), (len(raw) - 1) * numpy.cov(self.rows, rowvar=False)

    def estimate(self, target: Any) -> Shares:
        """Return the :class:`Shares` of target rows.

        Args:
            target: ``(m, K)`` probabilities of the same model for rows of the target.

        Raises:
            ValueError: probabilities that are no probabilities, or of another number of classes.
        """
        p, K = self.source, len(self.source)
        raw = probability_rows("target", target, K)
        if self.counts.min() < LEAST or len(raw) < LEAST:
            few = f"the least frequent class has {self.counts.min()} source rows, and the target has {len(raw)} rows"
            return self._abstain(p, numpy.zeros(K), numpy.ones(K), 1.0, f"{few}: {LEAST} are needed")
        rows = self.calibrator(raw)
        try:
            q, V = self._shares(rows)
        except numpy.linalg.LinAlgError:
            return self._abstain(p, numpy.zeros(K), numpy.ones(K), 1.0, "the outputs do not tell the classes apart")
        half = Z * numpy.sqrt(numpy.diag(V))
        low, high = (q - half).clip(0), (q + half).clip(max=1)
        chance, reach = self._test(rows)
        if not self.guard:
            return Shares(p, q, low, high, chance, q, "", self.calibrator)
        if reach == 0:
            return self._abstain(q, low, high, chance, f"the shares do not differ clearly (p = {chance:.2g})")
        used = p + reach * (q - p)
        danger = self._danger(used, q, V, len(raw))
        if danger > self.risk:
            why = f"the correction costs more than {COST:.0%} of the accuracy with probability {danger:.2g}"
            return self._abstain(q, low, high, chance, why)
        return Shares(p, q, low, high, chance, used, "", self.calibrator)

    def _abstain(self, q: ndarray, low: ndarray, high: ndarray, chance: float, reason: str) -> Shares:
        return Shares(self.source, q, low, high, chance, self.source, reason, self.calibrator)

    def _shares(self, rows: ndarray) -> tuple[ndarray, ndarray]:
        """Return the estimated shares and their covariance."""
        p, K = self.source, len(self.source)
        if self.method == "em":
            q = shares.em(rows, p)
            f = [part / p / (part @ (q / p))[:, None] for part in (self.rows, rows)]
        else:
            f = [self.rows, rows] if self.method == "bbse" else [numpy.eye(K)[x.argmax(1)] for x in (self.rows, rows)]
            A = shares.means_by_class(f[0], self.labels, K)
            rlls = self.method == "rlls"
            q = shares.rlls(A, f[1].mean(0), p, len(self.rows)) if rlls else shares.bbse(A, f[1].mean(0))
        return q, shares.spread(f[0], self.labels, f[1], q)

    def _test(self, rows: ndarray) -> tuple[float, float]:
        """Return p of Hotelling's test, and how far from the source to the estimate the correction goes, in [0, 1]."""
        from scipy.special import fdtrc, fdtri

        n, m, K = len(self.rows), len(rows), len(self.source)
        if n + m <= K:
            return 1.0, 0.0
        gap = (rows.mean(0) - self.mean)[:-1]  # the last probability is 1 minus the others
        pooled = self.scatter + (m - 1) * numpy.cov(rows, rowvar=False)
        pooled = pooled[:-1, :-1] / (n + m - 2) * (1 / n + 1 / m)
        T2 = float(gap @ numpy.linalg.pinv(pooled, hermitian=True) @ gap)
        scale = (n + m - K) / ((n + m - 2) * (K - 1))
        critical = fdtri(K - 1, n + m - K, 1 - self.level) / scale
        return float(fdtrc(K - 1, n + m - K, T2 * scale)), 1 - float(numpy.sqrt(critical / max(T2, critical)))

    def _danger(self, used: ndarray, q: ndarray, V: ndarray, m: int) -> float:
        """Return the probability that the correction costs more than `COST` on m target rows, from the source rows."""
        from scipy.special import ndtr

        after = (self.rows * (used / self.source)).argmax(1)
        gained = (after == self.labels).astype(float) - (self.before == self.labels)
        K = len(q)
        mean, changed = (numpy.bincount(self.labels, g, K) / self.counts for g in (gained, gained**2))
        noise = q**2 @ ((changed - mean**2) / self.counts) + q @ changed / m + mean @ V @ mean
        return float(ndtr(-(q @ mean + COST) / numpy.sqrt(noise + 1e-12)))
