"""Small pools, and scikit-activeml's view of a pool."""

import numpy
import torch
from skactiveml.base import SkactivemlClassifier

from adapt.fewshot.pool import pool_of

SEEDS = range(4)


def pool(seed=0, *, n=40, d=6, classes=4, labelled=5, budget=7):
    """Return a pool in float64 with rows of different scales; the random choices have the same seed."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g, dtype=torch.float64) + torch.randn(d, generator=g, dtype=torch.float64)
    p = (2 * torch.randn(n, classes, generator=g, dtype=torch.float64)).softmax(1)
    return pool_of(x, p, torch.randperm(n, generator=g)[:labelled], budget, seed)


def arrays(pool):
    """Return features, probabilities and the numbers of labelled and of unlabelled rows, all of numpy."""
    mask = pool.labelled.numpy()
    return pool.features.numpy(), pool.probabilities.numpy(), mask.nonzero()[0].tolist(), (~mask).nonzero()[0].tolist()


class Known(SkactivemlClassifier):
    """A classifier that knows the probabilities of the rows."""

    def __init__(self, rows=(), probabilities=()):
        super().__init__(classes=range(len(probabilities[0])) if len(probabilities) else None)
        self.rows, self.probabilities = rows, probabilities

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        place = {row.tobytes(): i for i, row in enumerate(self.rows)}
        return self.probabilities[[place[row.tobytes()] for row in X]]


def by_scikit_activeml(strategy, pool, *, classifier=None):
    """Return the rows that a strategy of scikit-activeml chooses from the pool."""
    x, p, known, _ = arrays(pool)
    y = numpy.full(len(x), numpy.nan)
    y[known] = 0
    given = {} if classifier is None else {classifier: Known(x, p), f"fit_{classifier}": False}
    return [int(i) for i in strategy.query(x, y, batch_size=pool.budget, **given)]
