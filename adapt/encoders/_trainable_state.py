"""The tensors of an encoder that training changes: saved, loaded, and interpolated with the tensors of the start."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from adapt import store
from adapt.encoders.encoder import Encoder
from adapt.encoders.weights import check_values, read_weights
from losses.options import SHARE, check


def trainable_state(module: nn.Module) -> dict[str, Tensor]:
    """Return the tensors that training changes, by name.

    The tensors are the parameters with a gradient, and the statistics of BatchNorm layers outside of ``kept_in_eval``.
    With adapters the result holds the adapters alone; for a probe on a frozen encoder the result is empty."""
    kept = {f"body.{name}" for name in module.kept_in_eval} if isinstance(module, Encoder) else set()
    found = {name: p for name, p in module.named_parameters() if p.requires_grad}
    if found:
        for name, layer in module.named_modules():
            buffers = dict(layer.named_buffers(recurse=False))
            if name not in kept and "running_mean" in buffers:
                found |= {f"{name}.{n}" if name else n: b for n, b in buffers.items()}
    return {name: tensor.detach() for name, tensor in found.items()}


def save_trainable_state(module: nn.Module, path: str | Path) -> Path:
    """Write :func:`trainable_state` as safetensors, and return the path.

    Raises:
        ValueError: nothing in `module` learns.
    """
    tensors = trainable_state(module)
    if not tensors:
        raise ValueError("nothing of `module` learns: there is nothing to save beside the pretrained weights.")
    with store.whole_file(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
    return Path(path)


def load_trainable_state(module: nn.Module, path: str | Path) -> None:
    """Copy a file of :func:`save_trainable_state` into a module prepared in the same way: all tensors or none.

    Raises:
        ValueError: other names, shapes or kinds than the tensors that learn in `module`, or values that are not
            finite.
    """
    tensors, own = read_weights(path), trainable_state(module)
    missing, extra = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    wrong = [n for n in own.keys() & tensors.keys() if own[n].shape != tensors[n].shape]
    if missing or extra or wrong:
        raise ValueError(
            f"`{path}` must hold the tensors that learn in the module: missing {missing[:3]}, "
            f"not expected {extra[:3]}, of another shape {wrong[:3]}. "
            "Prepare the module as before saving: the same strategy, the same adapters."
        )
    check_values(own, tensors, f"`{path}`: ")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def interpolate(start: Mapping[str, Tensor], end: Mapping[str, Tensor], share: float = 0.5) -> dict[str, Tensor]:
    r"""Return weights between the weights before and after fine-tuning: WiSE-FT.

    .. math:: \theta = (1 - a)\, \theta_0 + a\, \theta_1

    Fine-tuning gains on its own distribution and loses on others. The interpolated weights often keep most of the gain
    with little of the loss, at no cost in training or inference.

    Args:
        start: the ``state_dict()`` before, :math:`\theta_0`: a copy, ``copy.deepcopy(encoder.state_dict())``.
        end: the ``state_dict()`` after, :math:`\theta_1`.
        share: a; 0.5, the recommendation of the paper where nothing is known of the other distribution.

    Returns:
        A new ``state_dict``. Tensors of whole numbers (counters) come from `end`. The statistics of BatchNorm are
        interpolated too, and fit neither network: measure the statistics again where there is data. Interpolate a
        classifier that existed at the start; use a new classifier as trained.

    Raises:
        ValueError: `share` outside [0, 1], other names or shapes, or a `start` that is no copy and changed with `end`.

    Wortsman et al., Robust fine-tuning of zero-shot models, 2022, https://arxiv.org/abs/2109.01903

    >>> interpolate({"w": torch.tensor([0.0])}, {"w": torch.tensor([4.0])}, 0.25)
    {'w': tensor([1.])}
    """
    check(SHARE, share=share)
    other = sorted(start.keys() ^ end.keys()) or [n for n in start if start[n].shape != end[n].shape]
    if other:
        raise ValueError(f"`start` and `end` must be of one architecture; they differ in {other[:3]}.")
    if end and all(tensor.is_set_to(start[name]) for name, tensor in end.items()):
        raise ValueError(
            "`start` shares its memory with `end`: take a copy before training, deepcopy(encoder.state_dict())."
        )
    return {
        name: torch.lerp(start[name], value, share) if value.is_floating_point() else value.clone()
        for name, value in end.items()
    }
