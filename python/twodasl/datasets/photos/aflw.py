"""AFLW as 3DDFA's test data hold it: 120x120 crops with the 21 landmarks of the original images.

Arrays of which row i belongs to line i of the list, under either name, in the folder or its `test.configs`:

    names.txt        AFLW_GT_crop.list          one image name per line
    pts21.npy        AFLW_GT_pts21.npy          (n, 2, 21) pixels of the original image, -1 = not visible
    roi_box.npy      AFLW_GT_crop_roi_box.npy   (n, 4) the crop x0 y0 x1 y1 in the original image
    yaw_degrees.npy  AFLW_GT_crop_yaws.npy      (n,) positive where the nose points to the image's left

and the crops in `images`, `AFLW_GT_crop` or `test.data/AFLW_GT_crop`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...geometry.crops import Crop
from ...io.arrays import read_array
from ..names import read_names
from .listing import Annotation, Scan

_LIST = ("names.txt", "AFLW_GT_crop.list")
_POINTS = ("pts21.npy", "AFLW_GT_pts21.npy")
_BOXES = ("roi_box.npy", "AFLW_GT_crop_roi_box.npy")
_YAWS = ("yaw_degrees.npy", "AFLW_GT_crop_yaws.npy")
_IMAGES = ("images", "AFLW_GT_crop", "test.data/AFLW_GT_crop")

ABSENT = -1.0


@dataclass(frozen=True, eq=False)
class AflwFiles:
    """Stored annotations of n images: points (n, 2, 21), boxes (n, 4), yaws (n,)."""

    names: tuple[str, ...]
    points: NDArray[np.float64]
    boxes: NDArray[np.float64]
    yaws: NDArray[np.float64]
    list_file: Path
    point_file: Path
    box_file: Path
    yaw_file: Path
    images: Path


def read_files(root: Path) -> AflwFiles:
    """Read the list and its arrays. Raises InputError naming what is missing or does not fit."""
    listed = _first(root, _LIST)
    names = read_names(listed)
    images = next((root / folder for folder in _IMAGES if (root / folder).is_dir()), None)
    if images is None:
        raise InputError(f"{root}: expected the crops in a folder {' or '.join(_IMAGES)}, found none")
    count = len(names)
    point_file, box_file, yaw_file = (_first(root, choices) for choices in (_POINTS, _BOXES, _YAWS))
    points = _rows(point_file, (count, 2, 21))
    boxes, yaws = _rows(box_file, (count, 4)), _rows(yaw_file, (count,))
    return AflwFiles(names, points, boxes, yaws, listed, point_file, box_file, yaw_file, images)


def scan(root: Path) -> Scan:
    """The photos of such a folder."""
    files = read_files(root)

    def annotate(index: int) -> Annotation:
        original = files.points[index].T
        absent = (original == ABSENT).any(axis=1) | ~np.isfinite(original).all(axis=1)
        inside = np.asarray(Crop(*files.boxes[index].tolist()).to_crop(original), np.float64)
        inside[absent] = np.nan
        return Annotation(inside, is_crop=True, yaw=float(np.radians(files.yaws[index])))

    watched = (files.list_file, files.point_file, files.box_file, files.yaw_file, files.images)
    folder = files.images.relative_to(root).as_posix()
    return Scan(tuple(f"{folder}/{name}" for name in files.names), annotate, watched)


def _first(root: Path, names: tuple[str, ...]) -> Path:
    places = [folder / name for folder in (root, root / "test.configs") for name in names]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise InputError(f"{root}: expected {' or '.join(names)} in it or in its test.configs, found neither")
    return found


def _rows(file: Path, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = np.array(read_array(file), np.float64)
    if array.shape != shape:
        raise InputError(f"{file}: expected shape {shape}, one row per name of the list, got {array.shape}")
    return array
