"""A value with a known gradient, although the solver behind the value is not differentiated."""

import torch
from torch import Tensor


def with_gradient(value: Tensor, *pairs: tuple[Tensor, Tensor]) -> Tensor:
    """Return `value` with a given gradient: for each pair ``(x, gradient)``, the gradient with respect to ``x``.

    For a loss that is an optimum. By the envelope theorem the gradient of the loss is the gradient of the objective at
    the optimum, and the solver need not be differentiated. A second derivative would need the derivative of the solver:
    asking for a second derivative is an error, not a silent zero. Forward mode gives the product of the gradient with
    the tangent.
    """
    arguments = value, *(gradient for _, gradient in pairs), *(x for x, _ in pairs)
    try:
        return _Given.apply(*arguments)
    except NotImplementedError:  # forward mode
        return _GivenInForwardMode.apply(*arguments)


class _Given(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(value, *gradients_and_inputs):
        return value.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx, grad):
        count = len(ctx.saved_tensors) // 2
        gradients, inputs = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        given = (_Last.apply(grad * g, x) for g, x in zip(gradients, inputs, strict=True))
        return None, *(None for _ in gradients), *given


class _GivenInForwardMode(torch.autograd.Function):
    """:class:`_Given` with a `jvp`: torch.compile would not trace this class."""

    generate_vmap_rule = True
    forward, backward = _Given.forward, _Given.backward

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[1:])
        ctx.save_for_forward(*inputs[1:])

    @staticmethod
    def jvp(ctx, _, *tangents):
        count = len(ctx.saved_tensors) // 2
        gradients, inputs = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        given = (_Last.apply(g, x) for g, x in zip(gradients, inputs, strict=True))
        return sum((g * t).sum() for g, t in zip(given, tangents[count:], strict=True))


class _Last(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(gradient, x):
        return gradient.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad):
        raise RuntimeError("This loss has a first derivative only: its solver is not differentiated.")
