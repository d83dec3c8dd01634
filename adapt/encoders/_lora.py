"""Low-rank adapters for any Linear and Conv2d (LoRA, rsLoRA)."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from adapt.encoders.adaptable_layers import adaptable_layers


def lora(
    module: nn.Module,
    rank: int = 8,
    *,
    alpha: float = 8.0,
    rank_stabilized: bool = True,
    dropout: float = 0.0,
    only: Sequence[str] | None = None,
) -> list[str]:
    r"""Add low-rank adapters to layers of `module`, in place, and freeze all other parameters.

    .. math:: y = W x + b + s\, B A x, \qquad
        s = \frac{\alpha}{\sqrt r}\ (\text{rsLoRA}) \quad \text{or} \quad \frac{\alpha}{r}\ (\text{LoRA})

    with A ``(r, inputs)`` and B ``(outputs, r)``. B begins at zero: nothing changes before training. A convolution has the
    kernel of the layer in A and 1 x 1 in B. The input projections of an ``nn.MultiheadAttention`` are one matrix.

    Args:
        module: an encoder, or a part of one.
        rank: r; 8, peft's default.
        alpha: 8, peft's default.
        rank_stabilized: divide by the root of the rank (rsLoRA), so that the size of what is learned does not shrink with it. The
            paper of LoRA, and peft unless ``use_rslora=True``, divide by the rank: ``False``. With both defaults s is 2.83 and
            not their 1.
        dropout: on the input of the adapters; 0. Not for attention.
        only: which layers: whole names, or their last parts (``"fc1"`` takes every ``...fc1``). ``None`` takes all Linear, all
            Conv2d with ``groups=1``, and all MultiheadAttention.

    Returns:
        The names of the layers that were adapted. Parameters are added to these layers as ``lora_A`` and ``lora_B``; all
        others keep their names, so that the pretrained weights still fit (load them before, where there is attention: its
        weights move to ``parametrizations``).

    Save them with :func:`save_learned`. A learning rate ten times that of full fine-tuning is usual. Encoders wrapped by
    peft are taken by the trainer as they are; with equal weights the outputs are equal.

    Raises:
        ValueError: a rank that is not positive, no layer to adapt, a name that fits none, a grouped convolution, a layer
            that is adapted already, or adapters of tasks (:func:`task_lora`), which come after these.

    Hu et al., LoRA, 2022, https://arxiv.org/abs/2106.09685; Kalajdzievski, A Rank Stabilization Scaling Factor for
    Fine-Tuning with LoRA, 2023, https://arxiv.org/abs/2312.03732

    >>> lora(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), rank=2)
    ['0', '2']
    """
    if rank < 1 or not 0 <= dropout < 1:
        raise ValueError(f"`rank` must be at least 1 and `dropout` in [0, 1), got {rank} and {dropout}.")
    found = adaptable_layers(module, only, (nn.Linear, nn.Conv2d, nn.MultiheadAttention))
    if any("lora_A_" in name for name, _ in module.named_parameters()):
        raise ValueError("tasks have adapters already, which would be frozen: call `lora` before `task_lora`.")
    for name, layer in found.items():
        if any(part.startswith("lora_A") for part in dict(layer.named_parameters())) or parametrize.is_parametrized(
            layer
        ):
            raise ValueError(f"`{name}` has adapters already: make them once.")
        if isinstance(layer, nn.MultiheadAttention) and layer.in_proj_weight is None:
            raise ValueError(f"`{name}` has keys or values of another size than its queries, which is not supported.")
    module.requires_grad_(False)
    scale = alpha / (math.sqrt(rank) if rank_stabilized else rank)
    for layer in found.values():
        if isinstance(layer, nn.MultiheadAttention):  # it reads its weights without calling its layers
            parametrize.register_parametrization(layer, "in_proj_weight", LowRank(layer.in_proj_weight, rank, scale))
            out = layer.out_proj
            parametrize.register_parametrization(out, "weight", LowRank(out.weight, rank, scale))
            continue
        attach(layer, *adapters(layer.weight, rank), scale, dropout)
    return list(found)


def merge(module: nn.Module) -> None:
    r"""Add :math:`s B A` to the weights, so that the adapters cost nothing; :func:`unmerge` takes it back exactly.

    The weights as they were are kept, which costs their memory once more. Under their names the layers then hold the merged
    weights: ``{name: w for name, w in state_dict.items() if "lora_" not in name}`` fits the model without adapters. Merge for
    inference; training goes on unmerged. The adapters of an ``nn.MultiheadAttention`` are part of its weights at all times.

    Raises:
        ValueError: an adapted weight that another layer of `module` uses too (a head tied to an embedding): it would change with it.
            Nothing is merged then; unmerged such adapters are right.
    """
    adapted = _adapted(module)
    owners = Counter(id(p) for layer in module.modules() for p in layer._parameters.values())
    tied = [name for name, layer in module.named_modules() if layer in adapted and owners[id(layer.weight)] > 1]
    if tied:
        raise ValueError(
            f"the weights of {tied} are tied to other layers, which merging would change: leave them unmerged."
        )
    for layer in adapted:
        if layer.lora["before"] is None:
            layer.lora["before"] = layer.weight.detach().clone()
            A, B = layer.lora_A.detach(), layer.lora_B.detach()
            layer.weight.data.add_((B.flatten(1) @ A.flatten(1)).view_as(layer.weight), alpha=layer.lora["scale"])


def unmerge(module: nn.Module) -> None:
    """Undo :func:`merge`: the weights are those of before, to the last bit."""
    for layer in _adapted(module):
        if layer.lora["before"] is not None:
            layer.weight.data.copy_(layer.lora["before"])
            layer.lora["before"] = None


def adapters(weight: Tensor, rank: int) -> tuple[nn.Parameter, nn.Parameter]:
    """A and B for the weight of a Linear or Conv2d."""
    outputs, inputs, *kernel = weight.shape
    return (
        nn.Parameter(_down(weight, rank, inputs, *kernel)),
        nn.Parameter(weight.new_zeros(outputs, rank, *[1] * len(kernel))),
    )


def attach(layer: Any, A: nn.Parameter, B: nn.Parameter, scale: float, dropout: float = 0.0) -> None:
    """Add s B A to a layer: behind each other with what it has already."""
    if isinstance(getattr(layer, "lora", None), dict):
        B = B.detach() * (scale / layer.lora["scale"])
        layer.lora_A = nn.Parameter(torch.cat([layer.lora_A.detach(), A.detach()]))
        layer.lora_B = nn.Parameter(torch.cat([layer.lora_B.detach(), B], 1))
        return
    layer.lora_A, layer.lora_B = A, B
    layer.lora = {"scale": scale, "dropout": dropout, "before": None}
    layer.register_forward_hook(_add)


def _adapted(module):
    return [layer for layer in module.modules() if isinstance(getattr(layer, "lora", None), dict)]


def _down(weight: Tensor, *shape: int) -> Tensor:
    """A as the authors' code begins it."""
    return nn.init.kaiming_uniform_(weight.new_empty(shape), a=math.sqrt(5))


def _add(layer, inputs, output):
    """A forward hook, so that the layer stays what it is: its class, its names, its attributes."""
    if layer.lora["before"] is not None:
        return output
    x, dropout = inputs[0], layer.lora["dropout"]
    if dropout:  # with 0 it would copy its input, and keep the copy for the backward pass
        x = F.dropout(x, dropout, layer.training)
    return output + layer.lora["scale"] * low_rank(layer, x, layer.lora_A, layer.lora_B)


def low_rank(layer: nn.Module, x: Tensor, A: Tensor, B: Tensor) -> Tensor:
    """B A x, with the layer's stride and padding where it is a convolution."""
    if isinstance(layer, nn.Conv2d):
        return F.conv2d(layer._conv_forward(x, A, None), B)
    return F.linear(F.linear(x, A), B)


class LowRank(nn.Module):
    def __init__(self, weight: Tensor, rank: int, scale: float):
        super().__init__()
        self.lora_A = nn.Parameter(_down(weight, rank, weight.shape[1]))
        self.lora_B = nn.Parameter(weight.new_zeros(weight.shape[0], rank))
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        return torch.addmm(weight, self.lora_B, self.lora_A, alpha=self.scale)
