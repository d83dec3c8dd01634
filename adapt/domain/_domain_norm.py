"""BatchNorm with separate statistics and weights for each domain."""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from adapt.engine.evaluate import UNNAMED
from adapt.protocols import HasDim, offers


class DomainNorm(nn.Module):
    """An encoder with a copy of each BatchNorm layer for each domain: DSBN. Take it in place of the encoder.

    Args:
        encoder: changed in place: BatchNorm layers are copied for each domain, all other layers are shared.
        domains: the streams with separate layers.
        evaluate_as: the domain of rows without a named stream in evaluation mode; default: the last domain. Change the
            attribute at any time. ``trainer.evaluate(head, dataset, stream="source")`` names the stream.

    In training, :class:`adapt.engine.Step` announces the stream of each row of a pass (:meth:`announce_rows`).

    Raises:
        ValueError: no BatchNorm layer; fewer than two domains; an unknown `evaluate_as`; in training, rows of another
            stream or rows without an announcement.

    Chang et al., Domain-Specific Batch Normalization, 2019, https://arxiv.org/abs/1906.03950
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        domains: Sequence[str] = ("source", "target"),
        evaluate_as: str | None = None,
    ):
        super().__init__()
        if isinstance(domains, str) or len(set(domains)) < max(2, len(domains)):
            raise ValueError(
                f"`domains` must be two different streams or more, got {domains!r}: name the streams of the trainer."
            )
        if evaluate_as is not None and evaluate_as not in domains:
            raise ValueError(f"`evaluate_as` must be one of the domains {tuple(domains)}, got {evaluate_as!r}.")
        self.evaluate_as = evaluate_as or domains[-1]
        self.parts: list[tuple[str, int]] = []
        self.announced = False
        replaced = _replace(encoder, self.parts, tuple(domains))
        if not replaced:
            raise ValueError(
                "`encoder` has no BatchNorm layer to copy for each domain: take an encoder with BatchNorm, or train "
                "without DomainNorm."
            )
        self.encoder, self.domains = encoder, tuple(domains)
        if offers(encoder, HasDim):
            self.dim = encoder.dim

    def announce_rows(self, parts: Sequence[tuple[str, int]]) -> None:
        """Take note of the streams of the next pass, in order, with the number of rows of each stream.

        All views of a stream bear the name of the stream.
        """
        self.parts[:] = list(parts)
        self.announced = True

    def forward(self, inputs: Tensor) -> Tensor:
        rows = len(inputs)
        announced, self.announced = self.announced, False
        if not self.training and (not announced or [name for name, _ in self.parts] == [UNNAMED]):
            self.parts[:] = [(self.evaluate_as, rows)]
        unknown = [name for name, _ in self.parts if name not in self.domains]
        if unknown or sum(n for _, n in self.parts) != rows:
            raise ValueError(
                f"expected rows of the domains {self.domains}, announced by `announce_rows`; got a pass of {rows} "
                f"rows, announced as {self.parts}: name the streams in `domains`."
            )
        return self.encoder(inputs)


class _Layers(nn.Module):
    """The copies of one layer. All layers of an encoder share the same list of `parts`."""

    def __init__(self, layer: _BatchNorm, parts: list[tuple[str, int]], domains: tuple[str, ...]):
        super().__init__()
        self.of = nn.ModuleDict({name: deepcopy(layer) for name in domains})
        self.parts = parts

    def forward(self, x: Tensor) -> Tensor:
        pieces = x.split([len(x) // sum(n for _, n in self.parts) * n for _, n in self.parts])
        return torch.cat([self.of[name](piece) for (name, _), piece in zip(self.parts, pieces, strict=True)])


def _replace(module: nn.Module, parts: list[tuple[str, int]], domains: tuple[str, ...]) -> int:
    """Replace every BatchNorm layer inside `module`, in place, and return the number of replaced layers."""
    found = 0
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, _Layers(child, parts, domains))
            found += 1
        else:
            found += _replace(child, parts, domains)
    return found
