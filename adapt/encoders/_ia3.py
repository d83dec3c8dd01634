"""Learned factors on the outputs or inputs of layers (IA3)."""

from collections.abc import Sequence

from torch import Tensor, nn

from adapt.encoders.adaptable_layers import adaptable_layers, called_layers


def ia3(module: nn.Module, only: Sequence[str] | None = None, *, inputs: Sequence[str] = ()) -> list[str]:
    r"""Multiply the outputs of layers by a learned factor for each channel, in place, and freeze all other parameters.

    .. math:: y = l \odot (W x + b), \qquad \text{or} \quad y = W (l \odot x) + b

    The factors l are one at first: nothing changes before training.

    Args:
        module: an encoder, or a part of an encoder.
        only: layers whose output is multiplied: whole names, or the last parts of names. ``None`` takes all Linear and
            Conv2d with ``groups=1`` that `inputs` does not name, but for layers whose weight is read without a call (in
            the attention of Swin). The paper: keys and values of attention.
        inputs: layers whose input is multiplied. The paper: the second layer of each feed-forward block.

    Returns:
        The names of the adapted layers. Each adapted layer has a parameter ``ia3_factor``.

    The state is small, and the learning rate must be large: 3e-3 or more. With equal factors the outputs equal the
    outputs of peft.

    Raises:
        ValueError: no layer to adapt, a name that fits no layer, a named layer without calls, or a layer with factors
            already.

    Liu et al., Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning, 2022,
    https://arxiv.org/abs/2205.05638

    >>> ia3(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), ["0"], inputs=["2"])
    ['0', '2']
    """
    kinds = (nn.Linear, nn.Conv2d)
    by_input = called_layers(module, inputs, adaptable_layers(module, inputs, kinds)) if inputs else {}
    by_output = called_layers(module, only, adaptable_layers(module, only, kinds))
    if only is None:
        by_output = {name: layer for name, layer in by_output.items() if name not in by_input}
    for name, layer in (both := {**by_input, **by_output}).items():
        if name in by_input and name in by_output:
            raise ValueError(f"`{name}` is named for its input and for its output: choose one.")
        if "ia3_factor" in dict(layer.named_parameters(recurse=False)):
            raise ValueError(f"`{name}` has factors already: make them once.")
    module.requires_grad_(False)
    for layer in by_input.values():
        layer.ia3_factor = _ones(layer.weight, 1)
        layer.register_forward_pre_hook(_multiply_input)
    for layer in by_output.values():
        layer.ia3_factor = _ones(layer.weight, 0)
        layer.register_forward_hook(_multiply_output)
    return [name for name, _ in module.named_modules() if name in both]


def _ones(weight: Tensor, dim: int) -> nn.Parameter:
    """Return one factor for each channel, in a shape that multiplies rows or maps."""
    return nn.Parameter(weight.new_ones(weight.shape[dim], *[1] * (weight.ndim - 2)))


def _multiply_input(layer, inputs):
    return (inputs[0] * layer.ia3_factor,)


def _multiply_output(layer, inputs, output):
    return output * layer.ia3_factor
