"""Low-rank adapters of each task, beside shared ones, in one pass over the rows of all tasks."""

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from adapt.encoders._lora import adapters, attach, low_rank, unmerge
from adapt.encoders.adaptable_layers import adaptable_layers


def task_lora(
    encoder: nn.Module,
    streams: Sequence[str],
    rank: int = 4,
    *,
    alpha: float = 8.0,
    rank_stabilized: bool = True,
    only: Sequence[str] | None = None,
) -> list[str]:
    r"""Give each task low-rank adapters of its own, in place, and freeze all parameters that are not adapters.

    .. math:: y_i = W x_i + b + s\, B A x_i + s_t\, B_t A_t x_i \quad \text{for the rows } i \text{ of stream } t

    with the shared adapters A, B of :func:`lora`, where `encoder` has them (make them first), and s_t from `alpha` and `rank`
    as there. The rows of all streams go through the encoder together: W and the shared adapters see them all, each stream's
    own adapters its segment of them. No row sees another's. B_t begins at zero: nothing changes before training.

    Args:
        encoder: the module that the trainer gets, not a part of it.
        streams: their names in the trainer: all whose features are asked for. The second view of a stream is that stream.
        rank: of each task's adapters; 4, half the default of the shared ones (ours).
        alpha: as in :func:`lora`; 8.
        rank_stabilized: as in :func:`lora`.
        only: which layers, as in :func:`lora`. ``None`` takes all Linear, and all Conv2d with ``groups=1``. Not the projections of an
            ``nn.MultiheadAttention``, whose weights are read once for all rows: only the shared adapters are in them.

    Returns:
        The names of the layers. Parameters are added to these as ``lora_A_<stream>`` and ``lora_B_<stream>``.

    **A task is a stream.** Several tasks with labels on the same rows share a pass and so these adapters. To part them, give each
    a stream, at the price of a pass of its rows, or put :class:`adapt.heads.Bottleneck` on the features.

    **Whose adapters** is said for every pass. A trainer says it in training, and in evaluation where it is told:
    ``trainer.evaluate(head, dataset, stream="tagging")``, ``watch={"tagging": (head, dataset, "tagging")}``. By hand:
    ``encoder.announce_rows([("tagging", len(x))])`` before ``encoder(x)``. :func:`of_task` makes an encoder of one task, to
    keep, merge and ship. A pass of which nobody said it is an error.

    With a trainer's `balance` a task's adapters are part of the encoder: the gradient of task t at them is weighed by its
    :math:`b_t`, and counts in a Gramian ``at="parameters"``. For all weights to learn beside the adapters, call
    ``encoder.requires_grad_(True)``. Save them with :func:`save_learned`. Not with activation checkpoints, which call
    layers again when the pass is over: that is an error.

    In every adapted layer rows come first: inputs ``(n, ...)``, or ``(k n, ...)`` with the k places of a row behind each other.

    Raises:
        ValueError: no stream or names that are not unique; a rank that is not positive; no layer to adapt; a name that fits none;
            a transformer layer with ``batch_first=False``; an encoder that treats streams differently already. In a pass: an
            unknown stream, rows that nobody announced or another number of them.

    Hu et al., LoRA, 2022, https://arxiv.org/abs/2106.09685; Agiza et al., MTLoRA, 2024, https://arxiv.org/abs/2403.20320

    >>> encoder = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> task_lora(encoder, ["translation", "tagging"], rank=2)
    ['0', '2']
    >>> encoder.announce_rows([("translation", 3), ("tagging", 2)])
    >>> encoder(torch.zeros(5, 4)).shape
    torch.Size([5, 2])
    """
    if rank < 1:
        raise ValueError(f"`rank` must be at least 1, got {rank}.")
    if isinstance(streams, str) or not streams or len(set(streams)) < len(streams):
        raise ValueError(f"`streams` must be a sequence of different names, at least one, got {streams!r}.")
    if wrong := [name for name in streams if not name or "." in name]:
        raise ValueError(f"`streams` must have names that are not empty and without dots, got {wrong}.")
    if hasattr(encoder, "announce_rows"):
        raise ValueError(
            f"this {type(encoder).__name__} treats streams differently already: it has an `announce_rows`."
        )
    found = adaptable_layers(encoder, only, (nn.Linear, nn.Conv2d))
    _rows_first(encoder, found)
    for name, p in encoder.named_parameters():
        p.requires_grad_(p.requires_grad and any(part.startswith(("lora_", "ia3_")) for part in name.split(".")))
    own = StreamAdapters(streams, alpha / (math.sqrt(rank) if rank_stabilized else rank))
    for layer in found.values():
        for name in streams:
            A, B = adapters(layer.weight, rank)
            layer.register_parameter(f"lora_A_{name}", A)
            layer.register_parameter(f"lora_B_{name}", B)
        own.handles.append(layer.register_forward_hook(own.add))
    own.handles.append(encoder.register_forward_pre_hook(own.begin))
    own.handles.append(encoder.register_forward_hook(own.end, always_call=True))
    encoder.announce_rows = own.announce_rows  # type: ignore[assignment]
    return list(found)


def of_task(encoder: nn.Module, stream: str) -> nn.Module:
    r"""A copy of `encoder` for one task: the shared adapters and the task's are one plain LoRA, of the rank of both.

    .. math:: s\, B A + s_t B_t A_t = s\, [B, \tfrac{s_t}{s} B_t] \begin{bmatrix} A \\ A_t \end{bmatrix}

    It needs no `announce_rows`; :func:`merge` takes the adapters into the weights.

    Raises:
        ValueError: an encoder without adapters of tasks, or without those of this stream.
    """
    own = getattr(getattr(encoder, "announce_rows", None), "__self__", None)
    if not isinstance(own, StreamAdapters) or stream not in own.streams:
        known = list(own.streams) if isinstance(own, StreamAdapters) else "none: `task_lora` makes them"
        raise ValueError(f"`stream` must be one with adapters of its own, got {stream!r}; there are {known}.")
    alone = copy.deepcopy(encoder)
    unmerge(alone)
    theirs: StreamAdapters = alone.announce_rows.__self__  # type: ignore[union-attr, assignment]
    for handle in theirs.handles:
        handle.remove()
    del alone.announce_rows
    for layer in alone.modules():
        if hasattr(layer, f"lora_A_{stream}"):
            A, B = getattr(layer, f"lora_A_{stream}"), getattr(layer, f"lora_B_{stream}")
            for name in theirs.streams:
                del layer._parameters[f"lora_A_{name}"], layer._parameters[f"lora_B_{name}"]
            attach(layer, A, B, theirs.scale)
    return alone


class StreamAdapters:
    """Whose the rows of a pass are: one object for all layers of an encoder. A copy of the encoder has its own."""

    def __init__(self, streams: Sequence[str], scale: float):
        self.streams, self.scale = tuple(streams), scale
        self.announced: list[tuple[str, int]] | None = None  # for the next pass
        self.parts: list[tuple[str, int]] | None = None  # of the pass that is under way
        self.handles: list[torch.utils.hooks.RemovableHandle] = []

    def announce_rows(self, parts: Sequence[tuple[str, int]]) -> None:
        """The next pass holds, in this order, so many rows of each stream."""
        parts = [(name.removesuffix(".second"), rows) for name, rows in parts]
        if unknown := [name for name, _ in parts if name not in self.streams]:
            raise ValueError(
                f"stream `{unknown[0]}` has no adapters: `task_lora` gave them to {self.streams}. In evaluation say whose to "
                f'take, `trainer.evaluate(head, dataset, stream="{self.streams[0]}")`, `watch={{name: (head, dataset, '
                f'"{self.streams[0]}")}}`, or take the encoder of one task, `encoders.of_task`.'
            )
        self.announced = parts

    def begin(self, encoder: nn.Module, inputs: tuple) -> None:
        if self.announced is None:
            raise ValueError(
                f"this encoder has adapters for each of {self.streams} and nobody said whose rows these are: call "
                "`encoder.announce_rows([(stream, rows), ...])` before each pass, or take `encoders.of_task(encoder, stream)`."
            )
        self.parts, self.announced = self.announced, None

    def end(self, encoder: nn.Module, inputs: tuple, output: Tensor) -> None:
        parts, self.parts = self.parts, None
        if parts is not None and output is not None and len(output) != sum(rows for _, rows in parts):
            raise ValueError(
                f"a pass of {len(output)} rows was announced to `announce_rows` as {parts}: the numbers must agree."
            )

    def add(self, layer: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        """A forward hook, so that the layer stays what it is."""
        x, rows = inputs[0], sum(rows for _, rows in self.parts or ())
        if not rows or len(x) % rows:
            raise ValueError(
                f"a {type(layer).__name__} with adapters for each stream was called on {tuple(x.shape)} while the encoder's "
                f"pass was {self.parts}: expected rows first, and to be called by the encoder alone. Parts of it, and "
                "activation checkpoints, are for the encoder of one task, `encoders.of_task`."
            )
        places = len(x) // rows
        sizes = [places * rows for _, rows in self.parts or ()]
        return torch.cat(
            [
                y + self.scale * low_rank(layer, x, getattr(layer, f"lora_A_{name}"), getattr(layer, f"lora_B_{name}"))
                for (name, _), x, y in zip(self.parts or (), x.split(sizes), output.split(sizes), strict=True)
            ]
        )


def _rows_first(encoder: nn.Module, found: dict[str, nn.Module]) -> None:
    for name, m in encoder.named_modules():
        if isinstance(m, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer) and not m.self_attn.batch_first:
            if inside := [n for n in found if not name or n.startswith(f"{name}.")]:
                raise ValueError(
                    f"`{inside[0]}` is in a transformer layer where rows come second, and adapters of a task need them first: "
                    "build it with `batch_first=True`."
                )
