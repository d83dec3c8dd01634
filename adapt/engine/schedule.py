"""Weights, strengths and learning rates as functions of the progress of a run, in [0, 1]."""

import math
from collections.abc import Callable

from adapt.engine.description import Described
from losses.options import AT_LEAST_0, BELOW_1, POSITIVE, SHARE, Rule, check, is_number

Schedule = Callable[[float], float]
WEIGHT: Rule = (
    "a number of at least 0, or a function of the progress such as `ramp(1.0)`",
    lambda v: callable(v) or (is_number(v) and v >= 0),
)


def at(value: float | Schedule, progress: float) -> float:
    """Return `value`, or `value(progress)` for a schedule."""
    return value(progress) if callable(value) else value


def ramp(top: float = 1.0, *, gamma: float = 10.0) -> Schedule:
    r"""Return Ganin's rise from 0 to `top`: :math:`\text{top} \cdot (2 / (1 + e^{-\gamma p}) - 1)`.

    Ganin et al., 2016, section 5.2.2 (gamma = 10), https://arxiv.org/abs/1505.07818

    >>> round(ramp(1.0)(0.1), 3)
    0.462
    """
    check(AT_LEAST_0, top=top)
    check(POSITIVE, gamma=gamma)
    return Described(lambda progress: top * (2 / (1 + math.exp(-gamma * progress)) - 1), f"ramp({top}, gamma={gamma})")


def cosine(*, end: float = 0.0, warmup: float = 0.0) -> Schedule:
    r"""Return a schedule from 1 to `end` along half a cosine, after a linear rise from 0 over the first `warmup` of the
    run.

    Loshchilov and Hutter, SGDR, 2017, eq. 5, https://arxiv.org/abs/1608.03983

    >>> cosine()(0.5)
    0.5
    """

    check(SHARE, end=end)
    check(BELOW_1, warmup=warmup)

    def value(progress: float) -> float:
        if progress < warmup:
            return progress / warmup
        p = (progress - warmup) / (1 - warmup)
        return end + (1 - end) * (1 + math.cos(math.pi * p)) / 2

    return Described(value, f"cosine(end={end}, warmup={warmup})")


def inverse(*, gamma: float = 10.0, power: float = 0.75) -> Schedule:
    r"""Return Ganin's learning rate :math:`(1 + \gamma p)^{-\text{power}}`.

    Ganin et al., 2016, section 5.2.2, https://arxiv.org/abs/1505.07818

    >>> inverse()(0.0)
    1.0
    """
    check(AT_LEAST_0, gamma=gamma, power=power)
    return Described(lambda progress: (1 + gamma * progress) ** -power, f"inverse(gamma={gamma}, power={power})")


def switch(before: float, after: float, *, at: float) -> Schedule:
    """Return `before` until the share `at` of the run is done, then `after`: for penalties after a first solution.

    >>> switch(1.0, 100.0, at=0.1)(0.05), switch(1.0, 100.0, at=0.1)(0.1)
    (1.0, 100.0)
    """
    check(AT_LEAST_0, before=before)
    check(WEIGHT, after=after)
    check(SHARE, at=at)
    return Described(lambda progress: before if progress < at else after, f"switch({before}, {after}, at={at})")
