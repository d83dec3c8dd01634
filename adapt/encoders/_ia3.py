"""Learned factors on the outputs or inputs of layers (IA3)."""

from collections.abc import Sequence

from torch import nn

from adapt.encoders.adaptable_layers import adaptable_layers


def ia3(module: nn.Module, only: Sequence[str] | None = None, *, inputs: Sequence[str] = ()) -> list[str]:
    r"""Multiply the outputs of layers by a learned factor for each channel, in place, and freeze all other parameters.

    .. math:: y = l \odot (W x + b), \qquad \text{or} \quad y = W (l \odot x) + b

    The factors l begin at one: nothing changes before training.

    Args:
        module: an encoder, or a part of one.
        only: layers whose output is multiplied: whole names, or their last parts. ``None`` takes all Linear and Conv2d with
            ``groups=1`` that `inputs` does not name. The paper: keys and values of attention.
        inputs: layers whose input is multiplied. The paper: the second layer of each feed-forward block.

    Returns:
        The names of the layers that were adapted; each has a parameter ``ia3_factor``.

    The state is tiny, and the learning rate must be large: 3e-3 or more. With equal factors the outputs are those of peft.

    Raises:
        ValueError: no layer to adapt, a name that fits none, or a layer that is adapted already.

    Liu et al., Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning, 2022,
    https://arxiv.org/abs/2205.05638

    >>> ia3(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), ["0"], inputs=["2"])
    ['0', '2']
    """
    kinds = (nn.Linear, nn.Conv2d)
    before = adaptable_layers(module, inputs, kinds) if inputs else {}
    after = {
        n: layer for n, layer in adaptable_layers(module, only, kinds).items() if only is not None or n not in before
    }
    for name in (both := {**before, **after}):
        if name in before and name in after:
            raise ValueError(f"`{name}` is named for its input and for its output: choose one.")
        if hasattr(both[name], "ia3_factor"):
            raise ValueError(f"`{name}` has factors already: make them once.")
    module.requires_grad_(False)
    for layers, dim in ((before, 1), (after, 0)):
        for layer in layers.values():
            weight = layer.weight
            places = (1,) * (weight.ndim - 2)  # of a convolution's map
            layer.ia3_factor = nn.Parameter(weight.new_ones(weight.shape[dim], *places))
            if dim:
                layer.register_forward_pre_hook(_before)
            else:
                layer.register_forward_hook(_after)
    return [name for name, _ in module.named_modules() if name in both]


def _before(layer, inputs):
    return (inputs[0] * layer.ia3_factor,)


def _after(layer, inputs, output):
    return output * layer.ia3_factor
