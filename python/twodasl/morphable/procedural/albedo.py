"""The colors of the embedded model (skin, lips, brows, short hair, eyes) and how people differ in them.

Colors are sRGB in [0, 1], painted as layers over the mean head: each layer covers the ones below it by an
opacity per vertex. The modes recolor layers, so dark skin keeps its brows and a blue iris its pupil. Skin
tones cover the range of published photographic skin color charts (from about (0.95, 0.80, 0.70) for the
lightest to (0.25, 0.15, 0.10) for the darkest).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .anatomy import Anatomy
from .features.eyes import lid_heights
from .features.lips import contact_line
from .shapes import smoothstep

Array = NDArray[np.float64]

SKIN = np.array([0.73, 0.545, 0.445])
HAIR = np.array([0.19, 0.135, 0.10])
SCLERA = np.array([0.90, 0.88, 0.86])
IRIS = np.array([0.35, 0.27, 0.19])
PUPIL = np.array([0.025, 0.02, 0.02])
LASHES = np.array([0.15, 0.10, 0.08])
MOUTH = np.array([0.30, 0.09, 0.085])
CARUNCLE = np.array([0.80, 0.50, 0.46])


def _speckle(a: Array, period: float, seed: int) -> Array:
    """Smooth noise in [-1, 1] over positions (N, 3) with features of about `period` mm, the same on both
    sides."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(size=(12, 3))
    waves *= 2 * np.pi / period / np.linalg.norm(waves, axis=1, keepdims=True)
    phases = rng.uniform(0, 2 * np.pi, 12)
    return np.asarray(np.clip(np.sin(np.abs(a) @ waves.T + phases).sum(1) / 4, -1, 1))


class Paint:
    """The opacities (N,) in [0, 1] of every layer on the mean head."""

    def __init__(self, a: Anatomy) -> None:
        r = a.regions
        eye, mouth, wing = a.eye, a.mouth, a.mark(35)
        self.eyeball = r["eyeball_left"] + r["eyeball_right"]
        self.inside = r["mouth_interior"]
        self.lips = np.clip(np.maximum(r["lip_upper"], r["lip_lower"]), 0, 1)
        self.nostrils = np.clip(r["nostrils"] * 1.2, 0, 1)
        self.caruncle = np.clip(r["caruncle_left"] + r["caruncle_right"], 0, 1)
        self.brows = np.clip(r["brows"] * (0.85 + 0.15 * _speckle(a.points, 3.0, 1)), 0, 1) * 0.72
        self.hair = self._short_hair(a) * (0.9 + 0.1 * _speckle(a.points, 9.0, 2)) * 0.86
        self.blush = a.bump((eye[0] + 6, mouth[1] + 32, 74), (13, 12, 20))
        tips = np.maximum(a.bump(a.mark(30), (9, 9, 14)), 0.5 * a.bump(wing, (8, 8, 12)))
        self.blush = np.maximum(self.blush, 0.8 * tips)
        self.blush = np.maximum(self.blush, 0.6 * r["ears"])
        self.orbit = a.bump((eye[0] - 2, eye[1] - 3, eye[2] + 8), (15, 9.5, 18))
        chin = a.mark(8)[1]
        self.beard = a.ramp(a.y, chin - 26, chin + 2) * a.ramp(a.y, a.mark(33)[1] + 2, a.mark(33)[1] - 8)
        jawline = np.interp(
            a.across, [0, 24, 34, 50, 70], [200, mouth[1] + 30, mouth[1] + 4, mouth[1] + 8, eye[1] - 20]
        )
        self.beard = (
            self.beard * a.ramp(a.y, jawline + 14, jawline - 12) * a.ramp(a.z, -14, 8) * (1 - self.lips)
        )
        self.beard = self.beard * (1 - r["ears"]) * (1 - self.inside)
        top, bottom = lid_heights(a.across)
        margin = np.minimum(np.abs(a.y - top), 1.6 * np.abs(a.y - bottom))
        between = a.ramp(a.across, a.mark(42)[0] + 0.5, a.mark(42)[0] + 4) * a.ramp(
            a.across, a.mark(45)[0] + 2, a.mark(45)[0]
        )
        self.lashes = (
            (1 - smoothstep(0.3, 1.5, margin)) * between * (a.eye_distance < 4) * (1 - self.eyeball) * 0.8
        )
        arm = a.away(eye)
        angle = np.arccos(np.clip(arm[:, 2] / np.maximum(np.linalg.norm(arm, axis=1), 1e-9), -1, 1))
        ball = a.head.eyeballs["left"]
        step = np.radians(1.0)
        self.iris = self.eyeball * (1 - smoothstep(ball.iris_angle - step, ball.iris_angle + step, angle))
        self.pupil = self.eyeball * (
            1 - smoothstep(ball.pupil_angle - step / 2, ball.pupil_angle + step, angle)
        )
        limbus = smoothstep(ball.iris_angle * 0.72, ball.iris_angle, angle)
        self.iris_shade = 0.92 + 0.2 * np.sin(np.arctan2(arm[:, 1], arm[:, 0]) * 11) * 0.5 - 0.5 * limbus
        self.veins = np.clip(np.abs(arm[:, 0]) / ball.radius, 0, 1) ** 2
        self.height = a.y - contact_line(a.across)
        self.mottle = 0.6 * _speckle(a.points, 30, 3) + 0.4 * _speckle(a.points, 13, 4)

    @staticmethod
    def _short_hair(a: Anatomy) -> Array:
        """Cropped hair: above a line from the forehead by temple and sideburn over the ear to the nape."""
        brow, ear = a.brow[1], a.ear[1]
        line = [
            (-100, -58), (-60, -56), (-45, -46), (-32, ear - 16), (-24, ear + 18), (-8, ear + 30),
            (2, ear + 26), (8, ear + 4), (16, ear), (22, ear + 12), (30, brow + 6), (40, brow + 26),
            (52, brow + 40), (70, brow + 44), (100, brow + 47),
        ]  # fmt: skip
        depth, height = np.array(line, dtype=np.float64).T
        edge = np.interp(a.z, depth, height)
        edge = edge + 2.5 * _speckle(a.points, 16.0, 5)
        return a.ramp(a.y, edge - 5, edge + 7) * (1 - a.regions["ears"]) * (a.regions["skin"] > 0.5)


def _over(color: Array, opacity: Array, below: Array) -> Array:
    return below + opacity[:, None] * (color - below)


def _painted(p: Paint, **change: Array | float) -> Array:
    """Colors (N, 3), not clipped, with the named layers' colors shifted by `change`."""

    def shift(name: str) -> Array:
        return np.asarray(change.get(name, 0.0), dtype=np.float64)

    skin = SKIN + shift("skin") + np.zeros((len(p.lips), 3))
    skin = skin + (0.010 * p.mottle)[:, None] * [1.0, 1.05, 1.0]
    skin = skin + (p.blush * (1 + shift("blush")))[:, None] * [0.022, -0.028, -0.02]
    skin = skin - (p.orbit * (1 + shift("orbit")))[:, None] * [0.06, 0.065, 0.05]
    skin = skin + (p.beard * (0.15 + shift("beard")))[:, None] * (np.array([0.40, 0.36, 0.34]) - SKIN) * 0.5
    lips = SKIN + shift("skin") * 0.75 + [-0.02, -0.165, -0.11] + shift("lips")
    color = _over(lips, 0.85 * p.lips, skin)
    color = _over(color * 0.25, p.nostrils, color)
    color = _over(CARUNCLE + 0.3 * shift("skin"), p.caruncle, color)
    hair = HAIR + shift("hair")
    color = _over(hair, p.hair * (1 + shift("cover")), color)
    color = _over(hair * 0.95, p.brows * (1 + shift("brows")), color)
    color = _over(LASHES, p.lashes, color)
    color = _over(MOUTH, p.inside, color)
    sclera = SCLERA + p.veins[:, None] * [-0.03, -0.10, -0.10]
    iris = (IRIS + shift("iris")) * p.iris_shade[:, None]
    eye = _over(PUPIL, p.pupil, _over(iris, p.iris, sclera))
    return _over(eye, p.eyeball, color)


# What each mode changes, at one standard deviation.
_CHANGES: dict[str, dict[str, Array | float]] = {
    "skin tone": {"skin": np.array([0.105, 0.105, 0.10]), "hair": np.array([0.02, 0.012, 0.006])},
    "ruddiness": {"skin": np.array([0.011, -0.006, -0.004]), "blush": 0.5},
    "undertone": {"skin": np.array([0.004, 0.004, -0.009])},
    "hair color": {"hair": np.array([0.105, 0.080, 0.045])},
    "hair redness": {"hair": np.array([0.035, 0.0, -0.015])},
    "hair cover": {"cover": 0.24},
    "brow density": {"brows": 0.24},
    "lip color": {"lips": np.array([-0.01, -0.055, -0.04])},
    "iris color": {"iris": np.array([0.01, 0.06, 0.115])},
    "iris lightness": {"iris": np.array([0.055, 0.05, 0.04])},
    "beard shadow": {"beard": 0.22},
    "dark eye sockets": {"orbit": 0.6},
}


def albedo(a: Anatomy) -> tuple[Array, Array, tuple[str, ...]]:
    """Mean colors (N, 3) in [0, 1], modes (Ka, N, 3) at one standard deviation, and the modes' names."""
    paint = Paint(a)
    mean = _painted(paint)
    modes = [_painted(paint, **change) - mean for change in _CHANGES.values()]
    blotches = (
        paint.mottle * (1 - paint.eyeball) * (1 - paint.inside) * (1 - np.maximum(paint.hair, paint.brows))
    )
    modes.append((0.012 * blotches)[:, None] * np.array([1.0, 1.1, 1.05]))
    return np.clip(mean, 0, 1), np.stack(modes), (*_CHANGES, "blotches")
