"""Random complexions: the albedo of a face, with the model's own colour modes or without any."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...morphable import MorphableModel
from .regions import Regions, find_regions
from .sampling import truncated_normal

Floats = NDArray[np.float32]

# sRGB of human skin from very light to very dark, as photographs show it.
_TONES = np.array(
    [
        [0.96, 0.83, 0.75],
        [0.91, 0.74, 0.63],
        [0.84, 0.64, 0.51],
        [0.73, 0.52, 0.39],
        [0.58, 0.39, 0.28],
        [0.42, 0.27, 0.20],
        [0.27, 0.17, 0.13],
    ]
)
HAIR_TONES = np.array(
    [
        [0.07, 0.06, 0.06],
        [0.10, 0.08, 0.07],
        [0.17, 0.11, 0.08],
        [0.28, 0.18, 0.11],
        [0.40, 0.27, 0.16],
        [0.62, 0.47, 0.28],
        [0.80, 0.68, 0.46],
        [0.48, 0.22, 0.12],
        [0.55, 0.53, 0.51],
        [0.80, 0.79, 0.77],
    ]
)
_HAIR_WEIGHTS = np.array([0.2, 0.17, 0.15, 0.12, 0.09, 0.08, 0.06, 0.04, 0.05, 0.04])
_IRIS = np.array([[0.16, 0.10, 0.07], [0.25, 0.16, 0.09], [0.35, 0.42, 0.50], [0.30, 0.38, 0.28]])


class Complexions:
    """Draws albedos for one model.

    A model with colour modes keeps its own colours, moved along its modes; one without gets a skin tone from
    a ramp, lips, brows and eyes from its landmarks. Both then vary in blotches, redness, make-up, beard and
    brow colour, and hair colours the scalp.
    """

    def __init__(self, model: MorphableModel) -> None:
        self.regions: Regions = find_regions(model)
        self.mean = None if model.albedo_mean is None else model.albedo_mean
        self.modes = model.albedo_modes
        self.std = model.albedo_std
        points = model.mean[model.landmarks].astype(np.float64)
        self._blotches = _smooth_fields(model.mean, points)
        self._painted = None if self.mean is not None else _eye_and_mouth_paint(model, self.regions, points)

    def sample(self, rng: np.random.Generator, hair: Floats, bald: bool) -> Floats:
        """Linear RGB albedo (N, 3) float32 for a person with this hair colour (3,) linear."""
        regions = self.regions
        skin = self._modelled(rng) if self.mean is not None else self._plain(rng)
        tint = np.array([1.0, 1.0, 1.0]) + rng.normal(0, 0.02, 3)
        skin *= (tint * rng.uniform(0.88, 1.12)).astype(np.float32)
        # Blotches: low-frequency light and dark, and a separate one for redness.
        weights = rng.normal(0, 1, len(self._blotches)).astype(np.float32)
        blotches = (weights * rng.uniform(0.004, 0.02)) @ self._blotches
        skin *= (1 + blotches)[:, None]
        red = rng.uniform(-0.02, 0.09) * regions.cheeks + rng.uniform(0, 0.09) * regions.tip
        skin *= 1 + red[:, None] * np.array([0.4, -0.8, -0.7], np.float32)
        skin *= 1 - (rng.uniform(0, 0.2) * regions.sockets)[:, None] * np.array([0.8, 1.0, 0.9], np.float32)
        if rng.random() < 0.3:  # lipstick, or pale lips
            colour = np.array([0.62, 0.18, 0.2]) * rng.uniform(0.6, 1.3, 3)
            _blend(skin, colour, regions.lips * rng.uniform(0.1, 0.75))
        if rng.random() < 0.15:  # eye shadow, mascara
            _blend(
                skin, rng.uniform(0.02, 0.35, 3), regions.sockets * (1 - regions.eyes) * rng.uniform(0.2, 0.7)
            )
        _blend(skin, np.sqrt(hair) * 0.8, regions.brows * rng.uniform(0.1, 0.85))
        if rng.random() < 0.32:  # stubble to full beard
            patches = np.clip(1 + 2.5 * blotches / max(float(np.abs(blotches).max()), 1e-6), 0.3, 1.3)
            _blend(skin, np.sqrt(hair) * 0.9 + 0.02, regions.beard * patches * rng.uniform(0.1, 0.9))
        if not bald:
            _blend(skin, np.sqrt(hair), regions.scalp * rng.uniform(0.75, 1.0))
        np.clip(skin, 0.01, 1.0, out=skin)
        # From display values to light: a square instead of sRGB's curve, here and back at the camera.
        return np.square(skin, out=skin)

    def _modelled(self, rng: np.random.Generator) -> Floats:
        assert self.mean is not None
        if self.modes is None or self.std is None:
            return self.mean.copy()
        coefficients = (1.15 * truncated_normal(rng, len(self.std), 2.5) * self.std).astype(np.float32)
        skin = np.tensordot(coefficients, self.modes, 1)
        skin += self.mean
        return skin

    def _plain(self, rng: np.random.Generator) -> Floats:
        """A tone from the ramp; lips redder and darker; eyes and mouth painted."""
        assert self._painted is not None
        place = rng.uniform(0, len(_TONES) - 1)
        tone = np.stack([np.interp(place, np.arange(len(_TONES)), channel) for channel in _TONES.T])
        skin = np.tile(tone.astype(np.float32), (len(self.regions.lips), 1))
        lips = tone * rng.uniform([0.72, 0.5, 0.5], [0.95, 0.72, 0.75])
        _blend(skin, lips, 0.8 * self.regions.lips)
        iris = _IRIS[rng.choice(len(_IRIS), p=[0.45, 0.25, 0.15, 0.15])] * rng.uniform(0.7, 1.3)
        for colour, weight in ((None, self._painted["iris"]), (np.full(3, 0.03), self._painted["pupil"])):
            white = np.array([0.9, 0.87, 0.85])
            if colour is None:
                _blend(skin, white, self._painted["eye"])
            _blend(skin, iris if colour is None else colour, weight)
        _blend(skin, np.array([0.35, 0.12, 0.11]), self._painted["mouth"])
        return skin


def sample_hair_colour(rng: np.random.Generator) -> Floats:
    """Linear RGB (3,) of natural hair, now and then dyed."""
    if rng.random() < 0.04:
        colour = rng.uniform(0.05, 0.9, 3)
    else:
        colour = HAIR_TONES[rng.choice(len(HAIR_TONES), p=_HAIR_WEIGHTS)] * rng.uniform(0.75, 1.25)
    return np.square(np.clip(colour, 0.02, 1)).astype(np.float32)


def _blend(skin: Floats, colour: NDArray[np.floating], weight: NDArray[np.floating]) -> None:
    """Moves colours toward `colour` by `weight` (N,), in place; touches only where there is weight."""
    where = np.flatnonzero(weight > 0.004)
    part = weight[where, None].astype(np.float32)
    skin[where] += part * (colour.astype(np.float32) - skin[where])


def _smooth_fields(mean: Floats, points: NDArray[np.float64], count: int = 24) -> Floats:
    """(count, N) random smooth functions on the head: plane waves from head size down to a few millimetres."""
    rng = np.random.default_rng(7)
    wavelength = np.exp(np.linspace(np.log(90.0), np.log(6.0), count))
    direction = rng.normal(0, 1, (count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    phase = ((mean - points[30]) @ (direction / wavelength[:, None]).T + rng.random(count)) * 2 * np.pi
    return np.ascontiguousarray(np.sin(phase).T.astype(np.float32))


def _eye_and_mouth_paint(
    model: MorphableModel, regions: Regions, points: NDArray[np.float64]
) -> dict[str, Floats]:
    """Weights for eyeballs, irises, pupils and the inside of the mouth on a model without colours."""
    count = len(model.mean)
    paint = {key: np.zeros(count, np.float32) for key in ("eye", "iris", "pupil", "mouth")}
    balls = [members for kind, members in regions.inner if kind == "eyeball"]
    for kind, members in regions.inner:
        if kind == "mouth":
            paint["mouth"][members] = 1
    if not balls:
        paint["eye"] = regions.eyes.copy()
    for members in balls:
        paint["eye"][members] = 1
    # Iris of 11.7 mm, pupil of 4 mm, around each eye's middle.
    for eye in (points[36:42], points[42:48]):
        away = np.hypot(*(model.mean[:, :2] - eye[:, :2].mean(axis=0)).T)
        paint["iris"] = np.maximum(paint["iris"], np.clip(6.4 - away, 0, 1))
        paint["pupil"] = np.maximum(paint["pupil"], np.clip(2.5 - away, 0, 1))
    for key in ("iris", "pupil"):
        paint[key] *= paint["eye"]
    return paint
