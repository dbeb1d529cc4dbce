"""Neck, shoulders, and clothes below the head, rotated less than the head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..morphable import MorphableModel
from .noise import NoiseBank
from .regions import head_center
from .sampling import rotation_matrix
from .shell import Shell, grid_triangles

Floats = NDArray[np.float32]

COLUMNS = 40
# Height below the chin, half-width, half-depth and forward shift of cross-sections, millimeters of an adult.
_SECTIONS = np.array(
    [
        [35, 46, 46, -12],
        [5, 50, 50, -14],
        [-25, 52, 53, -18],
        [-48, 56, 56, -24],
        [-62, 72, 62, -27],
        [-75, 105, 70, -30],
        [-90, 150, 82, -30],
        [-112, 188, 95, -26],
        [-150, 212, 108, -20],
        [-210, 222, 122, -12],
        [-300, 222, 130, -8],
        [-420, 220, 130, -8],
    ],
    dtype=np.float64,
)
ROWS = 24


class TorsoMaker:
    """Draws torsos for a model."""

    def __init__(self, model: MorphableModel, bank: NoiseBank) -> None:
        self.bank = bank
        self.points = model.mean[model.landmarks].astype(np.float64)
        self.unit = float(np.linalg.norm(self.points[36] - self.points[45])) / 90.0
        self.own_neck = bool((model.mean[:, 1] < self.points[8, 1] - 30 * self.unit).any())
        self.azimuth = np.linspace(-np.pi, np.pi, COLUMNS + 1)[:-1]
        place = np.linspace(0, len(_SECTIONS) - 1, ROWS)
        self.sections = np.stack(
            [np.interp(place, np.arange(len(_SECTIONS)), c) for c in _SECTIONS.T], axis=1
        )
        self.triangles = grid_triangles(ROWS, COLUMNS, wrap=True)

    def torso(
        self,
        rng: np.random.Generator,
        landmarks: NDArray[np.floating],
        angles: tuple[float, float, float],
        rotation: NDArray[np.floating],
        skin: NDArray[np.floating],
    ) -> Shell:
        """A torso in the *head's* axes, rotated back by part of the head's rotation. skin (3,) linear RGB."""
        height, width, depth, shift = self.sections.T * self.unit
        height = np.where(height < -20 * self.unit, height * rng.uniform(0.85, 1.35), height)
        build = rng.uniform(0.85, 1.2)
        neck = 1 + (build - 1) * np.clip((-height / self.unit) / 80, 0, 1)
        thickness = np.full(ROWS, rng.uniform(0.88, 1.12))
        if self.own_neck:  # stay inside the model's
            thickness *= np.where(height > -60 * self.unit, 0.72, 1.0)
        width, depth = width * neck * thickness, depth * neck * thickness
        center = head_center(landmarks)
        chin = float(landmarks[8, 1])
        sine, cosine = np.sin(self.azimuth), np.cos(self.azimuth)
        grid = np.empty((ROWS, COLUMNS, 3))
        grid[..., 0] = center[0] + width[:, None] * sine
        grid[..., 1] = chin + height[:, None]
        grid[..., 2] = center[2] + shift[:, None] + depth[:, None] * cosine
        pitch, yaw, roll = angles
        own = rotation_matrix(
            pitch * rng.uniform(-0.1, 0.4) + rng.normal(0, 0.08),
            yaw * rng.uniform(0.1, 1.0),
            roll * rng.uniform(0.0, 1.0),
        )
        # Camera <- torso is `own`; the head's rotation is applied to everything later, so undo it here.
        relative = np.einsum("kc,kj->cj", rotation, own)
        pivot = np.array([center[0], chin + 10 * self.unit, center[2] - 15 * self.unit])
        vertices = np.einsum("rak,ck->rac", grid - pivot, relative) + pivot
        return Shell(
            vertices.reshape(-1, 3).astype(np.float32),
            self.triangles,
            (ROWS, COLUMNS),
            self._clothes(rng, grid, chin, skin),
            0.02,
        )

    def _clothes(
        self, rng: np.random.Generator, grid: NDArray[np.float64], chin: float, skin: NDArray[np.floating]
    ) -> Floats:
        depth = (chin - grid[..., 1]) / self.unit
        side = np.abs(grid[..., 0]) / self.unit
        behind = np.cos(self.azimuth)[None, :] < 0
        start = rng.uniform(35, 80)
        neckline = (
            start
            + (rng.uniform(0.0, 2.2) if rng.random() < 0.5 else 0.0) * np.clip(60 - side, 0, 60) * ~behind
        )
        cloth = depth > neckline
        albedo = np.tile(np.asarray(skin, np.float64) * rng.uniform(0.8, 1.0), (ROWS, COLUMNS, 1))
        # The chin's shadow.
        albedo *= (0.55 + 0.45 * np.clip(depth / 60, 0, 1))[..., None]
        color = np.square(
            rng.uniform(0.02, 0.97, 3) if rng.random() < 0.5 else np.full(3, rng.uniform(0.02, 0.97))
        )
        weave = np.exp(rng.uniform(0.1, 1.2) * 2 * (self.bank.window(rng, ROWS, COLUMNS, "clouds") - 0.5))
        pattern = color * weave[..., None]
        kind = rng.random()
        other = np.square(rng.uniform(0.02, 0.97, 3))
        if kind < 0.15:
            pattern[(np.arange(ROWS) // rng.integers(1, 3)) % 2 == 0] = other
        elif kind < 0.3:
            pattern[:, (np.arange(COLUMNS) // rng.integers(1, 3)) % 2 == 0] = other
        elif kind < 0.5:  # a shirt under a jacket
            pattern[(side < 0.55 * (depth - start) + 12) & ~behind] = other
        albedo[cloth] = pattern[cloth]
        return np.clip(albedo, 0.002, 0.95).reshape(-1, 3).astype(np.float32)
