"""One face from its first frame to its last."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..geometry.crops import Crop, crop_from_landmarks, flip_y
from .frame_fit import Expected, Fitted, FrameFit
from .motion import Motion
from .person import Person
from .sight import Sight

Doubles = NDArray[np.float64]

# A face is lost where a fit misses its points by more, in pixels of the crop; or where the head left the
# place that its motion predicts: by a turn in radians, a growth, and a shift in sides of the crop.
_RESIDUAL = 5.0
# Of a crop's side, by which it may be off while the face is at rest; so many times the face's movement less.
_SLACK, _AWAKE = 0.03, 5.0
_JUMP_TURN, _JUMP_GROWTH, _JUMP_SHIFT = 0.7, 0.4, 0.3
# Frames whose median velocity says where a face that is lost goes.
_STEADY = 5


@dataclass
class Track:
    """What is known of one face.

    Attributes:
        number: from 1, in the order in which faces appeared.
        quarters: by how many quarter turns its frames are turned, see `FaceInput.quarters`.
        seconds: of the last frame in which it was seen.
        missing: in how many frames since it was not seen.
        unconfirmed: how often in a row a detector did not find it.
        crop: of the last frame, in the turned frame.
        residual: root mean square of the way from the last fit to its points, pixels of the crop.
        velocities: (2,) of the last frames, pixels a second with y up. Where a face passes behind something,
            the last fit has a part of it and says nothing of its motion; their median does.
    """

    number: int
    quarters: int
    motion: Motion
    person: Person
    coefficients: Doubles
    seconds: float
    crop: Crop
    residual: float = 0.0
    missing: int = 0
    unconfirmed: int = 0
    velocities: deque[Doubles] = field(default_factory=lambda: deque(maxlen=_STEADY))

    def pose(self, fit: FrameFit) -> Doubles:
        """(3, 4) in the turned frame, y up."""
        return self.motion.pose(fit.middle)

    def ahead(self, fit: FrameFit, seconds: float, height: int) -> tuple[Crop, Doubles]:
        """The crop in which to look for it at a time, and its landmarks (68, 2) there, in pixels (x, row)."""
        pose = self.motion.after(seconds - self.seconds).pose(fit.middle)
        marks, before = (
            fit.landmarks(each, self.coefficients)[:, :2] for each in (pose, self.motion.pose(fit.middle))
        )
        moved = float(np.sqrt(np.square(marks - before).sum(axis=1).mean()))
        marks[:, 1] = flip_y(marks[:, 1], height)
        return _followed(self.crop, crop_from_landmarks(marks), moved), marks


@dataclass(frozen=True)
class Step:
    """A track's way from its last frame to this one."""

    motion: Motion
    person: Person
    expected: Expected


def next_step(track: Track, sight: Sight, seconds: float, fit: FrameFit) -> Step:
    """What the frames before lead to expect, and what the network says of the shape."""
    motion = track.motion.after(seconds - track.seconds)
    person = track.person.after(seconds - track.seconds).told(sight.said, sight.said_precision)
    return _step(motion, person, fit)


def wider_step(
    track: Track, sight: Sight, seconds: float, step: Step, found: Fitted, fit: FrameFit
) -> Step | None:
    """The step again, with as much uncertainty as its fit shows it should have had; None: it had enough."""
    change = step.motion.change(found.pose, fit.middle)
    motion = step.motion.surprised(change, found.deviations)
    lively = step.person.surprised(found.coefficients, found.information)
    if motion is None and not lively:
        return None
    person = step.person
    if lively:
        person = track.person.after(seconds - track.seconds, lively=True).told(
            sight.said, sight.said_precision
        )
    return _step(motion or step.motion, person, fit)


def plausible_step(step: Step, found: Fitted, crop: Crop, fit: FrameFit) -> bool:
    """Whether a fit can be the same head, one frame later."""
    change = np.abs(step.motion.change(found.pose, fit.middle))
    side = crop.x1 - crop.x0
    moved = float(np.hypot(change[4], change[5]))
    turned = float(np.linalg.norm(change[:3]))
    near = turned <= _JUMP_TURN and change[3] <= _JUMP_GROWTH and moved <= _JUMP_SHIFT * side
    return near and plausible_fit(found, crop)


def plausible_fit(found: Fitted, crop: Crop) -> bool:
    """Whether the model lies on the points at all."""
    finite = np.isfinite(found.pose).all() and np.isfinite(found.coefficients).all()
    return bool(finite and found.residual <= _RESIDUAL * crop.scale[0])


def _followed(crop: Crop, wanted: Crop, moved: float) -> Crop:
    """The last crop, moved and resized no more than it must be to be nearly the one wanted.

    What a network says depends a little on its crop. A crop that followed every change of its answer would
    carry its own errors on to the next frame. Of a face that moves it would trail behind, though, and the
    answer with it. moved: by how many pixels the landmarks are expected to move.
    """
    side, size = crop.x1 - crop.x0, wanted.x1 - wanted.x0
    slack = max(0.0, _SLACK - _AWAKE * moved / size)
    side = min(max(side, size * (1 - slack)), size * (1 + slack))
    middles = []
    for now, then in (
        ((crop.x0 + crop.x1) / 2, wanted.x0 + size / 2),
        ((crop.y0 + crop.y1) / 2, wanted.y0 + size / 2),
    ):
        middles.append(min(max(now, then - slack * size), then + slack * size))
    x, y = middles
    return Crop(x - side / 2, y - side / 2, x + side / 2, y + side / 2, crop.size)


def _step(motion: Motion, person: Person, fit: FrameFit) -> Step:
    return Step(
        motion, person, Expected(motion.pose(fit.middle), motion.deviations(), person.mean, person.precision)
    )
