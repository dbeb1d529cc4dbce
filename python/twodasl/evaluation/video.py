"""A face through a video: how much what is found trembles, how far it is off, and how late it comes."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arguments import path_of
from ..errors import InputError, reading
from ..io.files import regular_file

Floats = NDArray[np.float64]

SETTLED = 15
"""Frames at the beginning in which a tracker may still find its way; jitter is of those after them."""

_LARGEST = 2 << 30  # bytes of a file
_MOST_FRAMES = 10_000_000
_EDGE, _REACH, _STEP = 10, 5.0, 0.05  # frames: left out at both ends, largest lag, and its steps
_SWING = 1.0  # degrees of standard deviation from which a yaw has a time course
_ANGLES = ("pitch_degrees", "yaw_degrees", "roll_degrees")


@dataclass(frozen=True, eq=False)
class FacePath:
    """One face in n frames. landmarks: (n, 68, 2) image pixels, angles: (n, 3) pitch, yaw, roll in degrees;
    NaN where the face was not found."""

    landmarks: Floats
    angles: Floats

    def __len__(self) -> int:
        return len(self.landmarks)

    @property
    def found(self) -> NDArray[np.bool_]:
        """(n,) in which frames."""
        return np.isfinite(self.landmarks.sum(axis=(1, 2)))

    def first(self, count: int) -> FacePath:
        """In the first frames, or in more of which the rest is NaN."""
        more = max(0, count - len(self))
        marks = np.concatenate([self.landmarks[:count], np.full((more, *self.landmarks.shape[1:]), np.nan)])
        return FacePath(marks, np.concatenate([self.angles[:count], np.full((more, 3), np.nan)]))


@dataclass(frozen=True)
class Jitter:
    """Root mean squares of landmarks (pixels) and yaw (degrees): about the mean error, and from one frame to
    the next over sqrt(2). For errors that are independent from frame to frame both are alike."""

    landmarks: float
    landmark_steps: float
    yaw: float
    yaw_steps: float


@dataclass(frozen=True)
class Following:
    """nme: percent of sqrt(w*h) of the true landmarks' box, mean over frames. yaw: root mean square error in
    degrees. lag: frames by which the found yaw follows the true one, None where that has no time course.
    missed: frames without a face."""

    nme: float
    yaw: float
    lag: float | None
    missed: int


def jitter(path: FacePath, truth: FacePath, settled: int = SETTLED) -> Jitter:
    """How much the error of a path trembles after the first `settled` frames.

    Of the error, not of the path: what moves as the face does is no jitter. A constant error is none either.
    Raises InputError where fewer than two frames have a face.
    """
    rows = np.flatnonzero(path.found & truth.found)
    rows = rows[rows >= settled]
    if len(rows) < 2:
        raise InputError(
            f"jitter: expected a face in at least two frames after the first {settled}, found {len(rows)}"
        )
    marks = path.landmarks[rows] - truth.landmarks[rows]
    yaw = _turned(path.angles[rows, 1] - truth.angles[rows, 1])
    scatter = np.sqrt(np.square(marks - marks.mean(axis=0)).sum(axis=2).mean())
    steps = np.sqrt(np.square(np.diff(marks, axis=0)).sum(axis=2).mean() / 2)
    yaw_steps = np.sqrt(np.square(np.diff(yaw)).mean() / 2)
    return Jitter(float(scatter), float(steps), float(yaw.std()), float(yaw_steps))


def following(path: FacePath, truth: FacePath) -> Following:
    """How far and how late a path follows the truth. Raises InputError where no frame has a face."""
    rows = np.flatnonzero(path.found & truth.found)
    if not len(rows):
        raise InputError(f"following: expected a face in one of {len(truth)} frames, found none")
    true = truth.landmarks[rows]
    distance = np.linalg.norm(path.landmarks[rows] - true, axis=2).mean(axis=1)
    size = np.sqrt(np.ptp(true, axis=1).prod(axis=1))
    if not (size > 0).all():
        raise InputError("truth: expected landmarks with an extent in both directions")
    off = _turned(path.angles[rows, 1] - truth.angles[rows, 1])
    missed = int((truth.found & ~path.found).sum())
    return Following(
        100 * float((distance / size).mean()),
        float(np.sqrt((off**2).mean())),
        _lag(path, truth, rows),
        missed,
    )


def _lag(path: FacePath, truth: FacePath, rows: NDArray[np.int64]) -> float | None:
    """Where in time the true yaw must be for the found one to be most like it."""
    there = np.flatnonzero(truth.found)
    true = truth.angles[there, 1]
    at = rows[(rows >= there[0] + _EDGE) & (rows < there[-1] + 1 - _EDGE)]
    yaw = path.angles[at, 1]
    if len(at) < 2 * _EDGE or true.std() < _SWING or not yaw.std() > 0:
        return None
    shifts = np.arange(-_REACH, _REACH + _STEP / 5, _STEP)
    likeness = [np.corrcoef(yaw, np.interp(at - shift, there, true))[0, 1] for shift in shifts]
    return round(float(shifts[int(np.argmax(likeness))]), 6)


def _turned(degrees: Floats) -> Floats:
    """A difference of angles the shorter way around."""
    return (degrees + 180) % 360 - 180


def read_path(path: str | os.PathLike[str], track: int | None = None) -> FacePath:
    """A face in JSON lines such as `twodasl video` writes: `frame` from 0, `landmarks_2d` (68, 2) and `pose`
    with `pitch_degrees`, `yaw_degrees` and `roll_degrees`, and, where there are several faces, `track`.

    track: which face; by default the one in most frames. Raises InputError naming the file and line.
    """
    file = path_of(path, "JSON lines")
    with reading(file, "JSON lines"), open(regular_file(file, "JSON lines"), "rb") as stream:
        content = stream.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise InputError(f"{file}: expected at most {_LARGEST >> 30} GiB")
    lines = [_line(file, number, text) for number, text in enumerate(content.splitlines(), 1) if text.strip()]
    if not lines:
        raise InputError(f"{file}: expected a line for each frame, got an empty file")
    tracks = Counter(line[1] for line in lines)
    chosen = tracks.most_common(1)[0][0] if track is None else track
    if chosen not in tracks:
        shown = ", ".join(map(str, sorted(tracks)[:10]))
        raise InputError(f"{file}: has no track {track}; it has {shown}")
    own = [line for line in lines if line[1] == chosen]
    count = max(line[0] for line in own) + 1
    marks, angles = np.full((count, 68, 2), np.nan), np.full((count, 3), np.nan)
    for frame, _, points, pose in own:
        if np.isfinite(angles[frame]).any():
            raise InputError(f"{file}: expected one line a frame of a face, got two of frame {frame}")
        marks[frame], angles[frame] = points, pose
    return FacePath(marks, angles)


def _line(file: Path, number: int, text: bytes) -> tuple[int, int, Floats, list[float]]:
    try:
        line: Any = json.loads(text)
        frame, track = line["frame"], line.get("track", 1)
        points = np.array(line["landmarks_2d"], np.float64)
        pose = [float(line["pose"][name]) for name in _ANGLES]
        whole = type(frame) is int and type(track) is int and 0 <= frame < _MOST_FRAMES
        if not whole or points.shape != (68, 2) or not np.isfinite([*points.ravel(), *pose]).all():
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{file}: expected frame, landmarks_2d (68, 2) and pose with {', '.join(_ANGLES)} in line"
            f" {number}, got {text[:60].decode('utf-8', 'replace')!r}"
        ) from error
    return frame, track, points, pose
