"""CDAN's blocks: maps of features and predictions, and entropy weights."""

import copy

import pytest
import torch

import losses

g = torch.Generator().manual_seed(0)
f, z = torch.randn(5, 3, generator=g), torch.randn(5, 4, generator=g)


def random_map(seed=0, **options):
    return losses.RandomMultilinearMap(3, 4, 7, generator=torch.Generator().manual_seed(seed), **options)


def test_the_product_is_with_probabilities_class_by_class():
    p = z.softmax(1)
    expected = torch.cat([p[:, c : c + 1] * f for c in range(4)], 1)
    torch.testing.assert_close(losses.multilinear_map(f, z), expected)
    torch.testing.assert_close(
        losses.multilinear_map(f, z + 100), expected, rtol=1e-4, atol=1e-5
    )  # raw logits would move


@pytest.mark.parametrize("make", [lambda detach: random_map(detach=detach), lambda detach: None])
@pytest.mark.parametrize("detach", [None, True, False])
def test_probabilities_carry_gradient_only_when_asked(make, detach):
    options = {} if detach is None else {"detach": detach}
    module = random_map(**options) if make(True) else lambda f, z: losses.multilinear_map(f, z, **options)
    features, logits = f.clone().requires_grad_(), z.clone().requires_grad_()
    of_features, of_logits = torch.autograd.grad(
        module(features, logits).square().sum(), (features, logits), allow_unused=True
    )
    assert of_features.abs().max() > 0
    assert (of_logits is None) == (detach is not False)


def test_inner_products_are_those_of_the_outer_product_in_expectation():
    module = losses.RandomMultilinearMap(3, 4, 200_000, generator=torch.Generator().manual_seed(0))
    random, outer = module(f, z), losses.multilinear_map(f, z)
    error = random @ random.T - outer @ outer.T
    assert error.abs().max() < 0.05 * (outer @ outer.T).abs().max()


def test_the_matrices_are_drawn_once_from_the_generator_and_saved():
    before = torch.get_rng_state()
    one, other = random_map(0), random_map(1)
    assert torch.equal(one(f, z), one(f, z)) and torch.equal(random_map(0)(f, z), one(f, z))
    assert not torch.allclose(one(f, z), other(f, z))
    assert torch.equal(before, torch.get_rng_state())
    assert set(one.state_dict()) == {"feature_matrix", "class_matrix"} and not list(one.parameters())
    assert not torch.equal(one.feature_matrix[:3], one.class_matrix[:3])
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    assert torch.equal(one(f, z), other(f, z))


def test_default_size():
    module = losses.RandomMultilinearMap(3, 4, generator=torch.Generator())
    assert module(f, z).shape == (5, 1024)


def test_half_precision_and_autocast_stay_out():
    module = random_map()
    assert module(f.bfloat16(), z.bfloat16()).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(module(f, z), random_map()(f, z)) and module(f, z).dtype == torch.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.multilinear_map(f, z[:4]), "same number of rows, got 5 and 4"),
        (lambda: losses.multilinear_map(f[0], z), "`features` must be \\(n, d\\)"),
        (lambda: losses.multilinear_map(f, z[0]), "`logits` must be \\(n, classes\\)"),
        (lambda: random_map()(f, z[:4]), "same number of rows, got 5 and 4"),
        (lambda: random_map()(z, z), "must be \\(n, 3\\) and \\(n, 4\\), got \\(5, 4\\) and \\(5, 4\\)"),
        (lambda: random_map()(f, f), "must be \\(n, 3\\) and \\(n, 4\\), got \\(5, 3\\) and \\(5, 3\\)"),
        (lambda: losses.RandomMultilinearMap(3, 0, generator=g), "`classes` must be .*at least 1, got 0"),
        (lambda: losses.entropy_weights(z[:, :0]), "at least one class, got 0"),
        (lambda: losses.entropy_weights(z[0]), "`logits` must be \\(n, classes\\)"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_entropy_weights_lie_between_their_bounds_and_are_held_unless_asked():
    logits = torch.tensor([[0.0] * 4, [1e4, 0, 0, 0], [1.0, 0, 0, 0]], requires_grad=True)
    w = losses.entropy_weights(logits)
    torch.testing.assert_close(w[:2], torch.tensor([1.25, 2.0]))
    assert 1.25 < w[2] < 2 and not w.requires_grad
    assert losses.entropy_weights(logits, detach=False).requires_grad
    assert losses.entropy_weights(logits.bfloat16()).dtype == torch.float32


def test_entropy_weights_of_a_masked_class():
    z = torch.tensor([[-torch.inf, 0.0, 1.0]], dtype=torch.float64)
    w = losses.entropy_weights(z, detach=False)
    torch.testing.assert_close(w, losses.entropy_weights(z[:, 1:]))
    torch.testing.assert_close(w.item(), 1.5587, rtol=1e-4, atol=0)
