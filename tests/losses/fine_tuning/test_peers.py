"""Values and gradients equal to other libraries where the definitions overlap."""

import pytest
import torch
import torch.nn.functional as F
from torch.nn.utils import parameters_to_vector

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


def test_the_norm_of_pytorch_adapt(layers):
    for step in (1.0, 0.25):
        ours = lambda x, s=step: losses.stepwise_feature_norm(x, step=s)  # noqa: E731
        assert_same(ours, layers.AdaptiveFeatureNorm(step_size=step), drawn(6, 4))


def test_what_batch_spectral_penalisation_leaves(layers):
    # pytorch-adapt sums the squares of the largest singular values: together they are the squared Frobenius norm
    for shape in ((7, 4), (4, 7)):
        rest = lambda x: x.square().sum() - layers.BatchSpectralLoss(k=1)(x)  # noqa: E731
        assert_same(lambda x: losses.batch_spectral_shrinkage(x, count=3), rest, drawn(*shape))


def test_torch_on_parameters():
    start = [drawn(3, 2, seed=2), drawn(4, seed=3)]
    theirs = lambda w, b: F.mse_loss(  # noqa: E731
        parameters_to_vector([w, b]), parameters_to_vector(start), reduction="sum"
    )
    assert_same(lambda w, b: 2 * losses.l2_sp([w, b], start), theirs, drawn(3, 2), drawn(4))


def test_torch_on_predictions():
    t, y = drawn(6, 5, seed=1), torch.tensor([0, 2, 1, 1, 0, 3])
    target = (t / 3).softmax(1)
    theirs = lambda z: 9 * F.kl_div((z / 3).log_softmax(1), target, reduction="batchmean")  # noqa: E731
    assert_same(lambda z: losses.distillation(z, t, temperature=3.0), theirs, drawn(6, 5))
    # with certain relations co-tuning is the cross-entropy, and with others that of soft labels
    z = drawn(6, 5)
    assert_same(lambda z: losses.co_tuning(z, y, torch.eye(5).double()), lambda z: F.cross_entropy(z, y), z)
    R = drawn(4, 5, seed=3).softmax(1)
    assert_same(lambda z: losses.co_tuning(z, y, R), lambda z: F.cross_entropy(z, R[y]), z)


def test_torchmetrics_on_predictions():
    z, t = drawn(6, 5).float(), drawn(6, 5, seed=1).float()
    theirs = pytest.importorskip("torchmetrics").KLDivergence()((t / 2).softmax(1), (z / 2).softmax(1))
    torch.testing.assert_close(losses.distillation(z, t, temperature=2.0), 4 * theirs, rtol=1e-5, atol=1e-6)


def test_torch_on_features():
    t = drawn(6, 5, 2, seed=1)
    assert_same(lambda s: losses.feature_distillation(s, t), lambda s: F.mse_loss(s, t), drawn(6, 5, 2))
    assert_same(
        lambda s: losses.feature_distillation(s, t, kind="cosine"),
        lambda s: 1 - F.cosine_similarity(s, t, dim=1).mean(),
        drawn(6, 5, 2),
    )
    # delta is half the sum over channels where the mean squared error is their mean
    assert_same(lambda s: losses.delta(s, t), lambda s: 5 / 2 * F.mse_loss(s, t), drawn(6, 5, 2))


def test_attention_is_the_mean_over_places_times_their_number():
    t = drawn(6, 3, 2, 2, seed=1)
    at = lambda a: F.normalize(a.square().mean(1).flatten(1))  # noqa: E731
    assert_same(lambda s: losses.attention_transfer(s, t), lambda s: 4 * F.mse_loss(at(s), at(t)), drawn(6, 5, 2, 2))


def test_torch_on_distances():
    t, n = drawn(6, 3, seed=1), 6
    relative = lambda x: torch.pdist(x) / torch.pdist(x).mean()  # noqa: E731
    theirs = lambda s: F.smooth_l1_loss(relative(s), relative(t))  # noqa: E731
    assert_same(lambda s: losses.relational_distillation(s, t), theirs, drawn(n, 4))


def test_cosine_similarity_on_angles():
    t, n = drawn(5, 3, seed=1), 5

    def corner(x):
        e = x[None] - x[:, None]
        return F.cosine_similarity(e[:, :, None], e[:, None, :], dim=3, eps=1e-30)

    # over all n n n corners, as the authors' code takes the mean
    ours = lambda s: losses.relational_distillation(s, t, kind="angle") * (n - 1) * (n - 2) / n**2  # noqa: E731
    same = torch.eye(n, dtype=torch.bool)
    apart = ~(same[:, :, None] | same[:, None, :])
    theirs = lambda s: F.smooth_l1_loss(corner(s)[apart], corner(t)[apart], reduction="sum") / n**3  # noqa: E731
    assert_same(ours, theirs, drawn(n, 4))
