"""Three tasks on one stream and one on another, labels missing here and there."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

from adapt import Stream, Term, Trainer, encoders, heads, multitask

DIM, ROWS = 5, 48


def labels(rows=ROWS, *, seed=0, missing=0.4, dtype=torch.float32):
    """Columns: a number, three classes, a number in other units."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, DIM, generator=g, dtype=torch.float64)
    y = torch.stack([x[:, 0] + x[:, 1] ** 2, (x[:, 2] > 0).double() + (x[:, 3] > 0), 100 * x[:, 0] - 50 * x[:, 4]], 1)
    y[torch.rand(y.shape, generator=g) < missing] = torch.nan
    return TensorDataset(x.to(dtype), y.to(dtype))


def network(*, dtype=torch.float32, seed=0, norm=False):
    torch.manual_seed(seed)
    middle = nn.LayerNorm(12) if norm else nn.Identity()
    body = nn.Sequential(nn.Linear(DIM, 12), middle, nn.Tanh(), nn.Linear(12, 6))
    return encoders.Encoder(body, 6).to(dtype)


def three_tasks(dtype=torch.float32, weights=(1.0, 1.0, 1.0)):
    torch.manual_seed(1)
    made = [heads.Regressor(6), heads.Classifier(6, 3), heads.Regressor(6)]
    names = ("number", "class", "units")
    return [
        multitask.task(name, head.to(dtype), "rows", label=i, weight=weights[i])
        for i, (name, head) in enumerate(zip(names, made, strict=True))
    ]


def decay(dtype=torch.float32):
    return Term("small", lambda step: 0.1 * step["rows"].features.square().mean(), weight=0.5)


def trainer(
    balance=None, *, dtype=torch.float32, missing=0.4, norm=False, weights=(1.0, 1.0, 1.0), other=True, **options
):
    encoder = network(dtype=dtype, norm=norm)
    terms = [*three_tasks(dtype, weights), *([decay()] if other else [])]
    data = labels(missing=missing, dtype=dtype)
    options = {"optimizer": lambda groups: torch.optim.SGD(groups, lr=0.05)} | options
    return Trainer(encoder, terms, {"rows": Stream(data, 12)}, balance=balance, progress=False, device="cpu", **options)
