"""Joules from the counters of devices. No number is made up where a device has no counter."""

import ctypes
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

POWERCAP = Path("/sys/class/powercap")
NVML = "libnvidia-ml.so.1"


class Meters:
    """The counters of energy of this machine, read at the start.

    Attributes:
        names: of the devices with a counter.
        why: the reasons of devices in use without a counter.
    """

    def __init__(self) -> None:
        self._counters: dict[str, tuple[Callable[[], float], float]] = {}  # joules so far; where it starts again at 0
        self.why = "; ".join(reason for reason in (self._find_gpus(), self._find_processors()) if reason)
        self._start = {name: read() for name, (read, _) in self._counters.items()}

    @property
    def names(self) -> list[str]:
        return list(self._counters)

    def joules(self) -> float | None:
        """Return the joules of all devices since the start, or None without a counter."""
        try:
            used = [(read() - self._start[name]) % wraps for name, (read, wraps) in self._counters.items()]
        except (OSError, ValueError) as error:
            self.why = f"a counter was lost during the block: {error}"
            return None
        return sum(used) if used else None

    def _find_processors(self) -> str:
        packages = [path for path in sorted(POWERCAP.glob("*-rapl:*")) if path.name.count(":") == 1]
        for path in packages:
            try:
                _joules(path / "energy_uj")
                wraps = _joules(path / "max_energy_range_uj")
            except (OSError, ValueError):
                return "the counter of the processor (RAPL) is closed to this user"
            self._counters[path.name] = partial(_joules, path / "energy_uj"), wraps
        return "" if packages else "the processor shows no counter of energy (RAPL)"

    def _find_gpus(self) -> str:
        if not torch.cuda.is_initialized():
            return ""
        try:
            nvml = ctypes.CDLL(NVML)
        except OSError:
            return f"the library of the GPU's counters ({NVML}) is not there"
        if nvml.nvmlInit_v2() != 0:
            return "the library of the GPU's counters (NVML) does not start"
        for gpu in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(gpu)
            read = _nvml_counter(nvml, f"GPU-{facts.uuid}")
            if read is None:
                return f"GPU {gpu} ({facts.name}) tells no energy"
            self._counters[f"GPU {gpu} ({facts.name})"] = read, float("inf")
        return ""


def _joules(path: Path) -> float:
    return int(path.read_text()) / 1e6


def _nvml_counter(nvml: ctypes.CDLL, uuid: str) -> Callable[[], float] | None:
    """Return a function for the joules of a GPU since the driver was loaded, or None without a counter."""
    handle, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()
    if nvml.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(handle)) != 0:
        return None

    def read() -> float:
        if nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules)) != 0:
            raise OSError("the GPU has stopped to tell its energy")
        return millijoules.value / 1000

    try:
        read()
    except OSError:
        return None
    return read
