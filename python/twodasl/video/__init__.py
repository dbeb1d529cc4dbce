"""Faces in a video: one identity a face, followed from frame to frame.

The names below are imported when they are first used: a command asks this package what is a video before it
needs a network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .tracker import FaceTracker, TrackedFace

__all__ = ["FaceTracker", "TrackedFace"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from . import tracker

        return getattr(tracker, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
