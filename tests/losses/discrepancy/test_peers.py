"""Values and gradients of other people's code, in float64, where the definitions overlap."""

import numpy as np
import pytest
import torch

import losses

g = torch.Generator().manual_seed(0)
x, y = torch.randn(6, 9, generator=g).double(), 2 * torch.randn(6, 9, generator=g).double() + 1


def assert_same(ours, theirs, *inputs):
    found = []
    for loss in (ours, theirs):
        leaves = [z.clone().requires_grad_() for z in inputs]
        value = loss(*leaves)
        found.append([value.detach(), *torch.autograd.grad(value, leaves)])
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("count", [1, 3])
def test_batch_spectral_penalization_in_pytorch_adapt(layers, count):
    theirs = layers.BatchSpectralLoss(k=count)
    assert_same(
        lambda a, b: losses.batch_spectral_penalization(a, b, count=count), lambda a, b: theirs(a) + theirs(b), x, y
    )


def test_second_order_moments_in_pytorch_adapt(layers):
    scale = 4 * (5 / 6) ** 2  # CORAL divides by n - 1 and by 4
    assert_same(
        lambda a, b: losses.higher_order_moment_matching(a, b, order=2, centred=True),
        lambda a, b: scale * layers.CORALLoss()(a, b),
        x,
        y,
    )


def test_principal_angles_in_scipy():
    linalg = pytest.importorskip("scipy.linalg")
    angles = linalg.subspace_angles(x.numpy().T, y[:3].numpy().T)
    value = losses.representation_subspace_distance(x, y[:3], tradeoff=0)
    torch.testing.assert_close(value.item(), np.sin(angles).sum(), rtol=1e-10, atol=0)


def test_representation_subspace_distance_by_differentiating_singular_vectors():
    # fine where no two singular values coincide: torch's own derivative of the decomposition
    def direct(a, b):
        U, V = torch.linalg.svd(a.T, full_matrices=False)[0], torch.linalg.svd(b.T, full_matrices=False)[0]
        P, cosine, Qt = torch.linalg.svd(U.T @ V)
        return (1 - cosine**2).sqrt().sum() + 0.1 * (P.abs() - Qt.T.abs()).square().sum()

    assert_same(losses.representation_subspace_distance, direct, x[:4], y[:4])


def test_contrastive_domain_discrepancy_in_skada_differs():
    cdd_loss = pytest.importorskip("skada.deep.losses").cdd_loss
    kmeans = pytest.importorskip("skada.deep.utils").SphericalKMeans
    # two classes at right angles, the same rows in both domains
    rows = torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, -0.1], [0.0, 1.0], [0.1, 1.0], [-0.1, 1.0]])
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    clusters = kmeans(n_clusters=2, initial_centroids=rows[[0, 3]], device="cpu", random_state=0)
    clusters.fit(rows)
    assert torch.equal(clusters.predict(rows), labels)
    theirs = cdd_loss(labels, rows, rows, clusters, sigmas=[1.0], class_threshold=1)
    D, same = torch.cdist(rows, rows), labels[:, None] == labels
    K = torch.exp(-D)  # the distance is not squared
    one_axis = K[:, :3].sum() / 9, K[:, 3:].sum() / 9  # masked by the column's class alone
    between = [(K[:3, :3].sum() / 81, K[3:, 3:].sum() / 81), K[:3, 3:].sum() / 81]  # the squared number of pairs
    intra = sum(2 * e - 2 * f for e, f in zip(one_axis, between[0], strict=True)) / 2
    inter = (sum(one_axis) - 2 * between[1]) / 2  # half of the pairs of classes, divided by their number
    torch.testing.assert_close(theirs, intra - inter)
    ours = losses.contrastive_domain_discrepancy(rows, rows, labels, labels, classes=2, scales=[1.0], bandwidth=1.0)
    k = torch.exp(-(D**2))
    apart = k[same].mean() * 2 - 2 * k[~same].mean()  # the domains are equal: the first term is zero
    torch.testing.assert_close(ours, -apart)
