"""BatchNorm with statistics, and weights, of its own for each domain."""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from adapt.engine.evaluate import UNNAMED


class DomainNorm(nn.Module):
    """An encoder whose BatchNorm layers exist once for each domain: DSBN. Use it in place of the encoder.

    Args:
        encoder: changed in place: its BatchNorm layers are copied for each domain, all else is shared.
        domains: the streams with layers of their own.
        evaluate_as: the domain of all rows in eval mode where none was named, ``trainer.evaluate(head, dataset, stream="source")``;
            it may be set later; the last of `domains`.

    In training, :class:`adapt.engine.Step` says which rows of a pass belong to which stream (:meth:`announce_rows`).

    Raises:
        ValueError: no BatchNorm layer; fewer than two domains; in training, rows of another stream or that nobody
            announced.

    Chang et al., Domain-Specific Batch Normalization, 2019, https://arxiv.org/abs/1906.03950
    """

    def __init__(
        self,
        encoder: nn.Module,
        domains: Sequence[str] = ("source", "target"),
        *,
        evaluate_as: str | None = None,
    ):
        super().__init__()
        if len(set(domains)) < max(2, len(domains)):
            raise ValueError(f"`domains` must be two different streams or more, got {tuple(domains)}.")
        self.evaluate_as = evaluate_as or domains[-1]
        self.parts: list[tuple[str, int]] = []
        self.announced = False
        replaced = _replace(encoder, self.parts, tuple(domains))
        if not replaced:
            raise ValueError("`encoder` has no BatchNorm layer, so there is nothing to keep for each domain.")
        self.encoder, self.domains = encoder, tuple(domains)
        if hasattr(encoder, "dim"):
            self.dim = encoder.dim

    def announce_rows(self, parts: Sequence[tuple[str, int]]) -> None:
        """The next pass holds, in this order, so many rows of each stream. The second view of a stream is that stream."""
        self.parts[:] = [(name.removesuffix(".second"), rows) for name, rows in parts]
        self.announced = True

    def forward(self, inputs: Tensor) -> Tensor:
        rows = len(inputs)
        announced, self.announced = self.announced, False
        if not self.training and (not announced or [name for name, _ in self.parts] == [UNNAMED]):
            self.parts[:] = [(self.evaluate_as, rows)]
        unknown = [name for name, _ in self.parts if name not in self.domains]
        if unknown or sum(n for _, n in self.parts) != rows:
            raise ValueError(
                f"expected rows of the domains {self.domains}, announced by `announce_rows`; got a pass of {rows} rows, announced "
                f"as {self.parts}."
            )
        return self.encoder(inputs)


class _Layers(nn.Module):
    """The copies of one layer. `parts` is one list, shared by all layers of an encoder."""

    def __init__(self, layer: _BatchNorm, parts: list[tuple[str, int]], domains: tuple[str, ...]):
        super().__init__()
        self.of = nn.ModuleDict({name: deepcopy(layer) for name in domains})
        self.parts = parts

    def forward(self, x: Tensor) -> Tensor:
        pieces = x.split([len(x) // sum(n for _, n in self.parts) * n for _, n in self.parts])
        return torch.cat([self.of[name](piece) for (name, _), piece in zip(self.parts, pieces, strict=True)])


def _replace(module: nn.Module, parts: list[tuple[str, int]], domains: tuple[str, ...]) -> int:
    """Replace every BatchNorm layer inside `module`, in place; how many there were."""
    found = 0
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, _Layers(child, parts, domains))
            found += 1
        else:
            found += _replace(child, parts, domains)
    return found
