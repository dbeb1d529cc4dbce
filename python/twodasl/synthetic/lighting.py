"""Random light, and the color of a matte, slightly glossy surface under it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .planar import dot

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Lamp:
    """A directional light in camera axes (x right, y up, z toward the viewer)."""

    direction: Floats
    color: Floats
    sharpness: float
    """Softness of its shadows."""
    wrap: float
    """How far light wraps around the terminator: skin and large lamps are soft."""


@dataclass(frozen=True)
class Light:
    """Ambient light as second-order spherical harmonics, and one to three lamps. Linear RGB."""

    ambient: Floats
    """(10, 3): coefficients of 1, x, y, z, xy, yz, xz, xx, yy, zz."""
    lamps: tuple[Lamp, ...]

    def ambient_at(self, normals: Floats) -> Floats:
        """(3, n) irradiance for unit normals (3, n)."""
        x, y, z = normals
        basis = np.empty((10, normals.shape[1]), np.float32)
        basis[0] = 1.0
        basis[1:4] = normals
        for row, (a, b) in enumerate(((x, y), (y, z), (x, z), (x, x), (y, y), (z, z)), start=4):
            np.multiply(a, b, out=basis[row])
        light = np.einsum("kn,kc->cn", basis, self.ambient)
        return np.maximum(light, np.float32(0.02), out=light)


def sample_light(rng: np.random.Generator) -> Light:
    """A random illumination; the overall brightness is set later, by the exposure."""
    tint = color_temperature(rng.uniform(-1, 1)) * rng.uniform(0.95, 1.05, 3)
    ambient = np.zeros((10, 3), np.float32)
    ambient[0] = rng.uniform(0.2, 0.85) * tint
    # More from above than from below, as under a sky or a ceiling; colored walls at the sides.
    ambient[1:4] = rng.normal(0, 0.18, (3, 1)) + rng.normal(0, 0.04, (3, 3))
    ambient[2] += 0.15
    ambient[4:] = rng.normal(0, 0.05, (6, 3))
    style = rng.random()
    if style < 0.12:  # overcast: nearly no lamp
        strengths = [rng.uniform(0.05, 0.3)]
    elif style < 0.30:  # one hard lamp in the dark
        ambient *= rng.uniform(0.15, 0.5)
        strengths = [rng.uniform(1.0, 2.0)]
    else:
        strengths = list(rng.uniform(0.2, 1.3, rng.integers(1, 4)))
    return Light(ambient, tuple(_sample_lamp(rng, strength, i) for i, strength in enumerate(strengths)))


def _sample_lamp(rng: np.random.Generator, strength: float, index: int) -> Lamp:
    kind = rng.random()
    if index == 0 and kind < 0.15:  # flash next to the lens
        azimuth, elevation = rng.normal(0, 0.15), rng.normal(0.1, 0.12)
    elif kind < 0.75:  # window, lamp, sun
        azimuth, elevation = rng.uniform(-1.7, 1.7), rng.uniform(-0.15, 1.2)
    else:  # from anywhere, the back included: rims
        azimuth, elevation = rng.uniform(-math.pi, math.pi), rng.uniform(-0.5, 1.3)
    direction = np.array(
        [
            math.sin(azimuth) * math.cos(elevation),
            math.sin(elevation),
            math.cos(azimuth) * math.cos(elevation),
        ],
        np.float32,
    )
    vivid = rng.random() < 0.08  # stage and neon light
    color = rng.uniform(0.1, 1.0, 3) if vivid else color_temperature(rng.uniform(-1, 1))
    return Lamp(
        direction,
        (strength * color).astype(np.float32),
        (4.0, 12.0, 40.0)[rng.integers(3)],
        float(rng.uniform(0.0, 0.45)),
    )


def color_temperature(warmth: float) -> Floats:
    """RGB gains from bluish (-1) to orange (1), with mean about 1."""
    return np.array([1 + 0.16 * warmth, 1.0, 1 - 0.22 * warmth], np.float32)


def shade(
    albedo: Floats,
    normals: Floats,
    light: Light,
    openness: Floats | None = None,
    shadows: list[Floats] | None = None,
    gloss: float | Floats = 0.0,
    shininess: int = 4,
) -> Floats:
    """Linear colors (3, n) of surface points.

    albedo (3, n) linear RGB, normals (3, n) unit in camera axes; openness (n,) dims the ambient light;
    shadows holds one (n,) array per lamp. Highlights are Blinn-Phong with strength `gloss` (a number or (n,))
    and exponent 2 ** shininess.
    """
    irradiance = light.ambient_at(normals)
    if openness is not None:
        irradiance *= openness
    highlight = np.zeros_like(normals)
    for index, lamp in enumerate(light.lamps):
        diffuse = np.maximum(
            (dot(lamp.direction, normals) + np.float32(lamp.wrap)) / np.float32(1 + lamp.wrap), 0
        )
        if shadows is not None:
            diffuse *= shadows[index]
        irradiance += lamp.color[:, None] * diffuse
        half = lamp.direction + np.array([0, 0, 1], np.float32)
        half /= max(float(np.sqrt(np.square(half).sum())), 1e-3)
        lobe = np.maximum(dot(half, normals), 0)
        for _ in range(shininess):  # far cheaper than a power
            np.square(lobe, out=lobe)
        lobe *= np.minimum(diffuse, 1)  # in shadow, no highlight
        highlight += lamp.color[:, None] * lobe
    irradiance *= albedo
    highlight *= gloss
    irradiance += highlight
    return irradiance
