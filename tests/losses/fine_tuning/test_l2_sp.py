"""L2-SP beyond the battery."""

import pytest
import torch
from torch import nn

import losses


def test_a_module_against_its_start():
    module = nn.Linear(3, 2).double()
    start = {name: p.detach().clone() for name, p in module.named_parameters()}
    assert losses.l2_sp(dict(module.named_parameters()), start) == 0
    with torch.no_grad():
        module.weight += 2.0
        module.bias -= 1.0
    value = losses.l2_sp(dict(module.named_parameters()), start)
    torch.testing.assert_close(value.item(), (6 * 4 + 2 * 1) / 2)
    value.backward()
    torch.testing.assert_close(module.weight.grad, module.weight.detach() - start["weight"])
    torch.testing.assert_close(losses.l2_sp(module.parameters(), start.values()), value.detach())


def test_start_and_importance_carry_no_gradient():
    w, s, f = (torch.rand(3, requires_grad=True) for _ in range(3))
    losses.l2_sp([w], [s], importance=[f]).backward()
    assert w.grad.abs().sum() > 0 and s.grad is None and f.grad is None


w, b = torch.ones(2, 3), torch.ones(2)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (
            ({"w": w, "b": b}, {"w": w.clone()}),
            {},
            r"`start` must hold one tensor .* 2 parameters, got 1; missing \['b'\]",
        ),
        (({"w": w}, {"w": w.clone(), "head": b}), {}, r"not a parameter \['head'\]"),
        (([w, b], [w.clone(), w.clone()]), {}, r"`start` of parameter 1 must have its shape \(2,\), got \(2, 3\)"),
        (([w], [w.clone()]), {"importance": [b]}, r"`importance` of parameter 0 must have its shape \(2, 3\)"),
        (([w], [w.clone()]), {"importance": []}, r"`importance` must hold one tensor"),
        (([], []), {}, "at least one tensor"),
        ((w, w.clone()), {}, "must be sequences or dictionaries of tensors, got one"),
    ],
)
def test_what_does_not_match_is_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        losses.l2_sp(*arguments, **options)


def test_one_module_on_both_sides_is_an_error_and_not_a_penalty_of_zero():
    module = nn.Linear(3, 2)
    with pytest.raises(ValueError, match="`start` holds parameter 0 itself"):
        losses.l2_sp(module.parameters(), module.parameters())


def test_half_precision_parameters_are_summed_in_float32():
    w = torch.full((100_000,), 1.0, dtype=torch.bfloat16)  # bfloat16 cannot count to 100000
    assert losses.l2_sp([w], [torch.zeros_like(w)]) == 50_000


@pytest.mark.parametrize(
    "start", [lambda m: m.state_dict(), lambda m: {k: p.detach() for k, p in m.named_parameters()}]
)
def test_a_start_that_shares_the_memory_of_the_parameters(start):
    module = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match="holds parameter weight itself"):
        losses.l2_sp(dict(module.named_parameters()), start(module))
    assert losses.l2_sp(dict(module.named_parameters()), {k: v.clone() for k, v in module.state_dict().items()}) == 0
