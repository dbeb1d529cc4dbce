"""Faces followed through rendered clips whose truth is known: one person who is still, the same who moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..reconstruction.reconstructor import FaceReconstructor
from ..synthetic.moving import Person, Truth, noisy, still, turning
from ..video import FaceTracker
from .video import FacePath

RATE, SPEED = 30.0, 30.0
"""Frames a second, and degrees a second at most."""

NOISE = 5.0
"""Gray levels of noise in every frame."""

STILL = 60
"""Frames of the person who does not move."""

Frames = list[NDArray[np.uint8]]
Look = Callable[[NDArray[np.uint8]], list[Any]]


@dataclass(frozen=True, eq=False)
class RenderedPerson:
    """Clips and truth of a person: at rest, and moving."""

    resting: Frames
    moving: Frames
    rest: FacePath
    truth: FacePath


def rendered_person(reconstructor: FaceReconstructor, seed: int, frames: int) -> RenderedPerson:
    """The person of a seed, `STILL` frames at rest and `frames` of a swinging, nodding, talking head."""
    person = Person(reconstructor.model, seed)
    rest = [person.at(still(1)[0])] * STILL
    modes = len(reconstructor.model.expression_modes)
    moving = [person.at(moment) for moment in turning(frames, RATE, SPEED, modes)]
    rng = np.random.default_rng(seed)
    clips = [[noisy(truth.frame, NOISE, rng) for truth in truths] for truths in (rest, moving)]
    return RenderedPerson(clips[0], clips[1], _true_path(rest), _true_path(moving))


def ways(reconstructor: FaceReconstructor) -> dict[str, Callable[[], Look]]:
    """How a clip is looked at: followed, and each frame alone, as a photo."""
    return {
        "followed": lambda: FaceTracker(reconstructor, rate=RATE),
        "alone": lambda: lambda frame: list(reconstructor.find(frame, "largest")),
    }


def path_through(look: Look, frames: Frames) -> FacePath:
    """What a way of looking finds in the frames of a clip: of several faces the first."""
    marks, angles = np.full((len(frames), 68, 2), np.nan), np.full((len(frames), 3), np.nan)
    for row, frame in enumerate(frames):
        for face in look(frame)[:1]:
            marks[row], angles[row] = face.landmarks[:, :2], face.angles
    return FacePath(marks, angles)


def _true_path(truths: Sequence[Truth]) -> FacePath:
    return FacePath(
        np.stack([truth.landmarks[:, :2] for truth in truths]).astype(np.float64),
        np.array([truth.angles for truth in truths]),
    )
