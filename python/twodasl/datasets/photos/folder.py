"""Any folder of photos, at any depth, each with a landmark file next to it.

`NAME.jpg` (or .png, .webp, .bmp, .tif) goes with `NAME.pts`, `.npy`, `.csv`, or `.txt` of 68, 21, or 18
points, as read by `twodasl.landmarks.read_landmarks`: `.pts` counts pixels from 1, the others from 0. A `nan`
point is not annotated. Landmarks refer to the photo rotated upright by its EXIF orientation, as in `twodasl
reconstruct`. If schemes differ within a folder, all are reduced to the 18 points.
"""

from __future__ import annotations

import os
from pathlib import Path

from ...errors import InputError
from ...landmarks import SUFFIXES, read_landmarks
from .listing import Annotation, Scan

PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
SCHEMES = (68, 21, 18)


def scan(root: Path) -> Scan:
    """The photos of a folder and its subfolders, except hidden ones."""
    names: list[str] = []
    folders: list[Path] = []
    for place, inner, files in os.walk(root, onerror=_refuse):
        inner[:] = [name for name in inner if not name.startswith(".")]
        folders.append(Path(place))
        relative = Path(place).relative_to(root)
        names += [
            (relative / name).as_posix()
            for name in files
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in PHOTOS
        ]
    names.sort()
    return Scan(tuple(names), lambda index: _read(root / names[index]), tuple(folders), upright=True)


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename}: the folder cannot be read ({error.strerror})") from error


def _read(photo: Path) -> Annotation:
    file = next((f for f in map(photo.with_suffix, SUFFIXES) if f.is_file()), None)
    if file is None:
        raise InputError(f"{photo}: has no landmark file next to it ({', '.join(SUFFIXES)})")
    return Annotation(read_landmarks(file, SCHEMES, gaps=True))
