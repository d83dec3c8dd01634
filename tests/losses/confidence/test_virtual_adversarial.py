"""What virtual adversarial training leaves alone, and where it starts."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

import losses

vat = partial(losses.virtual_adversarial, radius=1.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4))


@pytest.fixture
def images():
    return torch.randn(5, 2, 4, 4, generator=generator(1))


@pytest.mark.parametrize("frozen", [False, True])
def test_leaves_the_model_as_it_was(model, images, frozen):
    model[1].train(not frozen)
    model(images).sum().backward()  # gradients that somebody accumulates
    before = copy.deepcopy(model.state_dict()), [p.grad.clone() for p in model.parameters()]
    value = vat(model, images, generator=generator(), iterations=2)
    assert all(torch.equal(a, b) for a, b in zip(before[0].values(), model.state_dict().values(), strict=True))
    assert all(torch.equal(a, p.grad) for a, p in zip(before[1], model.parameters(), strict=True))
    assert model[1].training is not frozen and model[0].training
    value.backward()  # and it can be trained
    assert all(not torch.equal(a, p.grad) for a, p in zip(before[1][1:], list(model.parameters())[1:], strict=True))


def test_training_mode_uses_the_statistics_of_the_batch(model, images):
    train = vat(model, images, generator=generator())
    assert train != vat(model.eval(), images, generator=generator())


def test_a_frozen_parameter_and_no_grad(model, images):
    wanted = vat(model, images, generator=generator())
    with torch.no_grad():
        torch.testing.assert_close(vat(model, images, generator=generator()), wanted.detach())
    for p in model.parameters():
        p.requires_grad_(False)
    torch.testing.assert_close(vat(model, images, generator=generator()), wanted.detach())


def test_generator_and_direction(model, images):
    direction = torch.randn(images.shape, generator=generator(3))
    drawn = vat(model, images, generator=generator(3))
    assert drawn == vat(model, images, direction=direction)
    torch.testing.assert_close(drawn, vat(model, images, direction=100 * direction))  # of any length
    assert drawn != vat(model, images, generator=generator(4))
    with pytest.raises(ValueError, match="one of `generator` and `direction`"):
        vat(model, images)
    with pytest.raises(ValueError, match="one of `generator` and `direction`"):
        vat(model, images, generator=generator(), direction=direction)
    with pytest.raises(ValueError, match="`inputs` and `direction` must have the same shape"):
        vat(model, images, direction=direction[:2])


def test_given_logits_save_a_pass(images):
    calls = []

    def model(x):
        calls.append(x)
        return x.flatten(1)[:, :4].sin()

    value = vat(model, images, generator=generator())
    assert len(calls) == 3 and value == vat(model, images, generator=generator(), logits=model(images))
    assert len(calls) == 6
    vat(model, images, generator=generator(), logits=model(images), iterations=3)
    assert len(calls) == 6 + 1 + 4
    logits = model(images).requires_grad_()
    x = images.clone().requires_grad_()
    assert torch.autograd.grad(vat(model, x, generator=generator(), logits=logits), logits, allow_unused=True) == (
        None,
    )


def test_length_of_the_perturbation(images):
    seen = []

    def model(x):
        seen.append((x - images).flatten(1).norm(dim=1))
        return x.flatten(1)[:, :4].sin()

    losses.virtual_adversarial(model, images, radius=3.0, xi=0.5, generator=generator())
    torch.testing.assert_close(seen[1], torch.full((5,), 0.5))
    torch.testing.assert_close(seen[2], torch.full((5,), 3.0))
    seen.clear()
    vat(model, images, generator=generator())  # the defaults: one iteration at a distance of 0.01
    assert len(seen) == 3
    torch.testing.assert_close(seen[1], torch.full((5,), 0.01), rtol=1e-3, atol=0)


def test_it_is_worse_than_any_other_direction():
    # a linear model: the power method converges to the worst direction of the second order term
    W = torch.randn(6, 4, generator=generator(5), dtype=torch.float64)
    x = torch.randn(3, 6, generator=generator(6), dtype=torch.float64)
    model = lambda x: x @ W  # noqa: E731
    worst = losses.virtual_adversarial(model, x, radius=1e-2, xi=1e-4, iterations=60, generator=generator())
    for seed in range(20):
        d = torch.randn(3, 6, generator=generator(seed), dtype=torch.float64)
        moved = x + 1e-2 * d / d.norm(dim=1, keepdim=True)
        assert losses.consistency(model(moved), model(x), kind="kl") < worst * 1.01


def test_float32_needs_a_longer_step_than_the_papers():
    x = 1 + torch.rand(2, 3000, generator=generator(7), dtype=torch.float64)
    W = torch.randn(3000, 4, generator=generator(8), dtype=torch.float64) / 55
    direction = torch.randn(x.shape, generator=generator(9), dtype=torch.float64)

    def value(dtype, **options):
        return vat(lambda x: x @ W.to(x), x.to(dtype), direction=direction.to(dtype), **options)

    exact = value(torch.float64, xi=1e-6)
    torch.testing.assert_close(value(torch.float32).double(), exact, rtol=2e-3, atol=0)
    assert (value(torch.float32, xi=1e-6).double() / exact - 1).abs() > 0.05  # x + 1e-8 is x


def test_no_gradient_no_perturbation():
    x = torch.randn(4, 3, generator=generator(), requires_grad=True)
    W = torch.zeros(3, 2, requires_grad=True)
    for loss in (
        vat(lambda x: x @ W, x, generator=generator()),  # a model that does not look
        vat(lambda x: 1e8 * x @ torch.eye(3), x, generator=generator()),  # saturated
        vat(lambda x: x @ (W + 1), x, direction=torch.zeros(4, 3)),
    ):
        value, gradients = loss.detach(), torch.autograd.grad(loss, (x, W), allow_unused=True)
        assert value == 0 and all((g == 0).all() for g in gradients if g is not None)


def test_a_very_small_gradient_still_has_a_direction():
    # a prediction so sure that the square of the gradient underflows
    x, seen = torch.tensor([[60.0, 0.0]]), []

    def model(x):
        seen.append(x)
        return x

    vat(model, x, direction=torch.tensor([[1.0, 3.0]]))
    torch.testing.assert_close((seen[-1] - x).norm(), torch.tensor(1.0))


def test_dense_predictions_weights_and_one_number_a_row():
    x = torch.randn(3, 2, 5, generator=generator(), dtype=torch.float64)
    value = vat(lambda x: x.sin(), x, generator=generator(), weights=torch.ones(3, 5))
    torch.testing.assert_close(value, vat(lambda x: x.sin(), x, generator=generator()))
    two = lambda x: torch.stack([x, -x], 1)  # noqa: E731
    assert vat(two, torch.zeros(3), generator=generator()) > 0


def test_runs_outside_of_autocast():
    x, W = torch.randn(6, 8, generator=generator()), torch.randn(8, 3, generator=generator(1))
    with torch.autocast("cpu", torch.bfloat16):
        inside = vat(lambda x: x @ W, x, generator=generator())
    assert inside == vat(lambda x: x @ W, x, generator=generator())


def test_errors(model, images):
    with pytest.raises(ValueError, match="perturb the embeddings"):
        vat(model, torch.zeros(2, 3, dtype=torch.long), generator=generator())
    with pytest.raises(ValueError, match="n >= 1"):
        vat(model, images[:0], generator=generator())
    for name in ("radius", "xi", "iterations"):
        with pytest.raises(ValueError, match=f"`{name}` must be .*, got 0"):
            vat(model, images, generator=generator(), **{name: 0})


def test_a_model_that_does_not_depend_on_its_input_is_an_error():
    constant = torch.zeros(4, 3, requires_grad=True)
    for model in (lambda x: constant, lambda x: x.detach()):
        with pytest.raises(ValueError, match="`model` must depend on its input"):
            vat(model, torch.randn(4, 3, generator=generator()), generator=generator())


def two_names():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3))
    model.add_module("again", model[1])
    return model


def two_names_of_a_block():
    block = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    return nn.Sequential(block, nn.Tanh(), block)


def shared_buffer():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 3), nn.BatchNorm1d(3))
    model[2].running_mean = model[0].running_mean
    return model


def spectral_norm():
    return nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4)), nn.BatchNorm1d(4))


def old_spectral_norm():
    return nn.Sequential(nn.utils.spectral_norm(nn.Linear(3, 4)), nn.BatchNorm1d(4))


@pytest.mark.parametrize("make", [two_names, two_names_of_a_block, shared_buffer, spectral_norm, old_spectral_norm])
def test_buffers_under_two_names_and_of_two_modules_stay(make):
    torch.manual_seed(0)
    model, x = make(), torch.randn(6, 3, generator=generator(1))
    every = lambda: [  # noqa: E731
        b for m in model.modules() for b in m.buffers(recurse=False)
    ]
    before = [(b, b.clone()) for b in every()]
    for _ in range(3):
        vat(model, x, generator=generator()).backward()
        for (buffer, value), b in zip(before, every(), strict=True):
            assert b is buffer and torch.equal(b, value)
