"""Inner products of the gradients of tasks at parameters, without the gradients of all tasks in memory."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from adapt.engine import runtime
from losses.checks import at_least_float32


class ParameterGramian:
    r"""Exact inner products of the gradients at all learning parameters of `module`.

    The gradient of a linear layer is :math:`E_t^\top A`, with the inputs A ``(rows, in)`` and the gradients :math:`E_t`
    at the outputs, so

    .. math:: \langle E_s^\top A, E_t^\top A \rangle = \langle E_s, A A^\top E_t \rangle

    and the gradient is never formed with fewer rows than inputs. The cost for each task is the activations' half of a
    backward pass. Parameters of other layers, of tied layers, and parameters used without a call of the layer, take a
    buffer of tasks x numbers. On several ranks gradients are summed over the ranks, layer by layer.
    """

    def __init__(self, module: nn.Module):
        uses = [p for m in module.modules() for p in m.parameters(recurse=False)]
        counts = Counter(uses)
        self.parameters = [p for p in counts if p.requires_grad]
        self.calls: dict[nn.Linear, list[tuple[Tensor, GradientEdge]]] = {}
        for layer in module.modules():
            # exactly this class: a subclass may compute something else, or may never be called
            if type(layer) is nn.Linear and layer_is_plain(layer, counts):
                # first of the hooks: adapters add to the kept tensors, or multiply them
                layer.register_forward_hook(self._keep, prepend=True)

    def _keep(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if output.requires_grad:
            assert isinstance(layer, nn.Linear)
            # the edge, not the tensor: an activation may overwrite the tensor in place, and would then count as part of
            # the layer
            self.calls.setdefault(layer, []).append((inputs[0].detach(), get_gradient_edge(output)))

    def clear(self) -> None:
        self.calls.clear()

    def __call__(self, features: Sequence[Tensor], gradients: Sequence[Sequence[Tensor]]) -> Tensor:
        """Return the ``(tasks, tasks)`` Gramian.

        Args:
            features: output of the encoder.
            gradients: for each task, the gradients of the loss with respect to `features`.
        """
        layers = list(self.calls)
        edges: list[Any] = [edge for layer in layers for _, edge in self.calls[layer]]
        by_hand = {p for layer in layers for p in weights_of(layer)}
        rest = [p for p in self.parameters if p not in by_hand]
        found = [
            torch.autograd.grad(features, [*edges, *rest], g, retain_graph=True, allow_unused=True) for g in gradients
        ]
        gram, first = features[0].new_zeros(len(found), len(found)), 0
        for layer in layers:
            last = first + len(self.calls[layer])
            gram += self._of_layer(layer, [of_task[first:last] for of_task in found])
            first = last
        for number, parameter in enumerate(rest, start=first):
            gram += of_parameter(parameter, [of_task[number] for of_task in found])
        return gram

    def _of_layer(self, layer: nn.Linear, gradients: Sequence[Sequence[Tensor | None]]) -> Tensor:
        """Return the part of a layer, from the gradients of each task at the outputs of the layer's calls."""
        rows = [x.reshape(-1, x.shape[-1]) for x, _ in self.calls[layer]]
        E = torch.stack([at_outputs(layer, rows, of_task) for of_task in gradients])
        return linear(layer, at_least_float32(torch.cat(rows)), at_least_float32(E))


def of_parameter(parameter: Tensor, gradients: Sequence[Tensor | None]) -> Tensor:
    """Return the part of a parameter, from the gradient of each task."""
    each = [torch.zeros_like(parameter) if g is None else g for g in gradients]
    return inner(at_least_float32(torch.stack([g.flatten() for g in each])))


def layer_is_plain(layer: nn.Linear, counts: Mapping[nn.Parameter, int]) -> bool:
    """Whether a linear layer learns, and shares no parameter with another layer."""
    return not any(counts[p] > 1 for p in layer.parameters()) and any(p.requires_grad for p in weights_of(layer))


def at_outputs(layer: nn.Linear, rows: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> Tensor:
    """Return the gradients of a task at the outputs of all calls of a layer, ``(rows, out)``; zeros in place of
    None.
    """
    each = [
        x.new_zeros(1).expand(len(x), layer.out_features) if g is None else g.reshape(-1, g.shape[-1])
        for x, g in zip(rows, gradients, strict=True)
    ]
    return torch.cat(each)


def weights_of(layer: nn.Linear) -> list[Tensor]:
    """Return the weight and the bias of a linear layer, without the parameters of adapters on the layer."""
    return [p for p in (layer.weight, layer.bias) if p is not None]


def linear(layer: nn.Linear, A: Tensor, E: Tensor) -> Tensor:
    """Return the part of a layer, from inputs ``(rows, in)`` and gradients ``(tasks, rows, out)`` at the outputs."""
    T, rows, _ = E.shape
    gram = E.new_zeros(T, T)
    if layer.weight.requires_grad:
        if runtime.world_size() == 1 and rows < A.shape[1]:
            gram += E.flatten(1) @ ((A @ A.T) @ E).flatten(1).T
        else:
            gram += inner((E.transpose(1, 2) @ A).flatten(1))
    if layer.bias is not None and layer.bias.requires_grad:
        gram += inner(E.sum(1))
    return gram


def inner(gradients: Tensor) -> Tensor:
    """Return ``(tasks, tasks)`` from ``(tasks, numbers)`` of this rank: the loss is the mean over the ranks."""
    gradients = runtime.average(gradients)
    return gradients @ gradients.T
