"""What every loss must pass: each test runs for each row of the rooms' tables (`tests/losses/<room>/cases.py`)."""

import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import losses
from tests.ranks import run_ranks

ROOMS = sorted(p.parent.name for p in Path(__file__).parent.glob("*/cases.py"))
TABLES = [importlib.import_module(f"tests.losses.{room}.cases") for room in ROOMS]
CASES = [case for table in TABLES for case in table.CASES]
BY_NAME = {case.name: case for case in CASES}
ids = lambda case: case.name  # noqa: E731
every_loss = pytest.mark.parametrize("case", CASES, ids=ids)
between_clouds = pytest.mark.parametrize("case", [c for c in CASES if c.between_clouds], ids=ids)
shift_invariant = pytest.mark.parametrize("case", [c for c in CASES if c.shift_invariant], ids=ids)
weighted = pytest.mark.parametrize("case", [c for c in CASES if any(i.kind == "weights" for i in c.inputs)], ids=ids)


def value_and_gradients(case, loss, inputs):
    inputs = case.map(lambda x: x.detach().clone().requires_grad_(), inputs)
    value = loss(*inputs)
    return value.detach(), torch.autograd.grad(value, [x for x in inputs if x.requires_grad])


def arrays(inputs):
    return [x.detach().double().numpy() if x.is_floating_point() else x.numpy() for x in inputs]


def assert_finite(case, inputs):
    value, gradients = value_and_gradients(case, case.loss, inputs)
    assert value.shape == (), f"{case.name}: no scalar"
    assert value.isfinite(), f"{case.name}: value {value}"
    assert all(g.isfinite().all() for g in gradients), f"{case.name}: gradient not finite"
    return value, gradients


def test_every_public_loss_is_in_the_table():
    covered = {case.name.split(" ")[0] for case in CASES}
    blocks = {"gather"}.union(*(getattr(table, "BLOCKS", ()) for table in TABLES))
    assert covered | blocks == set(losses.__all__), "add an entry to tests/losses/<room>/cases.py"
    assert not covered & blocks
    assert len(BY_NAME) == len(CASES), "two cases of one name"


@every_loss
@pytest.mark.parametrize("rows", [(7, 5), (2, 6), (6, 6)])
def test_value_equals_the_float64_reference(case, rows):
    inputs = case.draw(*(max(r, case.minimum_rows) for r in rows), seed=1)
    torch.testing.assert_close(case.loss(*inputs).item(), case.reference(*arrays(inputs)), rtol=1e-10, atol=1e-12)


@every_loss
def test_gradient_equals_finite_differences_of_the_reference(case):
    inputs = case.draw(seed=2)
    frozen, step = arrays(inputs), 1e-5
    gradients = value_and_gradients(case, case.loss, inputs)[1]
    numbers = [k for k, i in enumerate(case.inputs) if i.moves]
    for number, gradient in zip(numbers, gradients, strict=True):
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
    rows = (max(case.minimum_rows, r) for r in (4, 3))
    inputs = case.map(lambda x: x.requires_grad_(), case.draw(*rows, seed=3))
    leaves = [x for x in inputs if x.requires_grad]
    # a gradient in closed form may be computed in another way where a second one can follow: it is the same gradient
    once, twice = (torch.autograd.grad(case.loss(*inputs), leaves, create_graph=more) for more in (False, True))
    torch.testing.assert_close(once, twice, rtol=1e-10, atol=1e-13)
    if case.derivatives == "twice":
        assert gradcheck(case.loss, inputs)
        assert gradgradcheck(case.loss, inputs)
    elif case.derivatives == "held":  # what is not held is differentiable twice all the same
        (g,) = torch.autograd.grad(case.loss(*inputs), leaves[0], create_graph=True)
        (gg,) = torch.autograd.grad(g.square().sum(), leaves[0])
        assert gg.isfinite().all() and gg.abs().max() > 0
    else:  # once: the first is compared with the reference above; a second must not be silently wrong
        assert len(case.derivatives.split()) > 3, "say why"
        (g,) = torch.autograd.grad(case.loss(*inputs), leaves[0], create_graph=True)
        if g.requires_grad:
            with pytest.raises(RuntimeError):
                torch.autograd.grad(g.square().sum(), leaves[0])


@every_loss
def test_the_first_derivative_is_the_same_where_a_second_may_follow(case):
    # inputs that depend on each other, as probabilities on features do; and each of them held in turn
    inputs = case.draw(seed=18)
    moving = [k for k, i in enumerate(case.inputs) if i.moves]
    for held in [None, *moving] if len(moving) > 1 else [None]:
        found = []
        for more in (False, True):
            t = torch.ones((), dtype=torch.float64, requires_grad=True)
            use = [
                x * (t if k != held else 1) + (t - 1 if k == moving[0] else 0) * (k != held) if k in moving else x
                for k, x in enumerate(inputs)
            ]
            found.append(torch.autograd.grad(case.loss(*use), t, create_graph=more)[0].detach())
        torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)


def of_what_moves(case, inputs):
    """The loss as a function of the arguments that move, those arguments, and a tangent for each."""
    moving = [k for k, i in enumerate(case.inputs) if i.moves]
    g = torch.Generator().manual_seed(3)
    tangents = tuple(torch.randn(inputs[k].shape, generator=g, dtype=torch.float64) for k in moving)

    def loss(*moved):
        use = dict(zip(moving, moved, strict=True))
        return case.loss(*(use.get(k, x) for k, x in enumerate(inputs)))

    return loss, tuple(inputs[k] for k in moving), tangents


def along(gradients, tangents):
    return sum((g * t).sum() for g, t in zip(gradients, tangents, strict=True))


@every_loss
def test_forward_mode_is_the_gradient_times_the_tangent_or_refused(case):
    """Row 23 of the cases: `no_grad` holds nothing in forward mode, `detach` does."""
    loss, primals, tangents = of_what_moves(case, case.draw(seed=21))
    if case.forward:
        with pytest.raises(RuntimeError, match="host|functorch transforms"):
            torch.func.jvp(loss, primals, tangents)
        return
    every = tuple(range(len(primals)))
    value, found = torch.func.jvp(loss, primals, tangents)
    torch.testing.assert_close(value, loss(*primals), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(found, along(torch.func.grad(loss, every)(*primals), tangents), rtol=1e-9, atol=1e-12)
    with torch.no_grad():  # where no gradient is prepared
        torch.testing.assert_close(torch.func.jvp(loss, primals, tangents)[1], found, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", [c for c in CASES if not c.forward], ids=ids)
def test_second_derivatives_through_forward_mode_are_those_of_reverse_mode_or_refused(case):
    rows = (max(case.minimum_rows, r) for r in (4, 3))
    loss, primals, tangents = of_what_moves(case, case.draw(*rows, seed=22))
    every = tuple(range(len(primals)))
    gradient = torch.func.grad(loss, every)
    slope = lambda *x: torch.func.jvp(loss, x, tangents)[1]  # noqa: E731
    ways = [
        lambda: torch.func.jvp(gradient, primals, tangents)[1],
        lambda: torch.func.grad(slope, every)(*primals),
        lambda: along(torch.func.grad(slope, every)(*primals), tangents) - torch.func.jvp(slope, primals, tangents)[1],
    ]
    if case.derivatives not in ("twice", "held"):
        for way in ways:
            with pytest.raises(RuntimeError):
                way()
        return
    want = torch.func.grad(lambda *x: along(gradient(*x), tangents), every)(*primals)
    torch.testing.assert_close(ways[0](), want, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(ways[1](), want, rtol=1e-8, atol=1e-10)
    assert ways[2]().abs() < 1e-8 * (1 + along(want, tangents).abs())


@pytest.mark.parametrize("case", [c for c in CASES if not c.ordered], ids=ids)
def test_order_of_rows_does_not_matter(case):
    inputs = case.draw(seed=4)
    order = {"s": torch.tensor([3, 0, 6, 1, 5, 2, 4]), "t": torch.tensor([2, 4, 0, 3, 1])}
    shuffled = [x[order[i.rows]] if i.rows else x for i, x in zip(case.inputs, inputs, strict=True)]
    torch.testing.assert_close(case.loss(*shuffled), case.loss(*inputs), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("case", [c for c in CASES if not c.constant_value], ids=ids)
def test_every_input_matters(case):
    inputs = case.draw(seed=5)
    for number, x in enumerate(inputs):
        ramp = torch.linspace(0, 1, x.numel(), dtype=torch.float64).view_as(x)
        other = x + ramp if x.is_floating_point() else x.roll(1, 0)
        changed = [other if k == number else y for k, y in enumerate(inputs)]
        assert (case.loss(*changed) - case.loss(*inputs)).abs() > 1e-4, f"blind to input {number} of shape {x.shape}"


@between_clouds
def test_equal_clouds(case):
    inputs = case.draw(6, 6, seed=6)
    source = [x for i, x in zip(case.inputs, inputs, strict=True) if i.rows == "s"]
    take = iter(source)
    equal = [next(take) if i.rows == "t" else x for i, x in zip(case.inputs, inputs, strict=True)]
    value, gradients = assert_finite(case, equal)
    if case.zero_at_equality:
        assert value.abs() < 1e-13 and all(g.abs().max() < 1e-12 for g in gradients)
        assert case.loss(*inputs) > 1e-3
    else:
        torch.testing.assert_close(value.item(), case.reference(*arrays(equal)), rtol=1e-10, atol=1e-12)


@every_loss
def test_too_few_rows_are_an_error_and_enough_are_finite(case):
    assert_finite(case, case.draw(case.minimum_rows, case.minimum_rows, seed=7))
    if any(i.rows for i in case.inputs):
        for rows in range(case.minimum_rows):
            with pytest.raises(ValueError, match="at least|n >= 1"):
                case.loss(*case.draw(rows, rows))


@every_loss
@pytest.mark.parametrize("scale", [1e4, 1e-4, 0.0])
def test_scale(case, scale):
    # 0: all rows equal, zero variance; 1e4: logits that saturate, distances of 1e8
    inputs = case.map(lambda x: scale * x + (0.3 if scale == 0 else 0), case.draw(seed=8))
    single, _ = assert_finite(case, case.map(lambda x: x.float(), inputs))
    double, _ = assert_finite(case, inputs)
    torch.testing.assert_close(single.double(), double, rtol=2e-4, atol=1e-6)


@shift_invariant
def test_far_from_the_origin(case):
    inputs = case.draw(seed=9)
    near, far = case.loss(*inputs), case.loss(*case.map(lambda x: (x + 1000).float(), inputs))
    torch.testing.assert_close(far.double(), near, rtol=2e-3, atol=1e-4)  # float32 holds 1000 to 6e-5


DISTANCES = [  # losses of squared distances, or of rows around an origin; sinkhorn_divergence documents its limit
    "mmd",
    "mmd biased",
    "mmd fixed bandwidth",
    "mmd median",
    "mmd source median",
    "mmd laplacian",
    "mmd energy",
    "joint_mmd",
    "joint_mmd as in JAN",
    "local_mmd",
    "local_mmd fixed bandwidth",
    "contrastive_domain_discrepancy",
    "contrastive_domain_discrepancy fixed bandwidth",
    "central_moment_discrepancy",
    "neighbourhood_components",
    "semantic_alignment",
    "semantic_alignment margin",
    "triplet",
    "triplet None",
    "triplet semihard 0.4",
    "relational_distillation",
    "sinkhorn_divergence soft marginals, power 1, biased",
    "joint_transport",
]


@pytest.mark.parametrize("scale", [1e3, 1e4])
@pytest.mark.parametrize("at", [0, 5])
@pytest.mark.parametrize("case", [BY_NAME[name] for name in DISTANCES], ids=ids)
def test_one_outlier_spoils_no_other_row(case, at, scale):
    """Row 24 of the cases: around a mean, which follows the outlier, the other rows lost the digits of its size."""
    inputs = case.map(lambda x: x.float(), case.draw(32, 24, seed=31))
    inputs = [x.float() if x.dtype == torch.float64 else x for x in inputs]
    number = next(k for k, i in enumerate(case.inputs) if i.kind == "features" and i.moves)
    inputs[number][at] *= scale
    doubles = [x.double() if x.is_floating_point() else x for x in inputs]
    single, double = (value_and_gradients(case, case.loss, x)[1] for x in (inputs, doubles))
    moving = [k for k, i in enumerate(case.inputs) if i.moves]
    for k, found, want in zip(moving, single, double, strict=True):
        others = [row for row in range(len(want)) if (k, row) != (number, at)]
        error = (found.double() - want)[others].norm() / want[others].norm().clamp_min(1e-30)
        assert error < 1e-5, f"{case.name}: the gradient of the other rows is {error:.0e} off"


@every_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_inputs_are_summed_in_float32(case, dtype):
    inputs = case.map(lambda x: x.to(dtype), case.draw(32, 24, seed=10))
    inputs = [x.float() if x.dtype == torch.float64 else x for x in inputs]
    value, gradients = assert_finite(case, inputs)
    assert value.dtype == torch.float32 and all(g.dtype == dtype for g in gradients)
    in_double = case.loss(*[x.double() if x.is_floating_point() else x for x in inputs])
    torch.testing.assert_close(value.double(), in_double, rtol=1e-5, atol=1e-6)


def in_one_argument(case, change, inputs):
    first = next(k for k, i in enumerate(case.inputs) if i.moves)
    return [change(x) if k == first else x for k, x in enumerate(inputs)]


@every_loss
def test_complex_numbers_are_refused(case):
    with pytest.raises(ValueError, match="must hold real numbers"):
        case.loss(*in_one_argument(case, lambda x: x + 1j, case.draw(seed=23)))


@every_loss
def test_arrays_are_refused(case):
    with pytest.raises(TypeError, match="must be a tensor, got ndarray; use `torch.as_tensor") as found:
        case.loss(*in_one_argument(case, torch.Tensor.numpy, case.draw(seed=26)))
    # the cases of entropy_weights hand the weights to domain_adversarial
    public = [getattr(losses, case.name.split()[0]), losses.domain_adversarial]
    calls = [inspect.signature(p.forward if isinstance(p, type) else p).parameters for p in public]
    name = str(found.value).split("`")[1].split("[")[0]  # `parameters['0']` is one of a dict
    assert name in {"an argument", *calls[0], *calls[1]}


@pytest.mark.parametrize("name", ["mmd", "coral deep_coral tall", "sinkhorn_divergence", "sliced_wasserstein"])
def test_clouds_of_two_precisions_are_refused(name):
    case = BY_NAME[name]
    with pytest.raises(ValueError, match="`source` and `target` must both be float64 or neither"):
        case.loss(*in_one_argument(case, lambda x: x.float(), case.draw(seed=24)))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8, torch.bool], ids=str)
@pytest.mark.parametrize("case", [c for c in CASES if any(i.kind == "labels" for i in c.inputs)], ids=ids)
def test_labels_of_any_whole_type(case, dtype):
    inputs = case.draw(8, 6, seed=25)
    if dtype == torch.bool:
        inputs = [x % 2 if i.kind == "labels" else x for i, x in zip(case.inputs, inputs, strict=True)]
    other = [x.to(dtype) if i.kind == "labels" else x for i, x in zip(case.inputs, inputs, strict=True)]
    torch.testing.assert_close(case.loss(*other), case.loss(*inputs), rtol=0, atol=0)


@every_loss
def test_autocast_around_the_loss_changes_little(case):
    inputs = case.map(lambda x: x.float(), case.draw(32, 24, seed=11))
    inputs = [x.float() if x.dtype == torch.float64 else x for x in inputs]
    with torch.autocast("cpu", torch.bfloat16):
        inside = case.loss(*inputs)
    torch.testing.assert_close(inside, case.loss(*inputs), rtol=1e-5, atol=1e-6)


@every_loss
def test_touches_no_random_state_and_no_input(case):
    inputs, before = case.draw(seed=12), torch.get_rng_state()
    copies = [x.clone() for x in inputs]
    value_and_gradients(case, case.loss, inputs)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(x, copy) for x, copy in zip(inputs, copies, strict=True))


FIRST = {case.name.split(" ")[0]: case for case in reversed(CASES)}


def few(cases, kept):
    """Mark the other cases `slow`."""
    return [c if kept(c) else pytest.param(c, marks=pytest.mark.slow, id=c.name) for c in cases]


@pytest.mark.parametrize(
    "case", few([c for c in CASES if not c.compiles], lambda c: c is FIRST[c.name.split(" ")[0]]), ids=ids
)
def test_compiles_without_a_break(case):
    inputs = case.draw(seed=13)
    torch.compiler.reset()
    compiled = torch.compile(case.loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(
        value_and_gradients(case, compiled, inputs), value_and_gradients(case, case.loss, inputs), rtol=1e-9, atol=1e-12
    )


TWELVE = (9, 10, 12, 14, 16, 17, 24, 31, 32, 33, 48, 64)
REPRESENTATIVE = ["nt_xent", "mmd", "mmd biased", "joint_mmd", "triplet", "entropy"]


@pytest.mark.parametrize("dynamic", [None, True])
@pytest.mark.parametrize("case", few([c for c in CASES if not c.compiles], lambda c: c.name in REPRESENTATIVE), ids=ids)
def test_two_graphs_for_twelve_batch_sizes(case, dynamic):
    """Section 5 of the cases: of nt_xent and mmd the ninth size was an error."""
    graphs = []
    torch.compiler.reset()
    backend = lambda graph, _: graphs.append(graph) or graph.forward  # noqa: E731
    compiled = torch.compile(case.loss, fullgraph=True, backend=backend, dynamic=dynamic)
    for n in TWELVE:
        inputs = case.draw(n, n, seed=n)
        torch.testing.assert_close(compiled(*inputs), case.loss(*inputs), rtol=1e-9, atol=1e-11)
    assert len(graphs) <= 2


class Exported(torch.nn.Module):
    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def forward(self, *inputs):
        return self.loss(*inputs)


TO_EXPORT = [
    c
    for c in CASES
    if not (c.exports or c.compiles) and (c is FIRST[c.name.split(" ")[0]] or c.name.startswith("mmd "))
]


@pytest.mark.parametrize("case", few(TO_EXPORT, lambda c: c.name in REPRESENTATIVE), ids=ids)
def test_exports_for_any_number_of_rows(case):
    """Section 5 of the cases: `len` and `math.log` of a number of rows hold the number."""
    rows = tuple({0: torch.export.Dim.DYNAMIC} if i.rows else None for i in case.inputs)
    program = torch.export.export(Exported(case.loss), tuple(case.draw(12, 10, seed=27)), dynamic_shapes=(rows,))
    other = case.draw(20, 16, seed=28)
    torch.testing.assert_close(program.module()(*other), case.loss(*other), rtol=1e-9, atol=1e-12)


@every_loss
def test_tensors_without_data_give_a_shape_or_an_error(case):
    """Section 4 of the cases: `torch.autocast` knows no "meta" device."""
    inputs = [x.to("meta") for x in case.draw(seed=29)]
    if "on the host" in case.compiles and "sinkhorn" not in case.name:
        with pytest.raises(RuntimeError, match="Expected tensors with data, got a meta tensor"):
            case.loss(*inputs)
        return
    value = case.loss(*inputs)
    assert value.shape == () and value.device.type == "meta"


@pytest.mark.parametrize("case", [c for c in CASES if not c.batches], ids=ids)
def test_vmap(case):
    batches = [torch.stack(parts) for parts in zip(case.draw(seed=14), case.draw(seed=15), strict=True)]
    together = torch.func.vmap(case.loss)(*batches)
    alone = torch.stack([case.loss(*parts) for parts in zip(*batches, strict=True)])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-12)


@weighted
def test_a_row_of_weight_zero_is_as_if_it_were_not_there(case):
    inputs = case.draw(7, 6, seed=17)
    for rows in {i.rows for i in case.inputs if i.kind == "weights"}:
        here = [i.rows == rows for i in case.inputs]
        without = [x[:-2] if h else x for h, x in zip(here, inputs, strict=True)]
        zero = lambda w: torch.cat([w[:-2], torch.zeros_like(w[-2:])])  # noqa: E731
        silent = [
            zero(x) if h and i.kind == "weights" else x for h, i, x in zip(here, case.inputs, inputs, strict=True)
        ]
        torch.testing.assert_close(case.loss(*silent), case.loss(*without), rtol=1e-10, atol=1e-12)


@weighted
def test_weights_that_are_all_zero_give_zero(case):
    inputs = [torch.zeros_like(x) if i.kind == "weights" else x for i, x in zip(case.inputs, case.draw(), strict=True)]
    value, gradients = assert_finite(case, inputs)
    assert value == 0 and all((g == 0).all() for g in gradients)


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_a_nan_is_seen(case):
    # in one number of a row; where a loss selects rows, in all numbers, since one row may be left out
    inputs = case.draw(8, 6, seed=19)
    for number in (k for k, i in enumerate(case.inputs) if i.moves):
        marked = [x.clone() for x in inputs]
        marked[number].view(-1)[slice(None) if case.selects else 3] = torch.nan
        try:
            value = case.loss(*marked)
        except (ValueError, RuntimeError):  # torch's decompositions refuse it
            continue
        assert value.isnan(), f"{case.name}: blind to a NaN in input {number}"


WORLD, ROWS = 8, (128, 96)


def on_a_rank(rank, world, names):
    """Values and gradients of this rank's share of the rows, in float64 and in float32."""
    found = {}
    for name in names:
        case = BY_NAME[name]
        for dtype in (torch.float64, torch.float32):
            drawn = case.map(
                torch.Tensor.double if dtype == torch.float64 else torch.Tensor.float, case.draw(*ROWS, seed=16)
            )
            mine = [x.chunk(world)[rank] if i.rows else x for i, x in zip(case.inputs, drawn, strict=True)]
            value, gradients = value_and_gradients(case, case.loss, mine)
            found[name, dtype] = value.numpy(), [g.numpy() for g in gradients]
    return found


@pytest.fixture(scope="session")
def all_ranks(request):
    chosen = {i.callspec.params["case"].name for i in request.session.items if "all_ranks" in i.fixturenames}
    return run_ranks(on_a_rank, WORLD, sorted(chosen))


@every_loss
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-5)])
def test_eight_ranks_with_16_rows_equal_one_rank_with_128(case, dtype, tolerance, all_ranks):
    inputs = case.map(lambda x: x.to(dtype), case.draw(*ROWS, seed=16))
    value, gradients = value_and_gradients(case, case.loss, inputs)
    found = [rank[case.name, dtype] for rank in all_ranks]
    np.testing.assert_allclose(np.mean([v for v, _ in found]), value.numpy(), rtol=tolerance, atol=tolerance)
    moving = [i for i in case.inputs if i.moves]
    for number, (gradient, i) in enumerate(zip(gradients, moving, strict=True)):
        parts = [g[number] for _, g in found]
        # the trainer averages the gradients over the ranks
        together = np.concatenate(parts) / WORLD if i.rows else np.mean(parts, axis=0)
        error = np.linalg.norm(together - gradient.numpy()) / np.linalg.norm(gradient.numpy())
        assert error <= tolerance, f"relative gradient error {error:.1e}"
