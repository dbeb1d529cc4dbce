"""REALY: scans cut into four regions, and meshes of one topology that are predicted of their photos.

Chai et al., "REALY: Rethinking the evaluation of 3D face reconstruction" (ECCV 2022), in the layout that its
evaluation program reads:

    ROOT/REALY_HIFI3D_keypoints/ID.obj    the 85 keypoints of person ID (1 to 100), the vertices of the file
    ROOT/REALY_scan_region/ID/nose.obj    and mouth.obj, forehead.obj, cheek.obj: the scan's regions
    ROOT/metrical_scale.txt               a number a person: millimeters of a unit of the scan
    PREDICTED/ID.obj                      or ID_ANYTHING.obj: a mesh, all of one topology
    KEYPOINTS.txt                         the 85 keypoints on it: JSON, [triangle, weight, weight] each
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...arguments import path_of
from ...errors import InputError, reading
from ...io.files import regular_file
from ...io.text import plain_text, reals
from ...meshes import Mesh, read_mesh

Floats = NDArray[np.float64]

REGIONS = ("nose", "mouth", "forehead", "cheek")
KEYPOINTS = 85

_KEYPOINTS, _SCANS, _SCALE = "REALY_HIFI3D_keypoints", "REALY_scan_region", "metrical_scale.txt"
_NAME = re.compile(r"([0-9]{1,6})(_.*)?")
_MOST_TRIANGLES = 1 << 31
_LARGEST = 1 << 22  # bytes of a text file


@dataclass(frozen=True)
class RealyFace:
    """A prediction. name: the file's stem. person: from 1. predicted: its mesh. scale: millimeters of a
    unit of the scan."""

    name: str
    person: int
    predicted: Path
    keypoints: Path
    regions: Path
    scale: float


@dataclass(frozen=True, eq=False)
class MeshKeypoints:
    """Where keypoints lie on a topology. triangles: (85,) which. weights: (85, 3) of their corners."""

    triangles: NDArray[np.int64]
    weights: Floats

    def places(self, vertices: Floats, triangles: NDArray[np.int64]) -> Floats:
        """The keypoints (85, 3) on a mesh."""
        if self.triangles.max() >= len(triangles):
            raise InputError(
                f"keypoints: expected triangles below {len(triangles)}, got {self.triangles.max()}; they are"
                " of another topology"
            )
        return (vertices[triangles[self.triangles]] * self.weights[..., None]).sum(axis=1)


def read_realy(root: str | os.PathLike[str], predicted: str | os.PathLike[str]) -> tuple[RealyFace, ...]:
    """The predictions in a folder, by person and name. Raises InputError naming what is missing."""
    folder, meshes = path_of(root, "a folder", "root"), path_of(predicted, "a folder", "predicted")
    if not meshes.is_dir():
        raise InputError(f"{meshes}: no such folder; expected predicted meshes, ID.obj")
    file = folder / _SCALE
    with reading(file, "a number a person"), open(regular_file(file), "rb") as stream:
        scales = reals(plain_text(file, stream.read(_LARGEST)).split())
    if not len(scales) or not (np.isfinite(scales) & (scales > 0)).all():
        raise InputError(f"{file}: expected positive numbers, one a person")
    faces = []
    for path in meshes.iterdir():
        found = _NAME.fullmatch(path.stem)
        if path.suffix.lower() not in (".obj", ".ply") or found is None:
            continue
        person = int(found[1])
        if not 1 <= person <= len(scales):
            raise InputError(f"{path}: expected a person from 1 to {len(scales)}, got {person}")
        faces.append(
            RealyFace(
                path.stem,
                person,
                path,
                folder / _KEYPOINTS / f"{person}.obj",
                folder / _SCANS / str(person),
                float(scales[person - 1]),
            )
        )
    if not faces:
        raise InputError(f"{meshes}: expected predicted meshes, ID.obj, found none")
    return tuple(sorted(faces, key=lambda face: (face.person, face.name)))


def read_regions(face: RealyFace) -> dict[str, Mesh]:
    """The regions of the person's scan, with triangles. Raises InputError naming a file."""
    regions = {}
    for name in REGIONS:
        file = face.regions / f"{name}.obj"
        regions[name] = read_mesh(file)
        if regions[name].triangles is None:
            raise InputError(f"{file}: expected a mesh with triangles, got points only")
    return regions


def read_true_keypoints(face: RealyFace) -> Floats:
    """(85, 3). Raises InputError naming the file."""
    points = read_mesh(face.keypoints).vertices
    if len(points) != KEYPOINTS:
        raise InputError(f"{face.keypoints}: expected {KEYPOINTS} vertices, the keypoints, got {len(points)}")
    return points


def read_mesh_keypoints(path: str | os.PathLike[str]) -> MeshKeypoints:
    """The file of keypoints of a topology: a JSON list of 85 triples, a triangle from 0 and weights of its
    first two corners. Raises InputError naming the file."""
    file = path_of(path, "keypoints of a topology")
    expected = f"a JSON list of {KEYPOINTS} triples [triangle, weight, weight]"
    with reading(file, expected), open(regular_file(file, expected), "rb") as stream:
        rows = np.array(json.loads(stream.read(_LARGEST)), np.float64)
    if rows.shape != (KEYPOINTS, 3):
        raise InputError(f"{file}: expected {expected}, got shape {rows.shape}")
    number = rows[:, 0]
    if not ((number >= 0) & (number < _MOST_TRIANGLES) & (number == np.rint(number))).all():
        raise InputError(f"{file}: expected {expected}, got triangles that are no whole numbers from 0 up")
    weights = np.concatenate([rows[:, 1:], 1 - rows[:, 1:].sum(axis=1, keepdims=True)], axis=1)
    if not (np.abs(weights - 0.5) <= 0.6).all():  # some room for rounding at an edge
        raise InputError(f"{file}: expected {expected}, got weights that are not from 0 to 1")
    return MeshKeypoints(rows[:, 0].astype(np.int64), weights)
