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
from ..io.files import atomic_paths, check_targets
from ..meshes.glb import glb_bytes
from . import PERSON_FORMATS, TEXTURE_SUFFIXES
from .avatar import avatar
from .person_colors import person_colors
from .results import facts
from .texture_files import baked_texture, has_layout, texture_size, write_files

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
    texture: int | None = None,
) -> list[Path]:
    """Write the neutral mesh of a person, with colors from all photos, and the numbers.

    Args:
        folder: made if it is not there.
        name: the files' name without suffix.
        photos, images: the photos' names, and the photos (H, W, 3) uint8 BGR, in the order of `person.faces`.
        reconstructor, person: what gave the person, and the person.
        formats: what to write; only those of `PERSON_FORMATS` are there.
        texture: as in `write_results`.

    Returns:
        the paths, in the order of `PERSON_FORMATS`, then the texture's and its material's. Coordinates in
        OBJ and PLY are millimeters, see `Person.neutral`, and those in GLB meters.

    Raises:
        InputError: the folder cannot be written, or a folder stands where a file should go.
    """
    target = path_of(folder, "a folder", "folder")
    wanted = [f".{each}" for each in PERSON_FORMATS if each in formats]
    beside = TEXTURE_SUFFIXES if texture is not None and ".obj" in wanted else ()
    targets = [target / f"{name}{suffix}" for suffix in (*wanted, *beside)]
    check_targets(targets)
    model = reconstructor.model
    points = person.neutral(model)
    colors = person_colors(images, person, model)
    text = json.dumps(_facts(photos, images, reconstructor, person), indent=1, allow_nan=False)
    contents: dict[str, bytes] = {".json": f"{text}\n".encode()}
    size = texture_size(wanted, texture) if texture or has_layout(model) else None
    baked = None
    if size is not None:
        used = [index for index, left_out in enumerate(person.left_out) if not left_out]
        faces, shown = [person.faces[index] for index in used], [images[index] for index in used]
        baked = baked_texture(model, faces, shown, size)
    if ".glb" in wanted:
        contents[".glb"] = glb_bytes(avatar(model, person.shape, colors=colors, texture=baked))
    flat = baked if beside else None
    with atomic_paths(targets) as files:
        write_files(targets, files, contents, (points, model.triangles, colors), flat)
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
