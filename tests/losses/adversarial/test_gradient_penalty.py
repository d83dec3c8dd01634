"""The critic's two losses beyond the battery."""

import pytest
import torch

import losses
from tests.losses.adversarial import references

g = torch.Generator().manual_seed(0)
x, y = torch.randn(7, 3, generator=g), torch.randn(5, 3, generator=g) + 1
mix = torch.rand(7, generator=g)


def network(seed=0, out=1):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, out))


def test_the_norm_is_that_of_the_row():
    slope = torch.tensor([0.6, 0.0, 0.8])  # length 1; a penalty for each coordinate would not be zero
    assert losses.gradient_penalty(lambda u: u @ slope, x, y, mix=mix) < 1e-12
    images, others = torch.randn(4, 2, 3, 3, generator=g), torch.randn(4, 2, 3, 3, generator=g)
    value = losses.gradient_penalty(lambda u: u.flatten(1).sum(1), images, others, mix=torch.rand(4, generator=g))
    torch.testing.assert_close(value.item(), (18**0.5 - 1) ** 2, rtol=1e-6, atol=0)


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize(("source", "target"), [(x, y), (y, x)])
def test_the_smaller_domain_starts_again(source, target, ends):
    W, v = torch.randn(3, 4, generator=g), torch.randn(4, generator=g)
    value = losses.gradient_penalty(lambda u: torch.tanh(u @ W) @ v, source, target, mix=mix, ends=ends)
    arrays = [a.double().numpy() for a in (source, target, mix, W, v)]
    torch.testing.assert_close(value.item(), references.gradient_penalty(*arrays, ends=ends), rtol=1e-5, atol=1e-6)


def test_one_is_source_and_zero_is_target():
    seen = []

    def critic(u):
        seen.append(u.detach())
        return u.sum(1)

    losses.gradient_penalty(critic, x[:5], y, mix=torch.tensor([1.0, 0.0, 1.0, 0.0, 0.5]))
    expected = torch.stack([x[0], y[1], x[2], y[3], (x[4] + y[4]) / 2])
    torch.testing.assert_close(torch.func.debug_unwrap(seen[0], recurse=True), expected)


def test_a_module_s_parameters_and_an_encoder_get_gradient_and_no_grad_is_touched():
    critic, encoder = network(), torch.nn.Linear(3, 3)
    f_s, f_t = encoder(x), encoder(y)
    value = losses.gradient_penalty(critic, f_s, f_t, mix=mix)
    parameters = [*critic.parameters(), *encoder.parameters()]
    assert all(p.grad is None for p in parameters)

    alpha = mix[:, None]  # the same by torch.autograd
    points = alpha * f_s + (1 - alpha) * f_t[torch.arange(7) % 5]
    (slope,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    expected = (slope.norm(dim=1) - 1).square().mean()
    mine = torch.autograd.grad(value, parameters, allow_unused=True, retain_graph=True)
    theirs = torch.autograd.grad(expected, parameters, allow_unused=True)
    assert mine[-1] is not None
    for a, b in zip(mine, theirs, strict=True):
        if b is not None:
            torch.testing.assert_close(a, b)
        else:
            assert a is None or not a.any()  # the last bias does not matter


def test_detached_features_leave_the_encoder_alone():
    critic, encoder = network(), torch.nn.Linear(3, 3)
    losses.gradient_penalty(critic, encoder(x).detach(), encoder(y).detach(), mix=mix).backward()
    assert critic[0].weight.grad.abs().max() > 0 and encoder.weight.grad is None


def test_without_gradient_it_has_its_value():
    critic = network()
    value = losses.gradient_penalty(critic, x, y, mix=mix)
    with torch.no_grad():
        still = losses.gradient_penalty(critic, x, y, mix=mix)
    assert torch.equal(still, value) and not still.requires_grad


def test_a_flat_critic_has_the_value_one_and_no_gradient():
    weight = torch.zeros(3, requires_grad=True)
    value = losses.gradient_penalty(lambda u: u @ weight, x, y, mix=mix)
    assert value == 1 and not torch.autograd.grad(value, weight)[0].any()


def test_the_generator_draws_one_number_for_each_pair():
    drawn = losses.gradient_penalty(network(), x, y, generator=torch.Generator().manual_seed(5))
    same = torch.rand(7, generator=torch.Generator().manual_seed(5))
    assert torch.equal(drawn, losses.gradient_penalty(network(), x, y, mix=same))


def test_a_caller_s_autocast_does_not_reach_the_critic():
    with torch.autocast("cpu", torch.bfloat16):
        inside = losses.gradient_penalty(network(), x, y, mix=mix)
    assert torch.equal(inside, losses.gradient_penalty(network(), x, y, mix=mix))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.gradient_penalty(network(), x, y), "either `mix` or `generator`, got neither"),
        (lambda: losses.gradient_penalty(network(), x, y, mix=mix, generator=g), "either .* got both"),
        (lambda: losses.gradient_penalty(network(), x, y, mix=mix[:5]), "`mix` must be \\(7,\\).*got \\(5,\\)"),
        (
            lambda: losses.gradient_penalty(network(), x, y[:, :2], mix=mix),
            "same feature size.*\\(7, 3\\) and \\(5, 2\\)",
        ),
        (lambda: losses.gradient_penalty(network(), x[0], y[0], mix=mix), "must be \\(n, ...\\)"),
        (lambda: losses.gradient_penalty(network(out=2), x, y, mix=mix), "`critic` must return one score.*\\(7, 2\\)"),
        (lambda: losses.gradient_penalty(lambda u: u.sum(), x, y, mix=mix), "`critic` must return one score"),
        (lambda: losses.gradient_penalty(lambda u: u.sum(1)[None], x, y, mix=mix), "`critic` must return one score"),
        (lambda: losses.wasserstein_critic(x, y[:, 0]), "`source_scores` must hold one number a row"),
        (lambda: losses.wasserstein_critic(x[:, 0], y), "`target_scores` must hold one number a row"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_critic_that_is_trained_finds_the_distance():
    s = torch.randn(64, 2, generator=torch.Generator().manual_seed(1))
    t = s + torch.tensor([3.0, 0.0])  # moved by 3: that is the distance
    w = torch.zeros(2, requires_grad=True)
    step = torch.optim.SGD([w], lr=0.05)
    draw = torch.Generator().manual_seed(2)
    for _ in range(60):
        critic = lambda u: u @ w  # noqa: E731
        loss = -losses.wasserstein_critic(critic(s), critic(t)) + 10 * losses.gradient_penalty(
            critic, s, t, generator=draw
        )
        step.zero_grad()
        loss.backward()
        step.step()
    assert 3.0 < losses.wasserstein_critic(critic(s), critic(t)) < 3.6  # the penalty is soft: a length of 1.15
