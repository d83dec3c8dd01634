"""Ctrl-C and SIGTERM: a run ends between two steps, so nothing of a step is lost or half done."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from adapt.engine import runtime

USUAL: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
EVERY = 5.0  # seconds between two agreements of the ranks


class Signals:
    """Holds the first SIGINT or SIGTERM until the end of the step; a second signal has the usual effect at once.

    Used as a context. Nothing is held outside of the main thread, and no signal that has a handler of the user or is
    ignored. The usual handlers are there again after the block.

    Several ranks end at the same step. The ranks agree about once in 5 seconds, since an agreement waits for the
    device.

    Attributes:
        ending: whether the run ends by a signal, with the weights of a whole step.
    """

    def __init__(self) -> None:
        self.ending = False
        self._asked: int | None = None
        self._held: set[int] = set()
        self._at_once = False
        self._agreed, self._next, self._since = 0, 0, 0.0

    def __enter__(self) -> "Signals":
        self.ending, self._asked, self._at_once = False, None, False
        if threading.current_thread() is threading.main_thread():
            for number, usual in USUAL.items():
                if signal.getsignal(number) == usual:
                    self._held.add(number)
                    signal.signal(number, self._hold)
        return self

    def __exit__(self, *_: Any) -> None:
        self._give_back()
        if self._asked is not None:  # after the last step, or beside another error
            self._end(self._asked)

    def _hold(self, number: int, frame: FrameType | None) -> None:
        self._give_back()
        self._asked = number
        if self._at_once:
            self._end(number)

    def _give_back(self) -> None:
        while self._held:
            number = self._held.pop()
            signal.signal(number, USUAL[number])

    def _end(self, number: int) -> None:
        self.ending, self._asked = True, None
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    def start(self, step: int) -> None:
        """Begin to count the steps between two agreements; every rank begins at the same step."""
        self._agreed, self._next, self._since = step, step + 1, time.perf_counter()

    def check(self, step: int) -> None:
        """End the run after a step if a signal has come, to any rank.

        Raises:
            KeyboardInterrupt: after SIGINT.
            SystemExit: after SIGTERM.
        """
        asked = self._asked
        if runtime.world_size() > 1:
            asked = self._agree(step) if step >= self._next else None
        if asked is not None:
            self._end(asked)

    def _agree(self, step: int) -> int | None:
        steps, seconds = step - self._agreed, time.perf_counter() - self._since
        found = runtime.gather_objects((self._asked or 0, seconds))
        fits = int(EVERY * steps / found[0][1])  # of rank 0: the same number on every rank
        self._agreed, self._next, self._since = step, step + min(max(fits, 1), 2 * steps), time.perf_counter()
        return max(asked for asked, _ in found) or None

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """End the run at once inside of the block, where nothing learns; several ranks wait for the end of the step."""
        self._at_once = runtime.world_size() == 1
        try:
            if self._at_once and self._asked is not None:
                self._end(self._asked)
            yield
        finally:
            self._at_once = False
