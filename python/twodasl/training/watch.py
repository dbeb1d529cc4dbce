"""Watching a run: how fast it is and where the time goes, and the files of its numbers and of a bad batch."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..io.files import atomic_path, writing

METRICS = "metrics.jsonl"
"""The numbers' file in the output folder."""


class Stopwatch:
    """Throughput, and the shares of a step's time that go into waiting for data and into the losses.

    The losses (all of the objective but the regressor, forward and backward) are timed in one step of every
    log entry, because that takes a second backward pass through them and, on a GPU, waiting for it. What is
    trained does not change by it. `device` is the regressor's.
    """

    def __init__(self, regressor: nn.Module, device: torch.device) -> None:
        self._regressor, self._device = regressor, device
        self._images = 0
        self._began = self._now()
        self._waited = 0.0
        self._timing = False
        self._losses = self._extra = 0.0
        self._loss_share: float | None = None
        self._outputs: list[Tensor] = []

    @contextmanager
    def step(self, images: int, time_losses: bool) -> Iterator[None]:
        """Around a step of so many images; whether its losses are timed."""
        self._timing, self._losses, self._extra = time_losses, 0.0, 0.0
        began = self._now()
        yield
        self._images += images
        if time_losses:
            self._loss_share = self._losses / max(self._now() - began - self._extra, 1e-9)
        self._timing = False

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around what gets the data ready."""
        began = time.perf_counter()
        yield
        self._waited += time.perf_counter() - began

    @contextmanager
    def forward(self) -> Iterator[None]:
        """Around the computation of the terms: what the regressor takes of it is not the losses'."""
        if not self._timing:
            yield
            return
        inside: list[float] = []

        def enter(*_: Any) -> None:
            inside.append(-self._now())

        def leave(module: nn.Module, inputs: Any, output: Tensor) -> None:
            inside.append(self._now())
            self._outputs.append(output)

        hooks = [
            self._regressor.register_forward_pre_hook(enter),
            self._regressor.register_forward_hook(leave),
        ]
        began = self._now()
        yield
        self._losses += self._now() - began - sum(inside)
        for hook in hooks:
            hook.remove()

    def backward(self, total: Tensor) -> None:
        """Time the gradient of the losses alone."""
        if not self._timing:
            return
        began = self._now()
        torch.autograd.grad(total, self._outputs, retain_graph=True)
        self._extra = self._now() - began
        self._losses += self._extra
        self._outputs = []

    def read(self) -> dict[str, float]:
        """images_per_second and data_share since the last reading; loss_share of the last step timed, of the
        time that it took without the wait for data."""
        now = self._now()
        seconds = max(now - self._began, 1e-9)
        speed = {"images_per_second": self._images / seconds, "data_share": self._waited / seconds}
        if self._loss_share is not None:
            speed["loss_share"] = self._loss_share
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


def name_batch(folder: Path, step: int, names: list[str]) -> Path:
    """Write down which faces a step saw, one a line; the file."""
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
