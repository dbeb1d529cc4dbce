"""All faces of the NoW challenge: measured one after the other, and summed up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arguments import flag
from ..datasets.benchmarks.now import CHALLENGES, NowImage, predicted_files, read_seven
from ..errors import InputError
from ..meshes import read_mesh
from ..progress import progress_bar
from .now import NowError, now_error
from .rigid import Points

BROKEN_LIMIT = 0.5
"""A set of which a larger part than this cannot be measured is an error and not a result."""

CURVE_STEP, CURVE_END = 0.01, 7.0
"""Of the cumulative curve, in millimeters; the published one ends at 7."""


@dataclass(frozen=True, eq=False)
class NowErrors:
    """The photos that could be measured, and why the others could not: name -> sentence."""

    images: tuple[NowImage, ...]
    errors: tuple[NowError, ...]
    skipped: Mapping[str, str]

    def pooled(self) -> dict[str, Points]:
        """Distances of all points of all photos together, as published numbers are: of all, and of each
        challenge that has any."""
        found = {"all": np.concatenate([error.distances for error in self.errors])}
        for challenge in CHALLENGES:
            own = [
                error.distances
                for image, error in zip(self.images, self.errors, strict=True)
                if image.challenge == challenge
            ]
            if own and len(own) < len(self.errors):
                found[challenge] = np.concatenate(own)
        return found


def measure_now(images: Sequence[NowImage], *, metrical: bool = False, unit: str = "mm") -> NowErrors:
    """Measure every photo; see `now_error`. A prediction that is missing or cannot be read is skipped.

    Raises InputError where a scan cannot be read, or more than `BROKEN_LIMIT` of the photos are skipped.
    """
    metrical = flag(metrical, "metrical")
    done: list[NowImage] = []
    errors: list[NowError] = []
    skipped: dict[str, str] = {}
    for image in progress_bar(images, description="measuring", unit="face"):
        scan, marks = _scan(image.scan), read_seven(image.scan_landmarks)
        try:
            mesh, points = predicted_files(image)
            error = now_error(scan, marks, read_mesh(mesh), read_seven(points), metrical=metrical, unit=unit)
        except InputError as problem:
            skipped[image.name] = f"{image.name}: {problem}"
            continue
        done.append(image)
        errors.append(error)
    if len(skipped) > BROKEN_LIMIT * len(images):
        reason = next(iter(skipped.values()))
        raise InputError(
            f"{len(skipped)} of {len(images)} faces could not be measured, too many to go on: {reason}"
        )
    return NowErrors(tuple(done), tuple(errors), skipped)


def cumulative_curve(distances: Points) -> tuple[Points, Points]:
    """Millimeters (n,), 0 to `CURVE_END`, and the share in percent (n,) of distances that are at most so."""
    steps: Points = np.arange(round(CURVE_END / CURVE_STEP) + 1, dtype=np.float64) * CURVE_STEP
    below = np.searchsorted(np.sort(distances), steps, side="right")
    return steps, np.asarray(100 * below / len(distances), np.float64)


@lru_cache(maxsize=1)
def _scan(path: Path) -> NDArray[np.float64]:
    """The vertices of a subject's scan; its photos follow each other in the list."""
    return read_mesh(path).vertices
