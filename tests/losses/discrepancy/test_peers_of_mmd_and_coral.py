"""MMD, joint MMD and CORAL at the settings that give other libraries' values and gradients."""

import pytest
import torch

import losses

g = torch.Generator().manual_seed(0)
x = torch.randn(12, 5, generator=g, dtype=torch.float64, requires_grad=True)
y = (torch.randn(12, 5, generator=g, dtype=torch.float64) + 0.5).requires_grad_()
z = (torch.randn(9, 5, generator=g, dtype=torch.float64) + 0.5).requires_grad_()
KERNEL_SCALES = torch.tensor([0.25, 0.5, 1.0, 2.0, 4.0], dtype=torch.float64)


def assert_same(ours, theirs, leaves):
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    gradients = [torch.autograd.grad(v, leaves, retain_graph=True) for v in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize(("estimator", "mmd_type"), [("unbiased", "quadratic"), ("linear_time", "linear")])
@pytest.mark.parametrize("bandwidth", [None, 7.0])
def test_pytorch_adapt(layers, estimator, mmd_type, bandwidth):
    theirs = layers.MMDLoss(kernel_scales=KERNEL_SCALES, mmd_type=mmd_type, bandwidth=bandwidth)(x, y)
    ours = losses.mmd(
        x, y, scales=(1 / KERNEL_SCALES).tolist(), bandwidth=bandwidth or "source median", estimator=estimator
    )
    assert_same(ours, theirs, [x, y])


@pytest.mark.parametrize(("estimator", "mmd_type"), [("unbiased", "quadratic"), ("linear_time", "linear")])
def test_pytorch_adapt_joint(layers, estimator, mmd_type):
    p, q = x[:, :3].softmax(1), y[:, :3].softmax(1)
    theirs = layers.MMDLoss(kernel_scales=KERNEL_SCALES, mmd_type=mmd_type)([x, p], [y, q])
    ours = losses.joint_mmd(
        [x, p], [y, q], scales=(1 / KERNEL_SCALES).tolist(), bandwidth="source median", estimator=estimator
    )
    assert_same(ours, theirs, [x, y])


def test_skada():
    deep = pytest.importorskip("skada.deep.losses")
    sigmas = [0.5, 1.0, 3.0]
    ours = losses.mmd(x, z, kernel="laplacian", scales=sigmas, bandwidth=1.0, estimator="biased")
    assert_same(len(sigmas) * ours, deep.dan_loss(x, z, sigmas=torch.tensor(sigmas).double()), [z])
    # its default: 33 bandwidths around the median distance between source rows
    scales = [2 ** (-8 + i / 2) for i in range(33)]
    ours = losses.mmd(x, z, kernel="laplacian", scales=scales, bandwidth="source median", estimator="biased")
    theirs = deep.dan_loss(x.float(), z.float())  # adds 1e-7 to the median; refuses float64
    torch.testing.assert_close(33 * ours, theirs.double(), rtol=1e-5, atol=1e-5)


def test_domainbed():
    gammas = [0.001, 0.01, 0.1, 1, 10, 100, 1000]
    kernel = lambda a, b: sum(torch.exp(-c * (a[:, None] - b).square().sum(2)) for c in gammas)  # noqa: E731
    theirs = kernel(x, x).mean() + kernel(z, z).mean() - 2 * kernel(x, z).mean()
    ours = losses.mmd(x, z, scales=[1 / c for c in gammas], bandwidth=1.0, estimator="biased")
    assert_same(7 * ours, theirs, [x, z])


def test_tllib():
    # its Gaussian kernel: exp(-D / (2 alpha mean D)) with the mean over all ordered pairs of the pooled rows, held
    alphas, n = [0.25, 0.5, 1, 2, 4], 12
    pooled = torch.cat([x, y])
    D = (pooled[:, None] - pooled).square().sum(2)
    K = sum(torch.exp(-D / (2 * alpha * D.mean().detach())) for alpha in alphas)
    within = (K[:n, :n].sum() - K[:n, :n].trace() + K[n:, n:].sum() - K[n:, n:].trace()) / (n * (n - 1))
    theirs = within - 2 * K[:n, n:].mean() + 2 / (n - 1)
    assert_same(5 * losses.mmd(x, y, scales=[2 * alpha for alpha in alphas]) + 2 / (n - 1), theirs, [x, y])


def test_coral_of_pytorch_adapt(layers):
    assert_same(losses.coral(x, z), layers.CORALLoss()(x, z), [x, z])


def test_coral_of_skada_and_domainbed():
    deep = pytest.importorskip("skada.deep.losses")
    assert_same(losses.coral(x, z), deep.deepcoral_loss(x, z), [x, z])
    theirs = (x.mean(0) - z.mean(0)).pow(2).mean() + (x.T.cov() - z.T.cov()).pow(2).mean()
    assert_same(losses.coral(x, z, scaling="domainbed"), theirs, [x, z])
