"""What a person leaves beside the results of each photo: NAME.obj, NAME.ply and NAME.json, all or none."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arguments import path_of
from ..io.files import atomic_paths, check_targets, writing
from ..meshes.write import write_obj, write_ply
from .person_colors import person_colors
from .results import facts

if TYPE_CHECKING:
    from .person import Person
    from .reconstructor import FaceReconstructor

SUFFIXES = (".obj", ".ply", ".json")

# What the numbers of a photo and of a person have in common.
_SHARED = ("face_model", "checkpoint", "software")


def write_person(
    folder: str | os.PathLike[str],
    name: str,
    photos: Sequence[str],
    images: Sequence[NDArray[np.uint8]],
    reconstructor: FaceReconstructor,
    person: Person,
) -> list[Path]:
    """Write the neutral mesh of a person, with colors from all photos, and the numbers.

    Args:
        folder: made if it is not there.
        name: the files' name without suffix.
        photos, images: the photos' names, and the photos (H, W, 3) uint8 BGR, in the order of `person.faces`.
        reconstructor, person: what gave the person, and the person.

    Returns:
        the three paths, in the order of `SUFFIXES`. Mesh coordinates are millimeters, see `Person.neutral`.

    Raises:
        InputError: the folder cannot be written, or a folder stands where a file should go.
    """
    target = path_of(folder, "a folder", "folder")
    targets = [target / f"{name}{suffix}" for suffix in SUFFIXES]
    check_targets(targets)
    model = reconstructor.model
    points = person.neutral(model)
    colors = person_colors(images, person, model)
    text = json.dumps(_facts(photos, images, reconstructor, person), indent=1, allow_nan=False)
    with atomic_paths(targets) as (obj, ply, numbers):
        with writing(targets[0]):
            write_obj(obj, points, model.triangles, colors)
        with writing(targets[1]):
            write_ply(ply, points, model.triangles, colors)
        with writing(targets[2]):
            numbers.write_text(text + "\n", encoding="utf-8")
    return targets


def _facts(
    photos: Sequence[str],
    images: Sequence[NDArray[np.uint8]],
    reconstructor: FaceReconstructor,
    person: Person,
) -> dict[str, Any]:
    first = facts(images[0], reconstructor, person.faces[0])
    rows = zip(photos, person.contradicts, person.left_out, strict=True)
    return {
        "format": "twodasl-person",
        "version": 1,
        "photos": [
            {"photo": photo, "contradicts_the_others": contradicts, "left_out": left_out}
            for photo, contradicts, left_out in rows
        ],
        "coefficients": {"shape": first["coefficients"]["shape"]},
        "coefficients_in_std": {"shape": first["coefficients_in_std"]["shape"]},
        **{key: first[key] for key in _SHARED},
    }
