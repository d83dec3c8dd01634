"""Layers of a transformer for short sentences.

The attention is plain products of matrices: on a CPU in bfloat16 ``F.scaled_dot_product_attention`` takes many times as
long for sentences of 16 tokens. Dropout on a CPU draws one number for four entries, in place of one for each entry.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Keys = tuple[Tensor, Tensor]  # keys and values, each (n, heads, places, width / heads)
BITS = 16  # of an entry of dropout


class Dropout(nn.Module):
    """Drops each entry with probability p and divides the other entries by 1 - p.

    On a CPU p is rounded to a multiple of 1 / 65,536, and the division is by 1 - p after the rounding.
    """

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def extra_repr(self) -> str:
        return f"p={self.p}"

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        drop = round(self.p * 2**BITS)
        draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        kept = draws.view(torch.int16)[: x.numel()].view(x.shape) >= drop - 2 ** (BITS - 1)
        return x * (kept.to(x.dtype) * (2**BITS / max(2**BITS - drop, 1)))


class Attention(nn.Module):
    r"""Attention with several heads: :math:`W_o \, \mathrm{softmax}(Q K^\top / \sqrt{d}) V`, d features for each head.

    Vaswani et al., Attention Is All You Need, 2017, https://arxiv.org/abs/1706.03762
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)

    def keys(self, x: Tensor) -> Keys:
        """Return keys and values of ``(n, places, width)``."""
        k, v = self.key_value(x).chunk(2, -1)
        return self._apart(k), self._apart(v)

    def forward(self, x: Tensor, keys: Keys, closed: Tensor | None) -> Tensor:
        """Return ``(n, m, width)``.

        Args:
            x: ``(n, m, width)``, the places that look.
            keys: of the places that are looked at.
            closed: True where a place must not be looked at; a shape that fits to ``(n, heads, m, places)``.
        """
        k, v = keys
        scores = self._apart(self.query(x)) @ k.mT * self.scale
        if closed is not None:  # not -inf: a sentence with closed places alone would give NaN
            scores = scores.masked_fill(closed, torch.finfo(scores.dtype).min)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))

    def _apart(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class EncoderLayer(nn.Module):
    """A layer that looks at all places of the same sentence: ``nn.TransformerEncoderLayer(norm_first=True)``."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attend, self.feed, self.drop = Attention(width, heads), _feed(width, dropout), Dropout(dropout)

    def forward(self, x: Tensor, closed: Tensor | None) -> Tensor:
        z = self.norms[0](x)
        x = x + self.drop(self.attend(z, self.attend.keys(z), closed))
        return x + self.drop(self.feed(self.norms[1](x)))


class DecoderLayer(nn.Module):
    """A layer that looks at the places before, then at a memory: ``nn.TransformerDecoderLayer(norm_first=True)``."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.attend, self.look = Attention(width, heads), Attention(width, heads)
        self.feed, self.drop = _feed(width, dropout), Dropout(dropout)

    def forward(
        self, x: Tensor, memory: Keys, padding: Tensor | None, future: Tensor | None, before: Keys | None = None
    ) -> tuple[Tensor, Keys]:
        """Return ``(n * beams, m, width)``, and the keys of all places up to now.

        Args:
            x: ``(n * beams, m, width)``: several texts for each row of the memory are allowed where m is 1.
            memory: ``self.look.keys(memory)``, of n rows.
            padding: True where the memory has no place.
            future: True where a place must not look at a later place; None where m is 1.
            before: the keys of earlier places, where x is one place.
        """
        z = self.norms[0](x)
        keys = self.attend.keys(z)
        if before is not None:
            keys = torch.cat([before[0], keys[0]], 2), torch.cat([before[1], keys[1]], 2)
        x = x + self.drop(self.attend(z, keys, future))
        z = self.norms[1](x)
        n = len(memory[0])
        seen = self.look(z.reshape(n, -1, z.shape[-1]), memory, padding)  # the beams of a row are places of one look
        x = x + self.drop(seen.reshape(z.shape))
        return x + self.drop(self.feed(self.norms[2](x))), keys


def waves(length: int, width: int, device: torch.device | None = None, first: int = 0) -> Tensor:
    r"""Return ``(length, width)`` vectors of places: :math:`\sin(j / 10000^{2i/d})`, then the cosines.

    Args:
        first: the number of the first place.
    """
    rates = torch.exp(torch.arange(-(-width // 2), device=device) * (-2 * math.log(10_000.0) / width))
    angles = torch.arange(first, first + length, device=device)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)[:, :width]


def start_like_torch(module: nn.Module) -> None:
    """Draw the weights as ``nn.Transformer`` does: Glorot's uniform distribution, with biases of 0."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)


def _feed(width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), Dropout(dropout), nn.Linear(2 * width, width))
