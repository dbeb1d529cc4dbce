"""BIWI Kinect Head Pose: frames of people who turn their heads before a Kinect, with measured rotations.

Fanelli et al., "Random forests for real time 3D face analysis" (IJCV 2013). A folder for each sequence, `01`
to `24`, holds `frame_NNNNN_rgb.png`, `frame_NNNNN_pose.txt` (three rows of a rotation matrix, then the head's
center in millimeters, both in the depth camera's axes: x to the image's right, y down, z away from it) and
`rgb.cal` (the color camera's 3x3 intrinsics, its distortion, and the rotation and translation in millimeters
from the depth camera to it).

What "the angles of BIWI" are differs between publications; see `CONVENTIONS`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...arguments import path_of
from ...errors import InputError, reading
from ...io.files import regular_file
from ...io.images import read_image
from ...io.text import plain_text, reals

Floats = NDArray[np.float64]

CONVENTIONS = {
    "fsa-net": "those of 300W-LP, Rx(pitch) Ry(yaw) Rz(roll), once the rotation's axes are turned to y up and"
    " z toward the viewer (as by FSA-Net and later work)",
    "hopenet": "R = Rz(roll) Ry(yaw) Rx(-pitch) of the rotation as it is stored, y down (as by HopeNet): the"
    " same for a turn about one axis, another order for the rest",
}
"""The Euler angles that publications give for a frame, the default first."""

_FRAME = re.compile(r"frame_([0-9]{1,9})_rgb\.png")
_SEQUENCE = re.compile(r"[0-9]{1,4}")
_FLIP = np.diag([1.0, -1.0, -1.0])  # between y down, z away and y up, z toward the viewer
_ORTHOGONAL = 1e-2  # stored with four to six digits
_LARGEST = 1 << 16  # bytes of a text file


@dataclass(frozen=True, eq=False)
class Biwi:
    """n frames. names: such as `01/frame_00003_rgb.png`. images: paths. rotations: (n, 3, 3) in the
    axes of the face model (y up, z toward the viewer), frontal is the identity. angles: (n, 3) pitch, yaw,
    roll in degrees by `convention`. centers: (n, 2) the head's center in pixels of the photo, NaN where
    the sequence has no `rgb.cal`. skipped: frames without a pose file."""

    root: Path
    names: tuple[str, ...]
    images: tuple[Path, ...]
    rotations: Floats
    angles: Floats
    centers: Floats
    convention: str
    skipped: int

    def __len__(self) -> int:
        return len(self.names)

    def read_image(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 BGR. Raises InputError naming a file that is missing or no image."""
        return read_image(self.images[index], upright=False)


def read_biwi(root: str | os.PathLike[str], convention: str = "fsa-net") -> Biwi:
    """Read the sequences of a folder (`hpdb`, or the one above it).

    convention: of the angles, one of `CONVENTIONS`. The rotation between the two cameras, a degree or two, is
    not applied: publications do not, and the angles are the depth camera's.

    Raises InputError naming the folder or file that is missing or broken.
    """
    if convention not in CONVENTIONS:
        raise InputError(f"convention: expected one of {', '.join(CONVENTIONS)}, got {convention!r}")
    folder = path_of(root, "a folder", "root")
    if (folder / "hpdb").is_dir():
        folder = folder / "hpdb"
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected BIWI's, with a folder for each sequence")
    names: list[str] = []
    images: list[Path] = []
    stored: list[Floats] = []
    centers: list[Floats] = []
    skipped = 0
    for sequence in sorted(
        path for path in folder.iterdir() if _SEQUENCE.fullmatch(path.name) and path.is_dir()
    ):
        project = _camera(sequence / "rgb.cal")
        frames = {found[1]: path for path in sequence.iterdir() if (found := _FRAME.fullmatch(path.name))}
        for number in sorted(frames, key=int):
            pose = sequence / f"frame_{number}_pose.txt"
            if not pose.is_file():
                skipped += 1
                continue
            rotation, center = _read_pose(pose)
            names.append(f"{sequence.name}/{frames[number].name}")
            images.append(frames[number])
            stored.append(rotation)
            centers.append(project(center))
    if not names:
        raise InputError(
            f"{folder}: expected folders 01, 02, ... with frame_NNNNN_rgb.png and frame_NNNNN_pose.txt, found"
            " none"
        )
    matrices = np.stack(stored)
    return Biwi(
        folder,
        tuple(names),
        tuple(images),
        _FLIP @ matrices @ _FLIP,
        biwi_angles(matrices, convention),
        np.stack(centers),
        convention,
        skipped,
    )


def biwi_angles(rotations: Floats, convention: str = "fsa-net") -> Floats:
    """Pitch, yaw, roll in degrees (n, 3) of rotations (n, 3, 3) as BIWI stores them; see `CONVENTIONS`."""
    r = np.asarray(rotations, np.float64)
    if convention == "hopenet":
        pitch = -np.arctan2(r[:, 2, 1], r[:, 2, 2])
        yaw = np.arctan2(-r[:, 2, 0], np.hypot(r[:, 2, 1], r[:, 2, 2]))
        roll = np.arctan2(r[:, 1, 0], r[:, 0, 0])
    else:
        pitch = np.arctan2(r[:, 1, 2], r[:, 2, 2])
        yaw = np.arctan2(r[:, 0, 2], np.hypot(r[:, 1, 2], r[:, 2, 2]))
        roll = -np.arctan2(r[:, 0, 1], r[:, 0, 0])
    return np.degrees(np.stack([pitch, yaw, roll], axis=1))


def _numbers(file: Path, expected: str) -> Floats:
    with reading(file, expected), open(regular_file(file, expected), "rb") as stream:
        content = stream.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise ValueError("too large")
        return reals(plain_text(file, content).split())


def _read_pose(file: Path) -> tuple[Floats, Floats]:
    """The rotation (3, 3) as stored and the head's center (3,) of a frame."""
    found = _numbers(file, "a 3x3 rotation and a center, 12 numbers")
    if found.shape != (12,) or not np.isfinite(found).all():
        got = found.size if np.isfinite(found).all() else "NaN or infinity"
        raise InputError(f"{file}: expected a 3x3 rotation and a center, 12 numbers, got {got}")
    rotation = found[:9].reshape(3, 3)
    off = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if off > _ORTHOGONAL or np.linalg.det(rotation) < 0:
        raise InputError(
            f"{file}: expected a rotation matrix in the first three rows, got {rotation.tolist()}"
        )
    return rotation, found[9:]


class _Camera:
    """The color camera: points (3,) in millimeters of the depth camera's axes -> pixels (2,)."""

    def __init__(self, intrinsics: Floats, rotation: Floats, translation: Floats) -> None:
        self._intrinsics, self._rotation, self._translation = intrinsics, rotation, translation

    def __call__(self, point: Floats) -> Floats:
        x, y, z = self._intrinsics @ (self._rotation @ point + self._translation)
        return np.array([x / z, y / z]) if z > 0 else np.full(2, np.nan)


def _camera(file: Path) -> _Camera:
    if not file.is_file():
        return _Camera(np.full((3, 3), np.nan), np.eye(3), np.zeros(3))
    found = _numbers(file, "a camera's calibration")
    if len(found) < 25 or not np.isfinite(found[:25]).all():
        raise InputError(
            f"{file}: expected 3x3 intrinsics, 4 numbers of distortion, a 3x3 rotation and a translation, 25"
            f" numbers, got {len(found)}"
        )
    # The four of the distortion are 0 in the data set.
    return _Camera(found[:9].reshape(3, 3), found[13:22].reshape(3, 3), found[22:25])
