"""Being told to stop: by a scheduler that wants the machine back, or at the keyboard."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from .hooks import Hook
from .state import Run


class StopSignals(Hook):
    """Ends a run after the step in which SIGTERM or SIGINT arrived at any of its processes.

    A second signal acts as it always does. Only the main thread can listen; in others nothing is changed.
    """

    def __init__(self) -> None:
        self.received: str = ""
        """The first signal's name; empty while there was none."""
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def after_step(self, run: Run, terms: dict[str, float]) -> None:
        """Tell the run what arrived."""
        run.stopped_by = run.ranks.signal_of_any(self.received)

    def close(self) -> None:
        """Leave signals to those who had them before."""
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
