"""A value whose gradient is known without differentiating the way it was found."""

import torch
from torch import Tensor


def with_gradient(value: Tensor, *pairs: tuple[Tensor, Tensor]) -> Tensor:
    """`value`, whose gradient with respect to each ``x`` of the pairs ``(x, gradient)`` is that ``gradient``.

    For a loss that is itself an optimum: by the envelope theorem its gradient is that of the objective at the optimum,
    and the solver need not be differentiated. The second derivative would need it, so asking for one is an error and
    not a silent zero.
    """
    return _Given.apply(value, *(gradient for _, gradient in pairs), *(x for x, _ in pairs))


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
