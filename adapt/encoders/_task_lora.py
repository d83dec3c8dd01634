"""Low-rank adapters of each task beside shared adapters, in one pass over the rows of all tasks."""

import copy
from collections.abc import Sequence
from types import MethodType

import torch
from torch import Tensor, nn

from adapt.encoders._lora import add_adapter, computes_as_torch, low_rank, new_adapter, scale_of, unmerge
from adapt.encoders.adaptable_layers import adaptable_layers, called_layers
from adapt.protocols import TellsStreamsApart, offers


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

    A and B are the shared adapters of :func:`lora`, where `encoder` has shared adapters (call :func:`lora` first).
    `alpha` and `rank` give :math:`s_t` as in :func:`lora`. The rows of all streams go through the encoder together. W
    and the shared adapters see all rows; the adapters of a stream see the rows of the stream. No row sees the adapters
    of another stream. :math:`B_t` is zero at first: nothing changes before training.

    Args:
        encoder: the module that the trainer gets, not a part of the module.
        streams: names of the streams in the trainer: all streams whose features a term uses. All views of a stream
            belong to the stream.
        rank: of the adapters of each task; 4, half the default of the shared adapters (our choice).
        alpha: as in :func:`lora`; 8.
        rank_stabilized: as in :func:`lora`.
        only: which layers, as in :func:`lora`. ``None`` takes all Linear, and all Conv2d with ``groups=1``. Layers
            whose weight is read once for all rows (in an ``nn.MultiheadAttention``, in the attention of Swin) or
            computed in a way of its own (``ScaledStdConv2d``) are left out: only shared adapters fit there.

    Returns:
        The names of the adapted layers. The adapters are the parameters ``lora_A_<stream>`` and ``lora_B_<stream>`` of
        the layers.

    **A task is a stream.** Several tasks with labels on the same rows share a pass, and so share adapters. To separate
    the tasks give each task a stream, at the cost of a pass over the rows, or put :class:`adapt.heads.Bottleneck` on
    the features.

    **The stream of the rows** is announced before every pass. A trainer announces the stream in training. In evaluation
    the user names the stream: ``trainer.evaluate(head, dataset, stream="tagging")``, ``watch={"tagging": (head,
    dataset, "tagging")}``. By hand: ``encoder.announce_rows([("tagging", len(x))])`` before ``encoder(x)``.
    :func:`single_task` makes an encoder of one task, to keep, merge and ship. A pass without an announcement is an
    error.

    With a trainer's `balance` the adapters of a task are part of the encoder: the gradient of task t at the adapters
    has the weight :math:`b_t`, and counts in a Gramian ``at="parameters"``. For all weights to learn beside the
    adapters, call ``encoder.requires_grad_(True)``. Save the adapters with :func:`save_trainable_state`. Activation
    checkpoints call layers again after the pass: an error.

    In every adapted layer rows come first: inputs ``(n, ...)``, or ``(k n, ...)`` with the k places of a row one after
    another.

    Raises:
        ValueError: no stream, or repeated names; a rank below 1; no layer to adapt; a name that fits no layer; a
            transformer layer with ``batch_first=False``; an encoder that treats streams differently already. In a pass:
            an unknown stream, rows without an announcement, or another number of rows.

    Hu et al., LoRA, 2022, https://arxiv.org/abs/2106.09685; Agiza et al., MTLoRA, 2024,
    https://arxiv.org/abs/2403.20320

    >>> encoder = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> task_lora(encoder, ["translation", "tagging"], rank=2)
    ['0', '2']
    >>> encoder.announce_rows([("translation", 3), ("tagging", 2)])
    >>> encoder(torch.zeros(5, 4)).shape
    torch.Size([5, 2])
    """
    scale = scale_of(rank, alpha, rank_stabilized)
    _check_streams(streams)
    if offers(encoder, TellsStreamsApart):
        raise ValueError(
            f"this {type(encoder).__name__} treats streams differently already: it has an `announce_rows`."
        )
    found = called_layers(encoder, only, adaptable_layers(encoder, only, (nn.Linear, nn.Conv2d)), computes_as_torch)
    _check_rows_first(encoder, found)
    for name, p in encoder.named_parameters():
        p.requires_grad_(p.requires_grad and any(part.startswith(("lora_", "ia3_")) for part in name.split(".")))
    adapters = StreamAdapters(streams, scale)
    for layer in found.values():
        for name in streams:
            A, B = new_adapter(layer.weight, rank)
            layer.register_parameter(f"lora_A_{name}", A)
            layer.register_parameter(f"lora_B_{name}", B)
        adapters.handles.append(layer.register_forward_hook(adapters.add_to_output))
    adapters.handles.append(encoder.register_forward_pre_hook(adapters.start_pass))
    adapters.handles.append(encoder.register_forward_hook(adapters.end_pass, always_call=True))
    object.__setattr__(encoder, "announce_rows", adapters.announce_rows)  # a method, neither a parameter nor a module
    return list(found)


def single_task(encoder: nn.Module, stream: str) -> nn.Module:
    r"""Return a copy of `encoder` for one task: the shared adapters and the adapters of the task become one plain LoRA.

    .. math:: s\, B A + s_t B_t A_t = s\, [B, \tfrac{s_t}{s} B_t] \begin{bmatrix} A \\ A_t \end{bmatrix}

    The rank is the sum of both ranks. The copy needs no `announce_rows`; :func:`merge` adds the adapters to the
    weights.

    Args:
        encoder: adapted by :func:`task_lora`.
        stream: the task.

    Raises:
        ValueError: an encoder without adapters of tasks, or without adapters of the stream.
    """
    adapters = _adapters_of(encoder)
    if adapters is None or stream not in adapters.streams:
        known = "none: `task_lora` makes them" if adapters is None else list(adapters.streams)
        raise ValueError(f"`stream` must be one with adapters of its own, got {stream!r}; there are {known}.")
    single = copy.deepcopy(encoder)
    unmerge(single)
    copied = _adapters_of(single)
    assert copied is not None
    for handle in copied.handles:
        handle.remove()
    del single.announce_rows
    for layer in single.modules():
        own = dict(layer.named_parameters(recurse=False))
        if f"lora_A_{stream}" in own:
            for name in copied.streams:
                del layer._parameters[f"lora_A_{name}"], layer._parameters[f"lora_B_{name}"]
            add_adapter(layer, own[f"lora_A_{stream}"], own[f"lora_B_{stream}"], copied.scale)
    return single


class StreamAdapters:
    """The streams of the rows of a pass: one object for all layers of an encoder. A copy of the encoder has a copy."""

    def __init__(self, streams: Sequence[str], scale: float):
        self.streams, self.scale = tuple(streams), scale
        self.announced: list[tuple[str, int]] | None = None  # for the next pass
        self.parts: list[tuple[str, int]] | None = None  # of the present pass
        self.handles: list[torch.utils.hooks.RemovableHandle] = []

    def announce_rows(self, parts: Sequence[tuple[str, int]]) -> None:
        """Take note of the streams of the next pass, in order: the name of each stream and its number of rows."""
        parts = list(parts)
        if unknown := [name for name, _ in parts if name not in self.streams]:
            example = self.streams[0]
            raise ValueError(
                f"stream `{unknown[0]}` has no adapters: `task_lora` gave adapters to {self.streams}. "
                f'In evaluation name the stream, `trainer.evaluate(head, dataset, stream="{example}")`, '
                f'`watch={{name: (head, dataset, "{example}")}}`, or take the encoder of one task, '
                "`encoders.single_task`."
            )
        self.announced = parts

    def start_pass(self, encoder: nn.Module, inputs: tuple) -> None:
        """Use the announcement for this pass: a forward pre-hook of the encoder."""
        if self.announced is None:
            raise ValueError(
                f"this encoder has adapters for each of {self.streams} and the stream of these rows is not known: call "
                "`encoder.announce_rows([(stream, rows), ...])` before each pass, or take "
                "`encoders.single_task(encoder, stream)`."
            )
        self.parts, self.announced = self.announced, None

    def end_pass(self, encoder: nn.Module, inputs: tuple, output: Tensor) -> None:
        """Check the number of rows: a forward hook of the encoder."""
        parts, self.parts = self.parts, None
        if parts is not None and output is not None and len(output) != sum(rows for _, rows in parts):
            raise ValueError(
                f"a pass of {len(output)} rows was announced to `announce_rows` as {parts}: the numbers must agree."
            )

    def add_to_output(self, layer: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        """Add the adapters of each stream to the rows of the stream: a forward hook of a layer."""
        x, rows = inputs[0], sum(rows for _, rows in self.parts or ())
        if not rows or len(x) % rows:
            raise ValueError(
                f"a {type(layer).__name__} with adapters for each stream was called on {tuple(x.shape)} "
                f"while the pass of the encoder was {self.parts}: expected rows first, and a call by the encoder alone."
                " For a call of a part, and for activation checkpoints, take the encoder of one task, "
                "`encoders.single_task`."
            )
        places = len(x) // rows
        sizes = [places * rows for _, rows in self.parts or ()]
        parts = zip(self.parts or (), x.split(sizes), output.split(sizes), strict=True)
        return torch.cat([y + self.scale * self._low_rank(layer, name, x) for (name, _), x, y in parts])

    def _low_rank(self, layer: nn.Module, name: str, x: Tensor) -> Tensor:
        own = layer._parameters  # in every pass: get_parameter takes twenty times as long
        A, B = own[f"lora_A_{name}"], own[f"lora_B_{name}"]
        assert A is not None and B is not None
        return low_rank(layer, x, A, B)


def _adapters_of(encoder: nn.Module) -> StreamAdapters | None:
    method = vars(encoder).get("announce_rows")
    owner = method.__self__ if isinstance(method, MethodType) else None
    return owner if isinstance(owner, StreamAdapters) else None


def _check_streams(streams: Sequence[str]) -> None:
    if isinstance(streams, str) or not streams or len(set(streams)) < len(streams):
        raise ValueError(f"`streams` must be a sequence of different names, at least one, got {streams!r}.")
    if wrong := [name for name in streams if not name or "." in name]:
        raise ValueError(f"`streams` must have names that are not empty and without dots, got {wrong}.")


def _check_rows_first(encoder: nn.Module, found: dict[str, nn.Module]) -> None:
    for name, m in encoder.named_modules():
        if isinstance(m, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer) and not m.self_attn.batch_first:
            if inside := [n for n in found if not name or n.startswith(f"{name}.")]:
                raise ValueError(
                    f"`{inside[0]}` is in a transformer layer where rows come second, and adapters of a task need rows "
                    "first: build the transformer layer with `batch_first=True`."
                )
