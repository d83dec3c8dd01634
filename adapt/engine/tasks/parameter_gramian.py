"""The inner products of the tasks' gradients, without ever holding the gradients."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from adapt.engine import runtime
from losses.checks import at_least_float32


class ParameterGramian:
    r"""Exact inner products of the gradients at all learning parameters of `module`.

    A linear layer's gradient is :math:`E_t^\top A`, with its inputs A ``(rows, in)`` and the gradients at its outputs
    :math:`E_t`, so

    .. math:: \langle E_s^\top A, E_t^\top A \rangle = \langle E_s, A A^\top E_t \rangle

    and the gradient itself is never formed where there are fewer rows than inputs. Costs, for each task, the half of a
    backward that passes through activations. Parameters of other layers, of tied ones, and those that are used
    without a call of their layer, take a buffer of tasks x their number. On several ranks the gradient of one layer after
    another is summed over the ranks.
    """

    def __init__(self, module: nn.Module):
        uses = [p for m in module.modules() for p in m.parameters(recurse=False)]
        tied = {p for p in uses if sum(p is q for q in uses) > 1} if len(uses) > len(set(uses)) else set()
        self.parameters = [p for p in dict.fromkeys(uses) if p.requires_grad]
        self.calls: dict[nn.Linear, list[tuple[Tensor, GradientEdge]]] = {}
        for m in module.modules():
            # exactly this class: a subclass may do something else, or never be called
            if (
                type(m) is nn.Linear
                and not tied.intersection(m.parameters())
                and any(p.requires_grad for p in weights_of(m))
            ):
                # first of the hooks: adapters add to or multiply what is kept here
                m.register_forward_hook(self._keep, prepend=True)

    def _keep(self, layer: nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if output.requires_grad:
            # the edge, not the tensor: an activation may overwrite it in place, and would then count as part of the layer
            self.calls.setdefault(layer, []).append((inputs[0].detach(), get_gradient_edge(output)))

    def clear(self) -> None:
        self.calls.clear()

    def __call__(self, features: Sequence[Tensor], gradients: Sequence[Sequence[Tensor]]) -> Tensor:
        """``(tasks, tasks)``.

        Args:
            features: what the encoder returned.
            gradients: for each task, of its loss with respect to each of them.
        """
        layers = list(self.calls)
        edges = [edge for layer in layers for _, edge in self.calls[layer]]
        by_hand = {p for layer in layers for p in weights_of(layer)}
        rest = [p for p in self.parameters if p not in by_hand]
        inputs: list[Any] = [*edges, *rest]
        zeros = [
            x.new_zeros(1).expand(*x.shape[:-1], layer.out_features) for layer in layers for x, _ in self.calls[layer]
        ]
        zeros += [torch.zeros_like(p) for p in rest]
        found = [
            [
                zero if e is None else e
                for e, zero in zip(
                    torch.autograd.grad(features, inputs, g, retain_graph=True, allow_unused=True),
                    zeros,
                    strict=True,
                )
            ]
            for g in gradients
        ]
        gram = features[0].new_zeros(len(found), len(found))
        at = 0
        for layer in layers:
            calls = self.calls[layer]
            A = torch.cat([x.reshape(-1, x.shape[-1]) for x, _ in calls])
            E = torch.stack([torch.cat([e.reshape(-1, e.shape[-1]) for e in f[at : at + len(calls)]]) for f in found])
            gram += linear(layer, at_least_float32(A), at_least_float32(E))
            at += len(calls)
        for position in range(at, at + len(rest)):
            gram += inner(at_least_float32(torch.stack([f[position].flatten() for f in found])))
        return gram


def weights_of(layer: nn.Linear) -> list[Tensor]:
    """Those of a linear layer itself; adapters may have put others on it."""
    return [p for p in (layer.weight, layer.bias) if p is not None]


def linear(layer: nn.Linear, A: Tensor, E: Tensor) -> Tensor:
    """A layer's part, from inputs ``(rows, in)`` and gradients ``(tasks, rows, out)`` at its outputs."""
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
    """``(tasks, tasks)`` from ``(tasks, numbers)`` of this rank: the loss is the mean over the ranks."""
    gradients = runtime.average(gradients)
    return gradients @ gradients.T
