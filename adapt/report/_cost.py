"""Time, memory and energy of a block of code."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from adapt.report._energy import Meters
from losses.options import COUNT, check, or_none

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(eq=False)
class Spent:
    """What a block of code has cost; complete when the block ends.

    Attributes:
        seconds: wall time.
        processor_seconds: time of the processor cores, all threads together, with child processes that ended inside
            the block. The number grows less than the wall time where the block waits for other programs.
        rows: the number of rows that the block worked on. The body of the block may set ``spent.rows``.
        peak_memory: bytes of this process in main memory at the highest point, above the start of the block.
        device_memory: bytes that tensors occupied on the GPU at the highest point, above the start of the block. With
            several GPUs, of the GPU with the largest number.
        energy: joules of the whole devices in `meters`, with other programs on the same devices.
        meters: the names of the devices that measured energy.
        why: for each of `peak_memory`, `device_memory` and `energy` that is None, the reason; for `energy` also the
            devices in use that have no counter.
    """

    seconds: float = 0.0
    processor_seconds: float = 0.0
    rows: int | None = None
    peak_memory: int | None = None
    device_memory: int | None = None
    energy: float | None = None
    meters: list[str] = field(default_factory=list)
    why: dict[str, str] = field(default_factory=dict)

    @property
    def rows_per_second(self) -> float | None:
        """`rows` per second of wall time; None where `rows` is None."""
        return self.rows / self.seconds if self.rows is not None and self.seconds else None

    def as_dict(self) -> dict[str, Any]:
        """Return all numbers as json."""
        return {**vars(self), "rows_per_second": self.rows_per_second}


def cost(rows: int | None = None) -> AbstractContextManager[Spent]:
    """Measure time, memory and energy of a ``with`` block.

    Nothing is estimated. A number that the machine does not tell is None, and ``spent.why`` has the reason.

    - Memory of the process: the high-water mark of the resident memory, which Linux lets a process reset, minus the
      resident memory at the start. Memory of child processes does not count. Blocks may be nested.
    - Memory of the GPU: ``torch.cuda.max_memory_allocated`` minus the allocated memory at the start. The block resets
      the peak counters of ``torch.cuda``.
    - Energy: the counters of NVIDIA GPUs (NVML) and of the processor (RAPL), where the system lets a program read both.

    A block waits for the GPU at the start and at the end. The clock of a first block contains compilation and the first
    allocations.

    Args:
        rows: the number of rows that the block works on, for ``spent.rows_per_second``.

    Returns:
        A context manager. ``as`` gives a :class:`Spent`, complete after the block, also after an error.

    >>> with cost(rows=1000) as spent:
    ...     _ = torch.randn(1000, 10) @ torch.randn(10, 10)
    >>> spent.seconds > 0, spent.rows_per_second > 0
    (True, True)
    """
    check(or_none(COUNT), rows=rows)
    return _measuring(Spent(rows=rows))


@contextmanager
def _measuring(spent: Spent) -> Iterator[Spent]:
    host, device, meters = _Host(), _Devices(), Meters()
    processor, start = _processor_seconds(), time.perf_counter()
    try:
        yield spent
    finally:
        device.wait()
        spent.seconds = time.perf_counter() - start
        spent.processor_seconds = _processor_seconds() - processor
        spent.energy, spent.meters = meters.joules(), list(meters.names)
        spent.peak_memory, spent.device_memory = host.peak(), device.peak()
        found = (("peak_memory", spent.peak_memory, host.why), ("device_memory", spent.device_memory, device.why))
        spent.why = {name: why for name, value, why in found if value is None}
        if meters.why:
            spent.why["energy"] = meters.why


def _processor_seconds() -> float:
    found = os.times()
    return found.user + found.system + found.children_user + found.children_system


class _Host:
    """The high-water mark of this process above the resident memory at the start."""

    why = "the system does not tell the highest memory of a block: Linux does, where /proc is open to the process"
    open: list["_Host"] = []  # a reset for an inner block must not lower the mark of an outer block

    def __init__(self) -> None:
        self.start = self.highest = 0
        try:
            self._note()
            RESET.write_text("5")
            self.start = self.highest = _resident("VmRSS")
            self.open.append(self)
        except (OSError, ValueError):
            self.start = -1

    def _note(self) -> None:
        mark = _resident("VmHWM")
        for block in self.open:
            block.highest = max(block.highest, mark)

    def peak(self) -> int | None:
        if self.start < 0:
            return None
        self._note()
        self.open.remove(self)
        return max(0, self.highest - self.start)


def _resident(name: str) -> int:
    """Return a number of /proc/self/status in bytes."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    if found is None:
        raise ValueError(f"{STATUS} does not tell {name}.")
    return 1024 * int(found[1])


class _Devices:
    """The peak of the memory of tensors on each GPU."""

    why = "no GPU that tells the highest memory was in use"
    open: list["_Devices"] = []

    def __init__(self) -> None:
        self.start: dict[int, int] = {}
        self.highest: dict[int, int] = {}
        self.wait()
        self._note()
        for gpu in _gpus():
            torch.cuda.reset_peak_memory_stats(gpu)
            self.start[gpu] = torch.cuda.memory_allocated(gpu)
        self.open.append(self)

    def _note(self) -> None:
        for gpu in _gpus():
            for block in self.open:
                block.highest[gpu] = max(block.highest.get(gpu, 0), torch.cuda.max_memory_allocated(gpu))

    @staticmethod
    def wait() -> None:
        for gpu in _gpus():
            torch.cuda.synchronize(gpu)

    def peak(self) -> int | None:
        self._note()
        self.open.remove(self)
        return max((high - self.start.get(gpu, 0) for gpu, high in self.highest.items()), default=None)


def _gpus() -> range:
    """Return the numbers of the GPUs; none where this process has not used a GPU yet."""
    return range(torch.cuda.device_count() if torch.cuda.is_initialized() else 0)
