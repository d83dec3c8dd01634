"""What lies between shared features and a task's head."""

import torch
from torch import Tensor, nn

from adapt.heads import Score


class WithTaskLayers(nn.Module):
    """A head behind layers of its task: ``WithTaskLayers(Bottleneck(dim), heads.Classifier(dim, 10))``. Its loss, score and check are the head's.

    Args:
        before: from features ``(n, dim)`` to what the head takes.
        head: any head.

    All of it belongs to the heads in the sense of a trainer's `balance`: it keeps the gradient of the plain sum.
    """

    def __init__(self, before: nn.Module, head: nn.Module):
        super().__init__()
        self.before, self.head = before, head

    def forward(self, features: Tensor) -> Tensor:
        return self.head(self.before(features))

    def loss(self, output: Tensor, labels: Tensor) -> Tensor:
        return self.head.loss(output, labels)  # type: ignore[operator]

    def score(self, output: Tensor, labels: Tensor) -> Score:
        return self.head.score(output, labels)  # type: ignore[operator]

    def check(self, labels: Tensor) -> None:
        self.head.check(labels)  # type: ignore[operator]

    @property
    def classes(self) -> int:
        return self.head.classes  # type: ignore[return-value]

    @property
    def names(self) -> list[str]:
        return self.head.names  # type: ignore[return-value]

    @property
    def missing(self) -> int:
        return self.head.missing  # type: ignore[return-value]


class Bottleneck(nn.Module):
    r"""A small residual network of one task: :math:`z + U \, \mathrm{relu}(V z)`; the identity at first.

    Args:
        dim: feature size.
        hidden: its width.

    Houlsby et al., Parameter-Efficient Transfer Learning for NLP, 2019, https://arxiv.org/abs/1902.00751
    """

    def __init__(self, dim: int, *, hidden: int = 32):
        super().__init__()
        self.down, self.up = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.up(self.down(features).relu())


class Attention(nn.Module):
    r"""Each task takes what it needs: :math:`z \odot \sigma(U \, \mathrm{relu}(V z))`.

    The idea of MTAN, on the shared features alone instead of every layer.

    Args:
        dim: feature size.
        hidden: width of the network that makes the mask.

    Liu, Johns, Davison, End-to-End Multi-Task Learning with Attention, 2019, https://arxiv.org/abs/1803.10704
    """

    def __init__(self, dim: int, *, hidden: int = 32):
        super().__init__()
        self.mask = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, dim), nn.Sigmoid())

    def forward(self, features: Tensor) -> Tensor:
        return features * self.mask(features)


class Experts(nn.Module):
    """Small networks on the shared features, for :class:`Gated`: the same object in the heads of several tasks is shared by them.

    Args:
        dim: feature size, of inputs and outputs.
        count: how many.
        hidden: their width.
    """

    def __init__(self, dim: int, count: int = 4, *, hidden: int = 64):
        super().__init__()
        if count < 1:
            raise ValueError(f"`count` must be at least 1, got {count}.")
        self.dim, self.count = dim, count
        self.networks = nn.ModuleList(
            nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, dim)) for _ in range(count)
        )

    def forward(self, features: Tensor) -> Tensor:
        """``(n, dim)`` to ``(n, count, dim)``."""
        return torch.stack([network(features) for network in self.networks], 1)


class Gated(nn.Module):
    r"""A task's mixture of experts: :math:`\sum_k \mathrm{softmax}(W z)_k \, e_k(z)` over the shared ones and its own.

    Without experts of its own it is a task of MMoE, with them of CGC; the gate looks at the features.

    Args:
        shared: experts that several tasks use; they run once a task.
        own: experts of this task alone; 0.

    Ma et al., Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts, 2018,
    https://doi.org/10.1145/3219819.3220007; Tang et al., Progressive Layered Extraction, 2020,
    https://doi.org/10.1145/3383313.3412236

    >>> shared = Experts(8, 4)
    >>> first, second = (WithTaskLayers(Gated(shared, own=n), nn.Linear(8, 2)) for n in (0, 1))
    >>> first(torch.zeros(3, 8)).shape
    torch.Size([3, 2])
    """

    def __init__(self, shared: Experts, *, own: int = 0):
        super().__init__()
        self.shared = shared
        self.own = Experts(shared.dim, own) if own else None
        self.gate = nn.Linear(shared.dim, shared.count + own)

    def forward(self, features: Tensor) -> Tensor:
        outputs = self.shared(features)
        if self.own is not None:
            outputs = torch.cat([outputs, self.own(features)], 1)
        return (self.gate(features).softmax(1).unsqueeze(1) @ outputs).squeeze(1)
