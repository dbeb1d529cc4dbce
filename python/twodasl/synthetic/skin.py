"""Random complexions: the albedo of a face, with or without color modes in the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

import twodasl_ext

from ..morphable import MorphableModel
from .planar import mixed, planar
from .regions import Regions, find_regions
from .sampling import pick, truncated_normal

Floats = NDArray[np.float32]

# sRGB of human skin from very light to very dark, as in photos.
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
_HAIR_WEIGHTS = (0.2, 0.17, 0.15, 0.12, 0.09, 0.08, 0.06, 0.04, 0.05, 0.04)
_IRIS = np.array([[0.16, 0.10, 0.07], [0.25, 0.16, 0.09], [0.35, 0.42, 0.50], [0.30, 0.38, 0.28]])


class Complexions:
    """Draws albedos for one model.

    A model with color modes keeps its own colors, varied along its modes; one without gets a skin tone from a
    fixed range, and lips, brows, and eyes from its landmarks. Both then vary in blotches, redness, makeup,
    beard, and brow color, and the hair color tints the scalp.
    """

    def __init__(self, model: MorphableModel) -> None:
        self.regions: Regions = find_regions(model)
        self.std = model.albedo_std
        self.basis: twodasl_ext.MorphableBasis | None = None
        if model.albedo_mean is not None:
            # Colors are as linear as shapes: the same operator sums their modes.
            modes = np.zeros((1, *model.mean.shape), np.float32)
            if model.albedo_modes is not None:
                modes = model.albedo_modes
            self.basis = twodasl_ext.MorphableBasis(
                torch.from_numpy(model.albedo_mean), torch.from_numpy(modes)
            )
        points = model.mean[model.landmarks].astype(np.float64)
        self._blotches, self._blotch_sizes = _smooth_fields(model.mean, points)
        self._where = {
            name: Patch.of(getattr(self.regions, name))
            for name in ("lips", "brows", "sockets", "beard", "cheeks", "scalp", "tip")
        }
        self._lids = Patch.of(self.regions.sockets * (1 - self.regions.eyes))
        self._painted = None if self.basis is not None else _eye_and_mouth_paint(model, self.regions, points)

    def bare(self, streams: list[np.random.Generator]) -> list[Floats]:
        """Bare faces, (3, N) float32 sRGB each, from the model's colors or painted. One stream per face."""
        if self.basis is None:
            return [self._plain(rng) for rng in streams]
        drawn = np.zeros((len(streams), 1), np.float32)
        if self.std is not None:
            spread = [1.15 * truncated_normal(rng, len(self.std), 2.5) for rng in streams]
            drawn = (np.stack(spread) * self.std).astype(np.float32)
        identity = torch.eye(3, 4, dtype=torch.float32).expand(len(streams), 3, 4)
        colors = twodasl_ext.vertices(self.basis, torch.from_numpy(drawn), identity).numpy()
        return [planar(one) for one in colors]

    def sample(self, rng: np.random.Generator, skin: Floats, hair: Floats, bald: bool) -> Floats:
        """Linear RGB albedo (3, N) float32 for a person with this hair color (3,) linear.

        skin: one of `bare`'s faces; it is changed in place and returned.
        """
        tint = np.array([1.0, 1.0, 1.0]) + rng.normal(0, 0.02, 3)
        skin *= (tint * rng.uniform(0.88, 1.12)).astype(np.float32)[:, None]
        # Blotches: large soft ones and fine ones.
        weights = (rng.normal(0, 1, len(self._blotches)) * self._blotch_sizes * rng.uniform(0.3, 1.5)).astype(
            np.float32
        )
        blotches = mixed(weights, self._blotches)
        skin *= 1 + blotches
        where = self._where
        for name, redness in (("cheeks", rng.uniform(-0.02, 0.1)), ("tip", rng.uniform(0, 0.1))):
            where[name].scale(skin, 1 + redness * np.array([0.4, -0.8, -0.7]))
        where["sockets"].scale(skin, 1 - rng.uniform(0, 0.25) * np.array([0.8, 1.0, 0.9]))
        natural = np.sqrt(hair)
        if rng.random() < 0.3:  # lipstick, or pale lips
            where["lips"].blend(
                skin, np.array([0.62, 0.18, 0.2]) * rng.uniform(0.6, 1.3, 3), rng.uniform(0.1, 0.75)
            )
        if rng.random() < 0.15:  # eye shadow, mascara
            lids = self._lids
            lids.blend(skin, rng.uniform(0.02, 0.35, 3), rng.uniform(0.2, 0.7))
        where["brows"].blend(skin, natural * 0.8, rng.uniform(0.1, 0.85))
        if rng.random() < 0.32:  # stubble to full beard, thin in places
            beard = where["beard"]
            thin = np.clip(1 + rng.uniform(0, 6) * blotches[beard.indices], 0.4, 1.2)
            beard.blend(skin, natural * 0.9 + 0.02, rng.uniform(0.05, 0.9) * thin)
        if not bald:
            where["scalp"].blend(skin, natural, rng.uniform(0.75, 1.0))
        np.clip(skin, 0.01, 1.0, out=skin)
        # From display values to light: a square instead of sRGB's curve, here and again at the camera.
        return np.square(skin, out=skin)

    def _plain(self, rng: np.random.Generator) -> Floats:
        """A skin tone; lips redder and darker; painted eyes and mouth."""
        assert self._painted is not None
        place = rng.uniform(0, len(_TONES) - 1)
        tone = np.stack([np.interp(place, np.arange(len(_TONES)), channel) for channel in _TONES.T])
        skin = np.repeat(tone.astype(np.float32)[:, None], len(self.regions.lips), axis=1)
        lips = tone * rng.uniform([0.72, 0.5, 0.5], [0.95, 0.72, 0.75])
        self._where["lips"].blend(skin, lips, 0.8)
        iris = _IRIS[pick(rng, 0.45, 0.25, 0.15, 0.15)] * rng.uniform(0.7, 1.3)
        self._painted["eye"].blend(skin, np.array([0.9, 0.87, 0.85]))
        self._painted["iris"].blend(skin, iris)
        self._painted["pupil"].blend(skin, np.full(3, 0.03))
        self._painted["mouth"].blend(skin, np.array([0.35, 0.12, 0.11]))
        return skin


def sample_hair_color(rng: np.random.Generator) -> Floats:
    """Linear RGB (3,) of natural hair, occasionally dyed."""
    if rng.random() < 0.04:
        color = rng.uniform(0.05, 0.9, 3)
    else:
        color = HAIR_TONES[pick(rng, *_HAIR_WEIGHTS)] * rng.uniform(0.75, 1.25)
    return np.square(np.clip(color, 0.02, 1)).astype(np.float32)


@dataclass(frozen=True)
class Patch:
    """A soft region of the head: its vertices and their weights."""

    indices: NDArray[np.int64] | slice
    weights: Floats

    @classmethod
    def of(cls, mask: NDArray[np.floating]) -> Patch:
        """From a mask (N,); weights below half a percent are dropped.

        A large region keeps all vertices: arithmetic on zero weights is cheaper than selecting.
        """
        indices = np.flatnonzero(mask > 0.005)
        if len(indices) > 0.08 * len(mask):
            return cls(slice(None), mask.astype(np.float32))
        return cls(indices, mask[indices].astype(np.float32))

    def blend(
        self, skin: Floats, color: NDArray[np.floating], strength: float | NDArray[np.floating] = 1.0
    ) -> None:
        """Move colors toward `color` (3,), in place; strength is a number or one per vertex."""
        weight = self.weights * np.asarray(strength, np.float32)
        for channel, target in zip(skin, color.astype(np.float32), strict=True):
            part = channel[self.indices]
            channel[self.indices] = part + weight * (target - part)

    def scale(self, skin: Floats, factor: NDArray[np.floating]) -> None:
        """Multiply colors by `factor` (3,), in place."""
        for channel, change in zip(skin, factor.astype(np.float32) - 1, strict=True):
            channel[self.indices] *= 1 + self.weights * change


def _smooth_fields(mean: Floats, points: NDArray[np.float64], count: int = 14) -> tuple[Floats, Floats]:
    """(count, N) random smooth functions on the head, unit variance, and the usual strength (count,) of each.

    Each is a sum of plane waves in random directions about one wavelength, from half a head to freckles.
    """
    rng = np.random.default_rng(7)
    fields = np.empty((count, len(mean)), np.float32)
    wavelengths = np.exp(np.linspace(np.log(80.0), np.log(7.0), count))
    for row, wavelength in enumerate(wavelengths):
        waves = rng.normal(0, 1, (16, 3))
        waves /= (
            np.linalg.norm(waves, axis=1, keepdims=True) * wavelength * np.exp(rng.normal(0, 0.2, (16, 1)))
        )
        phase = (np.einsum("nk,wk->nw", mean - points[30], waves) + rng.random(16)) * 2 * np.pi
        fields[row] = np.sin(phase).sum(axis=1) / np.sqrt(8)
    return fields, (0.009 * (wavelengths / 80) ** 0.25).astype(np.float32)


def _eye_and_mouth_paint(
    model: MorphableModel, regions: Regions, points: NDArray[np.float64]
) -> dict[str, Patch]:
    """Weights for eyeballs, irises, pupils, and the inside of the mouth on a model without colors."""
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
    return {key: Patch.of(mask) for key, mask in paint.items()}
