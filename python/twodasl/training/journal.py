"""What is told about a run while it goes on: bar, speed, the file of numbers, TensorBoard."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType

from tqdm import tqdm

from .board import FOLDER, Board
from .feed import Feed
from .state import Run
from .watch import METRICS, Metrics, Stopwatch

LOG_EVERY = 20
"""Steps averaged in one entry of the history."""
# Seconds between two lines where there is no terminal to draw a bar on.
_SAY_EVERY = 30.0
# Faces shown on the board: with 3D annotation, and 2D-only.
_SHOWN = (4, 4)


class Journal:
    """Listens to a run; nothing in the run depends on it.

    Args:
        run: from `run.step` on.
        folder: for metrics.jsonl and the board; None keeps nothing.
        feed: has the faces to show.
        progress: a bar on a terminal, elsewhere a line now and then.
        pictures_every: steps from one set of pictures on the board to the next; 0: no board.
    """

    def __init__(
        self, run: Run, folder: Path | None, feed: Feed, progress: bool, pictures_every: int
    ) -> None:
        self.stopwatch = Stopwatch(run.networks.regressor, run.networks.whitening.mean.device)
        self._run, self._progress, self._pictures_every = run, progress, pictures_every
        self._metrics: Metrics | None = None
        self._board: Board | None = None
        if folder is not None:
            self._metrics = Metrics(folder / METRICS, run.history)
            if pictures_every:
                shown = feed.first(*_SHOWN)
                self._board = Board(folder / FOLDER, run.model, run.networks, shown, run.step)
        self._bar = tqdm(
            total=run.config.steps,
            initial=run.step,
            desc="training",
            unit="step",
            disable=None if progress else True,
        )
        self._speed: dict[str, float] = {}
        self._said = -_SAY_EVERY

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
        if self._board is not None:
            self._board.close()

    def times_losses(self, step: int) -> bool:
        """Whether a step is the one of its log entry whose losses are timed.

        It has another place in each entry: steps with a second pass and steps without have their turn.
        """
        return step % LOG_EVERY == step // LOG_EVERY % LOG_EVERY

    def step(self, terms: dict[str, float]) -> None:
        """A step was done; its terms."""
        shown = {name: f"{value:.3g}" for name, value in (terms | self._speed).items()}
        self._bar.set_postfix(shown, refresh=False)
        self._bar.total = self._run.config.steps
        self._bar.update()
        if self._board is not None and self._run.step % self._pictures_every == 0:
            average = self._run.average
            regressor = self._run.networks.regressor if average is None else average.network
            self._board.pictures(regressor, self._run.step)

    def entry(self, entry: dict[str, float]) -> None:
        """An entry of the history was made."""
        self._speed = self.stopwatch.read()
        entry = entry | self._speed
        if self._metrics is not None:
            self._metrics.append(entry)
        if self._board is not None:
            self._board.scalars(entry)
        if self._progress and self._bar.disable and time.monotonic() - self._said >= _SAY_EVERY:
            self._said = time.monotonic()
            print(speed_line(entry, self._run.config.steps), file=sys.stderr, flush=True)


def speed_line(entry: dict[str, float], steps: int) -> str:
    """One sentence of an entry, for logs."""
    line = (
        f"step {entry['step']:.0f} of {steps}: total {entry['total']:.4g}, {entry['images_per_second']:.4g}"
        f" images/s, {entry['data_share']:.0%} of the time waiting for data"
    )
    return line + (f", {entry['loss_share']:.0%} of a step in the losses" if "loss_share" in entry else "")
