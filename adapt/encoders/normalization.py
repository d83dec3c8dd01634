"""Batch normalisation over the rows of all ranks."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from losses import gather


class GlobalBatchNorm(nn.Module):
    r"""A BatchNorm layer with the mean and the variance of the rows of all ranks in training.

    Each rank r has the mean :math:`\mu_r` and the biased variance :math:`v_r`, over equal numbers of rows:
    :math:`\mu = \overline{\mu_r}`, :math:`v = \overline{v_r + (\mu_r - \mu)^2}`. Gradients flow through the gather, so
    several ranks give the gradients of one rank with all rows. The layer works on any backend; `torch.nn.SyncBatchNorm`
    needs a GPU.

    Args:
        layer: the BatchNorm layer. The new module has its parameters and buffers, under the same names.

    Raises:
        ValueError: a layer with ``momentum=None``.
    """

    running_mean: Tensor | None
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, layer: _BatchNorm):
        super().__init__()
        if layer.momentum is None:
            raise ValueError(
                "`momentum=None` (a cumulative average) is not supported across ranks: give the BatchNorm layers a "
                'momentum, or pass `batch_norm="rank"`.'
            )
        self.weight, self.bias = layer.weight, layer.bias
        self.eps, self.momentum, self.training = layer.eps, layer.momentum, layer.training
        self.register_buffer("running_mean", layer.running_mean)
        self.register_buffer("running_var", layer.running_var)
        self.register_buffer("num_batches_tracked", layer.num_batches_tracked)

    @property
    def recipe(self) -> tuple[str, dict[str, Any]] | None:
        sized = self.weight if self.weight is not None else self.running_mean
        if sized is None:
            return None
        kept = {"features": len(sized), "eps": self.eps, "momentum": self.momentum}
        parts = {"affine": self.weight is not None, "tracked": self.running_mean is not None}
        return "adapt.encoders.normalization.global_batch_norm", kept | parts

    def extra_repr(self) -> str:
        return f"eps={self.eps}, momentum={self.momentum}"

    def forward(self, x: Tensor) -> Tensor:
        if not self.training and self.running_mean is not None:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        wide = x if x.dtype == torch.float64 else x.float()
        dims = [0, *range(2, x.ndim)]
        var_r, mean_r = torch.var_mean(wide, dims, correction=0)
        means, variances = gather(torch.stack([mean_r, var_r])[None]).unbind(1)
        mean = means.mean(0)
        var = (variances + (means - mean).square()).mean(0)
        if self.running_mean is not None:
            count = len(means) * wide.numel() // wide.shape[1]
            with torch.no_grad():
                self.num_batches_tracked.add_(1)
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
                self.running_var.lerp_((var * count / max(count - 1, 1)).to(self.running_var.dtype), self.momentum)
        shape = [1, -1, *[1] * (x.ndim - 2)]
        scale = (var + self.eps).rsqrt() * (1 if self.weight is None else self.weight)
        # subtract the mean before scaling: in float32 the other order loses digits in the gradient
        out = (wide - mean.view(shape)) * scale.view(shape)
        return (out if self.bias is None else out + self.bias.view(shape)).to(x.dtype)


def global_batch_norm(features: int, eps: float, momentum: float, affine: bool, tracked: bool) -> GlobalBatchNorm:
    """Return a :class:`GlobalBatchNorm` of so many features, with the start of torch's layers."""
    return GlobalBatchNorm(nn.BatchNorm1d(features, eps, momentum, affine, tracked))


def synchronize_batch_norm(module: nn.Module) -> nn.Module:
    """Replace every BatchNorm layer inside `module` by a :class:`GlobalBatchNorm`, in place, and return `module`.

    Raises:
        ValueError: a layer with ``momentum=None``.
    """
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, GlobalBatchNorm(child))
        else:
            synchronize_batch_norm(child)
    return module
