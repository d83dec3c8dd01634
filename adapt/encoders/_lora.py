"""Low-rank adapters for any Linear and Conv2d (LoRA, rsLoRA)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from adapt.encoders.adaptable_layers import adaptable_layers, read_in_place
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

    Some layers have the update as a part of their weight, :math:`y = (W + s B A) x + b`: the layers of an
    ``nn.MultiheadAttention``; layers whose weight is read without a call (the attention of Swin, BEiT and EVA); and
    classes that compute with their weight in a way of their own (``ScaledStdConv2d`` and ``Conv2dSame`` of timm).

    Args:
        module: an encoder, or a part of an encoder.
        rank: r; 8, the default of peft.
        alpha: 8, the default of peft.
        rank_stabilized: divide by the root of the rank (rsLoRA), so that a larger rank does not learn less. The paper
            of LoRA, and peft unless ``use_rslora=True``, divide by the rank: ``False``. With the defaults here s is
            2.83; with the defaults of peft s is 1.
        dropout: on the input of the adapters; 0. Not for updates that are a part of the weight.
        only: which layers: whole names, or the last parts of names (``"fc1"`` takes every ``...fc1``). ``None`` takes
            all Linear, all Conv2d with ``groups=1``, and all MultiheadAttention.

    Returns:
        The names of the adapted layers. The adapters are the parameters ``lora_A`` and ``lora_B`` of the layers. All
        other parameters keep their names, so the pretrained weights still fit. Weights with the update as a part move
        to ``parametrizations``: load pretrained weights before the call.

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
    in_place = read_in_place(module)
    for name, layer in found.items():
        if isinstance(layer, nn.MultiheadAttention):  # attention reads its weights without calling its layers
            add_update(layer, "in_proj_weight", rank, scale)
            add_update(layer.out_proj, "weight", rank, scale)
        elif name in in_place or not computes_as_torch(layer) or parametrize.is_parametrized(layer, "weight"):
            add_update(layer, "weight", rank, scale)
        else:
            add_adapter(layer, *new_adapter(layer.weight, rank), scale, dropout)
    return list(found)


def merge(module: nn.Module) -> None:
    r"""Add :math:`s B A` to the weights, so that the adapters cost nothing. :func:`unmerge` restores the weights
    exactly.

    The original weights and the adapters are kept aside, at the cost of memory. The ``state_dict()`` then holds the
    merged weights under the usual names, and no adapters: the state of the model without adapters. Merge for inference;
    unmerge before further training, before a checkpoint and before weights are loaded. Updates that are a part of the
    weight (:func:`lora`) stay as they are.

    Raises:
        ValueError: an adapted weight that shares memory with another weight of `module`, for example of a head tied to
            an embedding: merging would change both. A weight that is computed before each pass (``weight_norm``).
            Nothing is merged then. Unmerged adapters are right for such weights.
    """
    adapted = _adapted(module)
    shared = _sharing(module)
    if tied := [name for name, layer in adapted.items() if layer in shared]:
        raise ValueError(
            f"the weights of {tied} are tied to other layers, which merging would change: leave them unmerged."
        )
    if computed := [name for name, layer in adapted.items() if "weight" not in layer._parameters]:
        raise ValueError(
            f"the weights of {computed} are computed before each pass, so nothing can be added: leave them unmerged."
        )
    for layer in adapted.values():
        if layer.lora.original is None:
            A, B = layer.lora_A.detach(), layer.lora_B.detach()
            layer.lora.original = layer.weight.detach().clone(), layer.lora_A, layer.lora_B
            layer.weight.data.add_((B.flatten(1) @ A.flatten(1)).view_as(layer.weight), alpha=layer.lora.scale)
            del layer.lora_A, layer.lora_B


def unmerge(module: nn.Module) -> None:
    """Undo :func:`merge`: the weights equal the weights before, to the last bit."""
    for layer in _adapted(module).values():
        if layer.lora.original is not None:
            weight, A, B = layer.lora.original
            layer.weight.data.copy_(weight)
            A.data, B.data = A.data.to(layer.weight.device), B.data.to(layer.weight.device)
            layer.lora_A, layer.lora_B, layer.lora.original = A, B, None


def merged(module: nn.Module) -> list[str]:
    """Return the names of the layers inside `module` with merged adapters."""
    return [name for name, layer in _adapted(module).items() if layer.lora.original is not None]


def expect_unmerged(module: nn.Module, what: str) -> None:
    """Raise a ValueError where adapters inside `module` are merged; `what` says what would go wrong."""
    if names := merged(module):
        raise ValueError(
            f"{what}, and the adapters of {len(names)} layers are merged into the weights, the first `{names[0]}`: "
            "call `encoders.unmerge(encoder)` first, and `encoders.merge` afterwards."
        )


@dataclass
class AdapterSettings:
    """Settings of the adapter of one layer: `scale` s, `dropout`, and the `original` weight, A and B while the adapter
    is merged."""

    scale: float
    dropout: float
    original: tuple[Tensor, nn.Parameter, nn.Parameter] | None = None


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
    layer.register_load_state_dict_pre_hook(_refuse_merged)


def add_update(layer: nn.Module, weight: str, rank: int, scale: float) -> None:
    """Make s B A a part of a weight of a layer."""
    update = LowRankUpdate(getattr(layer, weight), rank, scale)  # a parameter, or computed by a parametrisation
    parametrize.register_parametrization(layer, weight, update)


def computes_as_torch(layer: nn.Module) -> bool:
    """Whether a layer computes what torch's Linear or Conv2d computes: a subclass may pad, or standardise weights."""
    kind: Any = type(layer)
    if isinstance(layer, nn.Conv2d):
        return kind.forward is nn.Conv2d.forward and kind._conv_forward is nn.Conv2d._conv_forward
    return kind.forward is nn.Linear.forward


def low_rank(layer: nn.Module, x: Tensor, A: Tensor, B: Tensor) -> Tensor:
    """Return B A x, with the stride and padding of the layer where the layer is a convolution."""
    if isinstance(layer, nn.Conv2d):
        return F.conv2d(layer._conv_forward(x, A, None), B)
    return F.linear(F.linear(x, A), B)


class LowRankUpdate(nn.Module):
    """The parametrisation W + s B A, for weights read without a call of the layer, or computed with in another way."""

    def __init__(self, weight: Tensor, rank: int, scale: float):
        super().__init__()
        self.lora_A, self.lora_B = new_adapter(weight, rank)
        self.scale = scale

    def extra_repr(self) -> str:
        return f"rank={len(self.lora_A)}, scale={self.scale:.3g}"

    def forward(self, weight: Tensor) -> Tensor:
        A, B = self.lora_A.flatten(1), self.lora_B.flatten(1)
        return torch.addmm(weight.flatten(1), B, A, alpha=self.scale).view_as(weight)


def _settings(layer: nn.Module) -> AdapterSettings | None:
    found = vars(layer).get("lora")  # a layer of another library may have a module of this name
    return found if isinstance(found, AdapterSettings) else None


def _adapted(module: nn.Module) -> dict[str, Any]:
    return {name: layer for name, layer in module.named_modules() if _settings(layer) is not None}


def _sharing(module: nn.Module) -> set[nn.Module]:
    """Return the layers with a tensor in the same memory as a tensor of another layer, whole or in part."""
    spans = sorted(
        (_span(tensor), number, layer)
        for number, layer in enumerate(module.modules())
        for tensor in (*layer._parameters.values(), *layer._buffers.values())
        if tensor is not None and tensor.numel() and not tensor.is_meta
    )
    found: set[nn.Module] = set()
    reach, owner = 0, module
    for (start, end), _, layer in spans:
        if start < reach:
            found |= {layer, owner}
        if end > reach:
            reach, owner = end, layer
    return found


def _span(tensor: Tensor) -> tuple[int, int]:
    """Return the first byte of a tensor, and the byte behind the last."""
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr(), tensor.data_ptr() + (last + 1) * tensor.element_size()


def _check_free(name: str, layer: nn.Module) -> None:
    if any("lora_A" in part for part, _ in layer.named_parameters()) or merged(layer):
        raise ValueError(f"`{name}` has adapters already: make them once.")
    if isinstance(layer, nn.MultiheadAttention) and layer.in_proj_weight is None:
        others = "name the other layers in `only`"
        raise ValueError(
            f"`{name}` has keys or values of another size than its queries, which is not supported: {others}."
        )


def _refuse_merged(layer: Any, *args: Any) -> None:
    """Refuse weights for a layer with merged adapters: a hook of ``load_state_dict``."""
    expect_unmerged(layer, "weights are loaded")


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
