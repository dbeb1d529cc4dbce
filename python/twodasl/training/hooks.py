"""What happens beside the training loop: after every step, each hook has its turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from torch import nn

from .checkpoint import save_checkpoint
from .state import CHECKPOINT, Run, contents

H = TypeVar("H", bound="Hook")


class Hook:
    """Something that watches a run, or ends it; entered before the first step and left after the last."""

    def after_step(self, run: Run, terms: dict[str, float]) -> None:
        """A step was done, and recorded in the run; the values of its terms."""

    def close(self) -> None:
        """The run is over, whether it ended well or not."""

    def __enter__(self: H) -> H:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Progress:
    """What a callback sees after each step."""

    step: int
    """Steps done, from 1."""
    steps: int
    terms: dict[str, float]
    """The step's terms, not weighted; `critic` and `total` among them."""
    learning_rate: float
    regressor: nn.Module
    """In training mode; leave it so."""


class Callback(Hook):
    """Calls a function of the user's after every step."""

    def __init__(self, function: Callable[[Progress], None]) -> None:
        self._function = function

    def after_step(self, run: Run, terms: dict[str, float]) -> None:
        """Call it."""
        progress = Progress(run.step, run.config.steps, terms, run.learning_rate, run.networks.regressor)
        self._function(progress)


class Checkpoints(Hook):
    """Saves the run when it is due and when it ends; comes last, so that what is saved is final.

    Args:
        folder: of the files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def after_step(self, run: Run, terms: dict[str, float]) -> None:
        """Replace the newest checkpoint; keep one under a name of its own."""
        if run.checkpoint_due or run.stopped_by:
            save_checkpoint(self._folder / CHECKPOINT, contents(run))
        if run.config.keep_every and run.step % run.config.keep_every == 0:
            save_checkpoint(self._folder / f"checkpoint-{run.step:07d}.pt", contents(run))
