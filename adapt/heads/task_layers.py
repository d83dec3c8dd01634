"""Layers of one task between the shared features and the head of the task."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from adapt.heads.score import Score
from adapt.protocols import HasDim, dim_of, expect_head
from losses.options import COUNT, FROM_0, check


class WithTaskLayers(nn.Module):
    """A head behind layers of its task: ``WithTaskLayers(Bottleneck(encoder), heads.Classifier(encoder, 10))``.

    The head gives loss, measures, score and check.

    Args:
        before: maps features ``(n, dim)`` to the input of the head.
        head: any head; :func:`adapt.heads.wrap` makes a head of a module.

    For a trainer's `balance` all these layers count as head, with the gradient of the plain sum of the losses.

    Raises:
        TypeError: `head` lacks `loss`, `measure`, `score` or `check`.
    """

    def __init__(self, before: nn.Module, head: nn.Module):
        super().__init__()
        expect_head(head)
        self.before = before
        self.head: Any = head

    def forward(self, features: Tensor) -> Tensor:
        return self.head(self.before(features))

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        return "adapt.heads.WithTaskLayers", {"before": self.before, "head": self.head}

    @property
    def predict(self) -> Callable[[Any], Any]:
        return self.head.predict

    @property
    def probabilities(self) -> Callable[[Any], Any]:
        return self.head.probabilities

    def loss(self, output: Tensor, labels: Tensor) -> Tensor:
        return self.head.loss(output, labels)

    def measure(self, output: Tensor, labels: Tensor) -> Any:
        return self.head.measure(output, labels)

    def score(self, measures: Any, units: Tensor | None = None) -> Score:
        return self.head.score(measures, units)

    @property
    def confusion(self) -> Callable[[Any], Tensor]:
        return self.head.confusion

    def check(self, labels: Tensor) -> None:
        self.head.check(labels)

    @property
    def classes(self) -> int:
        return self.head.classes

    @property
    def names(self) -> list[str]:
        return self.head.names

    @property
    def missing(self) -> int:
        return self.head.missing

    @property
    def natural_scale(self) -> float:
        return self.head.natural_scale

    @property
    def count(self) -> Callable[[Any], float]:
        return self.head.count

    @property
    def learn_from(self) -> Callable[[Any], None]:
        return self.head.learn_from

    @property
    def present(self) -> Callable[[Tensor], Tensor]:
        return self.head.present


class Bottleneck(nn.Module):
    r"""A small residual network of one task: :math:`z + U \, \mathrm{relu}(V z)`. The identity at first.

    Args:
        encoder: an encoder, or a feature size.
        hidden: width of the network.

    Raises:
        ValueError: sizes below 1.

    Houlsby et al., Parameter-Efficient Transfer Learning for NLP, 2019, https://arxiv.org/abs/1902.00751
    """

    def __init__(self, encoder: HasDim | int, *, hidden: int = 32):
        super().__init__()
        check(COUNT, hidden=hidden)
        self.dim = dim_of(encoder)
        self.down, self.up = nn.Linear(self.dim, hidden), nn.Linear(hidden, self.dim)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        return "adapt.heads.Bottleneck", {"encoder": self.dim, "hidden": self.down.out_features}

    def forward(self, features: Tensor) -> Tensor:
        return features + self.up(self.down(features).relu())


class Attention(nn.Module):
    r"""A mask of one task on the features: :math:`z \odot \sigma(U \, \mathrm{relu}(V z))`.

    The idea of MTAN, applied to the shared features alone; MTAN has a mask in every layer.

    Args:
        encoder: an encoder, or a feature size.
        hidden: width of the network that makes the mask.

    Raises:
        ValueError: sizes below 1.

    Liu, Johns, Davison, End-to-End Multi-Task Learning with Attention, 2019, https://arxiv.org/abs/1803.10704
    """

    def __init__(self, encoder: HasDim | int, *, hidden: int = 32):
        super().__init__()
        check(COUNT, hidden=hidden)
        self.dim, self.hidden = dim_of(encoder), hidden
        self.mask = nn.Sequential(nn.Linear(self.dim, hidden), nn.ReLU(), nn.Linear(hidden, self.dim), nn.Sigmoid())

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        return "adapt.heads.Attention", {"encoder": self.dim, "hidden": self.hidden}

    def forward(self, features: Tensor) -> Tensor:
        return features * self.mask(features)


class Experts(nn.Module):
    """Small networks on the shared features, for :class:`Gated`. Tasks share the experts by holding the same object.

    Args:
        encoder: an encoder, or a feature size; the outputs have the same size.
        count: number of networks.
        hidden: width of each network.

    Raises:
        ValueError: sizes below 1.
    """

    def __init__(self, encoder: HasDim | int, count: int = 4, *, hidden: int = 64):
        super().__init__()
        check(COUNT, count=count)
        check(COUNT, hidden=hidden)
        self.dim, self.count, self.hidden = dim_of(encoder), count, hidden
        self.networks = nn.ModuleList(
            nn.Sequential(nn.Linear(self.dim, hidden), nn.ReLU(), nn.Linear(hidden, self.dim)) for _ in range(count)
        )

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        return "adapt.heads.Experts", {"encoder": self.dim, "count": self.count, "hidden": self.hidden}

    def forward(self, features: Tensor) -> Tensor:
        """Return ``(n, count, dim)``, the outputs of all networks on ``(n, dim)`` features."""
        return torch.stack([network(features) for network in self.networks], 1)


class Gated(nn.Module):
    r"""A mixture of experts for one task: :math:`\sum_k \mathrm{softmax}(W z)_k \, e_k(z)` over shared and own experts.

    With ``own=0`` the module is a task of MMoE; with experts of its own, a task of CGC. The gate looks at the features.

    Args:
        shared: experts that several tasks use. The shared experts run once per task.
        own: number of experts of this task alone; 0.

    Raises:
        TypeError: `shared` is no :class:`Experts`.
        ValueError: `own` below 0.

    Ma et al., Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts, 2018,
    https://doi.org/10.1145/3219819.3220007; Tang et al., Progressive Layered Extraction, 2020,
    https://doi.org/10.1145/3383313.3412236

    >>> from adapt.heads import Classifier
    >>> shared = Experts(8, 4)
    >>> first, second = (WithTaskLayers(Gated(shared, own=n), Classifier(8, 2)) for n in (0, 1))
    >>> first(torch.zeros(3, 8)).shape
    torch.Size([3, 2])
    """

    def __init__(self, shared: Experts, *, own: int = 0):
        super().__init__()
        if not isinstance(shared, Experts):
            raise TypeError(f"`shared` must be heads.Experts, got {type(shared).__name__}.")
        check(FROM_0, own=own)
        self.shared, self.dim = shared, shared.dim
        self.own = Experts(shared.dim, own) if own else None
        self.gate = nn.Linear(shared.dim, shared.count + own)

    @property
    def recipe(self) -> tuple[str, dict[str, Any]]:
        return "adapt.heads.Gated", {"shared": self.shared, "own": 0 if self.own is None else self.own.count}

    def forward(self, features: Tensor) -> Tensor:
        outputs = self.shared(features)
        if self.own is not None:
            outputs = torch.cat([outputs, self.own(features)], 1)
        return (self.gate(features).softmax(1).unsqueeze(1) @ outputs).squeeze(1)
