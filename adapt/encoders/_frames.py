"""An encoder of images as an encoder of videos."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from adapt.encoders.encoder import Encoder, expect_encoder, has_parameters
from losses.options import COUNT, check, or_none

POOLS = ("mean", "tokens", "gru")


def frames(encoder: Encoder, *, pool: str | nn.Module = "mean", dim: int | None = None) -> Encoder:
    r"""Return an encoder of videos that reads each frame by an encoder of images, and pools the frames.

    .. math:: f = \frac1{|T|} \sum_{t \in T} e(x_t)

    with the frames T that the mask shows. The mean does not change when the frames change places: the direction of a
    movement needs an ordered `pool`.

    Args:
        encoder: from ``(n, ...)`` images to ``(n, d)`` features; shared, not copied.
        pool: ``"mean"``; ``"tokens"``, the features of each frame ``(n, t, d)``, 0 where the mask shows no frame;
            ``"gru"``, a GRU with new weights over the frames: the mean of its states, and its last state; or a module
            of your own, called with the ``(n, t, d)`` tokens and the ``(n, t)`` mask, which is True where a frame is.
        dim: size of the features of ``"gru"``, even, or of a module of your own, which returns ``(n, dim)``.

    Inputs: ``(n, t, ...)`` videos of one length, or a mapping with ``"values"`` and ``"mask"``, as
    ``collate.pad()`` makes of videos of unequal length. Frames outside of the mask are not computed, and BatchNorm
    layers do not see these frames. The choice of the frames is a host synchronisation on a GPU.

    Returns:
        An :class:`Encoder` whose layers are the layers of `encoder`, named ``"encoder.<layer>"``, and ``"pool"`` where
        the pool has parameters.

    Raises:
        TypeError: a module that is no :class:`Encoder`.
        ValueError: an unknown `pool`; ``"gru"`` or a module without `dim`, an odd `dim` of ``"gru"``, a `dim` for
            another pool; in a pass, inputs without frames, a mask of another shape, a video without a frame, features
            of another shape, or for ``"gru"`` a mask with a gap.

    Simonyan and Zisserman, Two-Stream Convolutional Networks for Action Recognition in Videos, 2014,
    https://arxiv.org/abs/1406.2199

    >>> from adapt import encoders
    >>> image = encoders.small_conv(1, dim=8)
    >>> frames(image, pool="tokens")(torch.zeros(2, 5, 1, 28, 28)).shape
    torch.Size([2, 5, 8])
    """
    if not isinstance(pool, nn.Module) and pool not in POOLS:
        raise ValueError(f"`pool` must be one of {POOLS} or a module of your own, got {pool!r}.")
    check(or_none(COUNT), dim=dim)
    own, size = isinstance(pool, nn.Module), expect_encoder(encoder).dim if dim is None else int(dim)
    if (own or pool == "gru") != (dim is not None) or (pool == "gru" and size % 2):
        raise ValueError(
            '`dim` must be the size of the features of "gru", an even number, or of a module as `pool`, and stays away '
            f"for the other pools: got `dim` {dim} for {'a module' if own else pool}."
        )
    ordered = _Ordered(encoder.dim, size // 2) if pool == "gru" else pool
    layers = [f"encoder.body.{name}" for name in encoder.layers]
    if isinstance(ordered, nn.Module) and has_parameters(ordered):
        layers.append("pool")
    found = Encoder(
        _Frames(encoder, ordered), size, layers=layers, preprocess=encoder.preprocess, source=encoder.source,
        licence=encoder.licence,
        recipe=None if own else ("adapt.encoders.frames", {"encoder": encoder, "pool": pool, "dim": dim}),
    )  # fmt: skip
    found.training = encoder.training  # the encoder is shared: its mode stays
    found.keep_in_eval(f"encoder.body.{name}" if name else "encoder.body" for name in encoder.kept_in_eval)
    return found


class _Frames(nn.Module):
    def __init__(self, encoder: Encoder, pool: str | nn.Module):
        super().__init__()
        self.encoder, self.pool = encoder, pool

    def extra_repr(self) -> str:
        return "" if isinstance(self.pool, nn.Module) else f"pool={self.pool!r}"

    def forward(self, inputs: Any) -> Tensor:
        x, mask = _videos(inputs)
        features = self.encoder(x.flatten(0, 1) if mask is None else x[mask])
        if features.ndim != 2:
            raise ValueError(
                f"`encoder` must return (n, d) features of frames, got {tuple(features.shape)}: pool them."
            )
        if mask is None:
            tokens, mask = (
                features.unflatten(0, x.shape[:2]),
                torch.ones(x.shape[:2], dtype=torch.bool, device=x.device),
            )
        else:
            tokens = features.new_zeros(*mask.shape, features.shape[1]).masked_scatter(mask[..., None], features)
        if isinstance(self.pool, nn.Module):
            return self.pool(tokens, mask)
        return tokens if self.pool == "tokens" else tokens.sum(1) / mask.sum(1, keepdim=True)


class _Ordered(nn.Module):
    """The mean of the states and the last state of a GRU over the frames."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.gru = nn.GRU(dim, hidden, batch_first=True)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        if bool((mask[:, 1:] & ~mask[:, :-1]).any()):
            raise ValueError('the mask must show the first frames of each video without a gap for the pool "gru".')
        lengths = mask.sum(1)
        packed = pack_padded_sequence(tokens, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, last = self.gru(packed)
        mean = pad_packed_sequence(states, batch_first=True)[0].sum(1) / lengths[:, None]
        return torch.cat([mean, last[0]], 1)


def _videos(inputs: Any) -> tuple[Tensor, Tensor | None]:
    """Return ``(n, t, ...)`` videos and the ``(n, t)`` mask, None where all frames are there."""
    if not isinstance(inputs, Mapping):
        if inputs.ndim < 3 or not inputs.shape[1]:
            raise ValueError(f"videos must be (n, frames, ...) with a frame at least, got {tuple(inputs.shape)}.")
        return inputs, None
    if "values" not in inputs or "mask" not in inputs:
        raise ValueError(
            f'videos of unequal length must be a mapping with "values" and "mask", got {list(inputs)}: take '
            "`Stream(..., collate=collate.pad())`."
        )
    x, mask = inputs["values"], inputs["mask"].bool()
    if mask.shape != x.shape[:2] or not bool(mask.any(1).all()):
        raise ValueError(
            f"the mask must be {tuple(x.shape[:2])} with a frame in each video, got {tuple(mask.shape)} and "
            f"{int((~mask.any(1)).sum())} videos without a frame."
        )
    return x, mask
