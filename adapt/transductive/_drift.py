"""Drift in a stream: an alarm where the errors of a model become more frequent."""

from typing import Any, NamedTuple

import numpy
from numpy import ndarray
from torch import Tensor

from losses.options import POSITIVE, check, whole

SAME_SIZE = 8  # blocks of one size before the two oldest become one block


class Alarm(NamedTuple):
    """A change in a stream, as :class:`Drift` found the change.

    Attributes:
        row: number of the row at which the alarm was given, counted from the first row of the stream.
        start: estimated number of the first row after the change.
        before, after: mean error before and after `start`.
    """

    row: int
    start: int
    before: float
    after: float


class Drift:
    r"""Watches the errors of a model in a stream, and gives an alarm where the errors become more frequent.

    The statistic is the largest likelihood ratio of a change, over all splits of the window into old rows 0 and new
    rows 1, with :math:`\bar e_1 > \bar e_0`:

    .. math:: G = \max_{\text{split}} \; n_0 \, \mathrm{kl}(\bar e_0, \bar e) + n_1 \, \mathrm{kl}(\bar e_1, \bar e),
        \qquad \mathrm{kl}(p, q) = p \log \frac pq + (1 - p) \log \frac{1 - p}{1 - q}

    An alarm is given where G exceeds `threshold`. Then the rows before the change are forgotten. An error rate that
    falls gives no alarm.

    Rows are kept as sums of blocks, and the sizes of blocks double with the age (the histogram of ADWIN): the memory
    grows with the logarithm of `window`, to some hundred numbers.

    Args:
        threshold: of G. 10 gave 0.2 false alarms in 10,000 rows, the mean over error rates of 2 to 35 %
            (docs/drift.md). A larger threshold waits longer.
        window: the most rows that are compared; older rows are forgotten.

    State: :meth:`state_dict` holds the blocks; a detector with the state goes on exactly. No randomness.

    Errors of rows that depend on each other, such as frames of a video, give more false alarms: the likelihood takes
    rows as independent.

    Lai, Sequential changepoint detection in quality control, 1995; blocks: Bifet, Gavaldà, Learning from time-changing
    data with adaptive windowing, 2007, https://doi.org/10.1137/1.9781611972771.42

    >>> drift = Drift()
    >>> drift.update([0, 1] * 100), drift.update([1] * 30)
    ([], [Alarm(row=215, start=200, before=0.5, after=1.0)])
    """

    def __init__(self, *, threshold: float = 10.0, window: int = 10_000):
        check(POSITIVE, threshold=threshold)
        check(whole(2), window=window)
        self.threshold, self.window = float(threshold), int(window)
        self.reset()

    def reset(self) -> None:
        """Forget all rows; the count of rows starts again at 0."""
        self.rows = 0
        self.counts: list[int] = []  # rows of each block, the oldest first
        self.sums: list[float] = []

    def update(self, errors: Any) -> list[Alarm]:
        """Return the alarms among new rows, most often an empty list.

        Args:
            errors: ``(n,)`` in the order of the stream: 1 or True where the model was wrong, 0 where right; or losses
                in [0, 1]. NaN is a row without a label: the row counts for the number of rows alone.

        Raises:
            ValueError: another shape, numbers outside of [0, 1].
        """
        return [alarm for error in _errors(errors).tolist() if (alarm := self._one(error)) is not None]

    def _one(self, error: float) -> Alarm | None:
        self.rows += 1
        if error != error:
            return None
        self.counts.append(1)
        self.sums.append(error)
        self._shorten()
        total = sum(self.counts)
        if len(self.counts) < 2 or error * total <= sum(self.sums):
            return None  # the ratio of a rise falls with this row: no alarm can begin here
        n0, s0 = numpy.cumsum(self.counts)[:-1], numpy.cumsum(self.sums)[:-1]
        n1, s1 = total - n0, sum(self.sums) - s0
        mean = (s0 + s1) / total
        G = numpy.where(s1 * n0 > s0 * n1, n0 * _kl(s0 / n0, mean) + n1 * _kl(s1 / n1, mean), 0.0)
        k = int(G.argmax())
        if G[k] <= self.threshold:
            return None
        self.counts, self.sums = self.counts[k + 1 :], self.sums[k + 1 :]
        return Alarm(self.rows - 1, self.rows - int(n1[k]), float(s0[k] / n0[k]), float(s1[k] / n1[k]))

    def _shorten(self) -> None:
        """Join the two oldest of too many blocks of one size, and forget blocks that leave the window."""
        end, size = len(self.counts), 1
        while end > SAME_SIZE and self.counts[end - SAME_SIZE - 1] == size:
            first = end - SAME_SIZE - 1
            if first == 0 or self.counts[first - 1] != size:
                break
            self.counts[first - 1 : first + 1] = [2 * size]
            self.sums[first - 1 : first + 1] = [self.sums[first - 1] + self.sums[first]]
            end, size = first, 2 * size
        while sum(self.counts) > self.window:
            del self.counts[0], self.sums[0]

    def state_dict(self) -> dict[str, Any]:
        """Return the state as numbers and lists: ``torch.save`` and json write the state."""
        return {"rows": self.rows, "counts": list(self.counts), "sums": list(self.sums)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take a state of :meth:`state_dict`.

        Raises:
            ValueError: no state of this class.
        """
        if set(state) != {"rows", "counts", "sums"} or len(state["counts"]) != len(state["sums"]):
            raise ValueError(f"`state` must be a state_dict of Drift, got the keys {sorted(state)}.")
        self.rows = int(state["rows"])
        self.counts, self.sums = [int(c) for c in state["counts"]], [float(s) for s in state["sums"]]


def _kl(p: ndarray, q: ndarray) -> ndarray:
    from scipy.special import xlogy

    return xlogy(p, p) - xlogy(p, q) + xlogy(1 - p, 1 - p) - xlogy(1 - p, 1 - q)


def _errors(errors: Any) -> ndarray:
    e = errors.detach().cpu().float().numpy() if isinstance(errors, Tensor) else numpy.asarray(errors)
    if e.ndim != 1 or e.dtype.kind not in "biuf" or (e.size and not ((e >= 0) & (e <= 1) | numpy.isnan(e)).all()):
        raise ValueError(
            f"`errors` must be (n,) numbers in [0, 1], 1 where the model was wrong, got shape {e.shape} of {e.dtype}: "
            "give `predicted != labels`, and NaN for rows without a label."
        )
    return e.astype(float)
