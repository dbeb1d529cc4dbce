"""Backgrounds: color gradients, textures, shapes, stripes, blurred lights, photos."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

from ..errors import InputError
from ..geometry.crops import SIZE
from ..io.images import read_image
from .filters import blurred, clipped, resized
from .noise import NoiseBank
from .sampling import pick

Floats = NDArray[np.float32]

# Bundled in scikit-image's wheel; none shows a person.
PHOTOGRAPHS = (
    "coffee.png",
    "chelsea.png",
    "rocket.jpg",
    "brick.png",
    "grass.png",
    "gravel.png",
    "coins.png",
    "moon.png",
    "text.png",
    "hubble_deep_field.jpg",
    "motorcycle_left.png",
    "clock_motion.png",
    "retina.jpg",
)


class Backgrounds:
    """Draws (SIZE, SIZE, 3) float32 BGR images in [0, 1]."""

    def __init__(self, bank: NoiseBank, photo_share: float) -> None:
        self.bank = bank
        self.photo_share = photo_share
        self.photos = _load_photos() if photo_share > 0 else []

    def sample(self, rng: np.random.Generator) -> Floats:
        """One background: possibly two next to each other, possibly out of focus."""
        image = self._plain(rng)
        if rng.random() < 0.3:
            mask = self._region(rng)[..., None]
            image = image + mask * (self._plain(rng) - image)
        blur = rng.random()
        if blur < 0.5:
            image = _defocused(image, float(np.exp(rng.uniform(-0.7, 2.0))))
        image = image * np.float32(np.exp(rng.normal(0, 0.3)))
        return clipped(image)

    def texture(self, rng: np.random.Generator, height: int = SIZE, width: int = SIZE) -> Floats:
        """A colored texture, for occluders and cloth."""
        if self.photos and rng.random() < 0.3:
            return self._photo(rng, height, width)
        return _ramp(self.bank.patch(rng, height, width), _palette(rng, 3))

    def _plain(self, rng: np.random.Generator) -> Floats:
        if self.photos and rng.random() < self.photo_share:
            return self._photo(rng, SIZE, SIZE)
        kinds = (_gradient, self._noise, _shapes, _stripes, _lights, _crowd, _buildings, _flat)
        kind = kinds[pick(rng, 0.17, 0.25, 0.14, 0.08, 0.08, 0.08, 0.08, 0.12)]
        return kind(rng)

    def _noise(self, rng: np.random.Generator) -> Floats:
        image = _ramp(self.bank.patch(rng, SIZE, SIZE), _palette(rng, int(rng.integers(2, 5))))
        if rng.random() < 0.5:
            shade = 0.4 + 1.2 * self.bank.patch(rng, SIZE, SIZE, "clouds")
            image *= shade[..., None]
        return image

    def _photo(self, rng: np.random.Generator, height: int, width: int) -> Floats:
        photo = self.photos[rng.integers(len(self.photos))]
        rows, columns = photo.shape[:2]
        side = min(rows, columns) * rng.uniform(0.25, 1.0)
        aspect_side = side / max(height, width)
        part_rows, part_columns = max(int(aspect_side * height), 2), max(int(aspect_side * width), 2)
        row = rng.integers(0, rows - part_rows + 1)
        column = rng.integers(0, columns - part_columns + 1)
        part = photo[row : row + part_rows, column : column + part_columns]
        if rng.random() < 0.5:
            part = part[:, ::-1]
        gains = np.exp(rng.normal(0, 0.18, 3)).astype(np.float32) * np.float32(1 / 255)
        image = resized(part, height, width) * gains
        if rng.random() < 0.3:
            image = image[..., [2, 1, 0]]
        return image

    def _region(self, rng: np.random.Generator) -> Floats:
        """A region of the picture with soft edges."""
        mask = np.zeros((SIZE, SIZE), np.float32)
        if rng.random() < 0.6:
            angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-35, 35)
            row, column = _grid()
            distance = (column - SIZE / 2) * np.cos(angle) + (row - SIZE / 2) * np.sin(angle) - offset
            return np.clip(distance / float(np.exp(rng.uniform(0, 2.5))) + 0.5, 0, 1).astype(np.float32)
        mask[self.bank.patch(rng, SIZE, SIZE, "clouds") > rng.uniform(0.35, 0.65)] = 1
        return blurred(mask, rng.uniform(0.5, 3))


@cache
def _load_photos() -> list[NDArray[np.uint8]]:
    folder = Path(skimage.data.__file__).parent
    photos = []
    for name in PHOTOGRAPHS:
        try:
            image = read_image(folder / name, upright=False)
        except InputError as error:
            raise InputError(
                f"{error}; it comes with scikit-image: reinstall that or set photo_backgrounds to 0"
            ) from error
        reduction = 360 / max(image.shape[:2])
        if reduction < 1:
            smaller = cv2.resize(image, None, fx=reduction, fy=reduction, interpolation=cv2.INTER_AREA)
            image = np.asarray(smaller, np.uint8)
        photos.append(image)
    return photos


def _defocused(image: Floats, sigma: float) -> Floats:
    """Gaussian blur; wide ones on a coarser grid, which is as good and cheaper."""
    coarser = 4 if sigma > 5 else 2 if sigma > 2.5 else 1
    if coarser == 1:
        return blurred(image, sigma, cv2.BORDER_REFLECT)
    small = resized(image, SIZE // coarser, SIZE // coarser)
    small = blurred(small, sigma / coarser, cv2.BORDER_REFLECT)
    return resized(small, SIZE, SIZE, cv2.INTER_LINEAR)


def _grid() -> tuple[Floats, Floats]:
    row, column = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    return row, column


def _color(rng: np.random.Generator) -> NDArray[np.float64]:
    """BGR; more often muted than vivid, often gray, black or white."""
    kind = rng.random()
    if kind < 0.3:
        return np.full(3, rng.uniform(0, 1)) + rng.normal(0, 0.02, 3)
    if kind < 0.9:
        gray = rng.uniform(0.05, 0.95)
        return np.clip(gray + rng.normal(0, 0.11, 3), 0, 1)
    return rng.uniform(0, 1, 3)


def _palette(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    return np.stack([_color(rng) for _ in range(count)])


def _ramp(field: Floats, palette: NDArray[np.float64]) -> Floats:
    """Color a field in [0, 1] by interpolating the palette."""
    place = np.arange(256) * ((len(palette) - 1) / 255)
    table = np.empty((256, 3), np.float32)
    for channel in range(3):
        table[:, channel] = np.interp(place, np.arange(len(palette)), palette[:, channel])
    level = (np.clip(field, 0, 1) * np.float32(255)).astype(np.uint8)
    return table.take(level, axis=0)


def _flat(rng: np.random.Generator) -> Floats:
    return np.tile(_color(rng).astype(np.float32), (SIZE, SIZE, 1))


def _gradient(rng: np.random.Generator) -> Floats:
    row, column = _grid()
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
        field = ((column - 60) * np.cos(angle) + (row - 60) * np.sin(angle)) / 150 + 0.5
    else:
        x, y = rng.uniform(-30, 150, 2)
        field = np.hypot(column - x, row - y) / rng.uniform(80, 200)
    return _ramp(field, _palette(rng, int(rng.integers(2, 4))))


def _shapes(rng: np.random.Generator) -> Floats:
    image = _gradient(rng)
    for _ in range(rng.integers(3, 22)):
        color = tuple(_color(rng).tolist())
        x, y = (int(v) for v in rng.uniform(-20, SIZE + 20, 2))
        size = float(np.exp(rng.uniform(1.0, 4.0)))
        kind = rng.integers(3)
        if kind == 0:
            axes = (int(size) + 1, int(size * rng.uniform(0.2, 1)) + 1)
            cv2.ellipse(image, (x, y), axes, rng.uniform(0, 180), 0, 360, color, -1, cv2.LINE_AA)
        elif kind == 1:
            corners = np.array([x, y]) + rng.normal(0, size, (rng.integers(3, 7), 2))
            cv2.fillPoly(image, [corners.astype(np.int32)], color, cv2.LINE_AA)
        else:
            end = tuple(int(v) for v in np.array([x, y]) + rng.normal(0, 60, 2))
            cv2.line(image, (x, y), end, color, int(rng.integers(1, 7)), cv2.LINE_AA)
    return image


def _stripes(rng: np.random.Generator) -> Floats:
    row, column = _grid()
    angle = rng.choice([0, np.pi / 2]) + rng.normal(0, 0.1) if rng.random() < 0.7 else rng.uniform(0, np.pi)
    period = float(np.exp(rng.uniform(1.2, 3.5)))
    wave = np.sin((column * np.cos(angle) + row * np.sin(angle)) * 2 * np.pi / period + rng.uniform(0, 6))
    if rng.random() < 0.4:
        wave = wave * np.sin((row * np.cos(angle) - column * np.sin(angle)) * 2 * np.pi / period)
    return _ramp(np.clip(wave * rng.uniform(0.6, 6) + 0.5, 0, 1), _palette(rng, 2))


def _lights(rng: np.random.Generator) -> Floats:
    """A dark place with lamps out of focus."""
    image = _gradient(rng) * np.float32(rng.uniform(0.05, 0.5))
    for _ in range(rng.integers(4, 25)):
        center = tuple(int(v) for v in rng.uniform(0, SIZE, 2))
        color = tuple((rng.uniform(0.3, 1) * (0.5 + 0.5 * _color(rng))).tolist())
        cv2.circle(image, center, int(rng.integers(1, 11)), color, -1, cv2.LINE_AA)
    return blurred(image, rng.uniform(0.6, 3))


def _crowd(rng: np.random.Generator) -> Floats:
    """Heads and bodies of other people, without faces: skin alone must not imply a face."""
    image = _gradient(rng)
    for _ in range(rng.integers(1, 6)):
        x, y = rng.uniform(-10, SIZE + 10, 2)
        size = rng.uniform(8, 32)
        light = rng.uniform(0.25, 1.0)
        skin = (light * np.array([0.62, 0.7, 0.92]) * rng.uniform(0.85, 1.1, 3)).tolist()
        cloth = tuple(_color(rng).tolist())
        cv2.ellipse(
            image,
            (int(x), int(y + 2.4 * size)),
            (int(1.6 * size), int(1.5 * size)),
            0,
            0,
            360,
            cloth,
            -1,
            cv2.LINE_AA,
        )
        hair = tuple((rng.uniform(0.03, 0.4) * np.ones(3)).tolist())
        axes = (int(0.85 * size), int(1.1 * size))
        cv2.ellipse(image, (int(x), int(y - 0.25 * size)), axes, 0, 0, 360, hair, -1, cv2.LINE_AA)
        axes = (int(0.7 * size), int(0.92 * size))
        cv2.ellipse(image, (int(x + rng.normal(0, 2)), int(y)), axes, 0, 0, 360, tuple(skin), -1, cv2.LINE_AA)
    return blurred(image, rng.uniform(0.8, 4))


def _buildings(rng: np.random.Generator) -> Floats:
    """Walls, windows, shelves: axis-aligned boxes."""
    image = _gradient(rng)
    for _ in range(rng.integers(4, 18)):
        x, y = (int(v) for v in rng.uniform(-20, SIZE, 2))
        width, height = (int(v) for v in np.exp(rng.uniform(1.5, 4.3, 2)))
        color = tuple(_color(rng).tolist())
        cv2.rectangle(image, (x, y), (x + width, y + height), color, -1)
        if rng.random() < 0.3:
            frame = tuple(_color(rng).tolist())
            cv2.rectangle(image, (x, y), (x + width, y + height), frame, int(rng.integers(1, 4)))
    return image
