"""Changes of a batch each time it is used: the face moves in the crop, the light changes, the detector errs.

All randomness comes from a numpy generator that the caller seeds with the step. Images, landmarks and
parameters change together and exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..geometry.crop_motion import moved_image, moved_parameters, moved_points
from ..geometry.crops import SIZE
from ..landmarks import (
    EIGHTEEN_NAMES,
    TWENTY_ONE_NAMES,
    eighteen_from_21,
    eighteen_from_68,
    twenty_one_from_68,
)
from .config import AugmentConfig, LandmarkConfig
from .mirror import mirror_batch
from .streams import Batch

# A rotation or distortion beyond this many standard deviations is drawn in to it.
_LIMIT = 2.5

_EIGHTEEN_OF_21 = [i for i, name in enumerate(TWENTY_ONE_NAMES) if name in EIGHTEEN_NAMES]


class PartOfGenerator:
    """Random numbers for a part of a batch: those that these rows would get if the whole batch were drawn.

    Args:
        rng: of the whole batch.
        part, parts: which of so many equal parts.
    """

    def __init__(self, rng: np.random.Generator, part: int, parts: int) -> None:
        self._rng, self._part, self._parts = rng, part, parts

    def standard_normal(self, shape: int | tuple[int, ...]) -> NDArray[np.float64]:
        """As numpy's; the first axis counts the part's faces."""
        return self._rows(self._rng.standard_normal, shape)

    def random(self, shape: int | tuple[int, ...]) -> NDArray[np.float64]:
        """As numpy's; the first axis counts the part's faces."""
        return self._rows(self._rng.random, shape)

    def _rows(
        self, draw: Callable[..., NDArray[np.float64]], shape: int | tuple[int, ...]
    ) -> NDArray[np.float64]:
        count, *rest = (shape,) if isinstance(shape, int) else shape
        return draw((count * self._parts, *rest))[count * self._part : count * (self._part + 1)]


Random = np.random.Generator | PartOfGenerator


def augment(batch: Batch, config: AugmentConfig, rng: Random, mirror: Tensor | None = None) -> Batch:
    """A batch whose faces were mirrored, rotated, scaled and shifted in the image plane, in another light.

    mirror: the face model's `mirror_map`; without it, faces with parameters are not mirrored.

    How, see `geometry.crop_motion`.
    """
    count = len(batch["image"])
    angle = np.radians(config.rotation) * _normal(rng, count)
    scale = np.exp(config.scale * _normal(rng, count))
    shift = config.shift * _normal(rng, (count, 2))
    gain = np.exp(config.gain * _normal(rng, (count, 4)))
    if config.flip:  # drawn last: without it the numbers above stay those of runs that had no such setting
        batch = mirror_batch(batch, rng.random(count) < config.flip, mirror)
    images = batch["image"].numpy()
    changed = dict(batch)
    changed["image"] = torch.from_numpy(
        np.stack(
            [
                _relit(moved_image(images[i], angle[i], scale[i], shift[i]), gain[i, :3], gain[i, 3])
                for i in range(count)
            ]
        )
    )
    changed["landmarks"] = moved_points(batch["landmarks"], angle, scale, shift)
    if "parameters" in batch:
        changed["parameters"] = moved_parameters(batch["parameters"], angle, scale, shift)
    x, row = changed["landmarks"][..., 0], changed["landmarks"][..., 1]
    inside = (x > -0.5) & (x < SIZE - 0.5) & (row > -0.5) & (row < SIZE - 0.5)
    changed["visible"] = batch["visible"] & inside
    return changed


def detect(batch: Batch, config: LandmarkConfig, rng: Random) -> tuple[Tensor, Tensor]:
    """The 18 landmarks as a detector might find them.

    Returns:
        points (B, 18, 2) float32 crop pixels, and shown (B, 18) bool: which of them enter the map.
    """
    observed, visible = observed_eighteen(batch)
    points, seen = observed.numpy().astype(np.float64), visible.numpy()
    count = len(points)
    yaw = batch["yaw"].numpy() if "yaw" in batch else np.zeros(count)
    size = np.exp(config.tail * _normal(rng, count)) * (1 + config.profile * np.abs(yaw) / (math.pi / 2))
    known = np.asarray(np.isfinite(points).all(axis=2))[..., None]
    centered = points - (np.where(known, points, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1))[:, None]
    error = config.shift * _normal(rng, (count, 1, 2))
    error = error + centered @ (config.affine * _normal(rng, (count, 2, 2)))
    error = error + config.jitter * _normal(rng, (count, 18, 2))
    found = points + size[:, None, None] * error
    shown = rng.random((count, 18)) >= config.point_dropout
    hides = rng.random((count, 1)) < config.hide_occluded
    shown &= (~hides | seen) & known[..., 0]
    shown &= rng.random((count, 1)) >= config.map_dropout
    return torch.from_numpy(found.astype(np.float32)), torch.from_numpy(shown)


def observed_eighteen(batch: Batch) -> tuple[Tensor, Tensor]:
    """The annotated 18 points (B, 18, 2), and which are visible (B, 18); of 68, AFLW's 21, or 18 landmarks.

    A midpoint of two landmarks is visible where both are.
    """
    points, visible = batch["landmarks"][..., :2], batch["visible"]
    if points.shape[1] == 68:
        return eighteen_from_68(points), eighteen_from_68(visible[..., None].float())[..., 0] == 1
    if points.shape[1] == 21:
        return eighteen_from_21(points), eighteen_from_21(visible[..., None])[..., 0]
    if points.shape[1] != 18:
        raise ValueError(f"landmarks: expected 68, 21 or 18 points, got {points.shape[1]}")
    return points, visible


def observed_twenty_one(batch: Batch) -> tuple[Tensor, Tensor]:
    """AFLW's 21 points (B, 21, 2), and which are visible (B, 21): as `observed_eighteen`, with chin and ears.

    What a scheme does not have is NaN and not visible.
    """
    points, visible = batch["landmarks"][..., :2], batch["visible"]
    if points.shape[1] == 21:
        return points, visible
    if points.shape[1] == 68:
        return twenty_one_from_68(points), twenty_one_from_68(visible[..., None].float())[..., 0] == 1
    eighteen, seen = observed_eighteen(batch)
    places = torch.tensor(_EIGHTEEN_OF_21)
    full = eighteen.new_full((len(points), 21, 2), torch.nan).index_copy(1, places, eighteen)
    return full, seen.new_zeros(len(points), 21).index_copy(1, places, seen)


def _normal(rng: Random, shape: int | tuple[int, ...]) -> NDArray[np.float64]:
    return np.clip(rng.standard_normal(shape), -_LIMIT, _LIMIT)


def _relit(image: NDArray[np.uint8], gains: NDArray[np.float64], gamma: float) -> NDArray[np.uint8]:
    levels = np.linspace(0, 1, 256) ** gamma
    table = np.clip(255 * levels[:, None] * gains, 0, 255).round().astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[None]), dtype=np.uint8)
