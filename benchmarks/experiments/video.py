"""python -m benchmarks.experiments.video: jitter, lag, error and speed of faces followed through a video.

Rendered people whose pose, expression and landmarks are known (`video_scene`), with noise in every frame. One
does not move: jitter is how far landmarks and angles scatter about their mean, from the 15th frame on, and
from one frame to the next. One swings the head at most 30 degrees a second, nods and talks: lag is the shift
in time at which the yaw found is most like the true one. Beside `FaceTracker`, every frame alone, as a photo
(`FaceReconstructor.find`). Speed is that of `twodasl video` on the moving person's clip, with reading,
detection, drawing and writing.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from twodasl import FaceReconstructor
from twodasl.cli import main as twodasl
from twodasl.reconstruction.reconstructor import Reconstruction
from twodasl.video import FaceTracker

from .video_scene import HEIGHT, WIDTH, Person, Truth, noisy, still, turning

RATE, SPEED = 30.0, 30.0
NOISE = 5.0
STILL, SETTLED = 60, 15
Frames = list[NDArray[np.uint8]]
Faces = list[Reconstruction | None]


def main() -> None:
    """Prints a row for each person and way, and the speed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.video", description=__doc__.splitlines()[0]
    )
    parser.add_argument("-c", "--checkpoint", default="base", help="checkpoint or weights (default: base)")
    parser.add_argument("--people", type=int, default=2, help="how many (default: 2)")
    parser.add_argument("--frames", type=int, default=120, help="of the one who moves (default: 120)")
    arguments = parser.parse_args()
    reconstructor = FaceReconstructor(arguments.checkpoint)
    print(
        f"checkpoint {arguments.checkpoint}, {WIDTH}x{HEIGHT}, {RATE:g} frames a second, noise {NOISE:g} gray"
    )
    _print_head()
    rows: dict[str, list[list[float]]] = {"followed": [], "alone": []}
    speed = ""
    for seed in range(1, arguments.people + 1):
        person = Person(reconstructor.model, seed)
        rest = [person.at(still(1)[0])] * STILL
        modes = len(reconstructor.model.expression_modes)
        moving = [person.at(moment) for moment in turning(arguments.frames, RATE, SPEED, modes)]
        rng = np.random.default_rng(seed)
        clips = [[noisy(truth.frame, NOISE, rng) for truth in truths] for truths in (rest, moving)]
        for name, make in (("followed", _follower), ("alone", _alone)):
            calm, lively = (_each(make(reconstructor), frames) for frames in clips)
            rows[name].append([*_jitter(calm), *_errors(lively, moving)])
            _print_row(f"person {seed}, {name}", np.array(rows[name][-1]))
        speed = speed or _speed(clips[1], arguments.checkpoint)
    followed, alone = (np.array(rows[name])[:, :4].mean(axis=0) for name in ("followed", "alone"))
    _print_row("followed / alone", followed / alone)
    print(speed)


def _follower(reconstructor: FaceReconstructor) -> Callable[[NDArray[np.uint8]], list[Any]]:
    return FaceTracker(reconstructor, rate=RATE)


def _alone(reconstructor: FaceReconstructor) -> Callable[[NDArray[np.uint8]], list[Any]]:
    return lambda frame: list(reconstructor.find(frame, "largest"))


def _each(look: Callable[[NDArray[np.uint8]], list[Any]], frames: Frames) -> Faces:
    found = [look(frame) for frame in frames]
    return [faces[0] if faces else None for faces in found]


def _jitter(faces: Faces) -> tuple[float, float, float, float]:
    """Landmarks about their mean and from frame to frame (pixels), the same of yaw (degrees)."""
    there = [face for face in faces[SETTLED:] if face is not None]
    marks = np.stack([face.landmarks[:, :2] for face in there]).astype(np.float64)
    yaw = np.array([face.angles[1] for face in there])
    scatter = np.sqrt(np.square(marks - marks.mean(axis=0)).sum(axis=2).mean())
    steps = np.sqrt(np.square(np.diff(marks, axis=0)).sum(axis=2).mean() / 2)
    return float(scatter), float(steps), float(yaw.std()), float(np.sqrt(np.square(np.diff(yaw)).mean() / 2))


def _errors(faces: Faces, truths: list[Truth]) -> tuple[float, float, float, float]:
    """NME (percent of the square root of the landmarks' box), yaw's error (degrees), lag (frames), misses."""
    rows = [row for row, face in enumerate(faces) if face is not None]
    errors, found = [], []
    for row in rows:
        face, true = faces[row], truths[row].landmarks[:, :2]
        assert face is not None
        distance = np.linalg.norm(face.landmarks[:, :2] - true, axis=1).mean()
        errors.append(distance / np.sqrt(np.prod(np.ptp(true, axis=0))))
        found.append(face.angles[1])
    true_yaw = np.array([truth.angles[1] for truth in truths])
    yaw = np.array(found)
    away = float(np.sqrt(np.square(yaw - true_yaw[rows]).mean()))
    return 100 * float(np.mean(errors)), away, _lag(yaw, rows, true_yaw), float(len(faces) - len(rows))


def _lag(found: NDArray[np.float64], rows: list[int], true: NDArray[np.float64]) -> float:
    """Frames by which `found` follows `true`: where their correlation is largest."""
    times = np.arange(len(true), dtype=np.float64)
    at = np.array(rows, np.float64)
    inside = (at >= 10) & (at < len(true) - 10)
    shifts = np.arange(-5, 5.01, 0.05)
    likeness = [
        np.corrcoef(found[inside], np.interp(at[inside] - shift, times, true))[0, 1] for shift in shifts
    ]
    return float(shifts[int(np.argmax(likeness))])


def _speed(frames: Frames, checkpoint: str) -> str:
    """Of `twodasl video` on a clip of these frames, twice as long as they are."""
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        encoder = cv2.VideoWriter(os.fspath(clip), cv2.VideoWriter.fourcc(*"mp4v"), RATE, (WIDTH, HEIGHT))
        for frame in [*frames, *frames[::-1]]:
            encoder.write(frame)
        encoder.release()
        said = io.StringIO()
        before = time.process_time()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            code = twodasl(["video", str(clip), "-o", f"{folder}/out", "-c", checkpoint, "-v"])
        used = time.process_time() - before
    match = re.search(r"(\d+) frames took ([\d.]+) s, ([\d.]+) a second", said.getvalue())
    if code or match is None:
        raise RuntimeError(said.getvalue())
    each = 1000 * used / int(match[1])
    where = (
        f"{os.cpu_count()} cores, {torch.get_num_threads()} threads of torch, load {os.getloadavg()[0]:.1f}"
    )
    return f"twodasl video: {match[3]} frames a second; {each:.0f} ms of processor a frame ({where})"


def _print_head() -> None:
    names = ("jitter", "a frame", "yaw's", "a frame", "NME", "yaw off", "lag", "missed")
    units = ("px", "px", "deg", "deg", "%", "deg", "frames", "frames")
    for words in (names, units):
        print(f"{'':20}" + "".join(f"{word:>9}" for word in words), flush=True)


def _print_row(name: str, row: NDArray[np.float64]) -> None:
    print(f"{name:20}" + "".join(f"{value:9.3f}" for value in row), flush=True)


if __name__ == "__main__":
    main()
