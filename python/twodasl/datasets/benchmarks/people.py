"""Photos of people of whom it is known who is who: a list with columns image and person, or folders."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...arguments import path_of
from ...errors import InputError
from ...io.arrays import read_point_array
from ...io.files import regular_file
from ..names import check_names

LIST, LANDMARKS = "faces.csv", "pts68.npy"
MOST = 20_000
"""Photos in a set; the distances of more do not fit into memory."""

_IMAGES = ("images", ".")  # folders beside a list in which its photos are looked for
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True, eq=False)
class People:
    """n photos. names: relative to the root. images: paths. people: (n,) whose each is. landmarks: (n, 68, 2)
    image pixels, or None where the set has none. source, landmark_source: what was read, in words."""

    names: tuple[str, ...]
    images: tuple[Path, ...]
    people: NDArray[np.str_]
    landmarks: NDArray[np.float64] | None
    source: str
    landmark_source: str

    def __len__(self) -> int:
        return len(self.names)


def read_people(root: str | os.PathLike[str], landmarks: str | os.PathLike[str] | None = None) -> People:
    """Read a list, or a folder that holds one, or a folder with a folder for each person.

    root: a CSV file with the columns `image` and `person`, or a folder with such a `faces.csv`; the photos
    are in `images` beside the list, or beside it. Without a list: a folder of each person, photos in it.
    landmarks: a `.npy` (n, 68, 2) in image pixels, a row a line of the list, or a photo in name order; by
    default `pts68.npy` beside the list, where it is.

    Raises InputError naming what is missing or does not fit, and where no person has two photos or all photos
    are one person's.
    """
    place = path_of(root, "a list of faces or a folder", "root")
    file = place / LIST if place.is_dir() else place
    if place.is_dir() and not file.is_file():
        folder, source = place, f"{place}, a folder a person"
        names, people = _folders(place)
        photos = place
    else:
        folder, source = file.parent, str(file)
        names, people = _list(file)
        photos = _folder_of(folder, names[0])
    _check_people(place, people)
    points, words = _landmarks(folder, landmarks, len(names))
    images = tuple(photos / name for name in names)
    return People(tuple(names), images, np.array(people), points, f"{source}, {len(names)} photos", words)


def _list(file: Path) -> tuple[list[str], list[str]]:
    try:
        with open(
            regular_file(file, "a list of faces"), newline="", encoding="utf-8-sig", errors="surrogateescape"
        ) as stream:
            rows = list(csv.DictReader(stream))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from error
    except csv.Error as error:
        raise InputError(f"{file}: expected a CSV file, got one that is not text") from error
    heads = rows[0].keys() if rows else ()
    if not {"image", "person"} <= set(heads):
        raise InputError(
            f"{file}: expected lines under the columns image and person, got {', '.join(map(str, heads))}"
        )
    names = [str(row["image"] or "") for row in rows]
    people = [str(row["person"] or "").strip() for row in rows]
    empty = next((i for i, pair in enumerate(zip(names, people, strict=True), 2) if not all(pair)), None)
    if empty is not None:
        raise InputError(f"{file}: expected an image and a person in every line, got none in line {empty}")
    check_names(file, names)
    return names, people


def _folders(root: Path) -> tuple[list[str], list[str]]:
    names, people = [], []
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and path.name[:1] != "."):
        for photo in sorted(folder.iterdir()):
            if photo.suffix.lower() in _SUFFIXES and photo.name[:1] != ".":
                names.append(f"{folder.name}/{photo.name}")
                people.append(folder.name)
    if not names:
        raise InputError(f"{root}: expected {LIST}, or a folder of photos for each person, found neither")
    return names, people


def _check_people(place: Path, people: Sequence[str]) -> None:
    counts = Counter(people)
    if len(people) > MOST:
        raise InputError(f"{place}: expected at most {MOST:,} photos, got {len(people):,}; take fewer")
    if len(counts) < 2 or max(counts.values()) < 2:
        raise InputError(
            f"{place}: expected photos of at least two people, and two of one of them, got {len(people)} of"
            f" {len(counts)}"
        )


def _folder_of(folder: Path, name: str) -> Path:
    return next((folder / part for part in _IMAGES if (folder / part / name).is_file()), folder / _IMAGES[0])


def _landmarks(
    folder: Path, landmarks: str | os.PathLike[str] | None, count: int
) -> tuple[NDArray[np.float64] | None, str]:
    file = folder / LANDMARKS if landmarks is None else Path(landmarks)
    if landmarks is None and not file.is_file():
        return None, "none: the default detector finds the faces"
    points = read_point_array(file)
    if len(points) != count:
        raise InputError(f"{file}: expected a row for each of {count} photos, got {len(points)}")
    return points, str(file)
