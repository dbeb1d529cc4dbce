"""Pictures whose truth is known, to measure confidence on: faces in their crop, beside it, and no face."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ..geometry.crops import SIZE
from ..synthetic.backgrounds import Backgrounds
from ..synthetic.dataset import SyntheticFaces
from ..synthetic.degrade import develop
from ..synthetic.occluders import Canvas, occluder
from ..training.config import LandmarkConfig
from .face_input import FaceInput

Image = NDArray[np.uint8]
Floats = NDArray[np.float64]

WIDE = 3 * SIZE
"""Side of a picture with a face in its middle."""

_EDGE = 6.0  # pixels over which the face's own crop fades into what surrounds it
# A crop or landmarks in the wrong place: up to so many sides away, so many times as large or small, turned.
_AWAY, _LARGER, _SMALLER, _TURNED = 0.5, 2.4, 0.5, 180.0


class Scene(NamedTuple):
    """A face to reconstruct, and where its 68 landmarks are (68, 2) in the picture; None: it shows none."""

    face: FaceInput
    truth: Floats | None


def scenes_of(faces: SyntheticFaces, index: int) -> list[Scene]:
    """The scenes made with a synthetic face: a function of the data set and the index.

    Three without landmarks: a good crop, a crop in the wrong place or of a turned head, a crop without a
    face. Two with landmarks, which make the crop: as a detector errs, and either in the wrong place or where
    there is no face.
    """
    rng = np.random.default_rng((faces.seed, index, 17))
    sample = faces[index]
    marks = sample["landmarks"][:, :2].numpy().astype(np.float64)
    wide = _surrounded(sample["image"].numpy(), faces.backgrounds, rng)
    places = marks + SIZE
    box = (SIZE, SIZE, 2 * SIZE, 2 * SIZE)
    empty = _empty(sample, faces, rng)
    found = _detected(places, float(sample["yaw"]), rng)
    return [
        Scene(FaceInput.given(wide, box=box), places),
        _misplaced(wide, places, rng),
        Scene(FaceInput.given(empty, box=_part(rng)), None),
        Scene(FaceInput.given(wide, found), places),
        Scene(FaceInput.given(wide, _moved(found, rng)), places)
        if rng.random() < 0.5
        else Scene(FaceInput.given(empty, marks.clip(0, SIZE - 1)), None),
    ]


def _surrounded(crop: Image, backgrounds: Backgrounds, rng: np.random.Generator) -> Image:
    """The crop in the middle of a picture three times as wide."""
    around = (255 * backgrounds.sample(rng)).astype(np.uint8)
    wide = cv2.resize(around, (WIDE, WIDE), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    from_edge = np.minimum(np.arange(SIZE), np.arange(SIZE)[::-1]) + 1
    ramp = np.clip(from_edge / _EDGE, 0, 1)
    mask = np.minimum.outer(ramp, ramp)[..., None].astype(np.float32)
    middle = wide[SIZE : 2 * SIZE, SIZE : 2 * SIZE]
    middle += mask * (crop - middle)
    return np.clip(wide.round(), 0, 255).astype(np.uint8)


def _empty(sample: dict[str, Any], faces: SyntheticFaces, rng: np.random.Generator) -> Image:
    """A picture (120, 120, 3) without a face, half of them with what may hide one: a hand, a microphone."""
    canvas = Canvas(faces.backgrounds.sample(rng))
    if rng.random() < 0.5:
        landmarks, image = sample["landmarks"].numpy(), sample["image"].numpy()
        column, row = np.clip(landmarks[30, :2].round().astype(int), 0, SIZE - 1)
        skin = image[row, column].astype(np.float32) / 255
        occluder(rng, canvas, landmarks, skin, faces.backgrounds)
    return develop(rng, canvas.image, faces.options)


def _part(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """A box in a picture without a face."""
    side = SIZE * rng.uniform(0.5, 1.1)
    x, row = rng.uniform(min(0, SIZE - side), max(0, SIZE - side), 2)
    return x, row, x + side, row + side


def _misplaced(wide: Image, places: Floats, rng: np.random.Generator) -> Scene:
    """A crop that misses its face, or the right one of a head that is turned in the image plane."""
    middle, side = np.full(2, WIDE / 2), float(SIZE)
    if rng.random() < 0.25:
        turn = math.copysign(rng.uniform(40, _TURNED), rng.normal())
        matrix = cv2.getRotationMatrix2D(((WIDE - 1) / 2, (WIDE - 1) / 2), turn, 1)
        turned = cv2.warpAffine(wide, matrix, (WIDE, WIDE), borderMode=cv2.BORDER_REFLECT)
        wide = np.asarray(turned, np.uint8)
        places = places @ matrix[:, :2].T + matrix[:, 2]
    else:
        middle = middle + rng.uniform(-_AWAY, _AWAY, 2) * side
        side *= math.exp(rng.uniform(math.log(_SMALLER), math.log(_LARGER)))
    box = (*(middle - side / 2), *(middle + side / 2))
    return Scene(FaceInput.given(wide, box=box), places)


def _detected(places: Floats, yaw: float, rng: np.random.Generator) -> Floats:
    """The 68 landmarks as a detector finds them, with the errors of `training.augment.detect`."""
    config = LandmarkConfig()
    size = math.exp(config.tail * rng.normal()) * (1 + config.profile * abs(yaw) / (math.pi / 2))
    error = config.shift * rng.normal(size=(1, 2)) + config.jitter * rng.normal(size=(68, 2))
    error += (places - places.mean(axis=0)) @ (config.affine * rng.normal(size=(2, 2)))
    return places + size * error


def _moved(points: Floats, rng: np.random.Generator) -> Floats:
    """Landmarks that belong somewhere else."""
    turn, scale = rng.uniform(-math.pi / 3, math.pi / 3), math.exp(rng.uniform(-0.4, 0.4))
    matrix = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    middle = points.mean(axis=0)
    away = rng.uniform(-_AWAY, _AWAY, 2) * SIZE
    return np.asarray((points - middle) @ matrix.T + middle + away, np.float64)
