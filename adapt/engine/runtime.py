"""Devices and ranks: the few collectives of `torch.distributed` behind the engine, under `torchrun`."""

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from losses import gather

__all__ = [
    "average",
    "average_buffers",
    "average_gradients",
    "broadcast",
    "gather",
    "gather_objects",
    "leave_word",
    "rank",
    "seed_dropout",
    "start",
    "wait",
    "word_of_others",
    "world_size",
]

T = TypeVar("T")


def start(device: str | torch.device | None = None) -> torch.device:
    """Join the process group of ``torchrun``, if any, and return the device of this rank.

    Without a `device`: the GPU of ``LOCAL_RANK``, else the CPU. NCCL on GPUs, gloo on CPUs.
    """
    gpu = torch.cuda.is_available() if device is None else checked(device).type == "cuda"
    local = int(os.environ.get("LOCAL_RANK", 0))
    if int(os.environ.get("WORLD_SIZE", 1)) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if gpu else "gloo")
    if not gpu:
        return torch.device(device or "cpu")
    chosen = torch.device(device or "cuda")
    chosen = torch.device("cuda", local if chosen.index is None else chosen.index)
    torch.cuda.set_device(chosen)
    return chosen


def checked(device: torch.device | str) -> torch.device:
    """Return the device, after a look at whether it is there.

    Raises:
        ValueError: a GPU that torch does not find, or an unknown name.
    """
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f'`device` must be a device of torch, got {device!r}: give "cpu" or "cuda".') from error
    count = torch.cuda.device_count() if found.type == "cuda" else 1
    if (found.index or 0) >= count and found.type == "cuda":
        raise ValueError(
            f"`device` must be a device of this machine, got {str(found)!r} where torch finds {count} GPUs: leave "
            '`device` out, or give "cpu".'
        )
    return found


def world_size() -> int:
    """Return the number of ranks; 1 without `torch.distributed`."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this rank, from 0; 0 without `torch.distributed`."""
    return dist.get_rank() if world_size() > 1 else 0


def wait() -> None:
    """Wait until every rank has reached this line."""
    if world_size() > 1:
        dist.barrier()


def broadcast(module: nn.Module) -> None:
    """Send the parameters and buffers of rank 0 to all ranks.

    Raises:
        ValueError: on every rank, where the ranks have other names, shapes or dtypes.
    """
    if world_size() > 1:
        named = [*module.named_parameters(), *module.named_buffers()]  # a state may hold more than tensors
        kinds = {name: f"{tuple(t.shape)} {t.dtype}" for name, t in named}
        for number, other in enumerate(everyone := gather_objects(kinds)):
            first = everyone[0]
            for name in {**first, **other}:
                if first.get(name) != other.get(name):
                    raise ValueError(
                        f"all ranks must have the same modules, and `{name}` is {first.get(name, 'absent')} on rank 0 "
                        f"and {other.get(name, 'absent')} on rank {number}: give every rank the same blocks and data."
                    )
        for tensor in [*module.parameters(), *module.buffers()]:
            dist.broadcast(tensor.detach(), 0)


def average(vector: Tensor) -> Tensor:
    """Return the mean of a tensor over the ranks; on a single rank, the tensor without a copy."""
    if world_size() == 1:
        return vector
    vector = vector.clone()
    dist.all_reduce(vector)
    return vector / world_size()


def gather_objects(value: T) -> list[T]:
    """Return the values of all ranks, in the order of the ranks. Values are pickled; tensors lie on the CPU."""
    if world_size() == 1:
        return [value]
    found: list[Any] = [None] * world_size()
    dist.all_gather_object(found, value)
    return found


def leave_word(step: int, word: str) -> None:
    """Tell the other ranks why this rank ends, in the store of the process group: they may wait for this rank."""
    with suppress(RuntimeError, ValueError):  # the store has ended with another rank
        dist.distributed_c10d._get_default_store().set(f"adapt {step} {rank()}", word)


def word_of_others(step: int) -> str | None:
    """Return which rank has ended at `step`, and why; None where no rank has said so."""
    with suppress(RuntimeError, ValueError):
        store = dist.distributed_c10d._get_default_store()
        for other in range(world_size()):
            if other != rank() and store.check([f"adapt {step} {other}"]):
                return f"rank {other} ended: {store.get(f'adapt {step} {other}').decode()}"
    return None


def average_gradients(parameters: Iterable[nn.Parameter], loss: Tensor) -> Tensor:
    """Average ``.grad`` over the ranks in place, with a collective per dtype, and return the averaged loss.

    A rank without a gradient of a parameter adds zeros. A parameter without a gradient on every rank stays without; a
    rank with such a parameter waits for its device.

    The loss is part of the same buffer: all ranks see a NaN of a single rank at once.
    """
    loss = loss.detach()
    if world_size() == 1:
        return loss
    by_dtype: dict[torch.dtype, list[nn.Parameter]] = {}
    for parameter in parameters:
        by_dtype.setdefault(parameter.dtype, []).append(parameter)
    for dtype, group in by_dtype.items():
        there = torch.ones(len(group), dtype=dtype, device=loss.device)
        for flag, p in zip(there, group, strict=True):
            if p.grad is None:
                flag.zero_()  # no copy from the host, which would wait for the device
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in group]
        flat = average(torch.cat([*(g.flatten() for g in grads), there, loss.to(dtype).view(1)]))
        somewhere = flat[-len(group) - 1 : -1]
        parts = flat[: -len(group) - 1].split([g.numel() for g in grads])
        for p, grad, part, found in zip(group, grads, parts, somewhere, strict=True):
            if p.grad is None and found > 0:
                p.grad = grad
            grad.copy_(part.view_as(grad))
        loss = flat[-1].to(loss.dtype)
    return loss


def average_buffers(module: nn.Module) -> None:
    """Replace floating buffers, such as running statistics of BatchNorm, by the mean over the ranks."""
    if world_size() > 1:
        for buffer in module.buffers():
            if buffer.is_floating_point():
                buffer.copy_(average(buffer))


def seed_dropout(number: int, device: torch.device) -> None:
    """Seed the generators of the CPU and of `device`: modules draw from both.

    ``torch.manual_seed`` seeds every accelerator and costs 160 microseconds in place of two.
    """
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index].manual_seed(number)
    elif device.type == "mps":
        torch.mps.manual_seed(number)
