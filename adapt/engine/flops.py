"""Parameters and floating-point operations of a network."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from adapt.engine._model import Model
from adapt.engine._trainer import Trainer
from adapt.engine.export import Together
from adapt.evaluating import evaluating
from adapt.streams.tree import tensors

# the work of these operators is a few operations per element: by convention of torch's counter they do not count
PER_ELEMENT = set("""
    _adaptive_avg_pool2d adaptive_max_pool2d add amax amin any arange argmax argmin avg_pool1d avg_pool2d
    avg_pool3d _batch_norm_with_update bernoulli bincount cat clone constant_pad_nd contiguous copy cumsum detach
    diagonal_copy dropout embedding embedding_dense_backward empty empty_like empty_strided fill full full_like
    _fused_rms_norm gather glu hardsigmoid hardswish hardtanh index index_put index_select lift_fresh
    linalg_vector_norm linspace log_sigmoid_forward _log_softmax log_softmax _log_softmax_backward_data logsumexp
    masked_fill max max_pool2d_with_indices max_pool3d_with_indices mean min native_batch_norm
    _native_batch_norm_legit_no_training native_dropout native_group_norm native_layer_norm new_empty
    new_empty_strided new_full new_ones new_zeros nll_loss norm one_hot ones ones_like pad prelu _prelu_kernel
    prod rand rand_like randn reflection_pad1d reflection_pad2d repeat_interleave replication_pad2d roll
    _safe_softmax scatter scatter_add select slice _softmax softmax _softmax_backward_data split
    split_with_sizes_copy squeeze stack sum _thnn_fused_gru_cell _thnn_fused_lstm_cell _to_copy transpose unbind
    unfold unsafe_chunk _unsafe_index unsafe_split _unsafe_view unsqueeze upsample_bicubic2d upsample_bilinear2d
    upsample_nearest1d upsample_nearest2d var var_mean where zero zeros zeros_like
""".split())  # fmt: skip


class Parameters(NamedTuple):
    """Numbers of parameters.

    Attributes:
        trainable: parameters that learn.
        total: all parameters. A parameter that several modules share counts once.
    """

    trainable: int
    total: int


class Flops(NamedTuple):
    """Floating-point operations per row.

    Attributes:
        forward: of a prediction; None where torch can count no operator that works.
        training: of a prediction and its gradients; None where no parameter learns, or as for `forward`.
        not_counted: operators whose work torch cannot count, with the number of calls. Empty: everything is counted.
    """

    forward: float | None
    training: float | None
    not_counted: dict[str, int]


def parameters(module: nn.Module | Model | Trainer) -> Parameters:
    """Count the parameters of a module, of a model (encoder and head), or of all modules of a trainer.

    Args:
        module: of a trainer, the parameters that an optimizer updates are trainable; elsewhere, the parameters with
            ``requires_grad``.

    >>> frozen = nn.Linear(3, 5).requires_grad_(False)
    >>> parameters(nn.Sequential(frozen, nn.Linear(5, 2)))
    Parameters(trainable=12, total=32)
    """
    if isinstance(module, Trainer):
        learning = {p for update in module.updates for p in update.parameters}
        return Parameters(sum(p.numel() for p in learning), _count(module.network))
    network = Together(module.encoder, module.head) if isinstance(module, Model) else module
    return Parameters(sum(p.numel() for p in network.parameters() if p.requires_grad), _count(network))


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def flops(module: nn.Module | Model, inputs: Any) -> Flops:
    r"""Count the floating-point operations of a module per row of a batch.

    ``torch.utils.flop_counter`` counts two operations for each multiplication and addition in matrix products,
    convolutions and attention:

    .. math:: 2 \, m \, k \, n \;\text{ for } (m, k) \times (k, n), \qquad
              2 \, c_{in} \, c_{out} \, k_h \, k_w \, h \, w \, / \, groups
              \;\text{ for a convolution with } (h, w) \text{ outputs}

    Operators with a few operations per element, such as activations, normalisation and pooling, do not count. During
    the count attention and recurrent layers are computed by plain matrix products, because torch cannot count all
    fused kernels. Operators of other kinds, such as eigenvalues, sorting or Fourier transforms, are listed in
    `not_counted`: with a listed operator the numbers are too small.

    Args:
        module: a module from inputs to a tensor or a tree of tensors, or a model. Modes and gradients stay as they are.
        inputs: a batch, a tree of tensors with rows along the first axis, on the device of the module.

    Returns:
        A :class:`Flops`. The gradients are the gradients of the learning parameters, in evaluation mode.

    >>> flops(nn.Linear(10, 20), torch.zeros(4, 10))
    Flops(forward=400.0, training=800.0, not_counted={})
    """
    network = Together(module.encoder, module.head) if isinstance(module, Model) else module
    rows = len(next(iter(tensors(inputs))))
    learning = [p for p in network.parameters() if p.requires_grad]
    with evaluating(network), counting() as forward:
        network(inputs)
    if not learning:
        return Flops(forward.per_row(rows), None, dict(forward.missed))
    with evaluating(network), torch.enable_grad(), counting() as both:
        made = [t.sum() for t in tensors(network(inputs)) if t.requires_grad]
        torch.autograd.grad(made, learning, allow_unused=True)
    return Flops(forward.per_row(rows), both.per_row(rows), dict(both.missed))


class Counting(TorchDispatchMode):
    """The counter of torch, and a list of the operators that the counter does not know.

    Attributes:
        missed: operators that are not counted and whose work is not a few operations per element.
    """

    def __init__(self) -> None:
        from torch.utils.flop_counter import FlopCounterMode  # imports triton

        super().__init__()
        self.counter = FlopCounterMode(
            display=False, custom_mapping={torch.ops.aten.convolution_backward: _convolution_backward}
        )
        self.missed: Counter[str] = Counter()

    @property
    def operations(self) -> int:
        """The operations so far."""
        return self.counter.get_total_flops()

    def per_row(self, rows: int) -> float | None:
        """Return the operations per row; None where only operators without a count have worked."""
        return None if self.missed and not self.operations else self.operations / rows

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        cheap = func.is_view or torch.Tag.pointwise in func.tags
        plain = name.removesuffix("_").removesuffix("_backward")
        if not cheap and plain not in PER_ELEMENT and func.overloadpacket not in self.counter.flop_registry:
            self.missed[name] += 1
        return func(*args, **(kwargs or {}))


@contextmanager
def counting() -> Iterator[Counting]:
    """Count the operators of a block, with attention and recurrent layers as plain matrix products."""
    found = Counting()
    mkldnn: Any = torch.backends.mkldnn  # torch types the switch as a property of the module
    cudnn: Any = torch.backends.cudnn
    before = torch.backends.mha.get_fastpath_enabled(), mkldnn.enabled, cudnn.enabled
    torch.backends.mha.set_fastpath_enabled(False)
    mkldnn.enabled = cudnn.enabled = False
    try:
        with sdpa_kernel(SDPBackend.MATH), found, found.counter:
            yield found
    finally:
        torch.backends.mha.set_fastpath_enabled(before[0])
        mkldnn.enabled, cudnn.enabled = before[1:]


def _convolution_backward(
    grad: Sequence[int], x: Sequence[int], weight: Sequence[int], *settings: Any, **out: Any
) -> int:
    """Return the operations of a convolution's gradients: as many as forward for the inputs, as many for the weights.

    The formula of torch 2.14 forgets the groups: for a depthwise convolution it is too large by the number of channels.
    """
    *_, transposed, _, _, (to_inputs, to_weight, _) = settings
    places = (x if transposed else grad)[2:]
    once = 2 * grad[0] * math.prod(places) * math.prod(weight)
    return once * (bool(to_inputs) + bool(to_weight))
