"""What a person leaves beside the results of each photo: NAME.obj, .ply, .glb and .json, all or none."""

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
from ..meshes.glb import glb_bytes
from ..meshes.write import write_obj, write_ply
from . import PERSON_FORMATS
from .avatar import avatar
from .person_colors import person_colors
from .results import facts

if TYPE_CHECKING:
    from .person import Person
    from .reconstructor import FaceReconstructor

# What the numbers of a photo and of a person have in common.
_SHARED = ("face_model", "checkpoint", "software")


def write_person(
    folder: str | os.PathLike[str],
    name: str,
    photos: Sequence[str],
    images: Sequence[NDArray[np.uint8]],
    reconstructor: FaceReconstructor,
    person: Person,
    *,
    formats: Sequence[str] = PERSON_FORMATS,
) -> list[Path]:
    """Write the neutral mesh of a person, with colors from all photos, and the numbers.

    Args:
        folder: made if it is not there.
        name: the files' name without suffix.
        photos, images: the photos' names, and the photos (H, W, 3) uint8 BGR, in the order of `person.faces`.
        reconstructor, person: what gave the person, and the person.
        formats: what to write; only those of `PERSON_FORMATS` are there.

    Returns:
        the paths, in the order of `PERSON_FORMATS`. Coordinates in OBJ and PLY are millimeters, see
        `Person.neutral`, and those in GLB meters.

    Raises:
        InputError: the folder cannot be written, or a folder stands where a file should go.
    """
    target = path_of(folder, "a folder", "folder")
    targets = [target / f"{name}.{each}" for each in PERSON_FORMATS if each in formats]
    check_targets(targets)
    model = reconstructor.model
    points = person.neutral(model)
    colors = person_colors(images, person, model)
    text = json.dumps(_facts(photos, images, reconstructor, person), indent=1, allow_nan=False)
    with atomic_paths(targets) as files:
        for file, meant in zip(files, targets, strict=True):
            with writing(meant):
                if meant.suffix == ".glb":
                    file.write_bytes(glb_bytes(avatar(model, person.shape, colors=colors)))
                elif meant.suffix == ".json":
                    file.write_text(text + "\n", encoding="utf-8")
                else:
                    write = write_obj if meant.suffix == ".obj" else write_ply
                    write(file, points, model.triangles, colors)
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
