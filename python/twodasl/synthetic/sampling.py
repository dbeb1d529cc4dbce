"""Random faces and cameras: the parameter vector of a sample."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geometry.crops import BOX_MARGIN, SIZE, flip_y
from ..morphable import MorphableModel
from .options import SyntheticOptions

Floats = NDArray[np.float32]

# The mode of the embedded head that opens the mouth, and how far a shout or a yawn does, in multiples of
# `coefficient_limit`. In photos, nine mouths in ten are open by less than three standard deviations, two in a
# hundred by more than six.
_JAW, _WIDE = "jaw open", (0.8, 3.0)
# Its modes that shut an eye, and the range of coefficients from more than half shut to shut. Both eyes shut
# together, which modes drawn one by one hardly ever do; one face in eight of these winks.
_BLINKS, _SHUT, _WINKS = ("blink left", "blink right"), (1.8, 3.05), 0.125
# Where the moods of faces with shut eyes begin: after those of calm and strong expressions.
_SHUTTING = 0.5


@dataclass(frozen=True)
class Pose:
    """A sampled camera. Angles in radians, AFLW2000's convention."""

    matrix: Floats
    """(3, 4): the first twelve parameters."""
    rotation: NDArray[np.float64]
    """(3, 3)"""
    scale: float
    """Crop pixels per millimeter."""
    pitch: float
    yaw: float
    roll: float


def rotation_matrix(pitch: float, yaw: float, roll: float) -> NDArray[np.float64]:
    """`twodasl.morphable.matrix_from_angles` for one set of angles, without the cost of tensors."""
    (cx, sx), (cy, sy), (cz, sz) = ((math.cos(a), math.sin(a)) for a in (pitch, yaw, roll))
    return np.array(
        [
            [cy * cz, cy * sz, -sy],
            [sx * sy * cz - cx * sz, sx * sy * sz + cx * cz, sx * cy],
            [cx * sy * cz + sx * sz, cx * sy * sz - sx * cz, cx * cy],
        ]
    )


def pick(rng: np.random.Generator, *weights: float) -> int:
    """Draw an index with these weights, which sum to 1; takes a tenth of the time of `choice`."""
    place = rng.random()
    for index, weight in enumerate(weights):
        place -= weight
        if place < 0:
            return index
    return len(weights) - 1


def truncated_normal(rng: np.random.Generator, count: int, limit: float) -> NDArray[np.float64]:
    """Standard normal numbers within [-limit, limit]: redrawn a few times, then clipped."""
    values = rng.standard_normal(count)
    for _ in range(4):
        outside = np.abs(values) > limit
        if not outside.any():
            break
        values = np.where(outside, rng.standard_normal(count), values)
    return np.clip(values, -limit, limit)


class ParameterSampler:
    """Draws coefficients and poses whose crops look like those made from detected landmarks."""

    def __init__(self, model: MorphableModel, options: SyntheticOptions) -> None:
        self.options = options
        self.shape_count = len(model.shape_modes)
        self.std = np.asarray(model.coefficient_std, np.float64)
        names = (model.mode_names or ())[self.shape_count :]
        self.jaw = names.index(_JAW) if _JAW in names else None
        self.blinks = [names.index(name) for name in _BLINKS if name in names]
        self.landmark_mean = np.asarray(model.mean[model.landmarks], np.float64)
        self.landmark_modes = np.asarray(model.modes[:, model.landmarks], np.float64)

    def sample(self, rng: np.random.Generator) -> tuple[Floats, Pose]:
        """Coefficients (K,) float32 and a pose."""
        coefficients = self._coefficients(rng)
        # From the rounded values, so that the crop fits the returned parameters.
        landmarks = self.landmark_mean + np.einsum(
            "k,knc->nc", coefficients.astype(np.float64), self.landmark_modes
        )
        return coefficients, self._pose(rng, landmarks)

    def _coefficients(self, rng: np.random.Generator) -> Floats:
        values = truncated_normal(rng, len(self.std), self.options.coefficient_limit)
        # Photos show calm faces and strong expressions, not only the range between them.
        expression = values[self.shape_count :]
        mood = rng.random()
        if mood < 0.3:
            expression *= rng.uniform(0.0, 0.5)
        elif mood < 0.5 and len(expression):
            kept = rng.random(len(expression)) < 0.3
            expression *= np.where(kept, 1.0, 0.2)
        elif self.jaw is not None and mood >= 1 - self.options.wide_mouths:
            low, high = (self.options.coefficient_limit * share for share in _WIDE)
            expression[self.jaw] = rng.uniform(low, high)
        elif self.blinks and mood < _SHUTTING + self.options.shut_eyes:
            shut = [self.blinks[pick(rng, 0.5, 0.5)]] if rng.random() < _WINKS else self.blinks
            expression[shut] = rng.uniform(*_SHUT)
        return (values * self.std).astype(np.float32)

    def _angles(self, rng: np.random.Generator) -> tuple[float, float, float]:
        options = self.options
        limit = math.radians(options.yaw_limit)
        profile = rng.random() < options.profile_share
        yaw = rng.uniform(-limit, limit) if profile else rng.normal(0.0, math.radians(20.0))
        yaw = float(np.clip(yaw, -limit, limit))
        # On average, AFLW2000's heads look slightly down: -7 degrees.
        pitch = rng.normal(math.radians(-5.0), math.radians(options.pitch_std))
        # One in ten rests on a shoulder or comes from a tilted camera.
        spread = options.roll_std * (2.0 if rng.random() < 0.1 else 1.0)
        roll = rng.normal(0.0, math.radians(spread))
        return float(np.clip(pitch, -0.9, 0.7)), yaw, float(np.clip(roll, -1.3, 1.3))

    def _pose(self, rng: np.random.Generator, landmarks: NDArray[np.float64]) -> Pose:
        pitch, yaw, roll = self._angles(rng)
        rotation = rotation_matrix(pitch, yaw, roll)
        projected = np.einsum("nk,ck->nc", landmarks, rotation)
        low, high = projected[:, :2].min(axis=0), projected[:, :2].max(axis=0)
        # The crop of a detector's landmarks: each edge of their bounding box is slightly off, some far off.
        side = float((high - low).max())
        noise = self.options.box_noise * (2.5 if rng.random() < 0.1 else 1.0)
        low = low + rng.normal(0.0, noise * side, 2)
        high = high + rng.normal(0.0, noise * side, 2)
        side = max(float((high - low).max()), 0.6 * side)
        scale = SIZE / (BOX_MARGIN * side)
        # The box's center is crop pixel size / 2 on both axes; z = 0 is the landmarks' mean depth, so that a
        # face's depth can be read from its picture.
        center = np.array([SIZE / 2, SIZE / 2, 0.0])
        center[1] = flip_y(center[1:2])[0]
        anchor = np.array([*(low + high) / 2, projected[:, 2].mean()])
        translation = center - scale * anchor
        matrix = np.concatenate([scale * rotation, translation[:, None]], axis=1).astype(np.float32)
        return Pose(matrix, rotation, scale, pitch, yaw, roll)
