"""A texture among the files of a result, and writing those files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..io.files import writing
from ..io.images import encode_image
from ..meshes.write import ObjTexture, write_mtl, write_obj, write_ply
from ..morphable import MorphableModel
from ..morphable.uv import uv_layout
from .avatar import Texture
from .texture_map import bake_texture

if TYPE_CHECKING:
    from .reconstruction import Reconstruction

SUFFIXES = ("-texture.png", ".mtl")
"""What an OBJ file with a texture needs beside it."""

USUAL = 1024
"""Texels of an edge where nobody says how many."""


def texture_size(suffixes: Sequence[str], asked: int | None, pictures: bool) -> int | None:
    """The edge of the texture that files with these suffixes need in texels; None: they need none.

    asked: by the user. pictures: whether results have pictures: a texture takes as long as one.
    """
    if ".html" in suffixes or (".glb" in suffixes and pictures):
        return asked or USUAL
    return asked if {".glb", ".obj"} & {*suffixes} else None


def baked_texture(
    model: MorphableModel,
    faces: Sequence[Reconstruction],
    images: Sequence[NDArray[np.uint8]],
    size: int = USUAL,
) -> Texture:
    """What photos (H, W, 3) uint8 BGR show of a face, each with its reconstruction, see `bake_texture`."""
    layout = uv_layout(model)
    picture = bake_texture(model, layout, faces, images, size)
    return Texture(layout.coordinates, layout.vertices, layout.triangles, picture)


def write_files(
    targets: Sequence[Path],
    places: Sequence[Path],
    contents: Mapping[str, bytes],
    mesh: tuple[NDArray[np.floating], NDArray[np.int64], NDArray[np.floating] | None],
    texture: Texture | None,
) -> None:
    """Write the files of a result.

    Args:
        targets: what the files will be called, and for a texture those of `SUFFIXES` last.
        places: where they are written.
        contents: of those that are not meshes, by suffix.
        mesh: vertices, triangles and colors, for OBJ and PLY.
        texture: of the OBJ file, if it has one.
    """
    material = None
    if texture is not None:
        material = ObjTexture(texture.coordinates, texture.triangles, targets[-1].name)
    for target, place in zip(targets, places, strict=True):
        with writing(target):
            if texture is not None and target == targets[-2]:
                place.write_bytes(encode_image(target, texture.picture))
            elif target.suffix == ".mtl":
                write_mtl(place, targets[-2].name)
            elif target.suffix == ".obj":
                write_obj(place, *mesh, material)
            elif target.suffix == ".ply":
                write_ply(place, *mesh)
            else:
                place.write_bytes(contents[target.suffix])
