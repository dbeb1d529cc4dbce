"""Nearly conformal chart of the skin: directions from the head's center, unrolled around the crown.

The mid-sagittal plane becomes the line u = 0, the crown the origin, and the neck opening the outer boundary.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from twodasl.morphable.procedural.base import CENTER, template_radius
from twodasl.morphable.procedural.field import skin_points

Array = NDArray[np.float64]

_POLE = np.array([0.0, 1.0, 0.12]) / np.hypot(1.0, 0.12)
_FRONT = np.array([0.0, -0.12, 1.0]) / np.hypot(1.0, 0.12)


@lru_cache(maxsize=1)
def _radial_scale() -> tuple[Array, Array]:
    """Chart radius against polar angle that is conformal for the template's mean meridian, not for a
    sphere."""
    theta = np.linspace(1e-3, 3.05, 600)
    turn = np.linspace(0.4, np.pi, 12)[:, None]
    direction = (
        np.cos(theta)[None, :, None] * _POLE
        + (np.sin(theta) * np.cos(turn))[..., None] * _FRONT
        + (np.sin(theta) * np.sin(turn))[..., None] * np.array([1.0, 0.0, 0.0])
    )
    radius = template_radius(direction).mean(axis=0)
    travel = np.hypot(np.gradient(radius, theta), radius)
    rate = travel / (radius * np.sin(theta))
    log_radius = np.concatenate([[0.0], np.cumsum((rate[1:] + rate[:-1]) / 2 * np.diff(theta))])
    return theta, np.exp(log_radius - log_radius[300])


def to_chart(directions: Array) -> Array:
    """Unit directions (M, 3) -> chart coordinates (M, 2)."""
    theta, radius = _radial_scale()
    u, v = directions[:, 0], directions @ _FRONT
    flat = np.maximum(np.hypot(u, v), 1e-12)
    rho = np.interp(np.arccos(np.clip(directions @ _POLE, -1, 1)), theta, radius)
    return np.column_stack([u / flat * rho, v / flat * rho])


def directions_of(points: Array) -> Array:
    """Unit directions (M, 3) from the head's center to points (M, 3)."""
    ray = points - CENTER
    return np.asarray(ray / np.linalg.norm(ray, axis=1, keepdims=True), dtype=np.float64)


class CoarseSkin:
    """The skin tabulated over angles from the pole: a fast stand-in while points are being spread."""

    def __init__(self, polar: int = 110, azimuth: int = 90, limit: float = 2.92) -> None:
        # Finer rows and columns where the face is.
        self._rows = np.linspace(0.0, limit, polar)
        self._columns = np.linspace(0.0, 1.0, azimuth)
        theta, turn = np.meshgrid(self._rows, np.pi * self._columns**1.6, indexing="ij")
        direction = (
            np.cos(theta)[..., None] * _POLE
            + (np.sin(theta) * np.cos(turn))[..., None] * _FRONT
            + (np.sin(theta) * np.sin(turn))[..., None] * np.array([1.0, 0.0, 0.0])
        )
        self.table = skin_points(direction.reshape(-1, 3)).reshape(polar, azimuth, 3)
        self._limit = limit

    def radii(self, directions: Array) -> Array:
        """Approximate skin distance from the center along unit directions (M, 3) of the +x half."""
        theta = np.arccos(np.clip(directions @ _POLE, -1, 1))
        turn = np.arctan2(np.maximum(directions[:, 0], 0.0), directions @ _FRONT)
        row = theta / self._limit * (len(self._rows) - 1)
        column = (turn / np.pi) ** (1 / 1.6) * (len(self._columns) - 1)
        radius = np.linalg.norm(self.table - CENTER, axis=2)
        return np.asarray(map_coordinates(radius, [row, column], order=1, mode="nearest"), dtype=np.float64)

    def points(self, directions: Array) -> Array:
        """Approximate skin points (M, 3)."""
        return np.asarray(CENTER + directions * self.radii(directions)[:, None], dtype=np.float64)
