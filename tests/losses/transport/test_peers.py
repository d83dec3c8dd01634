"""Values and gradients of the same quantities elsewhere."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

import losses
from losses.transport.entropic import row_plan, solve

g = torch.Generator().manual_seed(0)
x = torch.randn(20, 3, generator=g, dtype=torch.float64)
y = 1.5 * torch.randn(15, 3, generator=g, dtype=torch.float64) + 0.7
labels = torch.randint(4, (20,), generator=g)


def both(loss, *inputs):
    inputs = [z.clone().requires_grad_() for z in inputs]
    value = loss(*inputs)
    return value.detach(), torch.autograd.grad(value, inputs)


def drawn_by_pytorch_adapt(d, count=128):
    torch.manual_seed(5)
    return torch.nn.functional.normalize(torch.randn(d, count), dim=0).T


def test_sliced_of_pytorch_adapt(layers):
    a, b = x[:15].float(), y.float()
    theta = drawn_by_pytorch_adapt(3)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        theirs = both(layers.SlicedWasserstein(m=7), a, b)  # 128 directions all the same
    torch.testing.assert_close(both(lambda p, q: losses.sliced_wasserstein(p, q, directions=theta), a, b), theirs)


@pytest.mark.parametrize("power", [1, 2, 3])
def test_sliced_of_pot(power):
    ot = pytest.importorskip("ot")
    theta = torch.nn.functional.normalize(torch.randn(6, 3, generator=g, dtype=torch.float64), dim=1)
    a = torch.rand(20, generator=g, dtype=torch.float64)
    b = torch.rand(15, generator=g, dtype=torch.float64)
    a, b = a / a.sum(), b / b.sum()
    theirs = both(lambda p, q: ot.sliced_wasserstein_distance(p, q, projections=theta.T, p=power) ** power, x, y)
    torch.testing.assert_close(
        both(lambda p, q: losses.sliced_wasserstein(p, q, directions=theta, power=power), x, y), theirs
    )
    theirs = both(lambda p, q: ot.sliced_wasserstein_distance(p, q, a, b, projections=theta.T, p=power) ** power, x, y)
    ours = lambda p, q: losses.sliced_wasserstein(  # noqa: E731
        p, q, directions=theta, power=power, source_weights=a, target_weights=b
    )
    torch.testing.assert_close(both(ours, x, y), theirs)
    worst = ot.max_sliced_wasserstein_distance(x, y, projections=theta.T, p=power) ** power
    torch.testing.assert_close(losses.max_sliced_wasserstein(x, y, directions=theta, power=power, steps=0), worst)


def of_geomloss(power, blur, reach, debias, scaling=0.999999):
    geomloss = pytest.importorskip("geomloss")
    # hundreds of steps close to the final temperature: it has no other way to ask for convergence
    return geomloss.SamplesLoss(
        "sinkhorn",
        p=power,
        blur=blur,
        reach=reach,
        debias=debias,
        diameter=1.0003 * blur,
        scaling=scaling,
        backend="tensorized",
    )


@pytest.mark.parametrize("debias", [True, False])
@pytest.mark.parametrize(("power", "blur"), [(2, 0.9), (2, 1.5), (1, 0.6)])
def test_sinkhorn_of_geomloss(power, blur, debias):
    ours = both(lambda p, q: losses.sinkhorn_divergence(p, q, power=power, blur=blur, debias=debias, steps=200), x, y)
    theirs = both(of_geomloss(power, blur, None, debias), x, y)
    tolerance = 1e-6 if power == 2 or not debias else 2e-4  # it gives a point the distance 1e-4 from itself for p = 1
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("debias", [True, False])
def test_soft_marginals_of_geomloss(debias):
    blur, reach = 0.9, 1.5
    ours = both(lambda p, q: losses.sinkhorn_divergence(p, q, blur=blur, reach=reach, debias=debias), x, y)
    theirs = both(of_geomloss(2, blur, reach, debias), x, y)
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-6, atol=1e-6)
    # the factor of its value, (rho + epsilon / 2), is meant to be (rho + epsilon) in its gradient, and is not
    missing = (reach**2 + blur**2 / 2) / (reach**2 + blur**2)
    torch.testing.assert_close([z * missing for z in ours[1]], list(theirs[1]), rtol=1e-6, atol=1e-6)


def test_sinkhorn_of_pot():
    ot = pytest.importorskip("ot")
    blur = 0.9
    ours = both(lambda p, q: losses.sinkhorn_divergence(p, q, blur=blur, steps=200), x, y)
    a, b = torch.full((20,), 1 / 20, dtype=torch.float64), torch.full((15,), 1 / 15, dtype=torch.float64)

    def entropic(p, q, u, v):  # unrolled, in the log domain
        M = torch.cdist(p, q, compute_mode="donot_use_mm_for_euclid_dist").square() / 2 if p is not q else own(p)
        plan = ot.bregman.sinkhorn_log(u, v, M, reg=blur**2, numItermax=3000, stopThr=1e-12)
        return (plan * M).sum() + blur**2 * (plan * (plan / (u[:, None] * v)).log()).sum()

    def own(p):
        return ((p[:, None] - p[None]) ** 2).sum(2) / 2

    theirs = both(lambda p, q: entropic(p, q, a, b) - (entropic(p, p, a, a) + entropic(q, q, b, b)) / 2, x, y)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_the_divergence_of_pot_leaves_the_entropy_out():
    ot = pytest.importorskip("ot")
    epsilon = 0.81
    theirs = ot.bregman.empirical_sinkhorn_divergence(x, y, reg=2 * epsilon, numIterMax=5000, stopThr=1e-12).squeeze()

    def cost_of_the_plan(p, q):
        M = torch.cdist(p, q).square()
        a, b = (torch.full((len(z),), 1 / len(z), dtype=torch.float64) for z in (p, q))
        gamma, _ = solve(M / 2, a, b, torch.tensor(epsilon).double(), annealing=2, steps=200)
        return (row_plan(M / 2 / epsilon, b.log(), gamma)[1] * a[:, None] * M).sum()

    ours = cost_of_the_plan(x, y) - (cost_of_the_plan(x, x) + cost_of_the_plan(y, y)) / 2
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=0)
    assert (theirs / 2 - losses.sinkhorn_divergence(x, y, blur=0.9)).abs() > 0.05


def test_unbalanced_plan_of_pot():
    ot = pytest.importorskip("ot")
    blur, reach = 0.9, 1.5
    a, b = torch.full((20,), 1 / 20, dtype=torch.float64), torch.full((15,), 1 / 15, dtype=torch.float64)
    M = torch.cdist(x, y).square() / 2
    plan = ot.unbalanced.sinkhorn_unbalanced(
        a, b, M, reg=blur**2, reg_m=reach**2, reg_type="kl", numItermax=5000, stopThr=1e-14
    )
    pull = plan.sum(1, keepdim=True) * x - plan @ y  # the gradient of the cost under the plan
    ours = both(lambda p: losses.sinkhorn_divergence(p, y, blur=blur, reach=reach, debias=False), x)[1][0]
    torch.testing.assert_close(ours, pull, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean"])
def test_exact_transport_of_pot(metric):
    ot = pytest.importorskip("ot")
    theirs = both(lambda p, q: ot.emd2([], [], ot.dist(p, q, metric=metric)), x, y)
    ours = both(lambda p, q: losses.exact_transport(p, q, power=2 if metric == "sqeuclidean" else 1), x, y)
    torch.testing.assert_close(ours, theirs)


def test_joint_transport_of_skada():
    pytest.importorskip("ot")
    deepjdot_loss = pytest.importorskip("skada.deep.losses").deepjdot_loss
    z = torch.randn(15, 4, generator=g, dtype=torch.float64)
    each = torch.full((15,), 1 / 15, dtype=torch.float64)
    options = {"feature_weight": 0.3, "label_weight": 2.0}
    ours = both(lambda p, q, z: losses.joint_transport(p, q, labels[:15], z, **options), x[:15], y, z)
    theirs = both(lambda p, q, z: deepjdot_loss(labels[:15], z, p, q, 0.3, 2.0, each, each), x[:15], y, z)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError):  # it needs n = m
        deepjdot_loss(labels, z, x, y, 1, 1)
    default = both(lambda p, q, z: deepjdot_loss(labels[:15], z, p, q, 1, 1, each, each), x[:15], y, z)
    torch.testing.assert_close(
        both(lambda p, q, z: losses.joint_transport(p, q, labels[:15], z), x[:15], y, z), default, rtol=1e-5, atol=1e-6
    )


def test_gaussians_of_pot():
    ot = pytest.importorskip("ot")

    def theirs(p, q):
        return ot.gaussian.bures_wasserstein_distance(p.mean(0), q.mean(0), p.T.cov(), q.T.cov()).squeeze() ** 2

    torch.testing.assert_close(both(losses.gaussian_wasserstein, x, y), both(theirs, x, y), rtol=1e-7, atol=1e-9)


def test_gaussians_by_the_matrix_root_of_scipy():
    C, D = np.cov(x.numpy(), rowvar=False), np.cov(y.numpy(), rowvar=False)
    root = sqrtm(C)
    value = np.square(x.numpy().mean(0) - y.numpy().mean(0)).sum() + np.trace(C + D - 2 * sqrtm(root @ D @ root))
    torch.testing.assert_close(losses.gaussian_wasserstein(x, y).item(), float(value))
