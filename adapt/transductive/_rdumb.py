"""Start again at fixed times."""

from copy import deepcopy
from typing import Any

from torch import Tensor, nn

from adapt.transductive._eata import eata
from adapt.transductive.method import OnlineMethod
from adapt.transductive.network import Network
from losses.options import COUNT, check


def rdumb(method: OnlineMethod | None = None, *, every: int = 1000) -> OnlineMethod:
    """Return a method that starts again after a number of batches: RDumb.

    Args:
        method: None is :func:`eata` without the Fisher anchor (ETA), as in the paper.
        every: batches between two starts, 1,000 as in the paper.

    Raises:
        TypeError: a method that is no online method.
        ValueError: `every` below 1.

    Press et al., RDumb: A Simple Approach that Questions our Progress in Continual Test-Time Adaptation, 2023,
    https://arxiv.org/abs/2306.05401
    """
    check(COUNT, every=every)
    method = eata() if method is None else method
    if not isinstance(method, OnlineMethod):
        raise TypeError(f"`method` must be a method such as `transductive.tent()`, got a {type(method).__name__}.")
    return OnlineMethod("rdumb", {"method": method, "every": every}, _RDumb, method.comparable)


class _RDumb(nn.Module):
    def __init__(self, network: Network, method: OnlineMethod, every: int):
        super().__init__()
        self.learner, self.every, self.batches = method.start(network), every, 0
        self._start = deepcopy(self.learner.state_dict())

    def forward(self, x: Any, learn: bool = True) -> Tensor:
        if learn and self.batches == self.every:
            self.learner.load_state_dict(self._start)
            self.batches = 0
        self.batches += learn
        return self.learner(x, learn)

    def get_extra_state(self) -> int:
        return self.batches

    def set_extra_state(self, state: int) -> None:
        self.batches = state
