"""Photos with the points of two detectors: MediaPipe's 478 and five of a face detector.

A folder of

    faces.csv     a header and a line a face; of its columns only `image`, a file's name in `images`, is read
    images/       the pictures, larger than the face all around
    mesh478.npy   (n, 478, 2 or 3) pixels (x, row) of the picture; NaN where MediaPipe found no face
    points5.npy   (n, 5, 2) pixels: the eye on the left and on the right of the picture, the tip of the nose,
                  the corner of the mouth on the left and on the right

MediaPipe's mesh is good up to some 45 degrees of yaw and useless on profiles, and does not say so; the five
points are sound at every yaw. So the mesh counts where the two agree, and gives the paper's 18 points;
elsewhere the five count alone. Where the mesh counts, a face model is fitted to
its 68 points. Yaw is not read.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, reading
from ...geometry.crops import crop_from_landmarks
from ...io.arrays import read_array
from ...io.files import regular_file
from ...io.text import plain_text
from ...landmarks import EIGHTEEN_NAMES, eighteen_from_68
from ...landmarks.five_points import crop_from_five
from ...landmarks.mesh478 import sixty_eight_from_478
from .listing import Annotation, Scan

_FIVE = [
    EIGHTEEN_NAMES.index(name)
    for name in ("eye_left_center", "eye_right_center", "nose_tip", "mouth_left", "mouth_right")
]
# Up to this mean distance of the five points from the mesh's, over the side of the crop, the mesh counts.
# On 3,986 photographs the median grows from 1.7 % on frontal faces to 3.3 % at 45 to 60 degrees of yaw, and
# a mesh in the wrong place is beyond 10 %.
_AGREE = 0.04

_LARGEST = 1 << 26  # bytes of faces.csv


def scan(root: Path) -> Scan:
    """The photos of such a folder."""
    watched = tuple(root / name for name in ("faces.csv", "mesh478.npy", "points5.npy", "images"))
    missing = [path.name for path in watched if not path.exists()]
    if missing:
        raise InputError(
            f"{root}: expected faces.csv, mesh478.npy, points5.npy and images; found no {missing[0]}"
        )
    names = _names(watched[0])
    mesh = _array(watched[1], (len(names), 478), (2, 3))
    five = _array(watched[2], (len(names), 5), (2,))

    def annotate(index: int) -> Annotation:
        return annotation(np.asarray(mesh[index, :, :2], np.float64), np.asarray(five[index], np.float64))

    return Scan(tuple(f"images/{name}" for name in names), annotate, watched)


def annotation(mesh: NDArray[np.float64], five: NDArray[np.float64]) -> Annotation:
    """The 18 points, those to fit and the crop of a face from its mesh (478, 2) and five points (5, 2)."""
    if not np.isfinite(five).all():
        raise InputError("its five points are not finite numbers")
    marks = sixty_eight_from_478(mesh)
    if np.isfinite(marks).all():
        crop, points = crop_from_landmarks(marks), np.asarray(eighteen_from_68(marks))
        apart = np.linalg.norm(points[_FIVE] - five, axis=1).mean()
        if apart <= _AGREE * (crop.x1 - crop.x0):
            return Annotation(points, crop=crop, fit_points=np.asarray(marks, np.float64))
    points = np.full((18, 2), np.nan)
    points[_FIVE] = five
    return Annotation(points, crop=crop_from_five(five))


def _names(file: Path) -> list[str]:
    with reading(file, "a table of photos with a column `image`"), open(regular_file(file), "rb") as stream:
        content = stream.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise InputError(f"{file}: expected a table of photos, got a file of more than {_LARGEST >> 20} MiB")
    text = plain_text(file, content).decode("utf-8", "surrogateescape")
    try:  # strict: a quotation mark that is never closed would swallow the lines after it
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise InputError(f"{file}: is no table of comma-separated values ({error})") from error
    if not rows or "image" not in rows[0]:
        raise InputError(f"{file}: expected a header with the column image and a line a photo")
    return [row["image"] or "" for row in rows]


def _array(file: Path, shape: tuple[int, int], columns: tuple[int, ...]) -> NDArray[np.floating]:
    array = read_array(file)
    if array.ndim != 3 or array.shape[:2] != shape or array.shape[2] not in columns:
        wanted = " or ".join(str((*shape, number)) for number in columns)
        raise InputError(f"{file}: expected shape {wanted}, a row a line of faces.csv, got {array.shape}")
    if array.dtype.kind != "f":
        raise InputError(f"{file}: expected floating-point numbers, got {array.dtype}")
    return np.asarray(array)
