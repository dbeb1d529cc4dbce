"""The frames of a video file, of numbered images, or of a camera."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.files import regular_file
from ..io.images import check_image, read_image
from .names import PATTERN

RATE = 25.0
"""Frames a second where nothing says how many."""

_IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif")
_MOST_RATE = 1000.0

# FFmpeg prints what it dislikes to stderr, as does OpenCV; our messages say it. Read when it is first used.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

Frame = tuple[float, NDArray[np.uint8]]
"""Its time in seconds, and (H, W, 3) uint8 BGR."""


@dataclass(frozen=True)
class Video:
    """Where frames come from.

    Attributes:
        source: a file, a folder of images, a pattern of image files, or the number of a camera.
        name: for the results.
        rate: frames a second.
        count: how many frames there should be; None: that is not known.
        images: the files, where it is made of them.
    """

    source: Path | int
    name: str
    rate: float
    count: int | None
    images: tuple[Path, ...] = ()

    def frames(self) -> Iterator[Frame]:
        """All frames, in order. Raises InputError where there is none, or one that is no frame."""
        reader = self._of_images() if self.images else self._of_capture()
        first: tuple[int, ...] | None = None
        with closing(reader):
            for number, (seconds, frame) in enumerate(reader):
                try:
                    check_image(frame, "its size")
                except InputError as error:
                    raise InputError(f"{self.source}: frame {number}: {error}") from error
                if first is not None and frame.shape != first:
                    raise InputError(
                        f"{self.source}: expected frames of one size, got {frame.shape[1]}x{frame.shape[0]}"
                        f" pixels for frame {number} after {first[1]}x{first[0]}"
                    )
                first = frame.shape
                yield seconds, frame
        if first is None:
            raise InputError(
                f"{self.source}: holds no frame that can be read; expected a video, is it complete?"
            )

    def _of_images(self) -> Generator[Frame]:
        for number, path in enumerate(self.images):
            yield number / self.rate, read_image(path)

    def _of_capture(self) -> Generator[Frame]:
        capture = _capture(self.source)
        try:
            began, last = time.monotonic(), -1.0
            while True:
                there, frame = capture.read()
                if not there or frame is None:
                    return
                live = isinstance(self.source, int)
                now = time.monotonic() - began if live else capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                # Some containers have no times, or wrong ones.
                if not (math.isfinite(now) and last < now < last + 10):
                    now = last + 1 / self.rate if last >= 0 else 0.0
                last = now
                yield now, np.asarray(frame, np.uint8)
        finally:
            capture.release()


def open_video(source: Path | int, rate: float | None = None) -> Video:
    """A video, once it is known that it can be opened.

    Args:
        source: a file that OpenCV reads; a folder with images, in the order of the numbers in their names; a
            pattern such as `frame%04d.png`; or a camera's number.
        rate: frames a second, for those that do not say; None: 25.

    Raises:
        InputError: there is no such file or camera, it is no video, or there are no images.
    """
    if isinstance(source, Path) and (source.is_dir() or PATTERN.search(source.name)):
        images = _folder(source) if source.is_dir() else _numbered(source)
        name = source.resolve().name if source.is_dir() else PATTERN.sub("", source.stem).rstrip("-_. ")
        return Video(source, name or "frames", rate or RATE, len(images), tuple(images))
    if isinstance(source, Path) and regular_file(source, "a video").stat().st_size == 0:
        raise InputError(f"{source}: is empty; expected a video")
    capture = _capture(source)
    said, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    capture.release()
    if not (math.isfinite(said) and 0 < said <= _MOST_RATE):
        said = RATE
    name = f"camera-{source}" if isinstance(source, int) else source.stem
    known = isinstance(source, Path) and math.isfinite(count) and 0 < count < 1e9
    return Video(source, name, rate or said, int(count) if known else None)


def _capture(source: Path | int) -> Any:
    level = _log_level(0)
    try:
        capture = cv2.VideoCapture(source if isinstance(source, int) else os.fspath(source))
        opened = capture.isOpened()
    finally:
        _log_level(level)
    if opened and not (isinstance(source, Path) and capture.getBackendName() == "CV_IMAGES"):
        return capture
    capture.release()
    if isinstance(source, int):
        raise InputError(
            f"--camera: camera {source} cannot be opened; is there one, and does no other program use it?"
        )
    raise InputError(
        f"{source}: is not a video that OpenCV can read, or is damaged; expected one such as an MP4, MOV, AVI"
        " or WebM, or a folder of images"
    )


def _log_level(level: int) -> int:
    """Set what OpenCV prints; returns what it was."""
    logging: Any = cv2.utils.logging  # of which the package has no types
    return int(logging.setLogLevel(level))


def _folder(folder: Path) -> list[Path]:
    images = [path for path in folder.iterdir() if path.suffix.lower() in _IMAGES and path.is_file()]
    if not images:
        raise InputError(f"{folder}: holds no images; expected a folder with the frames of a video")
    return sorted(images, key=_order)


def _order(path: Path) -> list[tuple[int, int, str]]:
    """frame-2 before frame-10."""
    parts = re.split(r"(\d+)", path.name)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]


def _numbered(pattern: Path) -> list[Path]:
    """The files of a pattern, by their numbers."""
    digits = PATTERN.search(pattern.name)
    assert digits is not None
    number = rf"(\d{{{digits[1]},}})" if digits[1] else r"(\d+)"
    before, after = pattern.name[: digits.start()], pattern.name[digits.end() :]
    known = re.compile(re.escape(before) + number + re.escape(after))
    there = pattern.parent.iterdir() if pattern.parent.is_dir() else []
    found = [(int(match[1]), path) for path in there if (match := known.fullmatch(path.name))]
    if not found:
        raise InputError(f"{pattern}: there are no such files; expected numbered images, as {before}1{after}")
    return [path for _, path in sorted(found)]
