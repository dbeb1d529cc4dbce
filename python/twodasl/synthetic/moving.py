"""A rendered person who moves: frames of 640x360 with known pose, expression and landmarks.

One draw of hair, skin, clothes and light, lit and drawn anew for every pose, before a
photograph without people.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from skimage import data

import twodasl_ext

from ..geometry.crops import flip_y
from ..morphable import MorphableModel
from .options import SyntheticOptions
from .sampling import Pose, rotation_matrix, truncated_normal
from .scene import prepared_scene

WIDTH, HEIGHT = 640, 360
_SCALE = 0.85  # pixels per millimeter: a head of 200 pixels
_OPTIONS = SyntheticOptions(hair=1.0, headwear=0.0, torso=1.0)


@dataclass(frozen=True)
class Moment:
    """Where a person is: degrees, pixels from the frame's middle, and expression (Ke,) in deviations."""

    pitch: float = 0.0
    yaw: float = 0.0
    roll: float = 0.0
    x: float = 0.0
    row: float = 0.0
    growth: float = 1.0
    expression: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Truth:
    """A frame (H, W, 3) uint8 BGR without noise, its landmarks (68, 3) and vertices (N, 3) in image space,
    pitch, yaw and roll in degrees, and the coefficients (K,)."""

    frame: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    vertices: NDArray[np.float32]
    angles: tuple[float, float, float]
    coefficients: NDArray[np.float32]


class Person:
    """One identity and look, drawn by `seed`."""

    def __init__(self, model: MorphableModel, seed: int) -> None:
        self.model, self.seed = model, seed
        self.scene = prepared_scene(model)
        rng = np.random.default_rng((seed, 0))
        self.shape = truncated_normal(rng, len(model.shape_modes), 2.0)
        self.bare = self.scene.complexions.bare([np.random.default_rng((seed, 1))])[0]
        photo = cv2.cvtColor((data.coffee, data.rocket)[seed % 2](), cv2.COLOR_RGB2BGR)
        self.behind = cv2.GaussianBlur(cv2.resize(photo, (WIDTH, HEIGHT)), (0, 0), 2.5)

    def at(self, moment: Moment) -> Truth:
        """The person as it is at a moment."""
        std = np.asarray(self.model.coefficient_std, np.float64)
        expression = np.zeros(len(std) - len(self.shape)) if moment.expression is None else moment.expression
        coefficients = (np.concatenate([self.shape, expression]) * std).astype(np.float32)
        pitch, yaw, roll = np.radians([moment.pitch, moment.yaw, moment.roll]).tolist()
        rotation, scale = rotation_matrix(pitch, yaw, roll), _SCALE * moment.growth
        middle = self.model.mean[self.model.landmarks].astype(np.float64).mean(axis=0)
        place = np.array([WIDTH / 2 + moment.x, HEIGHT / 2 - 10 - moment.row, 0.0])
        shift = place - scale * rotation @ middle
        matrix = np.concatenate([scale * rotation, shift[:, None]], axis=1).astype(np.float32)
        posed = self.scene.geometry(coefficients[None], matrix[None])[0]
        pose = Pose(matrix, rotation, scale, pitch, yaw, roll)
        look = self.scene.dress(
            np.random.default_rng((self.seed, 2)), posed, self.bare.copy(), pose, _OPTIONS
        )
        drawn = look.vertices.copy()
        drawn[:, 1] = flip_y(drawn[:, 1], HEIGHT)
        head = drawn[: len(self.model.mean)]
        degrees = (moment.pitch, moment.yaw, moment.roll)
        frame = self._drawn(drawn, look.triangles, look.colors)
        return Truth(frame, head[self.model.landmarks].copy(), head.copy(), degrees, coefficients)

    def _drawn(
        self, vertices: NDArray[np.float32], triangles: NDArray[np.int64], colors: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        fine = vertices * np.array([2, 2, 1], np.float32) + np.array([0.5, 0.5, 0], np.float32)
        found, shares, _ = twodasl_ext.rasterize(
            torch.from_numpy(fine)[None], torch.from_numpy(triangles), (2 * HEIGHT, 2 * WIDTH)
        )
        index, weights = found[0].numpy(), shares[0].numpy()
        hit = index >= 0
        layer = np.zeros((*index.shape, 4), np.float32)
        layer[hit] = np.einsum("pkc,pk->pc", colors[triangles[index[hit]]], weights[hit])
        layer = cv2.resize(layer, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        cover = layer[..., 3:]
        light = layer[..., :3] / np.maximum(cover, 1e-6)
        light = np.sqrt(np.maximum(light * (1.35 + 0.22 * light) / (1 + light), 0)) * 255
        return np.rint(np.clip(self.behind * (1 - cover) + light * cover, 0, 255)).astype(np.uint8)


def noisy(frame: NDArray[np.uint8], sigma: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The frame as a sensor gives it: noise of `sigma` gray levels, partly in blotches."""
    fine = rng.normal(0.0, sigma, frame.shape)
    coarse = cv2.resize(rng.normal(0.0, sigma, (HEIGHT // 3, WIDTH // 3, 3)), (WIDTH, HEIGHT))
    return np.clip(np.rint(frame + fine + coarse), 0, 255).astype(np.uint8)


def still(count: int, yaw: float = 12.0) -> list[Moment]:
    """A person who does not move."""
    return [Moment(pitch=-4.0, yaw=yaw, roll=3.0)] * count


def turning(count: int, rate: float, speed: float, modes: int) -> Iterator[Moment]:
    """A person whose yaw swings by 30 degrees either way, at most `speed` degrees a second, who nods and
    talks; `rate` frames a second."""
    for number in range(count):
        seconds = number / rate
        phase = speed / 30.0 * seconds
        expression = np.zeros(modes)
        talk = np.clip(np.sin(2 * np.pi * 0.9 * seconds), 0, None) ** 2
        expression[:3] = 1.2 * talk, 0.8 * np.sin(2 * np.pi * 0.3 * seconds), 0.5 * talk
        yield Moment(
            pitch=-4 + 6 * np.sin(0.7 * phase + 1),
            yaw=30 * np.sin(phase),
            roll=4 * np.sin(0.5 * phase),
            x=60 * np.sin(0.4 * phase),
            row=10 * np.sin(0.9 * phase),
            growth=1 + 0.08 * np.sin(0.6 * phase),
            expression=expression,
        )
