"""Batches read by worker processes. A worker that dies, and a row that raises, are named."""

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch.multiprocessing import get_sharing_strategy
from torch.utils.data import DataLoader, Dataset

from adapt.streams.batch import Batch

Keys = list[tuple[int, int]]  # (epoch, row) of each row of a batch


class RowError(ValueError):
    """A row cannot be read: the dataset or an augmentation raised. The message names the stream and the row."""


class WorkerError(RuntimeError):
    """A worker process died, say for want of memory. The message names the stream and the rows."""


def read_by_workers(
    rows: Dataset,
    keys: Iterable[Keys],
    collate: Callable[[list[Any]], Batch],
    workers: int,
    name: str,
    *,
    pin: bool,
    prefetch_factor: int | None = None,
) -> Iterator[Batch]:
    """Return the batches of `keys` in order, read by `workers` processes, which start at once.

    Args:
        rows: items by (epoch, row).
        keys: of each batch.
        collate: from the items of a batch to the batch.
        workers: number of processes.
        name: of the stream, for messages.
        pin: whether batches lie in pinned memory, for a GPU.
        prefetch_factor: batches that each worker reads ahead; None for torch's default.
    """
    waiting: deque[Keys] = deque()

    def noted() -> Iterator[Keys]:
        for batch in keys:
            waiting.append(batch)
            yield batch

    loader = DataLoader(
        rows,
        batch_sampler=noted(),  # type: ignore[arg-type]  # pairs (epoch, row), where torch declares numbers
        num_workers=workers,
        collate_fn=collate,
        generator=torch.Generator(),  # else the loader draws a seed from the global generator
        worker_init_fn=begin,
        pin_memory=pin,
        prefetch_factor=prefetch_factor,
    )
    others, former = active_children(), _handler()
    batches = iter(loader)
    own = [process for process in active_children() if process not in others]
    return _named(batches, waiting, name, own, former)


def _named(
    batches: Iterator[Batch], waiting: deque[Keys], name: str, workers: list[BaseProcess], former: Any
) -> Iterator[Batch]:
    """Yield the batches. Torch's handler of SIGCHLD raises at any line of a training step, so the handler is in place
    only while a batch is awaited: a dead worker is noticed between two steps.
    """
    noticing = _handler()
    former = signal.SIG_DFL if former is noticing else former
    try:
        while True:
            _handle(noticing)
            try:
                if any(not process.is_alive() for process in workers):
                    raise RuntimeError("a worker is gone")
                batch = next(batches, None)
            except Exception as error:
                dead = [process.pid for process in workers if not process.is_alive()]
                error.__traceback__ = None  # which holds the loader in a cycle: its workers would end much later
                batches = iter(())
                if not dead and "DataLoader worker (pid" not in str(error):
                    raise
                whose = f"worker process {dead[0]} of stream `{name}`" if dead else "a worker process of another stream"
                rows = [row for _, row in waiting[0]][:8] if waiting else []
                raise WorkerError(
                    f"{whose} died while stream `{name}` waited for the batch of the rows {rows} ... ({error}). The "
                    "system ends processes for want of memory: take fewer `workers`, or read in the training process, "
                    "`workers=0`, which shows an error of the dataset."
                ) from error
            if batch is None:
                return
            waiting.popleft()
            _handle(former)
            yield batch
    finally:
        _handle(noticing)


def _handler() -> Any:
    """Return the handler of SIGCHLD; None where Python cannot put a handler back: on Windows, and a handler of C."""
    return signal.getsignal(signal.SIGCHLD) if sys.platform != "win32" else None


def _handle(handler: Any) -> None:
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, handler)


def begin(_: int) -> None:
    """Let a worker ignore Ctrl-C and the first SIGTERM, and try whether the worker can send a batch.

    A terminal sends both signals to all processes of a run. The training process ends the step, and then its workers. A
    second SIGTERM ends a worker.

    Torch sends batches in a thread, and an error there, such as a full disk, is lost: training would wait for ever. An
    error here is raised in the training process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL) and None)
    if sys.platform != "win32" and get_sharing_strategy() == "file_descriptor":
        from multiprocessing.reduction import DupFd  # not on Windows

        nothing = os.open(os.devnull, os.O_RDONLY)
        os.close(DupFd(nothing).detach())  # makes the folder and the socket that batches need
        os.close(nothing)
