"""The table of the common battery: a new loss joins it with one line."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

import losses
from tests.losses import references


@dataclass(frozen=True)
class Case:
    """One loss at one setting.

    kind: what it takes: ``"clouds"`` two sets of features, ``"logits"`` one ``(n, classes)``, ``"domains"`` the
        discriminator's logits of two domains.
    reference: the same arguments as arrays, and ``frozen=`` a copy from which quantities without gradient are taken.
    minimum_rows: fewer raise ValueError.
    smooth: differentiable twice, with nothing kept out of the gradient: `gradcheck` and `gradgradcheck` apply.
    zero_at_equality: zero where the two clouds are equal.
    """

    name: str
    loss: Callable[..., Tensor]
    kind: str
    reference: Callable[..., float]
    minimum_rows: int = 1
    smooth: bool = True
    zero_at_equality: bool = False

    def inputs(self, n: int = 7, m: int = 5, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> list[Tensor]:
        g = torch.Generator().manual_seed(seed)
        draw = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)  # noqa: E731
        made = {
            "clouds": lambda: [draw(n, 3), 1.5 * draw(m, 3) + 0.7],
            "logits": lambda: [2 * draw(n, 4)],
            "domains": lambda: [draw(n), draw(m)],
        }[self.kind]()
        return [x.to(dtype) for x in made]


CASES = [
    Case("mmd", losses.mmd, "clouds", references.mmd, minimum_rows=2, smooth=False),
    Case(
        "mmd biased",
        partial(losses.mmd, estimator="biased"),
        "clouds",
        partial(references.mmd, estimator="biased"),
        smooth=False,
        zero_at_equality=True,
    ),
    Case(
        "mmd fixed bandwidth",
        partial(losses.mmd, bandwidth=3.0, scales=(1.0, 3.0)),
        "clouds",
        partial(references.mmd, bandwidth=3.0, scales=(1.0, 3.0)),
        minimum_rows=2,
    ),
    Case("coral", losses.coral, "clouds", references.coral, minimum_rows=2, zero_at_equality=True),
    Case("domain_adversarial", losses.domain_adversarial, "domains", references.domain_adversarial),
    Case("entropy", losses.entropy, "logits", references.entropy),
    Case("information_maximization", losses.information_maximization, "logits", references.information_maximization),
    Case(
        "minimum_class_confusion",
        losses.minimum_class_confusion,
        "logits",
        references.minimum_class_confusion,
        smooth=False,
    ),
]
