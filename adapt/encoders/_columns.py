"""A transformer over the columns of a table."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapt.encoders.encoder import Encoder
from losses.options import BELOW_1, COUNT, check


def columns(
    number: int, *, dim: int = 32, layers: int = 1, heads: int = 4, dropout: float = 0.2, column_dropout: float = 0.3
) -> Encoder:
    r"""Return an encoder of rows of a table, in which a missing value has a token of its own.

    Each column j is a token. The features are the last state of a further token after the layers:

    .. math:: t_j = \begin{cases} x_j w_j + b_j & x_j \text{ is there} \\ m_j & x_j \text{ is NaN} \end{cases}
        \qquad z = \text{layers}(c, t_1, \dots, t_d)_0

    with learned w, b, m ``(d, dim)`` and c ``(dim,)``. A layer is attention and two linear layers, with LayerNorm
    before each. In training a share `column_dropout` of the values becomes missing, drawn for each value: the encoder
    then knows rows of a hospital that does not record a column, and cannot read the hospital from the gaps alone.

    Args:
        number: of columns, d.
        dim: feature size; 32, and `layers` 1 with 4 `heads`: for tables of hundreds of rows (the paper: 192, 3 and 8
            for thousands).
        layers, heads: of the transformer.
        dropout: of attention and of the layers; 0.2.
        column_dropout: 0.3: a third of the columns may be missing.

    Shapes: ``(n, d)`` scaled numbers, NaN where missing, to ``(n, dim)`` features. Scale with the source alone.

    Precision: follows autocast.

    Raises:
        ValueError: sizes below 1, a dropout outside [0, 1), a `dim` that is no multiple of `heads`; inputs of another
            shape.

    The missing token and the dropout of columns are not in the paper: Gorishniy et al., Revisiting Deep Learning Models
    for Tabular Data, 2021, https://arxiv.org/abs/2106.11959

    >>> columns(3, dim=8)(torch.tensor([[0.5, float("nan"), 1.0]])).shape
    torch.Size([1, 8])
    """
    check(COUNT, number=number, dim=dim, layers=layers, heads=heads)
    check(BELOW_1, dropout=dropout, column_dropout=column_dropout)
    if dim % heads:
        raise ValueError(f"`dim` must be a multiple of `heads`, got {dim} and {heads}: each head sees dim / heads.")
    plain: dict[str, Any] = {"number": int(number), "dim": int(dim), "layers": int(layers), "heads": int(heads)}
    plain |= {"dropout": float(dropout), "column_dropout": float(column_dropout)}
    body = _Columns(**plain)
    return Encoder(body, plain["dim"], layers=["tokens", *body.names], recipe=("adapt.encoders.columns", plain))


class _Tokens(nn.Module):
    def __init__(self, number: int, dim: int, column_dropout: float):
        super().__init__()
        self.weight, self.bias, self.missing = (nn.Parameter(torch.randn(number, dim) * dim**-0.5) for _ in range(3))
        self.first, self.column_dropout = nn.Parameter(torch.randn(1, 1, dim) * dim**-0.5), column_dropout

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 2 or x.shape[1] != len(self.weight) or not x.is_floating_point():
            raise ValueError(
                f"`inputs` must be (n, {len(self.weight)}) numbers with NaN where a value is missing, got shape "
                f"{tuple(x.shape)} of {x.dtype}."
            )
        hidden = F.dropout(torch.ones_like(x), self.column_dropout, self.training) == 0
        gone = (x.isnan() | hidden)[..., None]
        known = x.nan_to_num()[..., None].to(self.weight.dtype) * self.weight + self.bias
        return torch.cat([self.first.expand(x.shape[0], -1, -1), torch.where(gone, self.missing, known)], 1)


class _Layer(nn.Module):
    def __init__(self, dim: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.before, self.qkv, self.out = nn.LayerNorm(dim), nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.between, self.inner, self.outer = nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        n, d, dim = x.shape
        q, k, v = self.qkv(self.before(x)).view(n, d, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        drop = self.dropout.p if self.training else 0.0
        seen = F.scaled_dot_product_attention(q, k, v, dropout_p=drop).transpose(1, 2).reshape(n, d, dim)
        x = x + self.dropout(self.out(seen))
        return x + self.dropout(self.outer(F.relu(self.inner(self.between(x)))))


class _Columns(nn.Module):
    def __init__(self, number: int, dim: int, layers: int, heads: int, dropout: float, column_dropout: float):
        super().__init__()
        self.tokens = _Tokens(number, dim, column_dropout)
        self.names = [f"layer{i + 1}" for i in range(layers)]
        for name in self.names:
            self.add_module(name, _Layer(dim, heads, dropout))
        self.norm = nn.LayerNorm(dim)

    def forward(self, inputs: Tensor) -> Tensor:
        x = self.tokens(inputs)
        for name in self.names:
            x = self.get_submodule(name)(x)
        return self.norm(x[:, 0])
