"""Faces in a video: one identity a face, followed from frame to frame."""

from __future__ import annotations

from .tracker import FaceTracker, TrackedFace

__all__ = ["FaceTracker", "TrackedFace"]
