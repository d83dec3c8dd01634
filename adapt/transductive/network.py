"""A network that adapts at test time: the copy of a model, the layers that normalise, and what may learn."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from adapt.encoders import Encoder
from adapt.encoders.normalization import GlobalBatchNorm
from adapt.engine.step import at_least_float32
from adapt.protocols import TellsStreamsApart, offers

NORMS = (_BatchNorm, GlobalBatchNorm, nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.RMSNorm)


class Network(nn.Module):
    """An encoder and a head as one module from inputs to logits of at least float32, in evaluation mode.

    Args:
        encoder, head: are kept, not copied. No parameter asks for a gradient.
        classes: number of logits.
        stream: the stream of the rows, for an encoder that tells streams apart.
        bf16: the type of the device where autocast is on, or None.
    """

    def __init__(
        self, encoder: nn.Module, head: nn.Module, classes: int, stream: str | None = None, bf16: str | None = None
    ):
        super().__init__()
        self.encoder, self.head, self.classes, self._stream, self._bf16 = encoder, head, classes, stream, bf16
        self.eval().requires_grad_(False)

    def features(self, x: Any) -> Tensor:
        if offers(self.encoder, TellsStreamsApart):
            self.encoder.announce_rows([(self._stream or "source", _rows(x))])
        with self._precision():
            return self.encoder(x)

    def logits(self, features: Tensor) -> Tensor:
        with self._precision():
            return at_least_float32(self.head(features))

    def forward(self, x: Any) -> Tensor:
        return self.logits(self.features(x))

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._bf16 or "cpu", torch.bfloat16, enabled=self._bf16 is not None)


def _rows(x: Any) -> int:
    while not isinstance(x, Tensor):
        x = next(iter(x.values() if isinstance(x, Mapping) else x))
    return len(x)


class TargetNorm(nn.Module):
    r"""A BatchNorm layer with statistics of the target: see :func:`adapt.transductive.adabn`.

    .. math:: \mu = (1 - s)\, \mu_S + s\, \mu_T, \qquad v = (1 - s)\, v_S + s\, v_T

    Args:
        layer: the BatchNorm layer with the statistics of the source; weight and bias are shared.
        share: s.
        prior: rows that the source counts for: :math:`s = n / (n + \text{prior})` times `share`.
        window: rows of memory of :math:`\mu_T, v_T`; None is the batch alone.
    """

    source_mean: Tensor
    source_var: Tensor
    mean: Tensor
    var: Tensor

    def __init__(self, layer: Any, share: float, prior: float, window: int | None):
        super().__init__()
        self.weight, self.bias, self.eps = layer.weight, layer.bias, layer.eps
        self.share, self.prior, self.window = share, prior, window
        self.moves = True  # off: the memory stays as it is
        for name, value in (("mean", layer.running_mean), ("var", layer.running_var)):
            self.register_buffer(f"source_{name}", value.clone())
            self.register_buffer(name, value.clone())

    def forward(self, x: Tensor) -> Tensor:
        alone = self.window is None and x.numel() == x.shape[1]  # one value has no variance: the source's statistics
        if alone or (self.window is not None and not self.moves):
            mean, var = (self.source_mean, self.source_var) if alone else self._mixed(self.mean, self.var, len(x))
            return F.batch_norm(x, mean, var, self.weight, self.bias, eps=self.eps)
        if self.share == 1 and not self.prior and self.window is None:
            return F.batch_norm(x, None, None, self.weight, self.bias, True, eps=self.eps)
        wide = at_least_float32(x)
        mean, var = _moments(wide)
        if self.window is not None:
            mean, var = self._remembered(mean, var, len(x))
        mean, var = self._mixed(mean, var, len(x))
        if not mean.requires_grad:
            return F.batch_norm(x, mean, var, self.weight, self.bias, eps=self.eps)
        shape = [1, -1, *[1] * (x.ndim - 2)]
        out = (wide - mean.view(shape)) * (var + self.eps).rsqrt().view(shape)
        if self.weight is not None:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(x.dtype)

    def _remembered(self, mean: Tensor, var: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        """Return the mean and the variance of the memory with the batch, and keep both."""
        new = 1 - (1 - 1 / self.window) ** rows if self.window else 1.0
        away, mean, var = mean - self.mean, mean.to(self.mean), var.to(self.var)
        var = self.var.lerp(var, new).addcmul(away, away, value=new * (1 - new))
        mean = self.mean.lerp(mean, new)
        self.mean.copy_(mean.detach())
        self.var.copy_(var.detach())
        return mean, var

    def _mixed(self, mean: Tensor, var: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        s = self.share * rows / (rows + self.prior)
        return self.source_mean.lerp(mean.to(self.source_mean), s), self.source_var.lerp(var.to(self.source_var), s)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the biased variance of each channel."""
    if torch.is_grad_enabled():
        var, mean = torch.var_mean(x, [0, *range(2, x.ndim)], correction=0)
        return mean, var
    # the step inside of torch's batch norm, without gradient: 10 to 40 times as fast as `var_mean` on a CPU
    return torch.batch_norm_update_stats(x, None, None, 0.0)


def use_target_statistics(network: Network, share: float, prior: float, window: int | None) -> list[TargetNorm]:
    """Replace the BatchNorm layers that keep statistics, in place, and return the new layers."""
    found = []
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, _BatchNorm | GlobalBatchNorm) and layer.running_mean is not None:
                new = TargetNorm(layer, share, prior, window)
                setattr(parent, name, new)
                found.append(new)
    return found


@contextmanager
def resting(network: nn.Module) -> Iterator[None]:
    """Keep the memory of the normalisation layers as it is for the length of a block."""
    layers = [layer for layer in network.modules() if isinstance(layer, TargetNorm)]
    try:
        for layer in layers:
            layer.moves = False
        yield
    finally:
        for layer in layers:
            layer.moves = True


@torch.no_grad()
def plain(network: nn.Module, x: Any) -> Tensor:
    """Return log-probabilities, without any change of the network."""
    with resting(network):
        return network(x).log_softmax(1)


def normalisation_weights(network: Network, method: str, *, last: bool = True) -> list[nn.Parameter]:
    """Return the weights and biases of the normalisation layers.

    Args:
        method: who asks, for the message.
        last: whether the last layer of an encoder with named layers counts; it counts where no other layer has any.

    Raises:
        ValueError: no such weight.
    """
    norms = [layer for layer in network.modules() if isinstance(layer, (*NORMS, TargetNorm))]
    if not last and isinstance(network.encoder, Encoder) and network.encoder.layers:
        left_out = set(list(network.encoder.layers.values())[-1].modules())
        norms = [layer for layer in norms if layer not in left_out] or norms
    found = [parameter for layer in norms for parameter in layer.parameters(recurse=False)]
    if not found:
        raise ValueError(
            f"{method} changes the weights of normalisation layers, and the model has none: take an encoder with "
            "BatchNorm, LayerNorm or GroupNorm, or `transductive.lame()` or `transductive.t3a()`, which leave the "
            "encoder as it is."
        )
    return found


class Tuner(nn.Module):
    """A network whose normalisation weights learn from batches without labels.

    Args:
        network: becomes the tuner's.
        method: the name, for messages.
        rate: learning rate for a batch of at least `rows` rows; smaller batches learn in proportion.
        adam: Adam, else SGD with momentum 0.9.
        share, window: of the BatchNorm statistics.
        last: whether the last layer of the encoder learns.
    """

    def __init__(
        self, network: Network, method: str, *, rate: float, rows: int, adam: bool, share: float, window: int | None,
        last: bool = True,
    ):  # fmt: skip
        super().__init__()
        use_target_statistics(network, share, 0, window)
        self.network, self.rate, self.rows = network, rate, rows
        self.learning = normalisation_weights(network, method, last=last)
        for parameter in self.learning:
            parameter.requires_grad_(True)
        self._start = [parameter.detach().clone() for parameter in self.learning]
        made: Any = torch.optim.Adam(self.learning, rate) if adam else torch.optim.SGD(self.learning, rate, 0.9)
        self.optimizer: torch.optim.Optimizer = made

    @property
    def start(self) -> list[Tensor]:
        """The weights at the start, in the order of `learning`."""
        return self._start

    def forward(self, x: Any) -> Tensor:
        return self.network(x)

    def step(self, loss: Tensor, rows: int) -> None:
        """Take one step down the loss of a batch of so many rows."""
        loss.backward()
        self.update(rows)

    def update(self, rows: int) -> None:
        """Take one step along the gradients that are there, and forget the gradients."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * min(1.0, rows / self.rows)
        self.optimizer.step()
        self.optimizer.zero_grad()

    @torch.no_grad()
    def go_back(self, share: float = 1.0) -> None:
        """Move the weights back to the start, by a share of the way; the whole way forgets the optimizer too."""
        for parameter, first in zip(self.learning, self._start, strict=True):
            parameter.lerp_(first.to(parameter), share)
        if share == 1:
            self.optimizer.state.clear()

    def get_extra_state(self) -> Any:
        return self.optimizer.state_dict()

    def set_extra_state(self, state: Any) -> None:
        self.optimizer.load_state_dict(state)

    def _apply(self, fn: Any, recurse: bool = True) -> "Tuner":
        super()._apply(fn, recurse)
        self._start = [fn(tensor) for tensor in self._start]
        return self


def entropy(logits: Tensor) -> Tensor:
    """Return ``(n,)``, the entropy of each row of ``(n, classes)`` logits in nats."""
    log_p = logits.log_softmax(1)
    return -(log_p.exp() * log_p).sum(1)
