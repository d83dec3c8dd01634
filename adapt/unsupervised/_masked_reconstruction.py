"""Hidden parts of an input from the visible parts: masked reconstruction of images, tables and series."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from adapt.engine import Step, Term
from adapt.engine.schedule import Schedule
from adapt.protocols import HasDim, TellsStreamsApart, dim_of, offers
from adapt.randomness import keyed_numbers
from losses.options import BETWEEN, COUNT, NUMBER, check, each


def masked_reconstruction(
    encoder: HasDim | int,
    *,
    on: str,
    shape: Sequence[int],
    patch: Sequence[int],
    name: str = "masked_reconstruction",
    weight: float | Schedule = 1.0,
    share: float = 0.75,
    hidden: int = 512,
    fill: float = 0.0,
) -> Term:
    r"""Hide patches of each input, and predict the numbers behind the patches from the features of the rest.

    .. math:: \frac{1}{n |M|} \sum_i \sum_{p \in M_i} \bigl( g(f(x_i \text{ without } M_i))_p - x_{ip} \bigr)^2

    with the encoder f, the hidden places :math:`M_i` of row i, and the decoder g: linear, ReLU, linear.

    Args:
        encoder: of the trainer, or the feature size.
        on: stream of floating point tensors; no labels are used. The first view is read.
        shape: of an input: ``(channels, height, width)`` of an image, ``(columns,)`` of a table, ``(length, channels)``
            of a series.
        patch: size of a patch along each axis of `shape`, a divisor of the size: ``(channels, 4, 4)``, ``(1,)``,
            ``(8, channels)``.
        name: of the term.
        weight: of the term.
        share: of hidden patches, rounded to whole patches, at least one patch hidden and one visible. 0.75 as in the
            paper for images; tables and series with little redundancy need less: VIME hides 0.3 of the columns.
        hidden: units of the decoder; 512 as in the paper.
        fill: number in the hidden places; 0 is the mean of standardised inputs.

    The encoder reads inputs with filled places, as in SimMIM, so that any encoder with pooled features works; MAE
    leaves the hidden patches out of a vision transformer.

    Which patches are hidden is a function of the seed, the step and the row. Several ranks and accumulation are exact:
    each row has the same number of hidden places.

    Raises:
        TypeError: an encoder without `dim`.
        ValueError: an option with a wrong value; in a step, inputs of another shape.

    He et al., Masked Autoencoders Are Scalable Vision Learners, 2022, https://arxiv.org/abs/2111.06377;
    Xie et al., SimMIM, 2022, https://arxiv.org/abs/2111.09886; tables: Yoon et al., VIME, 2020,
    https://proceedings.neurips.cc/paper/2020/hash/7d97667a3e056acab9aaf653807b4a03-Abstract.html
    """
    dim = dim_of(encoder)
    check(each(COUNT), shape=shape, patch=patch)
    check(BETWEEN, share=share)
    check(COUNT, hidden=hidden)
    check(NUMBER, fill=fill)
    if len(shape) != len(patch) or any(size % part for size, part in zip(shape, patch, strict=True)):
        raise ValueError(
            f"`patch` must divide `shape` along each axis, got {tuple(patch)} and {tuple(shape)}: give a divisor for "
            "each axis."
        )
    blocks = [size // part for size, part in zip(shape, patch, strict=True)]
    if math.prod(blocks) < 2:
        raise ValueError(f"`patch` must leave at least 2 patches, got {tuple(patch)} for `shape` {tuple(shape)}.")
    decoder = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, math.prod(shape)))
    loss = MaskedReconstruction(decoder, on, tuple(shape), tuple(patch), blocks, share, fill, name)
    return Term(name, loss, weight, streams=[on])


class MaskedReconstruction(nn.Module):
    def __init__(self, decoder, on, shape, patch, blocks, share, fill, name):
        super().__init__()
        self.decoder, self.on, self.shape, self.patch, self.blocks = decoder, on, shape, patch, blocks
        self.patches = min(max(1, round(share * math.prod(blocks))), math.prod(blocks) - 1)
        self.fill, self.name = fill, name

    def forward(self, step: Step) -> Tensor:
        x = step[self.on].inputs
        if not isinstance(x, Tensor) or tuple(x.shape[1:]) != self.shape or not x.is_floating_point():
            found = f"{tuple(x.shape[1:])} of {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(
                f"inputs of stream `{self.on}` must be floating point tensors of `shape` {self.shape}, got {found}."
            )
        gone = self.hidden(step)
        encoder = step.encoder_of(self.on)
        if offers(encoder, TellsStreamsApart):
            encoder.announce_rows([(self.on, len(x))])
        features = step.call(encoder, x.masked_fill(gone, self.fill))
        if features.ndim != 2:
            raise ValueError(
                f"features of stream `{self.on}` must be (n, d), got {tuple(features.shape)}: take an encoder with "
                "pooled features."
            )
        guess = step.call(self.decoder, features).view_as(x)
        return (guess - x)[gone].square().mean()

    def hidden(self, step: Step) -> Tensor:
        """Return ``(n, *shape)`` booleans: True in the hidden patches, the same number in each row."""
        key = int(torch.randint(2**62, (), generator=step.generator))  # equal on all ranks and micro-batches
        numbers = keyed_numbers(key, step[self.on].index, math.prod(self.blocks))
        rank = numbers.argsort(1).argsort(1)
        gone = (rank < self.patches).view(-1, *self.blocks)
        for axis, size in enumerate(self.patch, start=1):
            gone = gone.repeat_interleave(size, axis)
        return gone
