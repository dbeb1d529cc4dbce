"""What an installation has of MediaPipe, found without importing it, which takes seconds."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

MODEL = "face_landmarker.task"
"""What the model of the face landmarker is called wherever it is."""


@cache
def has_solutions() -> bool:
    """Whether MediaPipe is here with its old face mesh, which carries its models: before 0.10.30."""
    return _has("python/solutions/face_mesh.py")


@cache
def has_tasks() -> bool:
    """Whether MediaPipe is here with its Tasks API, which carries no models."""
    return _has("tasks/python/vision/face_landmarker.py")


@cache
def packaged_model() -> Path | None:
    """The model of the face landmarker in an installed package, the first by name; None: in none of them."""
    found: dict[str, Path] = {}
    for package in metadata.distributions():
        if MODEL not in (package.read_text("RECORD") or ""):
            continue
        for file in package.files or ():
            path = Path(str(package.locate_file(file)))
            if file.name == MODEL and path.is_file():
                found.setdefault(package.metadata["Name"], path)
    return found[min(found)] if found else None


def _has(part: str) -> bool:
    spec = find_spec("mediapipe")
    folders = None if spec is None else spec.submodule_search_locations
    return any(Path(folder, part).is_file() for folder in folders or ())
