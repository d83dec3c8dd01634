"""Values and gradients of other libraries, at the settings where the definitions meet."""

import pytest
import torch
import torch.nn.functional as F

import losses

g = torch.Generator().manual_seed(0)
x = torch.randn(10, 4, generator=g, dtype=torch.float64)
y = x + 0.5 * torch.randn(10, 4, generator=g, dtype=torch.float64)
labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])


@pytest.fixture(scope="session")
def pml():
    for part in ("distances", "losses", "miners", "reducers"):
        pytest.importorskip(f"pytorch_metric_learning.{part}")
    return pytest.importorskip("pytorch_metric_learning")


@pytest.fixture(scope="session")
def euclidean(pml):
    return pml.distances.LpDistance(normalize_embeddings=False)


@pytest.fixture(scope="session")
def squared(pml):
    return pml.distances.LpDistance(normalize_embeddings=False, power=2)


def assert_same(ours, theirs, *inputs, tolerance=1e-10):
    found = []
    for loss in (ours, theirs):
        leaves = [v.clone().requires_grad_() for v in inputs]
        value = loss(*leaves)
        found.append((value.detach(), torch.autograd.grad(value, leaves)))
    assert found[0][0] > 1e-3 and all(gradient.abs().max() > 1e-3 for gradient in found[0][1])
    torch.testing.assert_close(*found, rtol=tolerance, atol=tolerance)


def test_nt_xent_of_pytorch_metric_learning(pml):
    twice = torch.arange(10).repeat(2)
    peer = pml.losses.NTXentLoss(temperature=0.5)
    assert_same(losses.nt_xent, lambda a, b: peer(torch.cat([a, b]), twice), x, y)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_supervised_contrastive_of_pytorch_metric_learning(pml, temperature):
    assert_same(
        lambda a: losses.supervised_contrastive(a, labels, temperature=temperature),
        lambda a: pml.losses.SupConLoss(temperature=temperature)(a, labels),
        x,
    )


def test_where_supervised_contrastive_of_pytorch_metric_learning_differs(pml):
    one_class = torch.zeros(10, dtype=torch.long)
    assert pml.losses.SupConLoss()(x, one_class) == 0  # no negatives there: nothing to learn
    assert losses.supervised_contrastive(x, one_class) > 1


def test_neighbourhood_components_of_pytorch_metric_learning(pml, squared):
    assert_same(
        lambda a: losses.neighbourhood_components(a, labels, temperature=0.5),
        lambda a: pml.losses.NCALoss(softmax_scale=2, distance=squared)(a, labels),
        x,
    )


def test_where_neighbourhood_components_of_pytorch_metric_learning_differs(pml, squared):
    far = torch.tensor([[0.0], [1.0], [100.0], [101.0]]).requires_grad_()
    wrong = torch.tensor([0, 1, 0, 1])  # the nearest neighbour is always of the wrong class, by far
    assert pml.losses.NCALoss(distance=squared)(far, wrong).isnan()  # no row is left: the mean of nothing
    value = losses.neighbourhood_components(far, wrong)
    value.backward()
    assert value > 9000 and far.grad.abs().min() > 10


@pytest.mark.parametrize("margin", [0.5, 2.0])
@pytest.mark.parametrize("power", [1, 2])
def test_triplet_of_pytorch_metric_learning(pml, euclidean, squared, margin, power):
    distance = squared if power == 2 else euclidean
    options = {"margin": margin, "squared": power == 2}
    peer = pml.losses.TripletMarginLoss(margin=margin, distance=distance)
    hard = pml.miners.BatchHardMiner(distance=distance)
    semihard = pml.miners.TripletMarginMiner(margin, "semihard", distance=distance)
    assert_same(lambda a: losses.triplet(a, labels, **options), lambda a: peer(a, labels), x)
    mean = pml.losses.TripletMarginLoss(margin=margin, distance=distance, reducer=pml.reducers.MeanReducer())
    assert_same(lambda a: losses.triplet(a, labels, average="all", **options), lambda a: mean(a, labels), x)
    assert_same(
        lambda a: losses.triplet(a, labels, mining="hard", **options), lambda a: peer(a, labels, hard(a, labels)), x
    )
    assert_same(
        lambda a: losses.triplet(a, labels, mining="semihard", **options),
        lambda a: peer(a, labels, semihard(a, labels)),
        x,
    )


def test_triplet_with_a_soft_margin_of_pytorch_metric_learning(pml, euclidean):
    peer = pml.losses.TripletMarginLoss(margin=0, smooth_loss=True, distance=euclidean)
    assert_same(lambda a: losses.triplet(a, labels, margin=None), lambda a: peer(a, labels), x)


def test_triplet_on_the_sphere_is_the_default_of_pytorch_metric_learning(pml):
    assert_same(
        lambda a: losses.triplet(F.normalize(a), labels, margin=0.05),
        lambda a: pml.losses.TripletMarginLoss()(a, labels),
        x,
    )


def test_vicreg_of_pytorch_metric_learning(pml):
    a, b = 0.7 * x, 0.9 * y
    assert_same(losses.vicreg, pml.losses.VICRegLoss(), a, b)
    options = {"invariance": 2.0, "variance": 3.0, "covariance": 4.0}
    peer = pml.losses.VICRegLoss(invariance_lambda=2, variance_mu=3, covariance_v=4, eps=0.1)
    assert_same(lambda a, b: losses.vicreg(a, b, epsilon=0.1, **options), peer, a, b)


def test_barlow_twins_with_the_batch_normalisation_of_torch():
    def peer(a, b):
        a, b = (F.batch_norm(v, None, None, training=True) for v in (a, b))
        off = 1 - torch.eye(4, dtype=a.dtype)
        C = torch.einsum("ik,il->kl", a, b) / len(a)
        return (C.diagonal() - 1).pow(2).sum() + 0.0051 * (C * off).pow(2).sum()

    assert_same(losses.barlow_twins, peer, x, y)


def test_info_nce_with_the_cross_entropy_of_torch():
    def peer(a, b, symmetric):
        S = F.cosine_similarity(a[:, None], b[None], dim=2) / 0.07
        forth, back = F.cross_entropy(S, torch.arange(10)), F.cross_entropy(S.T, torch.arange(10))
        return (forth + back) / 2 if symmetric else forth

    for symmetric in (False, True):
        assert_same(
            lambda a, b: losses.info_nce(a, b, symmetric=symmetric),  # noqa: B023
            lambda a, b: peer(a, b, symmetric),  # noqa: B023
            x,
            y,
        )


def test_byol_with_the_cosine_of_torch():
    assert_same(lambda a: losses.byol(a, y), lambda a: (2 - 2 * F.cosine_similarity(a, y)).mean(), x)


def test_self_distillation_with_the_cross_entropy_of_torch():
    centre = torch.tensor([0.1, -0.1, 0.2, 0.0], dtype=torch.float64)
    q = ((0.1 * y - centre) / 0.04).softmax(1)
    assert_same(lambda s: losses.self_distillation(s, 0.1 * y, centre), lambda s: F.cross_entropy(s / 0.1, q), x)


def test_alignment_and_uniformity_with_the_distances_of_torch():
    assert_same(
        losses.alignment, lambda a, b: F.pairwise_distance(F.normalize(a), F.normalize(b), eps=0).pow(2).mean(), x, y
    )
    peer = lambda a: torch.pdist(F.normalize(a)).pow(2).mul(-2).exp().mean().log().neg()  # noqa: E731
    assert_same(lambda a: -losses.uniformity(a), peer, x)
