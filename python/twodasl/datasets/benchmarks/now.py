"""The NoW challenge: photos of people of whom there are scans, and a folder of predicted meshes.

Sanyal et al., "Learning to regress 3D face shape and expression from an image without 3D supervision" (CVPR
2019), in the layout that its evaluation program reads:

    ROOT/imagepathsvalidation.txt           lines SUBJECT/CHALLENGE/IMAGE.jpg
    ROOT/scans/SUBJECT/*.obj                a scan, in millimeters
    ROOT/scans_lmks_onlypp/SUBJECT/*.pp     its seven landmarks, MeshLab's picked points
    PREDICTED/SUBJECT/CHALLENGE/IMAGE.obj   or .ply; seven landmarks beside it, IMAGE.npy or IMAGE.txt

The landmarks are, in this order: the corners of the eyes from one side to the other (outer, inner, inner,
outer), the bottom of the nose, and the two corners of the mouth.
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
from ...io.arrays import read_array
from ...io.files import regular_file
from ...io.text import plain_text, reals
from ..names import check_names, read_names

LISTS = {"validation": "imagepathsvalidation.txt", "test": "imagepathstest.txt"}
CHALLENGES = ("multiview_neutral", "multiview_expressions", "multiview_occlusions", "selfie")
POINTS = 7

_SCANS, _MARKS = "scans", "scans_lmks_onlypp"
_POINT = re.compile(rb"<point\b[^>]*>")
_LARGEST = 1 << 20  # bytes of a file of seven points


@dataclass(frozen=True)
class NowImage:
    """A photo of the challenge and where its prediction lies. scan, scan_landmarks: of its subject."""

    name: str
    subject: str
    challenge: str
    scan: Path
    scan_landmarks: Path
    predicted: Path
    """Without a suffix."""


def read_now(
    root: str | os.PathLike[str],
    predicted: str | os.PathLike[str],
    images: str = "validation",
    challenge: str | None = None,
) -> tuple[NowImage, ...]:
    """The photos of the list, in its order.

    images: "validation" or "test", which list of the root. challenge: one of `CHALLENGES`, for its photos
    alone. Raises InputError naming the list, folder or scan that is missing.
    """
    folder, meshes = path_of(root, "a folder", "root"), path_of(predicted, "a folder", "predicted")
    if images not in LISTS:
        raise InputError(f"images: expected one of {', '.join(LISTS)}, got {images!r}")
    if challenge is not None and challenge not in CHALLENGES:
        raise InputError(f"challenge: expected one of {', '.join(CHALLENGES)}, got {challenge!r}")
    if not meshes.is_dir():
        raise InputError(f"{meshes}: no such folder; expected predicted meshes, SUBJECT/CHALLENGE/IMAGE.obj")
    file = folder / LISTS[images]
    names = read_names(file)
    check_names(file, names)
    found: list[NowImage] = []
    truth: dict[str, tuple[Path, Path]] = {}
    for name in names:
        parts = Path(name).parts
        if len(parts) < 3:
            raise InputError(f"{file}: expected lines SUBJECT/CHALLENGE/IMAGE.jpg, got {name[:60]!r}")
        subject, kind, image = parts[-3:]
        if challenge is not None and kind != challenge:
            continue
        if subject not in truth:
            truth[subject] = _only(folder / _SCANS / subject, ".obj"), _only(folder / _MARKS / subject, ".pp")
        place = meshes / subject / kind / Path(image).stem
        found.append(NowImage(f"{subject}/{kind}/{image}", subject, kind, *truth[subject], place))
    if not found:
        raise InputError(f"{file}: lists no photo{f' of {challenge}' if challenge else ''}")
    return tuple(found)


def predicted_files(image: NowImage) -> tuple[Path, Path]:
    """The mesh and the landmarks of a prediction. Raises InputError where one is missing."""
    mesh = next((p for p in _named(image.predicted, (".obj", ".ply")) if p.is_file()), None)
    if mesh is None:
        raise InputError(f"{image.predicted}.obj: no such file, nor .ply")
    marks = next((p for p in _named(image.predicted, (".npy", ".txt")) if p.is_file()), None)
    if marks is None:
        raise InputError(
            f"{image.predicted}.npy: no such file, nor .txt; expected the mesh's seven landmarks"
        )
    return mesh, marks


def read_seven(path: str | os.PathLike[str]) -> NDArray[np.float64]:
    """Seven landmarks (7, 3): a `.npy`, a `.txt` of seven lines x y z, or MeshLab's `.pp`.

    Raises InputError naming the file.
    """
    file = path_of(path, "seven landmarks")
    suffix = file.suffix.lower()
    if suffix == ".npy":
        points = np.array(read_array(file), np.float64)
    else:
        with reading(file, "seven landmarks"), open(regular_file(file, "seven landmarks"), "rb") as stream:
            content = plain_text(file, stream.read(_LARGEST))
            rows = [_attributes(tag) for tag in _POINT.findall(content)] if suffix == ".pp" else []
            words = [word for row in rows for word in row] if suffix == ".pp" else content.split()
            points = reals(words)
            points = points.reshape(-1, 3) if points.size % 3 == 0 else points
    if points.shape != (POINTS, 3) or not np.isfinite(points).all():
        raise InputError(f"{file}: expected seven finite points x y z, got shape {points.shape}")
    return points


def _attributes(tag: bytes) -> list[bytes]:
    words = []
    for name in (b"x", b"y", b"z"):
        found = re.search(rb"\s" + name + rb"\s*=\s*[\"']([^\"']*)[\"']", tag)
        if found is None:
            raise ValueError(f"a point without {name.decode()}")
        words.append(found[1].strip())
    return words


def _only(folder: Path, suffix: str) -> Path:
    """The first file of this suffix in a folder, by name."""
    files = sorted(folder.glob(f"*{suffix}")) if folder.is_dir() else []
    if not files:
        raise InputError(f"{folder}: expected a {suffix} file in it, found none")
    return files[0]


def _named(place: Path, suffixes: tuple[str, ...]) -> list[Path]:
    # Not with_suffix: a name may have dots of its own.
    return [place.with_name(place.name + suffix) for suffix in suffixes]
