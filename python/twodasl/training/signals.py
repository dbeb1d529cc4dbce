"""Being told to stop: by a scheduler that wants the machine back, or at the keyboard."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class StopSignals:
    """Takes note of SIGTERM and SIGINT instead of dying of them; a second signal acts as it always does.

    Only the main thread can do that; in others, and with `active` false, nothing is changed.
    """

    def __init__(self, active: bool = True) -> None:
        self.received: str = ""
        """The first signal's name; empty while there was none."""
        self._active = active and threading.current_thread() is threading.main_thread()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if self._active:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
