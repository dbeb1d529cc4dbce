"""Watching a run: how fast it is and where the time goes, and the files of its numbers and of a bad batch."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ..distributed import ToldElsewhere
from ..errors import InputError
from ..io.files import atomic_path, writing
from .feed import Feed
from .model import StepBatch
from .state import CHECKPOINT, Run

METRICS = "metrics.jsonl"
"""The numbers' file in the output folder."""


class Stopwatch:
    """Throughput, and the share of the time that goes into waiting for data.

    Args:
        device: where the run computes.
        processes: how many share each batch.
    """

    def __init__(self, device: torch.device, processes: int = 1) -> None:
        self._device, self._processes = device, processes
        self._images, self._waited, self._began = 0, 0.0, self._now()

    def timed(self, batches: Iterable[StepBatch]) -> Iterator[StepBatch]:
        """The same batches, each one waited for and counted."""
        waiting = iter(batches)
        while True:
            began = time.perf_counter()
            batch = next(waiting, None)
            self._waited += time.perf_counter() - began
            if batch is None:
                return
            self._images += len(batch.inputs) * self._processes
            yield batch

    def read(self) -> dict[str, float]:
        """images_per_second and data_share since the last reading."""
        now = self._now()
        seconds = max(now - self._began, 1e-9)
        speed = {"images_per_second": self._images / seconds, "data_share": self._waited / seconds}
        self._images, self._waited, self._began = 0, 0.0, now
        return speed

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


class Metrics:
    """A file of one JSON object a line, one for each entry of a run's history.

    Opening it brings it in line with the history: lines of steps that will be done again, and one that was
    cut off, go; an entry whose line was lost is written again.
    """

    def __init__(self, path: Path, history: list[dict[str, float]]) -> None:
        self.path = path
        written = _lines_by_step(path)
        lines = [written.get(int(entry["step"])) or json.dumps(entry) for entry in history]
        with atomic_path(path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def append(self, entry: dict[str, float]) -> None:
        """Write an entry's line, whole, at the end."""
        with writing(self.path), open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


class NotFinite(InputError):
    """A loss or a gradient that is no number any more."""


def check_finite(values: dict[str, float], step: int) -> None:
    """Raise NotFinite where a value of a step, counted from 0, is NaN or infinite."""
    if all(math.isfinite(value) for value in values.values()):
        return
    listed = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
    raise NotFinite(
        f"step {step + 1}: the loss is no longer finite ({listed}); lower the learning rate or optimizer.clip"
    )


@contextmanager
def naming_faces(run: Run, feed: Feed, folder: Path | None) -> Iterator[None]:
    """Around the steps: one that is not finite leaves a file with the names of its faces in the folder."""
    try:
        yield
    except NotFinite as error:
        if not run.ranks.leads:
            raise ToldElsewhere(str(error)) from None
        if folder is None:
            raise
        text = f"{error}; {_name_batch(folder, run.step, feed.names(run.step))} names the step's faces"
        checkpoint = folder / CHECKPOINT
        if checkpoint.exists():
            text += f"; {checkpoint} holds the last good state"
        raise InputError(text) from None


def _name_batch(folder: Path, step: int, names: list[str]) -> Path:
    """Write down which faces a step, counted from 0, saw, one a line; the file."""
    path = folder / f"batch-{step + 1:07d}.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    return path


def _lines_by_step(path: Path) -> dict[int, str]:
    lines: dict[int, str] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                lines[int(json.loads(line)["step"])] = line
            except Exception:  # whatever is wrong with it, it is no entry of ours
                continue
    return lines
