"""The same values and gradients as other libraries, and where they differ."""

import pytest
import torch
import torch.nn.functional as F

import losses

g = torch.Generator().manual_seed(0)
draw = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)  # noqa: E731
z, y = 2 * draw(8, 4), 2 * draw(8, 4)


def assert_same(ours, theirs, *inputs):
    found = []
    for loss in (ours, theirs):
        leaves = [x.clone().requires_grad_() for x in inputs]
        value = loss(*leaves)
        found.append((value, *torch.autograd.grad(value, leaves)))
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-12)


def test_domain_adversarial_is_torch_s_binary_cross_entropy_domain_by_domain():
    u = draw(8).abs()

    def theirs(s, t):
        labels = torch.full_like(s, 0.95), torch.full_like(t, 0.05)
        source = F.binary_cross_entropy_with_logits(s, labels[0], u / u.sum(), reduction="sum")
        return 0.5 * (source + F.binary_cross_entropy_with_logits(t, labels[1]))

    assert_same(
        lambda s, t: losses.domain_adversarial(s, t, source_weights=u, label_smoothing=0.1), theirs, draw(8), draw(5)
    )


def test_tllib_normalises_entropy_weights_over_both_domains():
    s, t, u, v = draw(6), draw(6), 1 + draw(6).abs(), 1 + 9 * draw(6).abs()
    rows, w = torch.cat([F.softplus(-s), F.softplus(t)]), torch.cat([u, v])
    theirs = lambda w: (w / w.sum() * 12 * rows).mean()  # noqa: E731
    ours = losses.domain_adversarial(s, t, source_weights=u, target_weights=v)
    assert (theirs(w) - ours).abs() > 1e-2
    torch.testing.assert_close(theirs(torch.cat([u / u.sum(), v / v.sum()])), ours)


def test_multi_domain_is_torch_s_cross_entropy_weighted_by_domain():
    domains = torch.tensor([0, 0, 0, 1, 1, 3, 3, 3])
    shares = torch.tensor([1 / 3, 1 / 2, 0, 1 / 3], dtype=torch.float64)
    assert_same(
        lambda z: losses.multi_domain_adversarial(z, domains),
        lambda z: F.cross_entropy(z, domains, weight=shares),
        z,
    )
    balanced = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])
    assert_same(
        lambda z: losses.multi_domain_adversarial(z, balanced, label_smoothing=0.2),
        lambda z: F.cross_entropy(z, balanced, label_smoothing=0.2),
        z,
    )


def test_domain_confusion_is_pytorch_adapt_s(layers):
    assert_same(losses.domain_confusion, layers.UniformDistributionLoss(), z)


def test_random_map_is_pytorch_adapt_s(layers):
    f = draw(8, 3)
    ours = losses.RandomMultilinearMap(3, 4, 9, generator=torch.Generator().manual_seed(0), detach=False).double()
    theirs = layers.RandomizedDotProduct([3, 4], 9)
    theirs.rand_mat0, theirs.rand_mat1 = ours.feature_matrix.clone(), ours.class_matrix.clone()
    assert_same(
        lambda f, z: ours(f, z).pow(3).sum(),
        lambda f, z: theirs(f, z.softmax(1)).pow(3).sum(),
        f,
        z,
    )


def test_entropy_weights_are_pytorch_adapt_s_before_they_divide_by_the_sum(layers):
    weights = lambda z: losses.entropy_weights(z, detach=False)  # noqa: E731
    assert_same(lambda z: (weights(z) / weights(z).sum())[0], lambda z: layers.EntropyWeights()(z)[0], z)


def margin_disparity_by_probabilities(f_s, a_s, f_t, a_t, margin):
    """tllib's value and that of the authors' code, without tllib's offset of 1e-6 and with the authors' sign."""
    source = F.cross_entropy(a_s, f_s.argmax(1))
    return margin * source + F.nll_loss(torch.log(1 - a_t.softmax(1)), f_t.argmax(1))


def test_margin_disparity_is_the_authors():
    f_s, f_t = draw(8, 4), draw(5, 4)
    assert_same(
        lambda a_s, a_t: losses.margin_disparity(f_s, a_s, f_t, a_t, margin=3.0),
        lambda a_s, a_t: margin_disparity_by_probabilities(f_s, a_s, f_t, a_t, 3.0),
        draw(8, 4),
        draw(5, 4),
    )


def test_skada_s_margin_disparity_is_blind_to_which_row_has_which_label():
    deep = pytest.importorskip("skada.deep")
    adversarial = pytest.importorskip("skada.deep._adversarial")
    assert deep is not None
    theirs = adversarial.MDDLoss(gamma=4.0)
    f_s, a_s, f_t, a_t = draw(8, 4), draw(8, 4), draw(8, 4), 3 * draw(8, 4)
    value, permuted = (theirs(f_s, f, a_s, a_t) for f in (f_t, f_t.roll(1, 0)))
    torch.testing.assert_close(permuted, value)
    value, permuted = (losses.margin_disparity(f_s, a_s, f, a_t) for f in (f_t, f_t.roll(1, 0)))
    assert (permuted - value).abs() > 1e-2


def test_classifier_discrepancy_is_pytorch_adapt_s(layers):
    assert_same(losses.classifier_discrepancy, layers.MCDLoss(), z, y)


def test_symmetric_kl_is_torch_s_twice():
    def theirs(z, y):
        p, q = z.log_softmax(1), y.log_softmax(1)
        one = F.kl_div(q, p, log_target=True, reduction="batchmean")
        return 0.5 * (one + F.kl_div(p, q, log_target=True, reduction="batchmean"))

    assert_same(lambda z, y: losses.classifier_discrepancy(z, y, kind="symmetric_kl"), theirs, z, y)


def test_sliced_wasserstein_is_pytorch_adapt_s_which_ignores_its_argument(layers):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theta = torch.randn(4, 128)
        torch.manual_seed(0)
        theirs = layers.SlicedWasserstein(m=7)(z.float().softmax(1), y.float().softmax(1))
    theta = F.normalize(theta, dim=0).T
    ours = losses.sliced_wasserstein_discrepancy(z.float(), y.float(), directions=theta)
    torch.testing.assert_close(ours, theirs)


def test_sliced_wasserstein_is_pot_s():
    ot = pytest.importorskip("ot")
    theta = F.normalize(draw(6, 4), dim=1)
    assert_same(
        lambda z, y: losses.sliced_wasserstein_discrepancy(z, y, directions=theta),
        lambda z, y: ot.sliced_wasserstein_distance(z.softmax(1), y.softmax(1), projections=theta.T, p=2) ** 2,
        z,
        y,
    )
