"""Values and gradients of other libraries, in float64, where the definitions meet."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import losses


def rows(*shape, seed=0):
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_same(ours, theirs, *inputs, rtol=1e-10):
    inputs = [x.clone().requires_grad_() for x in inputs]
    found, wanted = ours(*inputs), theirs(*inputs)
    torch.testing.assert_close(found, wanted, rtol=rtol, atol=1e-12)
    gradients = zip(torch.autograd.grad(found, inputs), torch.autograd.grad(wanted, inputs), strict=True)
    for a, b in gradients:
        torch.testing.assert_close(a, b, rtol=rtol, atol=1e-12)


def authors_bnm(z):
    return -torch.linalg.svdvals(z.softmax(1)).mean() * min(z.shape) / len(z)


def authors_fbnm(z):
    lengths = z.softmax(1).norm(dim=0).sort(descending=True).values[: min(z.shape)]
    return -lengths.mean() * min(z.shape) / len(z)


def authors_bfm(z):
    sigma = torch.linalg.svdvals(z.softmax(1))
    return -(sigma.square().sum() / len(sigma)).sqrt() * min(z.shape) ** 0.5 / len(z)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (losses.batch_nuclear_norm, authors_bnm),
        (losses.fast_batch_nuclear_norm, authors_fbnm),
        (losses.batch_frobenius_norm, authors_bfm),
    ],
)
@pytest.mark.parametrize("shape", [(12, 5), (4, 7)])
def test_of_logits(ours, theirs, shape):
    assert_same(ours, theirs, rows(*shape))


@pytest.mark.parametrize(
    ("ours", "name", "options"),
    [
        (losses.entropy, "EntropyLoss", {}),
        (losses.minimum_class_confusion, "MCCLoss", {"T": 2.5}),
        (losses.batch_nuclear_norm, "BNMLoss", {}),
    ],
)
@pytest.mark.parametrize("shape", [(12, 5), (4, 7)])
def test_of_logits_in_pytorch_adapt(layers, ours, name, options, shape):
    assert_same(ours, getattr(layers, name)(**options), rows(*shape))


def test_diversity_of_pytorch_adapt(layers):
    # theirs adds a small number to the mean before the logarithm
    assert_same(losses.diversity, layers.DiversityLoss(), rows(12, 5), rtol=1e-5)


def test_diversity_where_a_class_underflows():
    z = torch.tensor([[0.0, -1e4]], requires_grad=True)
    (gradient,) = torch.autograd.grad(losses.diversity(z), z)
    assert gradient.isfinite().all()


def test_information_maximization_is_the_ist_loss_of_its_probabilities(layers):
    x, domain = rows(10, 4), torch.tensor([0, 1] * 5)
    theirs = layers.ISTLoss()
    off = ~torch.eye(10, dtype=torch.bool)
    p = layers.ist_loss.get_probs(theirs.distance(x)[off].view(10, 9), off, domain, theirs.distance.is_inverted)
    torch.testing.assert_close(-losses.information_maximization(p.log()), theirs(x, domain), rtol=1e-5, atol=1e-8)


def test_consistency():
    z, teacher = rows(6, 4), rows(6, 4, seed=1)
    q = teacher.softmax(1)
    assert_same(lambda z: losses.consistency(z, teacher), lambda z: F.mse_loss(z.softmax(1), q), z)
    assert_same(
        lambda z: losses.consistency(z, teacher, kind="kl"),
        lambda z: F.kl_div(z.log_softmax(1), q, reduction="batchmean"),
        z,
    )


def test_pseudo_label():
    z, target = rows(6, 4), rows(6, 4, seed=1)
    assert_same(lambda z: losses.pseudo_label(z, target), lambda z: F.cross_entropy(z, target.argmax(1)), z)
    soft = (target / 0.5).softmax(1)
    assert_same(lambda z: losses.pseudo_label(z, target, temperature=0.5), lambda z: F.cross_entropy(z, soft), z)


def classifier():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 4)).double()


@pytest.mark.parametrize("iterations", [1, 3])
def test_virtual_adversarial(layers, iterations):
    x, model = rows(5, 6), classifier().eval()
    torch.set_default_dtype(torch.float64)  # theirs draws in the default precision
    try:
        torch.manual_seed(1)
        theirs = layers.VATLoss(num_power_iterations=iterations, xi=1e-3, epsilon=0.7)(x, model(x), model)
        torch.manual_seed(1)
        direction = torch.randn(*x.shape)
    finally:
        torch.set_default_dtype(torch.float32)
    parameters = list(model.parameters())
    wanted = torch.autograd.grad(theirs, parameters)
    assert model[1].training  # their defect: it was in eval mode
    model.eval()
    ours = losses.virtual_adversarial(
        model, x, radius=0.7, xi=1e-3, iterations=iterations, direction=direction, logits=model(x)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(torch.autograd.grad(ours, parameters), wanted, rtol=1e-8, atol=1e-12)


def test_virtual_adversarial_keeps_gradients_that_they_clear(layers):
    x, model = rows(5, 6), classifier().eval()
    model(x).sum().backward()
    losses.virtual_adversarial(model, x, radius=1.0, generator=torch.Generator())
    assert model[0].weight.grad is not None and not model[1].training
    torch.set_default_dtype(torch.float64)
    try:
        layers.VATLoss()(x, model(x), model)
    finally:
        torch.set_default_dtype(torch.float32)
    assert model[0].weight.grad is None or not model[0].weight.grad.any()


def test_neighbourhood_aggregation(layers):
    size, d, classes = 11, 3, 4
    theirs = layers.NeighborhoodAggregation(size, d, classes, k=3).double()
    ours = losses.NeighbourhoodBank(size, d, classes).double()
    everything = torch.arange(size)
    x, z = rows(size, d, seed=2), rows(size, classes, seed=3)
    theirs(x, z, update=True, idx=everything)
    ours.update(everything, x, z)
    torch.testing.assert_close(ours.probabilities, theirs.pred_memory, rtol=1e-10, atol=0)
    index = torch.tensor([2, 7, 8, 10])
    features, logits = rows(4, d, seed=4), rows(4, classes, seed=5)
    labels, predictions = theirs(features, idx=index)
    confidence = predictions.amax(1)

    def authors(logits):  # the sum over the confidences is in the authors' code
        return (confidence * F.cross_entropy(logits, labels, reduction="none")).sum() / confidence.sum()

    assert_same(
        lambda z: losses.neighbourhood_aggregation(features, z, ours.features, ours.probabilities, index, neighbours=3),
        authors,
        logits,
    )
    assert "feat_memory" in theirs.state_dict() and len(labels.unique()) > 1
