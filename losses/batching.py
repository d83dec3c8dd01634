"""`torch.func.vmap` for autograd functions whose forward writes in place."""

import torch
from torch import Tensor


def one_by_one(function):
    """Apply the autograd function `function()` to each element of the batch, and stack the results: a `vmap` rule."""

    def vmap(info, in_dims, *args):
        def element(i):
            pairs = zip(args, in_dims, strict=True)
            return [a.select(dim, i) if isinstance(a, Tensor) and dim is not None else a for a, dim in pairs]

        outputs = [function().apply(*element(i)) for i in range(info.batch_size)]
        return tuple(map(torch.stack, zip(*outputs, strict=True))), (0,) * len(outputs[0])

    return staticmethod(vmap)
