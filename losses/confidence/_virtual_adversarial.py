"""Virtual adversarial training (VAT)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from losses.checks import at_least_float32, check_real, check_same_shape, full_precision
from losses.confidence._consistency import consistency
from losses.options import COUNT, POSITIVE, check


def virtual_adversarial(
    model: Callable[[Tensor], Tensor],
    inputs: Tensor,
    *,
    radius: float,
    generator: torch.Generator | None = None,
    direction: Tensor | None = None,
    xi: float = 1e-2,
    iterations: int = 1,
    logits: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    r"""How much the prediction changes in the direction in which it changes most (local distributional smoothness).

    .. math::
        \frac1n \sum_i \mathrm{KL}\bigl(\hat p(x_i) \,\big\|\, p(x_i + r_i)\bigr), \qquad
        r_i \approx \arg\max_{\lVert r \rVert \le \epsilon} \mathrm{KL}\bigl(\hat p(x_i) \,\big\|\, p(x_i + r)\bigr)

    The argmax by power iteration: :math:`d \leftarrow \nabla_r \mathrm{KL}(\hat p(x) \| p(x + r))|_{r = \xi d}`, scaled
    to length one for each row, and :math:`r = \epsilon d`. Nothing flows through :math:`\hat p` and :math:`r`.

    Args:
        model: from inputs to ``(n, classes)`` or ``(n, classes, ...)`` logits. Hand over a module rather than a
            function around it: see below.
        inputs: ``(n, ...)`` of any shape, floating point: images, embeddings, features. They may carry a gradient.
        radius: :math:`\epsilon`, the length of the perturbation of a row. It depends on the data: the paper searches
            it, DIRT-T takes 3.5 and pytorch-adapt 8.
        generator: draws the first direction, normal numbers on the generator's own device.
        direction: the first direction itself, the shape of `inputs`, of any length. One of both must be given.
        xi: :math:`\xi`, the length of the finite difference. The paper has 1e-6, which float32 rounds away where inputs
            are of size one; 1e-2 is far from rounding.
        iterations: of the power method, 1 as in the paper.
        logits: of the model on `inputs`, where they are at hand; they carry no gradient. None calls the model.
        weights: one number for each predicted distribution, ``(n,)`` or ``(n, ...)``; booleans are a mask.

    Returns:
        A scalar. Per rank: a (weighted) mean over rows. float32 inside, whatever comes in: the model is called on
        float32 (float64) inputs and outside of a caller's autocast, in which differences of size xi would be lost.

    Raises:
        ValueError: inputs that are not floating point, both or neither of generator and direction, a number that is not
            positive, a model whose logits carry no gradient of its input.

    What the model keeps: no ``.grad`` is read or written, training mode is left as it is. A module is run with copies
    of its buffers, so that running statistics are those of the clean passes alone; a function that calls modules is run
    as it is. In training mode batch normalization sees the perturbed batch, and dropout's noise is in the differences.
    pytorch-adapt puts batch normalization in eval mode for the passes and into training mode afterwards, whatever it
    was, and clears the parameters' ``.grad``; in eval mode without accumulated gradients the value is the same.

    A row whose divergence has no gradient is not perturbed. Transforms of torch.func are refused with an error: the
    power iteration calls torch.autograd.grad.

    Related: :func:`losses.consistency` with a given perturbation.

    Miyato et al., Virtual Adversarial Training, 2018, https://arxiv.org/abs/1704.03976

    >>> model, x = torch.nn.Identity(), torch.zeros(1, 2)
    >>> virtual_adversarial(model, x, radius=1.0, direction=torch.tensor([[1.0, 0.0]]))
    tensor(0.2316)
    """
    check_real("inputs", inputs)
    if not inputs.is_floating_point() or inputs.ndim == 0 or inputs.numel() == 0:
        raise ValueError(
            f"`inputs` must be floating point, (n, ...) with n >= 1, got {inputs.dtype} of shape "
            f"{tuple(inputs.shape)}; perturb the embeddings where inputs are indices."
        )
    check(POSITIVE, radius=radius, xi=xi)
    check(COUNT, iterations=iterations)
    x = at_least_float32(inputs)
    if generator is not None and direction is None:
        d = torch.randn(x.shape, generator=generator, device=generator.device, dtype=x.dtype).to(x.device)
    elif direction is not None and generator is None:
        check_same_shape(inputs=inputs, direction=direction)
        d = at_least_float32(direction).detach().to(x.dtype)
    else:
        raise ValueError("Give one of `generator` and `direction`: where the power iteration starts.")

    with full_precision(x):
        if logits is None:
            with torch.no_grad():
                logits = without_trace(model, x)

        def divergence(x: Tensor) -> Tensor:
            return consistency(without_trace(model, x), logits, kind="kl", weights=weights)

        d = unit(d)
        for _ in range(iterations):
            with torch.enable_grad():
                r = (xi * d).requires_grad_()
                value = divergence(x.detach() + r)
                (gradient,) = torch.autograd.grad(value, r, allow_unused=True) if value.requires_grad else (None,)
            if gradient is None:
                raise ValueError("`model` must depend on its input: no gradient comes back from its logits.")
            d = unit(gradient)
        return divergence(x + radius * d)


def without_trace(model: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``model(x)``; a module's buffers stay as they are."""
    if not isinstance(model, nn.Module):
        return model(x)
    # by buffer, not by name: a module may have two names, a buffer two modules
    copies: dict[Tensor, Tensor] = {}
    state = {
        f"{at}.{name}" if at else name: copies.setdefault(b, b.clone())
        for at, module in model.named_modules()
        for name, b in module.named_buffers(recurse=False, remove_duplicate=False)
    }
    return torch.func.functional_call(model, state, (x,), tie_weights=False)


def unit(d: Tensor) -> Tensor:
    """Each row divided by its length over all its dimensions; zero stays zero, and a square does not underflow."""
    rows = d.reshape(d.shape[0], -1)
    largest = rows.abs().amax(1, keepdim=True)
    rows = rows / torch.where(largest > 0, largest, 1)
    return (rows / rows.square().sum(1, keepdim=True).sqrt().clamp_min(1)).view_as(d)
