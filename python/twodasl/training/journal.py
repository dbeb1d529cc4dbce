"""What a run says while it goes on: a bar, or a line now and then, and the numbers of each entry."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

from tqdm import tqdm

from .hooks import Hook
from .state import Run
from .watch import Stopwatch

# Seconds between two lines where there is no terminal to draw a bar on.
_SAY_EVERY = 30.0


class Journal(Hook):
    """Shows how a run goes on; nothing in the run depends on it.

    Args:
        run: from `run.step` on.
        watch: measures its speed.
        progress: a bar on a terminal, elsewhere a line now and then.
        writers: each is given every entry of the history, with the speed.
    """

    def __init__(
        self,
        run: Run,
        watch: Stopwatch,
        progress: bool,
        writers: Sequence[Callable[[dict[str, float]], None]] = (),
    ) -> None:
        self._watch, self._progress, self._writers = watch, progress, writers
        self._bar = tqdm(
            total=run.config.steps,
            initial=run.step,
            desc="training",
            unit="step",
            disable=None if progress else True,
        )
        self._speed: dict[str, float] = {}
        self._said = -_SAY_EVERY

    def after_step(self, run: Run, terms: dict[str, float]) -> None:
        """Move the bar; pass on the history's entry where the step completed one."""
        if run.entry is not None:
            self._speed = self._watch.read()
            self._tell(run.entry | self._speed, run.config.steps)
        shown = {name: f"{value:.3g}" for name, value in (terms | self._speed).items()}
        self._bar.set_postfix(shown, refresh=False)
        self._bar.total = run.config.steps
        self._bar.update()

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()

    def _tell(self, entry: dict[str, float], steps: int) -> None:
        for write in self._writers:
            write(entry)
        if self._progress and self._bar.disable and time.monotonic() - self._said >= _SAY_EVERY:
            self._said = time.monotonic()
            print(speed_line(entry, steps), file=sys.stderr, flush=True)


def speed_line(entry: dict[str, float], steps: int) -> str:
    """One sentence of an entry, for logs."""
    return (
        f"step {entry['step']:.0f} of {steps}: total {entry['total']:.4g}, {entry['images_per_second']:.4g}"
        f" images/s, {entry['data_share']:.0%} of the time waiting for data"
    )
