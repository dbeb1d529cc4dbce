"""AFLW2000-3D, the standard test set, in its original layout and in that of the development folder.

The original folder holds `imageNNNNN.jpg` and `imageNNNNN.mat`. The development folder holds arrays whose row
i belongs to line i of `names.txt`: `pts68.npy`, `pts68_reannotated.npy`, `yaw_degrees.npy`, `roi_box.npy`,
`detected68_crop120.npy`, and `images/`. Arrays that the data set itself lacks (re-annotated landmarks, crop
boxes) may be next to its images, under the development folder's names or those of 3DDFA's `test.configs`
folder.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...arguments import flag, path_of
from ...errors import InputError
from ...geometry.crops import Crop, crop_from_landmarks
from ...io.arrays import read_array, read_point_array
from ...io.images import read_image
from ..mat_files import read_variables
from ..names import check_names, read_names

WHOLE = 2000
"""Images in the whole data set."""

UNDETECTED = (1082, 1799)
"""The images, counted from 1 in name order, in which the commonly used detector finds no face."""

_REANNOTATED = ("pts68_reannotated.npy", "AFLW2000-3D-Reannotated.pts68.npy")
_BOXES = ("roi_box.npy", "AFLW2000-3D_crop.roi_box.npy")
_DETECTED = "detected68_crop120.npy"

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Aflw2000:
    """AFLW2000-3D or a part of it, ready for measuring. n images.

    names: file names. images: their paths (which need not exist if only landmarks are compared). truth: (n,
    68, 2) float64 image pixels. depth: (n, 68) their z in pixels, larger = nearer, or None if the ground
    truth has none. yaw_degrees: (n,). angles: (n, 3) pitch, yaw, roll in degrees, or None where the .mat
    files are missing. boxes: (n, 4) crop boxes x0 y0 x1 y1 in image pixels. detected: (n, 68, 2) a detector's
    landmarks in image pixels, or None. rows: (n,) each image's row in the complete folder of `total` images,
    of which `dropped` were excluded. The `..._source` fields and `layout` describe where each came from.
    """

    root: Path
    layout: str
    names: tuple[str, ...]
    images: tuple[Path, ...]
    truth: Floats
    depth: Floats | None
    truth_source: str
    yaw_degrees: Floats
    yaw_source: str
    angles: Floats | None
    boxes: Floats
    box_source: str
    detected: Floats | None
    rows: NDArray[np.int64]
    total: int
    dropped: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def crop(self, index: int) -> Crop:
        """The crop of an image."""
        return Crop(*self.boxes[index].tolist())

    def read_image(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 BGR. Raises InputError naming a file that is missing or no image."""
        # Landmarks refer to the stored pixels: a turn noted in the metadata must not be applied.
        return read_image(self.images[index], upright=False)

    def crops_to_image(self, points: NDArray[np.floating]) -> Floats:
        """Points (n, L, 2 or 3) from each image's crop pixels to image pixels."""
        found = np.asarray(points, dtype=np.float64)
        if found.ndim != 3 or len(found) != len(self):
            raise ValueError(f"points: expected ({len(self)}, L, 2 or 3), got {found.shape}")
        return np.stack([self.crop(i).to_image(found[i]) for i in range(len(self))])


def read_aflw2000(
    root: str | os.PathLike[str], ground_truth: str = "original", *, keep_undetected: bool = False
) -> Aflw2000:
    """Read AFLW2000-3D from its original folder or from the development folder.

    ground_truth: "original" (`pt3d_68`), "reannotated", or the path of a `.npy` with 68 points per image, one
    row per image of the folder in name order. keep_undetected: keep the images `UNDETECTED` of the whole set,
    which the literature excludes; a subset has no such numbering and is read whole.

    Raises InputError naming the file or folder that is missing, broken, or does not fit the others.
    """
    keep_undetected = flag(keep_undetected, "keep_undetected")
    folder = path_of(root, "a folder", "root")
    path_of(ground_truth, "'original', 'reannotated' or a .npy file", "ground_truth")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected AFLW2000-3D's or the development folder")
    if (folder / "names.txt").is_file():
        data = _read_development(folder, ground_truth)
    elif any(folder.glob("image*.mat")):
        data = _read_original(folder, ground_truth)
    else:
        raise InputError(
            f"{folder}: expected AFLW2000-3D's image*.jpg and image*.mat, or names.txt and pts68.npy;"
            " found neither"
        )
    return data if keep_undetected else _without_undetected(data)


def _without_undetected(data: Aflw2000) -> Aflw2000:
    if data.total != WHOLE:
        return data
    keep = np.setdiff1d(np.arange(WHOLE), np.array(UNDETECTED) - 1)
    return replace(
        data,
        names=tuple(data.names[i] for i in keep),
        images=tuple(data.images[i] for i in keep),
        truth=data.truth[keep],
        depth=None if data.depth is None else data.depth[keep],
        yaw_degrees=data.yaw_degrees[keep],
        angles=None if data.angles is None else data.angles[keep],
        boxes=data.boxes[keep],
        detected=None if data.detected is None else data.detected[keep],
        rows=data.rows[keep],
        dropped=tuple(data.names[number - 1] for number in UNDETECTED),
    )


def _read_development(folder: Path, ground_truth: str) -> Aflw2000:
    file = folder / "names.txt"
    names = read_names(file)
    if not names:
        raise InputError(f"{file}: expected one image name per line, got an empty file")
    check_names(file, names)
    images = tuple(folder / "images" / name for name in names)
    annotations = [image.with_suffix(".mat") for image in images]
    angles = None
    if all(annotation.is_file() for annotation in annotations):
        angles = np.stack([_read_angles(annotation) for annotation in annotations])
    return _assemble(
        folder,
        ground_truth,
        layout="development folder",
        images=images,
        original=_points(folder / "pts68.npy", len(names)),
        original_source="original (pts68.npy)",
        yaw=_numbers(folder / "yaw_degrees.npy", (len(names),)),
        yaw_source="yaw_degrees.npy",
        angles=angles,
    )


def _read_original(folder: Path, ground_truth: str) -> Aflw2000:
    files = sorted(folder.glob("image*.mat"))
    annotations = [_read_mat(file) for file in files]
    return _assemble(
        folder,
        ground_truth,
        layout="the data set's own",
        images=tuple(file.with_suffix(".jpg") for file in files),
        original=np.stack([points for points, _ in annotations]),
        original_source="original (pt3d_68 of the .mat files)",
        yaw=np.array([angles[1] for _, angles in annotations]),
        yaw_source="Pose_Para of the .mat files",
        angles=np.stack([angles for _, angles in annotations]),
    )


def _assemble(
    folder: Path,
    ground_truth: str,
    *,
    layout: str,
    images: tuple[Path, ...],
    original: Floats,
    original_source: str,
    yaw: Floats,
    yaw_source: str,
    angles: Floats | None,
) -> Aflw2000:
    """The data set, from what differs between the layouts, with the requested ground truth."""
    count = len(images)
    truth, truth_source = original, original_source
    if ground_truth == "reannotated":
        file = _first(folder, _REANNOTATED)
        if file is None:
            raise InputError(
                f"{folder}: has no re-annotated landmarks; expected {' or '.join(_REANNOTATED)} in it, or the"
                " path of such a file as the ground truth"
            )
        truth, truth_source = _points(file, count), f"re-annotated ({file.name})"
    elif ground_truth != "original":
        truth, truth_source = (
            _points(Path(ground_truth), count),
            f"the file {ground_truth}",
        )
    box_file = _first(folder, _BOXES)
    if box_file is None:
        boxes = np.array([crop_from_landmarks(points).box for points in original])
        box_source = "squares around the original ground truth's landmarks (the folder has no roi_box.npy)"
    else:
        boxes, box_source = _numbers(box_file, (count, 4)), box_file.name
        if (boxes[:, 2:] <= boxes[:, :2]).any():
            raise InputError(f"{box_file}: expected boxes x0 y0 x1 y1 with x0 < x1 and y0 < y1")
    data = Aflw2000(
        root=folder,
        layout=layout,
        names=tuple(image.name for image in images),
        images=images,
        truth=truth[..., :2],
        depth=truth[..., 2] if truth.shape[2] == 3 else None,
        truth_source=truth_source,
        yaw_degrees=yaw,
        yaw_source=yaw_source,
        angles=angles,
        boxes=boxes,
        box_source=box_source,
        detected=None,
        rows=np.arange(count, dtype=np.int64),
        total=count,
        dropped=(),
    )
    if box_file is None or not (folder / _DETECTED).is_file():
        return data
    return replace(data, detected=data.crops_to_image(_points(folder / _DETECTED, count)[..., :2]))


def _read_mat(file: Path) -> tuple[Floats, Floats]:
    """Landmarks (68, 3) and angles (3,) in degrees of one annotation."""
    found = read_variables(file, {"pt3d_68": (3, 68), "Pose_Para": (1, 7)})
    return found["pt3d_68"].T.copy(), np.degrees(found["Pose_Para"][0, :3])


def _read_angles(file: Path) -> Floats:
    return np.degrees(read_variables(file, {"Pose_Para": (1, 7)})["Pose_Para"][0, :3])


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _points(file: Path, count: int) -> Floats:
    points = read_point_array(file, depth=True)
    if len(points) != count:
        raise InputError(f"{file}: expected one row for each of {count} images, got {len(points)}")
    return points


def _numbers(file: Path, shape: tuple[int, ...]) -> Floats:
    array = np.array(read_array(file), dtype=np.float64)
    if array.shape != shape:
        raise InputError(f"{file}: expected shape {shape}, one row per image, got {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(f"{file}: expected finite numbers, got NaN or infinity")
    return array
