"""Which names stand for a video."""

from __future__ import annotations

import re
from pathlib import Path

SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".mts", ".3gp",
    ".ogv", ".mjpeg", ".mjpg",
)  # fmt: skip
"""By which a file is known to be a video."""

PATTERN = re.compile(r"%0?([1-9]?)d")
"""The number in a pattern of numbered files, as in `frame%04d.png`."""


def looks_like_video(path: Path) -> bool:
    """Whether a name is that of a video: by its suffix, or as a pattern of numbered files."""
    return path.suffix.lower() in SUFFIXES or PATTERN.search(path.name) is not None
