"""Rows with a known signal, for the tests of the scores."""

from functools import partial

import pytest
import torch

from adapt import ranking

few = partial(ranking.n_leep, per_class=2)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blobs(n=60, d=6, classes=3, *, signal=1.0, seed=0):
    """Features whose first columns say the class, of unequal classes, correlated and off the origin."""
    y = (torch.arange(n) ** 2 // 3) % classes
    noise = normal(n, d, seed=seed) @ (torch.eye(d).double() + 0.3 * normal(d, d, seed=seed + 1))
    return noise + signal * torch.nn.functional.one_hot(y, d).double() + 1, y


def softmax_rows(n=60, z=5, seed=3, sharpness=2.0):
    return (sharpness * normal(n, z, seed=seed)).softmax(1)


def entropy(y):
    shares = y.unique(return_counts=True)[1].double() / len(y)
    return -(shares * shares.log()).sum().item()


def refused(pattern, call):
    with pytest.raises(ranking.Undefined, match=pattern):
        call()


def candidates(n=90):
    price = {0.3: ranking.Cost(1000, 2e6, 0.5), 1.0: ranking.Cost(5000, 9e6, 1.5), 3.0: ranking.Cost(9000, 4e7, 1.0)}
    found = {f"signal {s}": ranking.Pretrained(blobs(n, 6, signal=s)[0], cost=c) for s, c in price.items()}
    return found | {"collapsed": torch.ones(n, 6)}, blobs(n)[1]
