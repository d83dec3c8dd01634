"""Low-rank adapters for any Linear and Conv2d (LoRA, rsLoRA)."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from adapt.encoders.adaptable_layers import adaptable_layers
from losses.options import BELOW_1, COUNT, POSITIVE, check


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

    with A ``(r, inputs)`` and B ``(outputs, r)``. B is zero at first: nothing changes before training. For a
    convolution A has the kernel of the layer and B has the kernel 1 x 1. The input projections of an
    ``nn.MultiheadAttention`` are one matrix.

    Args:
        module: an encoder, or a part of an encoder.
        rank: r; 8, the default of peft.
        alpha: 8, the default of peft.
        rank_stabilized: divide by the root of the rank (rsLoRA), so that a larger rank does not learn less. The paper
            of LoRA, and peft unless ``use_rslora=True``, divide by the rank: ``False``. With the defaults here s is
            2.83; with the defaults of peft s is 1.
        dropout: on the input of the adapters; 0. Not for attention.
        only: which layers: whole names, or the last parts of names (``"fc1"`` takes every ``...fc1``). ``None`` takes
            all Linear, all Conv2d with ``groups=1``, and all MultiheadAttention.

    Returns:
        The names of the adapted layers. The adapters are the parameters ``lora_A`` and ``lora_B`` of the layers. All
        other parameters keep their names, so the pretrained weights still fit. Load pretrained weights before the call
        where the module has attention: the weights of attention move to ``parametrizations``.

    Save the adapters with :func:`save_trainable_state`. A learning rate ten times the rate of full fine-tuning is
    usual. The trainer also takes encoders wrapped by peft; with equal weights the outputs are equal.

    Raises:
        ValueError: a rank below 1, a dropout outside [0, 1), an alpha of 0 or less, no layer to adapt, a name that fits
            no layer, a grouped convolution, a layer with adapters already, or adapters of tasks: call :func:`task_lora`
            afterwards.

    Hu et al., LoRA, 2022, https://arxiv.org/abs/2106.09685; Kalajdzievski, A Rank Stabilization Scaling Factor for
    Fine-Tuning with LoRA, 2023, https://arxiv.org/abs/2312.03732

    >>> lora(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), rank=2)
    ['0', '2']
    """
    check(BELOW_1, dropout=dropout)
    scale = scale_of(rank, alpha, rank_stabilized)
    found = adaptable_layers(module, only, (nn.Linear, nn.Conv2d, nn.MultiheadAttention))
    if any("lora_A_" in name for name, _ in module.named_parameters()):
        raise ValueError("tasks have adapters already, which would be frozen: call `lora` before `task_lora`.")
    for name, layer in found.items():
        _check_free(name, layer)
    module.requires_grad_(False)
    for layer in found.values():
        if isinstance(layer, nn.MultiheadAttention):  # attention reads its weights without calling its layers
            update = LowRankUpdate(layer.in_proj_weight, rank, scale)
            parametrize.register_parametrization(layer, "in_proj_weight", update)
            update = LowRankUpdate(layer.out_proj.weight, rank, scale)
            parametrize.register_parametrization(layer.out_proj, "weight", update)
        else:
            add_adapter(layer, *new_adapter(layer.weight, rank), scale, dropout)
    return list(found)


def merge(module: nn.Module) -> None:
    r"""Add :math:`s B A` to the weights, so that the adapters cost nothing. :func:`unmerge` restores the weights
    exactly.

    The original weights are kept, at the cost of memory. The layers then hold the merged weights under the
    usual names: ``{name: w for name, w in state_dict.items() if "lora_" not in name}`` fits the model without adapters.
    Merge for inference; unmerge before further training. The adapters of an ``nn.MultiheadAttention`` are always part
    of its weights.

    Raises:
        ValueError: an adapted weight of two layers of `module`, for example of a head tied to an embedding: merging
            would change both. Nothing is merged then. Unmerged adapters are right for tied weights.
    """
    adapted = _adapted(module)
    owners = Counter(id(p) for layer in module.modules() for p in layer._parameters.values())
    tied = [name for name, layer in module.named_modules() if layer in adapted and owners[id(layer.weight)] > 1]
    if tied:
        raise ValueError(
            f"the weights of {tied} are tied to other layers, which merging would change: leave them unmerged."
        )
    for layer in adapted:
        if layer.lora.original is None:
            layer.lora.original = layer.weight.detach().clone()
            A, B = layer.lora_A.detach(), layer.lora_B.detach()
            layer.weight.data.add_((B.flatten(1) @ A.flatten(1)).view_as(layer.weight), alpha=layer.lora.scale)


def unmerge(module: nn.Module) -> None:
    """Undo :func:`merge`: the weights equal the weights before, to the last bit."""
    for layer in _adapted(module):
        if layer.lora.original is not None:
            layer.weight.data.copy_(layer.lora.original)
            layer.lora.original = None


@dataclass
class AdapterSettings:
    """Settings of the adapter of one layer: `scale` s, `dropout`, and the `original` weight while the adapter is
    merged."""

    scale: float
    dropout: float
    original: Tensor | None = None


def scale_of(rank: int, alpha: float, rank_stabilized: bool) -> float:
    r"""Return s: :math:`\alpha / \sqrt r` where rank-stabilised, else :math:`\alpha / r`.

    Raises:
        ValueError: a rank below 1, or an alpha of 0 or less.
    """
    check(COUNT, rank=rank)
    check(POSITIVE, alpha=alpha)
    return alpha / (math.sqrt(rank) if rank_stabilized else rank)


def new_adapter(weight: Tensor, rank: int) -> tuple[nn.Parameter, nn.Parameter]:
    """Return new A and B for the weight of a Linear or Conv2d."""
    outputs, inputs, *kernel = weight.shape
    return (
        nn.Parameter(_initial_A(weight, rank, inputs, *kernel)),
        nn.Parameter(weight.new_zeros(outputs, rank, *[1] * len(kernel))),
    )


def add_adapter(layer: Any, A: nn.Parameter, B: nn.Parameter, scale: float, dropout: float = 0.0) -> None:
    """Add s B A to a layer. Where the layer has an adapter, A and B are appended to the existing A and B."""
    settings = _settings(layer)
    if settings is not None:
        scaled = B.detach() * (scale / settings.scale)
        layer.lora_A = nn.Parameter(torch.cat([layer.lora_A.detach(), A.detach()]))
        layer.lora_B = nn.Parameter(torch.cat([layer.lora_B.detach(), scaled], 1))
        return
    layer.lora_A, layer.lora_B = A, B
    layer.lora = AdapterSettings(scale, dropout)
    layer.register_forward_hook(_add)


def low_rank(layer: nn.Module, x: Tensor, A: Tensor, B: Tensor) -> Tensor:
    """Return B A x, with the stride and padding of the layer where the layer is a convolution."""
    if isinstance(layer, nn.Conv2d):
        return F.conv2d(layer._conv_forward(x, A, None), B)
    return F.linear(F.linear(x, A), B)


class LowRankUpdate(nn.Module):
    """The parametrisation W + s B A, for weights read without a call of the layer."""

    def __init__(self, weight: Tensor, rank: int, scale: float):
        super().__init__()
        self.lora_A = nn.Parameter(_initial_A(weight, rank, weight.shape[1]))
        self.lora_B = nn.Parameter(weight.new_zeros(weight.shape[0], rank))
        self.scale = scale

    def extra_repr(self) -> str:
        return f"rank={len(self.lora_A)}, scale={self.scale:.3g}"

    def forward(self, weight: Tensor) -> Tensor:
        return torch.addmm(weight, self.lora_B, self.lora_A, alpha=self.scale)


def _settings(layer: nn.Module) -> AdapterSettings | None:
    found = vars(layer).get("lora")  # a layer of another library may have a module of this name
    return found if isinstance(found, AdapterSettings) else None


def _adapted(module: nn.Module) -> list[Any]:
    return [layer for layer in module.modules() if _settings(layer) is not None]


def _check_free(name: str, layer: nn.Module) -> None:
    if any(part.startswith("lora_A") for part, _ in layer.named_parameters()) or parametrize.is_parametrized(layer):
        raise ValueError(f"`{name}` has adapters already: make them once.")
    if isinstance(layer, nn.MultiheadAttention) and layer.in_proj_weight is None:
        raise ValueError(f"`{name}` has keys or values of another size than its queries, which is not supported.")


def _initial_A(weight: Tensor, *shape: int) -> Tensor:
    """Return a random A, drawn as in the authors' code."""
    return nn.init.kaiming_uniform_(weight.new_empty(shape), a=math.sqrt(5))


def _add(layer, inputs, output):
    """Add s B A x to the output: a forward hook, because the layer keeps its class, names and attributes."""
    if layer.lora.original is not None:
        return output
    x, dropout = inputs[0], layer.lora.dropout
    if dropout:  # dropout of 0 would copy the input, and keep the copy for the backward pass
        x = F.dropout(x, dropout, layer.training)
    return output + layer.lora.scale * low_rank(layer, x, layer.lora_A, layer.lora_B)
