"""Hair, hats, hoods, and helmets: one star-shaped surface around the head, above and below the skin.

The surface is a grid over azimuth and elevation, seen from the middle of the head. It lies outside the skin
where a style has hair, and inside elsewhere, so that the z-buffer cuts the hairline.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..morphable import MorphableModel
from .noise import NoiseBank
from .planar import cross, normalized, planar
from .regions import hairline_height, head_center
from .sampling import pick

Floats = NDArray[np.float32]

AZIMUTHS = 80
ELEVATIONS = 40
_TOP, _BOTTOM = np.radians(88.0), np.radians(-78.0)


@dataclass(frozen=True)
class Shell:
    """A sampled surface in the model's axes and millimeters."""

    vertices: Floats
    """(rows * columns, 3)"""
    triangles: NDArray[np.int64]
    """(T, 3): those that may be visible."""
    grid: tuple[int, int]
    """Rows and columns."""
    albedo: Floats
    """Linear RGB, (rows * columns, 3)."""
    gloss: float


class ShellMaker:
    """Draws shells that fit a model."""

    def __init__(self, model: MorphableModel, bank: NoiseBank) -> None:
        self.bank = bank
        self.points = model.mean[model.landmarks].astype(np.float64)
        self.center = head_center(self.points)
        self.unit = float(np.linalg.norm(self.points[36] - self.points[45])) / 90.0
        # Columns start at the back, where the seam is hidden.
        self.azimuth = np.linspace(-np.pi, np.pi, AZIMUTHS + 1)[:-1]
        self.elevation = np.linspace(_TOP, _BOTTOM, ELEVATIONS)
        azimuth, elevation = np.meshgrid(self.azimuth, self.elevation)
        flat = np.cos(elevation)
        self.directions = np.stack(
            [np.sin(azimuth) * flat, np.sin(elevation), np.cos(azimuth) * flat], axis=2
        )
        self.radius = self._radius(model.mean.astype(np.float64))
        self.corner_columns = np.ascontiguousarray(grid_triangles(ELEVATIONS, AZIMUTHS, wrap=True).T)
        # Safely under the skin everywhere, next to the nose too.
        wrapped = np.concatenate([self.radius[:, -6:], self.radius, self.radius[:, :6]], axis=1)
        self.below = cv2.erode(wrapped, np.ones((7, 7)))[:, 6:-6] - 9 * self.unit
        self.neck = 30 * self.unit
        self.triangles = grid_triangles(ELEVATIONS, AZIMUTHS, wrap=True)
        self.hairline = self._elevation_of(hairline_height(self.azimuth, self.points))

    def hair(self, rng: np.random.Generator, color: Floats, landmarks: NDArray[np.floating]) -> Shell:
        """Hair of a random cut, color (3,) linear RGB."""
        style = ("short", "medium", "long", "volume", "tied")[pick(rng, 0.36, 0.16, 0.28, 0.1, 0.1)]
        thickness = {
            "short": (4, 22),
            "medium": (10, 30),
            "long": (8, 30),
            "volume": (25, 70),
            "tied": (3, 9),
        }[style]
        base = rng.uniform(*thickness) * self.unit
        lower = self.hairline + np.radians(rng.normal(0, 4))
        side = np.abs(self.azimuth)
        if rng.random() < 0.35:  # a fringe down to the brows, straight or swept
            fall = np.radians(rng.uniform(6, 24)) * np.exp(-((self.azimuth / 0.75) ** 4))
            lower = lower - fall * (1 + rng.uniform(-0.5, 0.5) * np.sin(self.azimuth))
        elif rng.random() < 0.3 and style != "tied":  # receding at the temples
            lower = lower + np.radians(rng.uniform(4, 16)) * np.exp(-((side - 0.55) ** 2) / 0.1)
        length = 0.0
        if style in ("long", "medium", "volume"):
            # Falls next to the face behind an opening, which may be lopsided.
            opening = rng.uniform(0.85, 1.75) + rng.uniform(-0.25, 0.25) * np.sign(self.azimuth)
            curtain = 1 / (1 + np.exp(-(side - opening) / 0.06))
            length = rng.uniform(70, 110) if style == "medium" else rng.uniform(110, 260)
            if style == "volume":
                length = rng.uniform(30, 140)
            lower = lower + curtain * (np.radians(-80) - lower)
        lower = lower + np.radians(6) * (self.bank.window(rng, 1, AZIMUTHS, "clouds")[0] - 0.5)
        relief = self.bank.window(rng, ELEVATIONS, AZIMUTHS, ("clouds", "streaks")[rng.integers(2)]) - 0.5
        bumps = base * rng.uniform(0.2, 1.2) * relief
        vertices, triangles = self._surface(
            lower, base + bumps, length * self.unit, landmarks, flare=rng.uniform(0.9, 1.3)
        )
        strands = self.bank.window(rng, ELEVATIONS, AZIMUTHS, "streaks" if rng.random() < 0.75 else "clouds")
        contrast = rng.uniform(0.5, 1.6)
        shade = np.exp(contrast * 2 * (strands - 0.5)).reshape(-1, 1).astype(np.float32)
        # Darker near the roots underneath, which little light reaches.
        shade *= (
            (0.75 + 0.25 * np.clip(self.directions[..., 1] + 0.7, 0, 1)).reshape(-1, 1).astype(np.float32)
        )
        albedo = np.clip(color * shade, 0.002, 0.95).astype(np.float32)
        return Shell(vertices, triangles, (ELEVATIONS, AZIMUTHS), albedo, float(rng.uniform(0.0, 0.12)))

    def headwear(self, rng: np.random.Generator, landmarks: NDArray[np.floating]) -> Shell:
        """A hat, cap, hood, scarf or helmet."""
        kind = ("beanie", "cap", "hat", "hood", "band")[pick(rng, 0.25, 0.2, 0.2, 0.25, 0.1)]
        base = rng.uniform(4, 14) * self.unit
        side = np.abs(self.azimuth)
        tilt = np.radians(rng.normal(0, 4)) * np.sin(self.azimuth)
        front = float(np.interp(0.0, self.azimuth, self.hairline)) + np.radians(rng.uniform(-14, 6))
        back = np.radians(rng.uniform(-25, 5))
        lower = front + (back - front) * np.clip(side / 2.2, 0, 1) + tilt
        length = 0.0
        brim = np.zeros((ELEVATIONS, AZIMUTHS))
        if kind in ("cap", "hat"):
            base += rng.uniform(5, 25) * self.unit
            width = rng.uniform(40, 75) * self.unit
            around = np.exp(-((self.azimuth / 0.85) ** 6)) if kind == "cap" else np.ones(AZIMUTHS)
            brim = width * around * np.exp(-(((self.elevation[:, None] - lower - 0.09) / 0.05) ** 2))
        elif kind == "hood":
            opening = rng.uniform(0.8, 1.4)
            curtain = 1 / (1 + np.exp(-(side - opening) / 0.05))
            lower = lower + curtain * (np.radians(-80) - lower)
            length = rng.uniform(100, 180)
            base += rng.uniform(0, 25) * self.unit
        folds = base * rng.uniform(0.1, 0.7) * (self.bank.window(rng, ELEVATIONS, AZIMUTHS, "clouds") - 0.5)
        vertices, triangles = self._surface(
            lower, base + folds + brim, length * self.unit, landmarks, flare=1.05
        )
        color = np.square(
            rng.uniform(0.03, 0.95, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(0.03, 0.95))
        )
        cloth = np.exp(
            rng.uniform(0.1, 1.0) * 2 * (self.bank.window(rng, ELEVATIONS, AZIMUTHS, "streaks") - 0.5)
        )
        albedo = color * cloth[..., None]
        if rng.random() < 0.4:  # stripes or a band
            rows = (np.arange(ELEVATIONS) // rng.integers(2, 7)) % 2 == 0
            albedo[rows] = np.square(rng.uniform(0.03, 0.95, 3)) * cloth[rows][..., None]
        albedo = np.clip(albedo, 0.002, 0.95).reshape(-1, 3).astype(np.float32)
        return Shell(vertices, triangles, (ELEVATIONS, AZIMUTHS), albedo, float(rng.uniform(0, 0.05)))

    def _surface(
        self,
        lower: NDArray[np.floating],
        thickness: NDArray[np.floating],
        length: float,
        landmarks: NDArray[np.floating],
        flare: float,
    ) -> tuple[Floats, NDArray[np.int64]]:
        """Vertices of a shell that is visible above `lower` (elevation by azimuth), and its visible
        triangles.
        """
        shown = np.clip((self.elevation[:, None] - lower) / np.radians(13) + 0.5, 0, 1)
        shown = shown * shown * (3 - 2 * shown)
        radius = self.radius + np.maximum(thickness, 1.5 * self.unit)
        if length > 0:
            # Below the ears, hair and cloth hang down instead of following the neck.
            below = self.elevation < np.radians(-8)
            widest = radius[np.searchsorted(-self.elevation, np.radians(8))]
            slope = self.elevation[below, None]
            hanging = flare * widest / np.cos(slope)
            radius[below] = np.minimum(hanging, length / np.sin(-slope))
        # Just under the skin, and inside the neck below the chin, where nothing should be visible.
        depth = 60 * self.unit * np.clip(lower - self.elevation[:, None], 0, 0.5)
        hidden = np.where(self.elevation[:, None] < np.radians(-25), self.neck, self.below - depth)
        radius = hidden * (1 - shown) + radius * shown
        # Follow this head's width, height, and depth, according to its landmarks.
        now = np.ptp(landmarks, axis=0) / np.ptp(self.points, axis=0)
        center = head_center(landmarks)
        stretch = np.clip([now[0], 0.5 * (now[0] + now[1]), now[2]], 0.85, 1.2)
        vertices = center + self.directions * radius[..., None] * stretch
        outside = (shown > 0).ravel()
        a, b, c = self.corner_columns
        drawn = np.flatnonzero(outside.take(a) | outside.take(b) | outside.take(c))
        return vertices.reshape(-1, 3).astype(np.float32), self.triangles.take(drawn, axis=0)

    def _elevation_of(self, height: NDArray[np.float64]) -> NDArray[np.float64]:
        """Elevation by azimuth of this height on the mean head."""
        heights = self.center[1] + self.radius * np.sin(self.elevation)[:, None]
        rows = np.abs(heights - height).argmin(axis=0)
        return self.elevation[rows]

    def _radius(self, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """Radius of the mean head by direction; where the model has no vertices, that of an ellipsoid."""
        offset = mean - self.center
        radius = np.linalg.norm(offset, axis=1)
        elevation = np.arcsin(offset[:, 1] / np.maximum(radius, 1e-6))
        azimuth = np.arctan2(offset[:, 0], offset[:, 2])
        row = np.rint((_TOP - elevation) / (_TOP - _BOTTOM) * (ELEVATIONS - 1)).astype(int)
        column = np.rint((azimuth + np.pi) / (2 * np.pi) * AZIMUTHS).astype(int) % AZIMUTHS
        inside = (row >= 0) & (row < ELEVATIONS)
        grid = np.zeros((ELEVATIONS, AZIMUTHS))
        np.maximum.at(grid, (row[inside], column[inside]), radius[inside])
        half = 0.5 * np.linalg.norm(self.points[0] - self.points[16])
        # Head breadth : length : auricular height, about 152 : 194 : 130 mm (adult means).
        axes = half * np.array([1.04, 1.55, 1.32])
        skull = 1 / np.sqrt(((self.directions / axes) ** 2).sum(axis=2))
        upper = self.elevation[:, None] > np.radians(-15)
        grid = np.where((grid == 0) & upper, skull, grid)
        # Fill the remaining gaps (under the chin, inside the neck), then smooth out the bins.
        for _ in range(AZIMUTHS):
            empty = grid == 0
            if not empty.any():
                break
            padded = np.concatenate([grid[:, -1:], grid, grid[:, :1]], axis=1)
            grown = cv2.dilate(padded, np.ones((3, 3)))[:, 1:-1]
            grid = np.where(empty, 0.9 * grown, grid)
        wrapped = np.concatenate([grid[:, -6:], grid, grid[:, :6]], axis=1)
        return np.asarray(cv2.GaussianBlur(wrapped, (0, 0), 1.0)[:, 6:-6], np.float64)


def grid_triangles(rows: int, columns: int, wrap: bool) -> NDArray[np.int64]:
    """Two triangles per cell of a (rows, columns) grid, row-major; `wrap` closes the columns."""
    row, column = np.meshgrid(np.arange(rows - 1), np.arange(columns if wrap else columns - 1), indexing="ij")
    right = (column + 1) % columns
    a, b = row * columns + column, row * columns + right
    c, d = a + columns, b + columns
    cells = np.stack([np.stack([a, c, b], axis=-1), np.stack([b, c, d], axis=-1)], axis=-2)
    return cells.reshape(-1, 3).astype(np.int64)


def grid_normals(vertices: Floats, rows: int, columns: int) -> Floats:
    """(3, rows * columns) unit normals of a closed grid (rows * columns, 3), pointing outward."""
    grid = planar(vertices).reshape(3, rows, columns)
    along = np.empty_like(grid)
    along[:, 1:-1] = grid[:, 2:] - grid[:, :-2]
    along[:, 0], along[:, -1] = grid[:, 1] - grid[:, 0], grid[:, -1] - grid[:, -2]
    across = np.empty_like(grid)
    across[:, :, 1:-1] = grid[:, :, 2:] - grid[:, :, :-2]
    across[:, :, 0], across[:, :, -1] = grid[:, :, 1] - grid[:, :, -1], grid[:, :, 0] - grid[:, :, -2]
    return normalized(cross(along.reshape(3, -1), across.reshape(3, -1)))
