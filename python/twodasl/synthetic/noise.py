"""A bank of tileable noise textures for details of hair, cloth, backgrounds, and occluders."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

TILE = 256
_SMOOTH = (1.0, 1.4, 1.8, 2.2, 2.6)
_BANK_SEED = 20190322  # the textures are the same for every data set; samples choose and place them at random


@cache
def noise_bank() -> NoiseBank:
    """The textures, generated once per process."""
    return NoiseBank()


class NoiseBank:
    """Tileable textures in [0, 1], (TILE, TILE) float32, in three families."""

    def __init__(self) -> None:
        rng = np.random.default_rng(_BANK_SEED)
        spectrum = [_spectral(rng, slope, 1.0) for slope in _SMOOTH for _ in range(2)]
        streaks = [_spectral(rng, slope, stretch) for slope in (1.0, 1.5) for stretch in (6.0, 12.0, 24.0)]
        folded = [np.abs(2 * _spectral(rng, slope, 1.0) - 1) for slope in (1.6, 2.0, 2.4)]
        self.clouds = np.stack(spectrum).astype(np.float32)
        """1/f^slope noise, from sandy to cloudy."""
        self.streaks = np.stack(streaks).astype(np.float32)
        """Noise stretched along the columns: strands."""
        self.cells = np.stack([*folded, _worley(rng, 40), _worley(rng, 150)]).astype(np.float32)
        """Creases, marble and cells."""
        self._grain = rng.standard_normal((2 * TILE, 2 * TILE, 3), dtype=np.float32)

    def patch(
        self, rng: np.random.Generator, height: int, width: int, family: str = "any", turn: float = np.pi
    ) -> Floats:
        """A random, scaled piece of a texture, turned by up to `turn` radians: (height, width) in [0, 1]."""
        tile = self._tile(rng, family)
        zoom = float(np.exp(rng.uniform(-1.2, 0.7)))
        angle = rng.uniform(-turn, turn)
        cosine, sine = zoom * np.cos(angle), zoom * np.sin(angle)
        x, y = rng.uniform(0, TILE, 2)
        transform = np.array([[cosine, -sine, x], [sine, cosine, y]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        piece = cv2.warpAffine(tile, transform, (width, height), flags=flags, borderMode=cv2.BORDER_WRAP)
        return np.asarray(piece, np.float32)

    def window(self, rng: np.random.Generator, height: int, width: int, family: str) -> Floats:
        """An unscaled piece of a texture: (height, width), both at most TILE."""
        tile = self._tile(rng, family)
        row, column = rng.integers(0, TILE - height + 1), rng.integers(0, TILE - width + 1)
        return tile[row : row + height, column : column + width]

    def grain(self, rng: np.random.Generator, size: int) -> Floats:
        """White noise (size, size, 3) of unit variance: a random window, read-only."""
        row, column = rng.integers(0, 2 * TILE - size + 1, 2)
        return self._grain[row : row + size, column : column + size]

    def _tile(self, rng: np.random.Generator, family: str) -> Floats:
        if family == "any":
            family = ("clouds", "clouds", "streaks", "cells")[rng.integers(4)]
        tiles: Floats = getattr(self, family)
        return tiles[rng.integers(len(tiles))]


def _spectral(rng: np.random.Generator, slope: float, stretch: float) -> Floats:
    """Gaussian noise with amplitude 1/f^slope; `stretch` > 1 stretches it along the columns."""
    row = np.fft.fftfreq(TILE)[:, None] * stretch
    column = np.fft.rfftfreq(TILE)[None, :]
    frequency = np.hypot(row, column)
    frequency[0, 0] = np.inf
    phase = rng.standard_normal(frequency.shape) + 1j * rng.standard_normal(frequency.shape)
    field = np.fft.irfft2(phase / frequency**slope, s=(TILE, TILE))
    return _normalized(field)


def _worley(rng: np.random.Generator, points: int) -> Floats:
    """Distance to the nearest of some random points, on a torus."""
    seeds = np.ones((3 * TILE, 3 * TILE), np.uint8)
    for row, column in rng.integers(0, TILE, (points, 2)):
        seeds[row::TILE, column::TILE] = 0
    distance = cv2.distanceTransform(seeds, cv2.DIST_L2, 5)[TILE : 2 * TILE, TILE : 2 * TILE]
    return _normalized(np.asarray(distance, np.float32))


def _normalized(field: NDArray[np.floating]) -> Floats:
    """Rescale to mean 0.5, with two standard deviations on each side inside [0, 1], and clip."""
    scaled = 0.5 + (field - field.mean()) / (4 * field.std())
    return np.clip(scaled, 0, 1).astype(np.float32)
