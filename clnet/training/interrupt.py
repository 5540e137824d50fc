"""Interrupt: Ctrl-C waits for the device to be between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Interrupt:
    """A block in which SIGINT is only noted, raised by `check` or at the block's end; a second one is raised at once.

    Without it a KeyboardInterrupt could fall between two launches of a step, and leave half of an update. Python gives
    signals to the main thread alone; elsewhere, and where SIGINT has another handler already, nothing changes.
    """

    def __enter__(self) -> Interrupt:
        self._pending = False
        in_main = threading.current_thread() is threading.main_thread()
        self._takes = in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._takes:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        if self._takes:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if kind is None:
            self.check()

    def check(self) -> None:
        """KeyboardInterrupt if there was a SIGINT."""
        if self._pending:
            self._pending = False
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._pending:
            raise KeyboardInterrupt
        self._pending = True
