"""Calibration of probabilities on labelled rows: temperature, and temperature with a bias for each class."""

from dataclasses import dataclass

import numpy
import torch
from numpy import ndarray

import losses

FLOOR = 1e-6  # a probability of 0 has no logarithm; forests and neighbours give many
RIDGE = 1e-6  # makes the biases unique, and stops the temperature of rows that are all right
TINY = 1e-12  # a product of probabilities of 0 would leave rows without any class


def softmax(logits: ndarray) -> ndarray:
    p = numpy.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    return p


def logits_of(probabilities: ndarray) -> ndarray:
    z = numpy.log(probabilities.clip(FLOOR))
    return z - z.mean(1, keepdims=True)


@dataclass(frozen=True, eq=False)
class Calibrator:
    r"""Calibrates probabilities: :math:`\mathrm{softmax}(\beta \log p + b)`. Without `slope` the rows stay as given."""

    slope: float | None = None
    bias: ndarray | float = 0.0

    def __call__(self, rows: ndarray) -> ndarray:
        p = rows if self.slope is None else softmax(self.slope * numpy.log(rows.clip(FLOOR)) + self.bias)
        return p.clip(TINY)


def temperature(probabilities: ndarray, labels: ndarray) -> Calibrator:
    r"""Return the calibrator :math:`\mathrm{softmax}(z / T)` of the least cross-entropy: Guo et al., 2017."""
    z, y = torch.from_numpy(logits_of(probabilities)), torch.from_numpy(labels)
    T = losses.calibrate_temperature(z, y).item()
    return Calibrator(1 / T)


def bias_corrected(probabilities: ndarray, labels: ndarray) -> Calibrator:
    r"""Return the calibrator :math:`\mathrm{softmax}(\beta z + b)` of the least cross-entropy, by Newton's method.

    The cross-entropy is convex in :math:`(\beta, b)`. At the minimum the mean probabilities are the shares of the
    classes in `labels`. Alexandari, Kundaje, Shrikumar, 2020, https://proceedings.mlr.press/v119/alexandari20a.html
    """
    from scipy.special import log_softmax

    z = logits_of(probabilities)
    n, K = z.shape
    start = numpy.eye(1, K + 1)[0]  # beta = 1, no bias
    rows = numpy.arange(n)

    def objective(w: ndarray) -> float:
        return -log_softmax(w[0] * z + w[1:], axis=1)[rows, labels].mean() + RIDGE / 2 * ((w - start) ** 2).sum()

    w, value = start, objective(start)
    for _ in range(50):
        p = softmax(w[0] * z + w[1:])
        error = p.copy()
        error[rows, labels] -= 1
        mean = (p * z).sum(1)
        across = (p * (z - mean[:, None])).mean(0)
        own = ((p * z**2).sum(1) - mean**2).mean()
        H = numpy.block([[numpy.array([[own]]), across[None]], [across[:, None], numpy.diag(p.mean(0)) - p.T @ p / n]])
        slope = numpy.append((error * z).sum(1).mean(), error.mean(0)) + RIDGE * (w - start)
        step = numpy.linalg.solve(H + RIDGE * numpy.eye(K + 1), slope)
        while (new := objective(w - step)) > value and numpy.abs(step).max() > 1e-12:
            step = step / 2
        w, gained, value = w - step, value - new, new
        if gained < 1e-12:
            break
    return Calibrator(float(w[0]), w[1:])
