"""AFLW and AFLW-LFPA as test sets: 21 and 34 landmarks, of which only the visible ones count.

AFLW in 3DDFA's layout, see `aflw.py`; next to its arrays may lie `AFLW_GT_pts68.npy` (or `pts68.npy`), 68
fitted points per image, whose box normalizes in 3DDFA's evaluation. AFLW-LFPA's test part, of the same files
as its training part, see `aflw_lfpa.py`:

    Landmark.mat      phisT (n, 102): 34 x, 34 y, 34 flags
    BoundingBox.mat   bboxesT (n, 4): x y width height of the face, which normalize
    TestImages/       1.jpg, 2.jpg, ... in the order of the rows
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...arguments import path_of
from ...errors import InputError
from ...geometry.crops import SIZE, Crop
from ...io.arrays import read_point_array
from ...io.images import read_image
from ...landmarks.sparse_crop import crop_from_sparse_landmarks
from ..mat_files import read_variables
from ..names import check_names
from ..photos import aflw

_POINTS68 = ("pts68.npy", "AFLW_GT_pts68.npy")
_LFPA_POINTS, _LFPA_AFLW = 34, 21

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SparseSet:
    """n images with L landmarks, some of them hidden.

    names; images: paths. truth: (n, L, 2) float64 image pixels, NaN where a point is hidden or not annotated.
    normalizer: (n,) face sizes in pixels. yaw_degrees: (n,), or None if the data set has none. boxes: (n, 4)
    crop boxes in image pixels. stored_crops: whether the pictures on disk are those crops, 120x120, while
    points and boxes are in pixels of the original images. rows: (n,) each image's row in the data set's
    `total`; the others have no visible landmark. The `..._source` fields describe where each came from.
    """

    title: str
    root: Path
    names: tuple[str, ...]
    images: tuple[Path, ...]
    truth: Floats
    normalizer: Floats
    normalizer_source: str
    yaw_degrees: Floats | None
    yaw_source: str
    boxes: Floats
    box_source: str
    stored_crops: bool
    rows: NDArray[np.int64]
    total: int

    def __len__(self) -> int:
        return len(self.names)

    @property
    def point_count(self) -> int:
        """L."""
        return int(self.truth.shape[1])

    def crop(self, index: int) -> Crop:
        """The crop of an image."""
        return Crop(*self.boxes[index].tolist())

    def read_image(self, index: int) -> NDArray[np.uint8]:
        """The picture on disk, (H, W, 3) uint8 BGR. Raises InputError naming a file that does not fit."""
        picture = read_image(self.images[index], upright=False)
        if self.stored_crops and picture.shape[:2] != (SIZE, SIZE):
            height, width = picture.shape[:2]
            raise InputError(f"{self.images[index]}: expected a {SIZE}x{SIZE} crop, got {width}x{height}")
        return picture

    def crops_to_image(self, points: NDArray[np.floating]) -> Floats:
        """Points (n, L, 2 or 3) from each image's crop pixels to image pixels."""
        found = np.asarray(points, dtype=np.float64)
        if found.ndim != 3 or len(found) != len(self):
            raise ValueError(f"points: expected ({len(self)}, L, 2 or 3), got {found.shape}")
        return np.stack([self.crop(i).to_image(found[i]) for i in range(len(self))])

    def only(self, counted: NDArray[np.bool_]) -> SparseSet:
        """The set with only the landmarks `counted` (L,) or (n, L); images left without any are excluded."""
        truth = np.where(np.broadcast_to(counted, self.truth.shape[:2])[..., None], self.truth, np.nan)
        keep = np.flatnonzero(np.asarray(np.isfinite(truth).all(axis=2)).any(axis=1))
        if not len(keep):
            raise InputError(f"{self.root}: expected an image with a visible landmark, found none")
        return replace(
            self,
            names=tuple(self.names[i] for i in keep),
            images=tuple(self.images[i] for i in keep),
            truth=truth[keep],
            normalizer=self.normalizer[keep],
            yaw_degrees=None if self.yaw_degrees is None else self.yaw_degrees[keep],
            boxes=self.boxes[keep],
            rows=self.rows[keep],
        )


def read_aflw(root: str | os.PathLike[str], normalizer: str | None = None) -> SparseSet:
    """Read AFLW in 3DDFA's layout.

    normalizer: one of `twodasl.datasets.benchmarks.NORMALIZERS`; None is "points68" where the folder has
    these points, else "visible".
    Raises InputError naming the file or folder that is missing, broken, or does not fit the others.
    """
    folder = path_of(root, "a folder", "root")
    files = aflw.read_files(folder)
    check_names(files.list_file, files.names)
    count = len(files.names)
    truth = files.points.transpose(0, 2, 1).copy()
    truth[(truth == aflw.ABSENT).any(axis=2) | ~np.isfinite(truth).all(axis=2)] = np.nan
    boxes = files.boxes
    if not np.isfinite(boxes).all() or (boxes[:, 2:] <= boxes[:, :2]).any():
        raise InputError(f"{files.box_file}: expected boxes x0 y0 x1 y1 with x0 < x1 and y0 < y1")
    if not np.isfinite(files.yaws).all():
        raise InputError(f"{files.yaw_file}: expected finite degrees, got NaN or infinity")
    places = [place / name for place in (folder, folder / "test.configs") for name in _POINTS68]
    file68 = next((place for place in places if place.is_file()), None)
    kind = normalizer or ("visible" if file68 is None else "points68")
    known = np.asarray(np.isfinite(truth).all(axis=2)).any(axis=1)
    if kind == "points68":
        if file68 is None:
            raise InputError(f"{folder}: has no 68 points to normalize by; expected {' or '.join(_POINTS68)}")
        points = read_point_array(file68)
        if len(points) != count:
            raise InputError(f"{file68}: expected one row for each of {count} images, got {len(points)}")
        size, source = _side(points), f"the 68 fitted points ({file68.name}), as in 3DDFA's evaluation"
    elif kind == "visible":
        size = np.ones(count)
        size[known] = _side(truth[known])
        source = "the visible annotated points; not 3DDFA's normalizer, for which AFLW_GT_pts68.npy is needed"
    else:
        size = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
        source = f"the crop ({files.box_file.name}), which is larger than the face"
    images = tuple(files.images / name for name in files.names)
    data = SparseSet(
        title="AFLW",
        root=folder,
        names=files.names,
        images=images,
        truth=truth,
        normalizer=size,
        normalizer_source=source,
        yaw_degrees=files.yaws,
        yaw_source=files.yaw_file.name,
        boxes=boxes,
        box_source=files.box_file.name,
        stored_crops=True,
        rows=np.arange(count, dtype=np.int64),
        total=count,
    )
    return _with_sizes(data.only(np.ones((1, data.point_count), np.bool_)))


def read_aflw_lfpa(root: str | os.PathLike[str]) -> SparseSet:
    """Read AFLW-LFPA's test part. Raises InputError naming what is missing, broken, or does not fit."""
    folder = path_of(root, "a folder", "root")
    names = ("Landmark.mat", "BoundingBox.mat", "TestImages")
    missing = next((name for name in names if not (folder / name).exists()), None)
    if missing is not None:
        raise InputError(f"{folder}: expected AFLW-LFPA's {', '.join(names)}; found no {missing}")
    table = read_variables(folder / names[0], {"phisT": (None, 3 * _LFPA_POINTS)})["phisT"]
    faces = read_variables(folder / names[1], {"bboxesT": (len(table), 4)})["bboxesT"]
    if not len(table):
        raise InputError(f"{folder / names[0]}: expected one row per photo in phisT, got none")
    if (faces[:, 2:] <= 0).any():
        raise InputError(f"{folder / names[1]}: expected x y width height with positive sizes in bboxesT")
    x, y, flags = table.reshape(-1, 3, _LFPA_POINTS).transpose(1, 0, 2)
    places = np.stack([x, y], axis=2)
    visible = flags > 0.5
    placed = places.copy()
    placed[~visible & (places <= 0).any(axis=2)] = np.nan
    boxes, estimated = _lfpa_boxes(placed[:, :_LFPA_AFLW], faces)
    words = "squares about the annotated landmarks"
    if estimated < len(table):
        words += f"; {len(table) - estimated} that show too few of them: squares of the face boxes' area"
    files = tuple(folder / names[2] / f"{number}.jpg" for number in range(1, len(table) + 1))
    data = SparseSet(
        title="AFLW-LFPA",
        root=folder,
        names=tuple(file.name for file in files),
        images=files,
        truth=np.where(visible[..., None], places, np.nan),
        normalizer=np.sqrt(faces[:, 2:].prod(axis=1)),
        normalizer_source="the data set's face box (bboxesT of BoundingBox.mat)",
        yaw_degrees=None,
        yaw_source="not known: the data set has none (--yaw FILE gives it)",
        boxes=boxes,
        box_source=words,
        stored_crops=False,
        rows=np.arange(len(table), dtype=np.int64),
        total=len(table),
    )
    return data.only(np.ones((1, data.point_count), np.bool_))


def _lfpa_boxes(points: Floats, faces: Floats) -> tuple[Floats, int]:
    """Crop boxes (n, 4), and how many come from the landmarks (n, 21, 2); `faces`: x y width height."""
    boxes, estimated = np.empty((len(points), 4)), 0
    for row, (own, face) in enumerate(zip(points, faces, strict=True)):
        try:
            boxes[row] = crop_from_sparse_landmarks(own).box
            estimated += 1
        except InputError:
            middle, side = face[:2] + face[2:] / 2, np.sqrt(face[2] * face[3])
            boxes[row] = (*(middle - side / 2), *(middle + side / 2))
    return boxes, estimated


def _side(points: Floats) -> Floats:
    """sqrt(w * h) of each image's points (n, L, 2); NaN points do not count."""
    extent = np.nanmax(points, axis=1) - np.nanmin(points, axis=1)
    return np.asarray(np.sqrt(extent.prod(axis=1)), np.float64)


def _with_sizes(data: SparseSet) -> SparseSet:
    """The set, if every face has a size."""
    flat = np.flatnonzero(~(data.normalizer > 0))
    if len(flat):
        raise InputError(
            f"{data.root}: {len(flat)} images, first {data.names[flat[0]]}, have points that span no box to"
            " normalize by; choose another normalizer (--normalizer crop)"
        )
    return data
