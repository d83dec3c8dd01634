"""A function in a process of its own, which a test can kill.

The process is a copy of one process that has imported everything: a test saves the seconds of the imports.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy

CONTEXT = multiprocessing.get_context("forkserver")
WARM = ["pytest", "scipy.stats", "torch._dynamo", "torch.utils.tensorboard", "adapt", "adapt.domain", "adapt.engine"]
CONTEXT.set_forkserver_preload([*WARM, "tests.ranks"])  # with what the trainer imports late


class Program:
    """``function(*arguments)``, with what it prints in `text`. Environment variables are given by name.

    `cold` starts a new process and not a copy: the process hashes text in its own way, so sets have another order.
    """

    def __init__(self, function: Callable, *arguments: Any, cold: bool = False, **environment: str):
        self.folder = tempfile.TemporaryDirectory()
        self.output = Path(self.folder.name, "output")
        self.output.touch()
        context = multiprocessing.get_context("spawn") if cold else CONTEXT
        self.process = context.Process(target=_run, args=(self.output, environment, function, arguments))
        self.process.start()
        assert self.process.pid is not None
        self.pid = self.process.pid

    @property
    def text(self) -> str:
        return self.output.read_text()

    @property
    def code(self) -> int | None:
        """The exit status, negative for a signal; None while the process lives."""
        return self.process.exitcode

    def until(self, reached: Callable[[], bool], seconds: float = 120) -> None:
        """Wait until something is reached; fail where the process ends before."""
        deadline = time.monotonic() + seconds
        while not reached():
            assert self.code is None and time.monotonic() < deadline, self.text
            time.sleep(0.01)

    def wait(self, seconds: float = 120) -> int:
        self.process.join(seconds)
        assert self.code is not None, self.text
        return self.code

    def kill(self) -> None:
        """Kill the process with its children."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()


def be_new() -> None:
    """Undo what a copy has in common with other copies, and a new process has not."""
    multiprocessing.set_start_method(None, force=True)  # "forkserver" otherwise, in workers of workers too
    numpy.random.seed()


def _run(output: Path, environment: dict[str, str], function: Callable, arguments: tuple) -> None:
    os.setpgrp()
    be_new()
    os.environ.update(environment)
    with output.open("wb") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    function(*arguments)
