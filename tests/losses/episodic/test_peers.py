"""Values and gradients equal to other libraries where the definitions overlap."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestCentroid

import losses


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_same(ours, theirs, *leaves):
    leaves = [x.clone().requires_grad_() for x in leaves]
    a, b = ours(*leaves), theirs(*leaves)
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
    for g, h in zip(torch.autograd.grad(a, leaves), torch.autograd.grad(b, leaves), strict=True):
        torch.testing.assert_close(g, h, rtol=1e-8, atol=1e-11)
        assert g.abs().max() > 1e-6


y, z = torch.arange(4).repeat(2), torch.arange(4).repeat(3)


@pytest.mark.parametrize("d", [5, 20])
def test_the_predictions_of_sklearns_ridge(d):
    queries, support = drawn(8, d), drawn(12, d, seed=1)
    theirs = Ridge(alpha=0.7, fit_intercept=False).fit(support, F.one_hot(z)).predict(queries)
    W = losses.ridge_weights(support, z, classes=4, penalty=0.7)
    torch.testing.assert_close(queries @ W, torch.from_numpy(theirs), rtol=1e-9, atol=1e-12)
    value = losses.ridge(queries, y, support, z, classes=4, penalty=0.7, scale=5.0)
    torch.testing.assert_close(value, F.cross_entropy(5 * torch.from_numpy(theirs), y), rtol=1e-9, atol=0)


@pytest.mark.parametrize("d", [5, 20])
def test_the_gradient_of_torchs_linear_solve(d):
    def theirs(q, x):
        W = torch.linalg.solve(x.T @ x + 0.7 * torch.eye(d).double(), x.T @ F.one_hot(z).double())
        return F.cross_entropy(2 * q @ W, y)

    ours = lambda q, x: losses.ridge(q, y, x, z, classes=4, penalty=0.7, scale=2.0)  # noqa: E731
    assert_same(ours, theirs, drawn(8, d), drawn(12, d, seed=1))


def test_sklearns_nearest_centroid():
    queries, support = drawn(50, 3), drawn(12, 3, seed=1)
    c, _ = losses.prototypes(support, z, classes=4)
    theirs = NearestCentroid().fit(support, z)
    torch.testing.assert_close(c, torch.from_numpy(theirs.centroids_))
    assert (torch.cdist(queries, c).argmin(1).numpy() == theirs.predict(queries)).all()


def test_torch_on_distances_and_cosines():
    def prototypes(x):
        return torch.stack([x[z == k].mean(0) for k in range(4)])

    euclidean = lambda q, x: F.cross_entropy(-torch.cdist(q, prototypes(x)).square(), y)  # noqa: E731
    assert_same(lambda q, x: losses.prototypical(q, y, x, z, classes=4), euclidean, drawn(8, 3), drawn(12, 3, seed=1))
    cosine = lambda q, x: F.cross_entropy(  # noqa: E731
        10 * F.cosine_similarity(q[:, None], prototypes(x)[None], dim=2), y
    )
    assert_same(
        lambda q, x: losses.prototypical(q, y, x, z, classes=4, distance="cosine", temperature=0.1),
        cosine,
        drawn(8, 3),
        drawn(12, 3, seed=1),
    )
