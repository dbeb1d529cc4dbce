"""Head pose on a benchmark: the true rotations, and those that a network or a file says."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arguments import flag, path_of
from ..datasets.benchmarks.aflw2000 import read_aflw2000
from ..datasets.benchmarks.biwi import CONVENTIONS, read_biwi
from ..errors import InputError
from ..io.arrays import read_array
from ..io.files import regular_file
from ..io.text import reals
from ..progress import progress_bar
from ..reconstruction.detect import find_faces
from ..reconstruction.face_input import FaceInput
from ..reconstruction.reconstructor import FaceReconstructor
from .pose import angles_of, rotations

Floats = NDArray[np.float64]

ORDERS = ("pitch,yaw,roll", "yaw,pitch,roll")
"""In which order the columns of a file of angles may be, the default first."""


@dataclass(frozen=True, eq=False)
class PoseSet:
    """n images with known poses. angles: (n, 3) true pitch, yaw, roll in degrees, of the benchmark's
    convention. truth: (n, 3, 3) rotations in the face model's axes. centers: (n, 2) where the face is, in
    pixels, NaN where unknown. boxes: (n, 4) the benchmark's own crops, or None. settings: words."""

    title: str
    names: tuple[str, ...]
    angles: Floats
    truth: Floats
    centers: Floats
    boxes: Floats | None
    read_image: Callable[[int], NDArray[np.uint8]]
    settings: dict[str, str]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, eq=False)
class Poses:
    """Of n images. angles: (n, 3) pitch, yaw, roll in degrees, 300W-LP's convention; NaN where there is none.
    missing: image -> why."""

    angles: Floats
    words: dict[str, str]
    missing: dict[str, str] = field(default_factory=dict)


def aflw2000_poses(root: str | os.PathLike[str]) -> PoseSet:
    """AFLW2000-3D, all images: the protocol of head pose does not leave out the two of the landmarks'."""
    data = read_aflw2000(root, keep_undetected=True)
    if data.angles is None:
        raise InputError(f"{data.root}: has no angles; expected a .mat file beside each image")
    centers = (data.truth.min(axis=1) + data.truth.max(axis=1)) / 2
    settings = {
        "data": f"{data.root} ({data.layout}), {len(data)} images",
        "truth": "Pose_Para of the .mat files",
        "convention": "300W-LP's and AFLW2000-3D's own, Rx(pitch) Ry(yaw) Rz(roll)",
    }
    return PoseSet(
        "AFLW2000-3D",
        data.names,
        data.angles,
        rotations(data.angles),
        centers,
        data.boxes,
        data.read_image,
        settings,
    )


def biwi_poses(root: str | os.PathLike[str], convention: str = "fsa-net") -> PoseSet:
    """BIWI, all sequences; see `read_biwi`."""
    data = read_biwi(root, convention)
    sequences = len({name.partition("/")[0] for name in data.names})
    settings = {
        "data": f"{data.root}, {len(data)} frames of {sequences} sequences",
        "truth": "frame_NNNNN_pose.txt, the depth camera's axes",
        "convention": f"{convention}: {CONVENTIONS[convention]}",
    }
    if data.skipped:
        settings["without a pose"] = f"{data.skipped} frames"
    return PoseSet(
        "BIWI Kinect Head Pose",
        data.names,
        data.angles,
        data.rotations,
        data.centers,
        None,
        data.read_image,
        settings,
    )


def network_poses(
    reconstructor: FaceReconstructor, data: PoseSet, *, boxes: bool = False, batch_size: int = 32
) -> Poses:
    """What a network says, of the faces that the default detector finds, or of the benchmark's own `boxes`.

    Of several faces the one whose crop's center is nearest to where the face is known to be counts, else the
    largest. An image without a face, or one that cannot be read, is missing.
    """
    boxes = flag(boxes, "boxes")
    if boxes and data.boxes is None:
        raise InputError(f"{data.title}: has no boxes; expected the detector's crops")
    angles = np.full((len(data), 3), np.nan)
    missing: dict[str, str] = {}
    with progress_bar(total=len(data), description="evaluate", unit="image") as bar:
        for start in range(0, len(data), batch_size):
            part = range(start, min(start + batch_size, len(data)))
            rows: list[int] = []
            faces: list[FaceInput] = []
            for row in part:
                try:
                    faces.append(_face(data, row, boxes))
                    rows.append(row)
                except InputError as error:
                    missing[data.names[row]] = f"{data.names[row]}: {error}"
            if faces:
                found = reconstructor.reconstruct(faces, batch_size=batch_size)
                angles[rows] = [face.angles for face in found]
            bar.update(len(part))
    words = (
        "the benchmark's boxes, made square" if boxes else "the default detector's; of several faces the one"
    )
    if not boxes:
        known = bool(np.isfinite(data.centers).all())
        words += " at the known place" if known else " at the known place, or the largest where it is unknown"
    return Poses(angles, {"crops": words}, missing)


def _face(data: PoseSet, row: int, boxes: bool) -> FaceInput:
    image = data.read_image(row)
    if boxes:
        assert data.boxes is not None
        return FaceInput.given(image, None, data.boxes[row].tolist())
    found = find_faces(image)
    if not found:
        raise InputError("no face was found")
    center = data.centers[row]
    if len(found) == 1 or not np.isfinite(center).all():
        return found[0]
    middles = [((x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in (face.crop.box for face in found)]
    return found[int(np.linalg.norm(np.array(middles) - center, axis=1).argmin())]


def read_poses(path: str | os.PathLike[str], data: PoseSet, order: str = ORDERS[0]) -> Poses:
    """Poses from a file, in degrees and 300W-LP's convention.

    `.npy`: (n, 3) angles in the columns' `order`, or (n, 3, 3) rotations in the face model's axes (x to the
    image's right, y up, z toward the viewer), a row an image in name order; NaN where no face was found.
    `.csv`: columns `image` (or `name`), `pitch`, `yaw`, `roll`, in any order; an image that is not there was
    not found. Raises InputError naming the file.
    """
    file = path_of(path, "a .npy or .csv file")
    if order not in ORDERS:
        raise InputError(f"order: expected one of {', '.join(ORDERS)}, got {order!r}")
    suffix = file.suffix.lower()
    if suffix == ".npy":
        angles, words = _read_npy(file, len(data), order)
    elif suffix == ".csv":
        angles, words = _read_csv(file, data.names), "angles by name"
    else:
        raise InputError(f"{file}: expected poses, a .npy or .csv file, got {suffix or 'no suffix'!r}")
    there = np.asarray(np.isfinite(angles).all(axis=1), bool)
    names = np.array(data.names, object)[~there].tolist()
    return Poses(
        np.where(there[:, None], angles, np.nan),
        {"predictions": f"{file} ({words})"},
        {name: f"{name}: the predictions have no pose" for name in names},
    )


def _read_npy(file: Path, count: int, order: str) -> tuple[Floats, str]:
    found = np.array(read_array(file), np.float64)
    if found.shape == (count, 3):
        columns = [order.split(",").index(name) for name in ("pitch", "yaw", "roll")]
        return found[:, columns], f"angles {order} in degrees"
    if found.shape == (count, 3, 3):
        there = np.asarray(np.isfinite(found).reshape(count, 9).all(axis=1), bool)
        off = np.abs(found[there] @ np.swapaxes(found[there], 1, 2) - np.eye(3)).max(initial=0)
        if (np.linalg.det(found[there]) < 0).any():
            raise InputError(f"{file}: expected rotation matrices, got some that mirror")
        if off > 1e-2:
            raise InputError(
                f"{file}: expected rotation matrices, got rows that are {off:.2g} off a rotation"
            )
        angles = np.full((count, 3), np.nan)
        angles[there] = angles_of(found[there])
        return angles, "rotation matrices"
    raise InputError(
        f"{file}: expected angles ({count}, 3) or rotations ({count}, 3, 3), got shape {found.shape}"
    )


def _read_csv(file: Path, names: tuple[str, ...]) -> Floats:
    try:
        with open(regular_file(file), newline="", encoding="utf-8-sig", errors="surrogateescape") as stream:
            rows = list(csv.DictReader(stream))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from error
    except csv.Error as error:
        raise InputError(f"{file}: expected a CSV file, got one that is not text") from error
    heads = rows[0].keys() if rows else ()
    key = next((head for head in ("image", "name") if head in heads), None)
    if key is None or not {"pitch", "yaw", "roll"} <= set(heads):
        shown = ", ".join(map(str, heads))
        raise InputError(f"{file}: expected the columns image, pitch, yaw and roll, got {shown or 'none'}")
    table: dict[str, list[float]] = {}
    for line, row in enumerate(rows, 2):
        try:
            words = [str(row[name]).encode("utf-8", "surrogateescape") for name in ("pitch", "yaw", "roll")]
            angles = reals(words).tolist()
        except ValueError as error:
            got = ", ".join(str(row[name])[:40] for name in ("pitch", "yaw", "roll") if row[name] is not None)
            raise InputError(
                f"{file}: expected three angles in degrees in line {line}, got {got or 'none'}"
            ) from error
        if table.setdefault(str(row[key]), angles) is not angles:
            raise InputError(f"{file}: {str(row[key])[:200]} is there twice, again in line {line}; keep one")
    known = set(names)
    if not known & table.keys():
        some = next(iter(table))
        raise InputError(f"{file}: expected images such as {names[0]}, got {some}")
    return np.array([table.get(name, [np.nan] * 3) for name in names])
