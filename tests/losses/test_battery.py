"""What every loss must pass: each test runs for each row of the table in `cases.py`."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import losses
from tests.losses.cases import CASES
from tests.ranks import run_ranks

BY_NAME = {case.name: case for case in CASES}
between_clouds = [case for case in CASES if case.kind == "clouds"]
every_loss_between_clouds = pytest.mark.parametrize("case", between_clouds, ids=lambda case: case.name)
every_loss = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def value_and_gradients(loss, inputs):
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    value = loss(*leaves)
    return value.detach(), torch.autograd.grad(value, leaves)


def arrays(inputs):
    return [x.detach().double().numpy() for x in inputs]


def assert_finite(case, inputs):
    value, gradients = value_and_gradients(case.loss, inputs)
    assert value.isfinite(), f"{case.name}: value {value}"
    assert all(g.isfinite().all() for g in gradients), f"{case.name}: gradient not finite"
    return value, gradients


def test_every_public_loss_is_in_the_table():
    blocks = {"gather", "reverse"}  # no losses themselves; they have tests of their own
    covered = {case.name.split(" ")[0] for case in CASES}
    assert covered == set(losses.__all__) - blocks


@every_loss
@pytest.mark.parametrize("rows", [(7, 5), (2, 6), (6, 6)])
def test_value_equals_the_float64_reference(case, rows):
    inputs = case.inputs(*rows, seed=1)
    torch.testing.assert_close(case.loss(*inputs).item(), case.reference(*arrays(inputs)), rtol=1e-10, atol=1e-12)


@every_loss
def test_gradient_equals_finite_differences_of_the_reference(case):
    inputs = case.inputs(seed=2)
    frozen, step = arrays(inputs), 1e-5
    for number, gradient in enumerate(value_and_gradients(case.loss, inputs)[1]):
        numeric = np.zeros_like(frozen[number])
        for at in np.ndindex(numeric.shape):
            sides = []
            for sign in (1, -1):
                moved = [a.copy() for a in frozen]
                moved[number][at] += sign * step
                sides.append(case.reference(*moved, frozen=frozen))
            numeric[at] = (sides[0] - sides[1]) / (2 * step)
        assert np.abs(numeric).max() > 1e-4, "this point would not notice a missing gradient"
        np.testing.assert_allclose(gradient.numpy(), numeric, rtol=1e-6, atol=1e-9)


@every_loss
def test_first_and_second_derivatives(case):
    inputs = [x.requires_grad_() for x in case.inputs(4, 3, seed=3)]
    if case.smooth:
        assert gradcheck(case.loss, inputs)
        assert gradgradcheck(case.loss, inputs)
    else:  # the bandwidth or the weights are held: what remains is differentiable twice all the same
        (g,) = torch.autograd.grad(case.loss(*inputs), inputs[0], create_graph=True)
        (gg,) = torch.autograd.grad(g.square().sum(), inputs[0])
        assert gg.isfinite().all() and gg.abs().max() > 0


@every_loss
def test_order_of_rows_does_not_matter(case):
    inputs = case.inputs(seed=4)
    shuffled = [x[torch.randperm(len(x), generator=torch.Generator().manual_seed(i))] for i, x in enumerate(inputs)]
    torch.testing.assert_close(case.loss(*shuffled), case.loss(*inputs), rtol=1e-12, atol=1e-14)


@every_loss
def test_every_input_matters(case):
    inputs = case.inputs(seed=5)
    for number, x in enumerate(inputs):
        changed = [y + torch.linspace(0, 1, y.numel()).view_as(y) * (i == number) for i, y in enumerate(inputs)]
        assert (case.loss(*changed) - case.loss(*inputs)).abs() > 1e-4, f"blind to input {number} of shape {x.shape}"


@every_loss_between_clouds
def test_equal_clouds(case):
    x = case.inputs(6, 6, seed=6)[0]
    value, gradients = assert_finite(case, [x, x])
    if case.zero_at_equality:
        assert value.abs() < 1e-14 and all(g.abs().max() < 1e-12 for g in gradients)
        assert case.loss(x, x + torch.randn(6, 3, generator=torch.Generator().manual_seed(0))) > 1e-3
    else:
        torch.testing.assert_close(value.item(), case.reference(*arrays([x, x])), rtol=1e-10, atol=1e-12)


@every_loss
def test_too_few_rows_are_an_error_and_enough_are_finite(case):
    assert_finite(case, case.inputs(case.minimum_rows, case.minimum_rows, seed=7))
    for rows in range(case.minimum_rows):
        with pytest.raises(ValueError, match="at least|n >= 1"):
            case.loss(*case.inputs(rows, rows))


@every_loss
@pytest.mark.parametrize("scale", [1e4, 1e-4, 0.0])
def test_scale(case, scale):
    # 0: all rows equal, zero variance; 1e4: logits that saturate, distances of 1e8
    inputs = [scale * x for x in case.inputs(seed=8)]
    if scale == 0.0:
        inputs = [x + 0.3 for x in inputs]
    single, _ = assert_finite(case, [x.float() for x in inputs])
    double, _ = assert_finite(case, inputs)
    torch.testing.assert_close(single.double(), double, rtol=2e-4, atol=1e-6)


@every_loss_between_clouds
def test_far_from_the_origin(case):
    inputs = case.inputs(seed=9)
    near, far = case.loss(*inputs), case.loss(*[(x + 1000).float() for x in inputs])
    torch.testing.assert_close(far.double(), near, rtol=2e-3, atol=1e-4)  # float32 holds 1000 to 6e-5


@every_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_inputs_are_summed_in_float32(case, dtype):
    inputs = case.inputs(32, 24, seed=10, dtype=dtype)
    value, gradients = assert_finite(case, inputs)
    assert value.dtype == torch.float32 and all(g.dtype == dtype for g in gradients)
    torch.testing.assert_close(value.double(), case.loss(*[x.double() for x in inputs]), rtol=1e-5, atol=1e-6)


@every_loss
def test_autocast_around_the_loss_changes_little(case):
    inputs = case.inputs(32, 24, seed=11, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        inside = case.loss(*inputs)
    torch.testing.assert_close(inside, case.loss(*inputs), rtol=1e-5, atol=1e-6)


@every_loss
def test_touches_no_random_state_and_no_input(case):
    inputs, before = case.inputs(seed=12), torch.get_rng_state()
    copies = [x.clone() for x in inputs]
    value_and_gradients(case.loss, inputs)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(x, copy) for x, copy in zip(inputs, copies, strict=True))


@every_loss
def test_compiles_without_a_break(case):
    inputs = case.inputs(seed=13)
    compiled = torch.compile(case.loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(
        value_and_gradients(compiled, inputs), value_and_gradients(case.loss, inputs), rtol=1e-9, atol=1e-12
    )


@every_loss
def test_vmap(case):
    batches = [torch.stack(parts) for parts in zip(case.inputs(seed=14), case.inputs(seed=15), strict=True)]
    together = torch.func.vmap(case.loss)(*batches)
    alone = torch.stack([case.loss(*parts) for parts in zip(*batches, strict=True)])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-12)


WORLD = 2


def on_a_rank(rank, world):
    found = {}
    for name, case in BY_NAME.items():
        mine = [x.chunk(world)[rank] for x in case.inputs(8, 6, seed=16)]
        value, gradients = value_and_gradients(case.loss, mine)
        found[name] = value, [g / world for g in gradients]  # the trainer averages gradients over the ranks
    return found


@pytest.fixture(scope="session")
def two_ranks():
    return run_ranks(on_a_rank, WORLD)


@every_loss
def test_two_ranks_with_half_the_rows_equal_one_rank(case, two_ranks):
    value, gradients = value_and_gradients(case.loss, case.inputs(8, 6, seed=16))
    values = torch.stack([found[case.name][0] for found in two_ranks])
    torch.testing.assert_close(values.mean(), value, rtol=1e-12, atol=1e-14)
    for number, gradient in enumerate(gradients):
        rows = torch.cat([found[case.name][1][number] for found in two_ranks])
        torch.testing.assert_close(rows, gradient, rtol=1e-10, atol=1e-13)
